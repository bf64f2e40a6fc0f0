"""The change feed of a store, for programs that follow it: ended runs and changed jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from schedcore.basics.atfork import call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.changes.audit import AuditRecord
from schedcore.clock import Deadline, from_us
from schedcore.errors import ChangesLostError, InvalidOptionError
from schedcore.run import RunRecord
from schedcore.stores.contract import Store

log = GuardedLogger(__name__)

POLL_EVERY: Final = 0.1
"""Seconds between two polls of the store, by one thread for all waiting callers."""
CHECK_EVERY: Final = 1.0
"""Seconds between two checks of whether the caller still waits."""
NEXT: Final = "the 'next' of an earlier call, or None"


class ChangeEvent(NamedTuple):
    """Something that happened: a run ended, a job was changed, or the scheduler was."""

    event: str
    """``"run_ended"``; ``"job_added"``, ``"job_changed"``, ``"job_replaced"``, ``"job_paused"``,
    ``"job_resumed"``, ``"job_parked"``, ``"job_removed"``; or ``"scheduler_started"``,
    ``"scheduler_paused"``, ``"scheduler_resumed"``, ``"scheduler_stopped"``."""
    at_us: int
    """When, in microseconds since the Unix epoch."""
    job_id: str | None
    """The job; None: the scheduler."""
    run: RunRecord | None = None
    """How the run ended, or occurrences that did not run."""

    @property
    def at(self) -> datetime:
        """When it happened, in UTC."""
        return from_us(self.at_us)

    def __repr__(self) -> str:
        about = "" if self.job_id is None else f" of {self.job_id!r}"
        ended = "" if self.run is None else f": {self.run!r}"
        return f"<ChangeEvent {self.event}{about}, {self.at.isoformat()}{ended}>"


class ChangeList(NamedTuple):
    """Events, and where to go on from."""

    next: str
    """What to ask with for what comes after these; opaque, and good in every process of a store."""
    events: tuple[ChangeEvent, ...]
    """In the order in which they were committed."""


class Feed:
    """Returns the events of a store, or waits for the next one.  Thread-safe.

    Args:
        store: The store.
        settle: Writes the ends of runs to the store.
    """

    def __init__(self, store: Store, settle: Callable[[], object]) -> None:
        self._store = store
        self._settle = settle
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._polls = 0
        self._interrupts = 0
        self._waiting = 0
        self._watches = False

    def after_fork_in_child(self) -> None:
        """Forget waiting callers, which belong to the parent."""
        self._begin_anew()

    def events(
        self, since: str | None, wait: float, limit: int, check: Callable[[], object] | None = None
    ) -> ChangeList:
        """Return the events after *since*; see :meth:`Scheduler.changes`."""
        if since is not None and not isinstance(since, str):
            raise InvalidOptionError("since", since, NEXT)
        deadline, interrupts = Deadline(wait), self._interrupts
        while True:
            polls = self._polls
            self._settle()
            try:
                position, records, whole = self._store.happened_after(since, limit)
            except InvalidOptionError:
                raise InvalidOptionError("since", since, NEXT) from None
            if not whole:
                raise ChangesLostError(since)
            events = tuple(_events(records))
            left = deadline.left()
            if since is None or events or not left or interrupts != self._interrupts:
                return ChangeList(position, events)
            since = position
            if not records:
                self._wait((polls, interrupts), deadline, check or _nothing)

    def interrupt(self) -> None:
        """End all waits: the scheduler is shut down."""
        with self._changed:
            self._interrupts += 1
            self._changed.notify_all()

    def _wait(self, seen: tuple[int, int], deadline: Deadline, check: Callable[[], object]) -> None:
        """Block until something has happened since *seen*, or the time is over."""
        changed = self._changed
        with changed:
            if not self._watches:
                threading.Thread(target=self._watch, name="schedcore-feed", daemon=True).start()
                self._watches = True
            self._waiting += 1
        try:
            while left := deadline.left():
                with changed:
                    if changed.wait_for(
                        lambda: seen != (self._polls, self._interrupts), min(left, CHECK_EVERY)
                    ):
                        return
                check()
        finally:
            with changed:
                self._waiting -= 1

    def _watch(self) -> None:
        """Poll the store for all waiting callers, as long as there are any."""
        changed, position = self._changed, None
        while True:
            found = True
            try:
                self._settle()
                if position is not None:
                    _, records, whole = self._store.happened_after(position, 1)
                    found = bool(records) or not whole
                if found:
                    position = self._store.happened_after(None, 0).position
            except Exception as error:  # noqa: BLE001 — the waiting callers meet and report it too
                log.warning("cannot read changes from the store: %s", error)
                position = None
            with changed:
                if found:
                    self._polls += 1
                    changed.notify_all()
                if not self._waiting and changed is self._changed:
                    self._watches = False
                    return
                changed.wait_for(lambda: False, POLL_EVERY)


def _nothing() -> None:
    """Check nothing."""


def _events(records: Iterable[RunRecord | AuditRecord]) -> Iterable[ChangeEvent]:
    for record in records:
        if isinstance(record, RunRecord):
            ended_us = record.ended_us
            if ended_us is None:
                ended_us = record.scheduled_us + record.late_us
            yield ChangeEvent("run_ended", ended_us, record.job_id, record)
        elif record.job_id is None:
            yield ChangeEvent(f"scheduler_{record.verb}", record.at_us, None)
        elif record.run_id is None:
            yield ChangeEvent(f"job_{record.verb}", record.at_us, record.job_id)
