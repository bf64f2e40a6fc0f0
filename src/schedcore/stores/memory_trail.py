"""The audit of the memory store."""

from __future__ import annotations

from collections.abc import Sequence

from schedcore.changes.audit import AuditRecord, AuditTrail
from schedcore.history.history import History
from schedcore.stores.memory_outcomes import MemoryOutcomes
from schedcore.stores.positions import (
    FeedPosition,
    Happened,
    Position,
    in_order,
    read_feed_position,
)


class MemoryTrail(MemoryOutcomes):
    """Implements :class:`~schedcore.stores.trail.Trail`.

    Args:
        history: The history, which this store owns from now on.
    """

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self._audit = AuditTrail()

    def note(self, records: Sequence[AuditRecord]) -> None:
        """Add records to the audit."""
        with self._lock:
            for record in records:
                self._audit.add(record, self._history.end)

    def audit(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return the stored changes, the latest first."""
        with self._lock:
            return self._audit.latest(job_id, since_us, before, limit)

    def happened_after(self, position: str | None, limit: int) -> Happened:
        """Return outcomes and changes, in the order in which they were recorded."""
        since = None if position is None else read_feed_position(position)
        with self._lock:
            ends = FeedPosition(self._end, Position(self._mark, 0, self._audit.end))
            if since is None or not ends.knows(since):
                return Happened(str(ends), [], since is None)
            ended, made = since.outcomes.seq, since.changes.seq
            first, done = max(ended, self._history.cut), max(made, self._audit.cut)
            records = self._history.after(first, limit)
            changes = self._audit.after(done, limit)
        last, found = in_order(
            since,
            [((0, n), record) for n, record in enumerate(records, first + 1)],
            [((0, before), (0, record.id), record) for before, record in changes],
            limit,
        )
        return Happened(str(last), found, (first, done) == (ended, made))
