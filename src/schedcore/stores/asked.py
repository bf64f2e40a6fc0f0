"""A run that somebody asks for, besides the schedule."""

from typing import Final, NamedTuple

from schedcore.changes.audit import AuditRecord

KEYS_KEPT_US: Final = 86_400 * 10**6
"""For how long a store knows the run that was opened for a key, if not too many came since."""


class Asked(NamedTuple):
    """How a run is asked for."""

    own_call: bool = False
    """Whether the arguments are those of this run, and not of the stored job: wherever the run goes
    on, they go with it."""
    key: str | None = None
    """Tells who asks again: for the same key of the same job, within :data:`KEYS_KEPT_US`, no
    second run is opened.  None: every time is a new one."""
    note: AuditRecord | None = None
    """What the audit is to keep of it, with the run's id put in."""


PLAINLY: Final = Asked()


class Earlier(NamedTuple):
    """A run that was opened for the same key before."""

    run_id: int
