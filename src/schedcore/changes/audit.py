"""Who changes what: the actor of the current call, and the records of changes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, NamedTuple

from schedcore.clock import from_us

LONGEST_NAME: Final = 255
"""Maximum length of an actor's name and address; longer ones are truncated."""


class Actor(NamedTuple):
    """Somebody who changes jobs, or the state of the scheduler."""

    name: str
    """The name of a user or a token; ``"python"``: the program itself."""
    address: str | None = None
    """From where the order came; None: from inside."""


PYTHON: Final = Actor("python")
"""The program itself."""
_actor: ContextVar[Actor] = ContextVar("schedcore_actor", default=PYTHON)


def actor() -> Actor:
    """Return the actor of this thread or task."""
    return _actor.get()


@contextmanager
def acting(name: str, address: str | None = None) -> Iterator[None]:
    """Attribute changes inside the ``with`` block to a user.

    For programs that act on behalf of users, like the REST API.

    Args:
        name: The user; shown unchanged, but cut after 255 characters.
        address: From where.
    """
    address = None if address is None else address[:LONGEST_NAME]
    token = _actor.set(Actor(name[:LONGEST_NAME], address))
    try:
        yield
    finally:
        _actor.reset(token)


class AuditRecord(NamedTuple):
    """One record of the audit; contains text only, so that it keeps no objects alive."""

    id: int
    """Grows with time."""
    at_us: int
    """When, in microseconds since the Unix epoch."""
    who: str
    """The user or the name of a token; ``"python"``: the program itself."""
    address: str | None
    """From where the order came; None: from inside."""
    verb: str
    """Of a job: ``"added"``, ``"changed"``, ``"replaced"``, ``"paused"``, ``"resumed"``,
    ``"parked"``, ``"removed"``, ``"run"``, ``"backfilled"``; of a run: ``"cancelled"``; of the
    scheduler: ``"started"``, ``"paused"``, ``"resumed"``, ``"stopped"``."""
    job_id: str | None = None
    """The job; None: the scheduler."""
    run_id: int | None = None
    """The run that was started or cancelled."""
    before_text: str | None = None
    """As JSON; see :attr:`before`."""
    after_text: str | None = None
    """As JSON; see :attr:`after`."""

    @property
    def at(self) -> datetime:
        """When it was done, in UTC."""
        return from_us(self.at_us)

    @property
    def before(self) -> Mapping[str, Any] | None:
        """The old values: the fields that differ, or the whole job if it was removed."""
        return _read(self.before_text)

    @property
    def after(self) -> Mapping[str, Any] | None:
        """The new values: the fields that differ, or the whole job if it is new.

        Of a run, the arguments that it was given instead of the job's.  None for a job that the
        program itself adds, since it is in the code.
        """
        return _read(self.after_text)

    def __repr__(self) -> str:
        return f"<AuditRecord {self.id}: {self.told()}, {self.at.isoformat()}>"

    def told(self) -> str:
        """Return one sentence that says who did what."""
        what = "the scheduler" if self.job_id is None else f"job {self.job_id!r}"
        if self.run_id is not None:
            what = f"{what} (run {self.run_id})" if self.verb == "run" else f"run {self.run_id}"
        if self.verb == "cancelled" and self.job_id is not None:
            what += f" of job {self.job_id!r}"
        where = "" if self.address is None else f" at {self.address}"
        return f"{what} was {self.verb} by {self.who}{where}"


def _read(text: str | None) -> Mapping[str, Any] | None:
    if text is None:
        return None
    import json  # 5 ms, and most programs never read the audit

    read: dict[str, Any] = json.loads(text)
    return read
