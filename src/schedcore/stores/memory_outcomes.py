"""The history of the memory store."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection

from schedcore.history.history import History
from schedcore.history.query import EVERYTHING, RunQuery
from schedcore.history.totals import Totals
from schedcore.run import Outcome, RunRecord
from schedcore.stores.positions import STORE_ID_LENGTH, Position, read_position


class MemoryOutcomes:
    """Implements :class:`~schedcore.stores.contract.Store`.

    Args:
        history: The history, which this store owns from now on.
    """

    def __init__(self, history: History) -> None:
        # Re-entrant: a finalizer or a signal handler may call this.
        self._lock = threading.RLock()
        self._history = history
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
