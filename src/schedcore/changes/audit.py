"""Who changes what: the actor of the present call, and the records that are kept of changes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, NamedTuple

from schedcore.clock import from_us

LONGEST_NAME: Final = 255
"""Characters that are kept of an actor's name, and of its address."""


class Actor(NamedTuple):
    """Somebody who changes jobs, or the state of the scheduler."""

    name: str
    """Of a user or a token; ``"python"``: the program itself."""
    address: str | None = None
    """From where the order came; None: from inside."""


PYTHON: Final = Actor("python")
"""The program itself."""
_actor: ContextVar[Actor] = ContextVar("schedcore_actor", default=PYTHON)


def actor() -> Actor:
    """Return in whose name this thread or task acts."""
    return _actor.get()


@contextmanager
def acting(name: str, address: str | None = None) -> Iterator[None]:
    """Have changes that are made inside the ``with`` block be recorded as somebody's.

    For programs that take orders from others, as the REST API does.

    Args:
        name: Who; shown as it is, and cut after 255 characters.
        address: From where.
    """
    address = None if address is None else address[:LONGEST_NAME]
    token = _actor.set(Actor(name[:LONGEST_NAME], address))
    try:
        yield
    finally:
        _actor.reset(token)


class AuditRecord(NamedTuple):
    """One change, as the audit keeps it; holds text only, so that it keeps nothing alive."""

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
    """Of which job; None: of the scheduler."""
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
        """What the change took away: the fields that differ, or all of a job that is gone."""
        return _read(self.before_text)

    @property
    def after(self) -> Mapping[str, Any] | None:
        """What the change put there: the fields that differ, or all of a job that is new.

        None for a job that the program itself adds: its code has it.
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
    import json  # 5 ms, and most programs never ask

    read: dict[str, Any] = json.loads(text)
    return read


class AuditTrail:
    """The last changes, as the memory store keeps them.

    Not thread-safe: its owner holds a lock.

    Args:
        most: How many are kept.

    Attributes:
        cut: How many are not kept any more: the first ones.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._slack = most + max(1, most // 10)  # to cut one by one costs more
        # Each with the number of outcomes that there were before it, and without its own number: a
        # record that is given it is a new one, and takes as long as a tenth of adding a job.
        self._all: list[tuple[int, AuditRecord]] = []
        self.cut = 0

    @property
    def end(self) -> int:
        """How many there were."""
        return self.cut + len(self._all)

    def add(self, record: AuditRecord, outcomes: int) -> None:
        """Keep a record under its number; *outcomes* is how many were recorded before it."""
        self._all.append((outcomes, record))
        if len(self._all) > self._slack:
            cut = len(self._all) - self._most
            del self._all[:cut]
            self.cut += cut

    def after(self, number: int, limit: int) -> list[tuple[int, AuditRecord]]:
        """Return those after the first *number*: :attr:`cut` or more, each with its outcomes."""
        first = number - self.cut
        found = self._all[first : first + limit]
        return [
            (outcomes, record._replace(id=n))
            for n, (outcomes, record) in enumerate(found, number + 1)
        ]

    def latest(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return those of a job (None: all), since a time, before a number, the latest first."""
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
