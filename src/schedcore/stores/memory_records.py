"""The history, the audit and the feed of both, as the memory store gives them to readers."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Sequence
from types import FunctionType
from typing import Final, NamedTuple

from schedcore.basics.callables import is_local
from schedcore.changes.audit import Actor, AuditRecord
from schedcore.history.history import History
from schedcore.history.query import EVERYTHING, RunQuery
from schedcore.history.totals import Totals
from schedcore.job import Job
from schedcore.run import Outcome, RunRecord
from schedcore.stores.audit_records import effective_changes, id_of, record_of_change
from schedcore.stores.base import Change, Entry
from schedcore.stores.positions import (
    STORE_ID_LENGTH,
    FeedPosition,
    Happened,
    Position,
    in_order,
    read_feed_position,
    read_position,
)

_PLAIN: Final = frozenset({bool, float, int, type(None)})
_LONGEST: Final = 200
"""Length of text up to which it does not matter that the audit keeps it."""


class MemoryRecords:
    """The part of a :class:`~schedcore.stores.contract.Store` that is read.

    Args:
        history: The history, which this store owns from now on.
    """

    def __init__(self, history: History) -> None:
        # Re-entrant: a finalizer or a signal handler may call this.
        self._lock = threading.RLock()
        self._history = history
        self._audit = AuditTrail()
        self._draw_store_id()

    def _draw_store_id(self) -> None:
        """Create an id of this store for positions; a forked child is another store."""
        self._store_id = os.urandom(STORE_ID_LENGTH // 2).hex()

    def records(self, query: RunQuery = EVERYTHING) -> list[RunRecord]:
        """Return the stored outcomes that *query* selects, in its order."""
        with self._lock:
            return self._history.records(query)

    def kept(self, query: RunQuery, most: int) -> int:
        """Return how many outcomes *query* selects in total, at most *most*."""
        with self._lock:
            return self._history.kept(query, most)

    def tally(self, query: RunQuery, slice_us: int, most: int) -> dict[tuple[int, Outcome], int]:
        """Return how many outcomes *query* selects, by slices of due time and by outcome."""
        with self._lock:
            return self._history.tally(query, slice_us, most)

    def ended_after(self, position: str | None, limit: int) -> tuple[str, list[RunRecord]]:
        """Return outcomes in the order in which they were recorded, each once."""
        since = None if position is None else read_position(position)
        with self._lock:
            end = self._end
            if since is None or not end.knows(since):
                return str(end), []
            first = max(since.seq, self._history.cut)
            records = self._history.after(first, limit)
        return str(Position(self._store_id, 0, first + len(records))), records

    def keeps_after(self, position: str) -> bool:
        """Return whether everything after a position is still stored, or was until now."""
        since = read_position(position)
        with self._lock:
            return self._end.knows(since) and since.seq >= self._history.cut

    @property
    def _end(self) -> Position:
        return Position(self._store_id, 0, self._history.end)

    def counts(self, job_id: str | None = None) -> dict[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        with self._lock:
            return self._history.counts(job_id)

    def totals(self, job_ids: Collection[str]) -> Totals:
        """Return the totals of all occurrences ever, and of those of some jobs."""
        with self._lock:
            return self._history.totals(job_ids)

    def note(self, records: Sequence[AuditRecord]) -> None:
        """Add records to the audit."""
        with self._lock:
            for record in records:
                self._audit.add(record, self._history.end)

    def _note_changes(self, changes: Sequence[Change | Entry], by: Actor, now_us: int) -> None:
        """Add changes to the audit."""
        outcomes = self._history.end
        for change in effective_changes(changes):
            self._audit.add(_made(change, by, now_us), outcomes)

    def audit(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return the stored changes, the latest first."""
        with self._lock:
            found = self._audit.latest(job_id, since_us, before, limit)
        return [_record(number, made) for number, made in found]

    def happened_after(self, position: str | None, limit: int) -> Happened:
        """Return outcomes and changes, in the order in which they were recorded."""
        since = None if position is None else read_feed_position(position)
        with self._lock:
            ends = FeedPosition(self._end, Position(self._store_id, 0, self._audit.end))
            if since is None or not ends.knows(since):
                return Happened(str(ends), [], since is None)
            ended, made = since.outcomes.seq, since.changes.seq
            first, done = max(ended, self._history.cut), max(made, self._audit.cut)
            records = self._history.after(first, limit)
            changes = self._audit.after(done, limit)
        last, found = in_order(
            since,
            [((0, n), record) for n, record in enumerate(records, first + 1)],
            [
                ((0, before), (0, number), _record(number, each))
                for number, (before, each) in enumerate(changes, done + 1)
            ],
            limit,
        )
        return Happened(str(last), found, (first, done) == (ended, made))


