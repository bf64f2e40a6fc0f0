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

        None for a job that the program itself adds, since it is in the code.
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


class AuditTrail:
    """The last changes, in the memory store.

    Not thread-safe: its owner holds a lock.

    Args:
        most: How many to keep.

    Attributes:
        cut: How many of the first ones were deleted.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._slack = most + max(1, most // 10)  # deleting one by one costs more
        # Each with the number of outcomes before it, and without its own number: setting that would
        # create a new record, which takes a tenth of the time of adding a job.
        self._all: list[tuple[int, AuditRecord]] = []
        self.cut = 0

    @property
    def end(self) -> int:
        """The number of records so far, deleted ones included."""
        return self.cut + len(self._all)

    def add(self, record: AuditRecord, outcomes: int) -> None:
        """Add a record; *outcomes* is the number of outcomes recorded before it."""
        self._all.append((outcomes, record))
        if len(self._all) > self._slack:
            cut = len(self._all) - self._most
            del self._all[:cut]
            self.cut += cut

    def after(self, number: int, limit: int) -> list[tuple[int, AuditRecord]]:
        """Return the records after the first *number*, each with its outcomes.

        *number* is :attr:`cut` or more.
        """
        first = number - self.cut
        found = self._all[first : first + limit]
        return [
            (outcomes, record._replace(id=n))
            for n, (outcomes, record) in enumerate(found, number + 1)
        ]

    def latest(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return the records of a job (None: all), since a time, before a number, newest first."""
        found: list[AuditRecord] = []
        number = self.end + 1
        for _, record in reversed(self._all):
            number -= 1
            if len(found) == limit:
                break
            if (
                (job_id is None or record.job_id == job_id)
                and (since_us is None or record.at_us >= since_us)
                and (before is None or number < before)
            ):
                found.append(record._replace(id=number))
        return found
