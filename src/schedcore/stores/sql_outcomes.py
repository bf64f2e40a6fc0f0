"""Queries of the history in an SQL store."""

from __future__ import annotations

from collections.abc import Collection

from schedcore.history.query import EVERYTHING, RunQuery
from schedcore.history.totals import Totals
from schedcore.output.text import Kept
from schedcore.run import Outcome, RunRecord
from schedcore.stores.database import Database
from schedcore.stores.positions import Position, read_position
from schedcore.stores.sql_history import HistoryRows
from schedcore.stores.sql_output import OutputRows


class SqlOutcomes:
    """Implements :class:`~schedcore.stores.contract.Store`.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.history = HistoryRows(database.kind)
        self.outputs = OutputRows(database)

    def records(self, query: RunQuery = EVERYTHING) -> list[RunRecord]:
        """Return the stored outcomes that *query* selects, in its order."""
        with self.database.read() as tx:
            return self.history.records(tx, query)

    def kept(self, query: RunQuery, most: int) -> int:
        """Return how many outcomes *query* selects in total, at most *most*."""
        with self.database.read() as tx:
            return self.history.kept(tx, query, most)

    def tally(self, query: RunQuery, slice_us: int, most: int) -> dict[tuple[int, Outcome], int]:
        """Return how many outcomes *query* selects, by slices of due time and by outcome."""
        with self.database.read() as tx:
            return self.history.tally(tx, query, slice_us, most)

    def ended_after(self, position: str | None, limit: int) -> tuple[str, list[RunRecord]]:
        """Return outcomes in commit order, each once."""
        since = None if position is None else read_position(position)
        with self.database.read() as tx:
            end = self.history.order.end(tx)
            if since is None or not end.knows(since):
                return str(end), []
            rows = self.history.after(tx, since, limit)
        last = Position(since.store_id, *rows[-1][0]) if rows else since
        return str(last), [record for _, record in rows]

    def keeps_after(self, position: str) -> bool:
        """Return whether everything after a position is still stored, or was until now."""
        since = read_position(position)
        with self.database.read() as tx:
            order = self.history.order
            return order.end(tx).knows(since) and order.keeps(tx, since)

    def counts(self, job_id: str | None = None) -> dict[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        with self.database.read() as tx:
            return self.history.totals.counts(tx, job_id)

    def totals(self, job_ids: Collection[str]) -> Totals:
        """Return the totals of all occurrences ever, and of those of some jobs."""
        with self.database.read() as tx:
            return self.history.totals.of(tx, job_ids)

    def output(self, run_id: int) -> Kept:
        """Return the output of a run, as far as it is written."""
        with self.database.read() as tx:
            return self.outputs.read(tx, run_id)