class Made(NamedTuple):
    """A change of a job whose record is written when somebody reads it.

    Writing the old and the new values takes twice as long as changing a job.
    """

    change: Change | Entry
    by: Actor
    at_us: int


class AuditTrail:
    """The last changes, in the order in which they were made.

    Not thread-safe: its owner holds a lock.

    Args:
        most: How many to keep.

    Attributes:
        cut: How many of the first ones were deleted.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._slack = most + max(1, most // 10)  # deleting one by one costs more
        # Each with the number of outcomes before it.
        self._all: list[tuple[int, Made | AuditRecord]] = []
        self.cut = 0

    @property
    def end(self) -> int:
        """The number of changes so far, deleted ones included."""
        return self.cut + len(self._all)

    def add(self, made: Made | AuditRecord, outcomes: int) -> None:
        """Add a change; *outcomes* is the number of outcomes recorded before it."""
        self._all.append((outcomes, made))
        if len(self._all) > self._slack:
            cut = len(self._all) - self._most
            del self._all[:cut]
            self.cut += cut

    def after(self, number: int, limit: int) -> list[tuple[int, Made | AuditRecord]]:
        """Return the changes after the first *number*, each with its outcomes.

        *number* is :attr:`cut` or more.
        """
        first = number - self.cut
        return self._all[first : first + limit]

    def latest(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[tuple[int, Made | AuditRecord]]:
        """Return changes with their numbers, the latest first.

        Args:
            job_id: Only those of this job; None: all.
            since_us: Only those since this time; None: all.
            before: Only those with a lower number; None: all.
            limit: The maximum number.
        """
        found: list[tuple[int, Made | AuditRecord]] = []
        number = self.end + 1
        for _, made in reversed(self._all):
            number -= 1
            if len(found) == limit:
                break
            if (
                (job_id is None or _job_id(made) == job_id)
                and (since_us is None or made.at_us >= since_us)
                and (before is None or number < before)
            ):
                found.append((number, made))
        return found


def _made(change: Change | Entry, by: Actor, at_us: int) -> Made | AuditRecord:
    """Return what to keep of a change: text, if its values would keep objects of users alive."""
    entries = (change,) if isinstance(change, Entry) else (change.old, change.new)
    if all(entry is None or _is_plain(entry.job) for entry in entries):
        return Made(change, by, at_us)
    return record_of_change(change, by, at_us)


def _is_plain(job: Job) -> bool:
    """Return whether a job keeps nothing alive but itself: it is bounded, and cannot change."""
    func = job.func
    if func is not None and (type(func) is not FunctionType or is_local(func)):
        return False
    return all(map(_is_small, job.args)) and all(map(_is_small, job.kwargs.values()))


def _is_small(value: object) -> bool:
    return type(value) in _PLAIN or (type(value) is str and len(value) <= _LONGEST)


def _job_id(made: Made | AuditRecord) -> str | None:
    return id_of(made.change) if isinstance(made, Made) else made.job_id


def _record(number: int, made: Made | AuditRecord) -> AuditRecord:
    """Return the record of a change, with its number."""
    record = record_of_change(*made) if isinstance(made, Made) else made
    return record._replace(id=number)
