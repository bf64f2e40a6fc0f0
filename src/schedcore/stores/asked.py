"""Runs that somebody asks for, besides the schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from schedcore.changes.audit import AuditRecord
from schedcore.job import Job
from schedcore.run import Run

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


class OpensAsked(Protocol):
    """The part of a store that opens such runs."""

    def open(self, job: Job, due_us: int, asked: Asked = PLAINLY) -> Run | Earlier | None:
        """Open a run of a job besides its schedule, or record it as skipped for want of room.

        Somebody may wait for the run that is returned.

        Args:
            job: The stored definition, with its function resolved.
            due_us: When it falls due: now.
            asked: With what besides.

        Raises:
            JobLookupError: if the job was removed.
        """
        ...

    def backfill(
        self, job: Job, times: Sequence[int], note: AuditRecord
    ) -> tuple[Sequence[Run], Sequence[Run]]:
        """Open a run of a job for each of *times*, which have passed.

        Args:
            job: The stored definition, with its function resolved.
            times: The oldest first.
            note: What the audit is to keep of it.

        Returns:
            Those that start, for which there is room; and those that wait behind them.

        Raises:
            JobLookupError: if the job was removed.
        """
        ...
