"""The history, the audit and the feed of both, as an SQL store gives them to readers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from schedcore.changes.audit import AuditRecord
from schedcore.history.query import EVERYTHING, RunQuery
from schedcore.history.totals import Totals
from schedcore.output.text import Kept
from schedcore.run import Outcome, RunRecord
from schedcore.stores.database import Database
from schedcore.stores.positions import (
    Happened,
    in_order,
    read_feed_position,
    read_position,
)
from schedcore.stores.sql_audit import AuditRows
from schedcore.stores.sql_history import HistoryRows
from schedcore.stores.sql_output import OutputRows


class SqlRecords:
    """The part of a :class:`~schedcore.stores.contract.Store` that is read.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.history = HistoryRows(database.kind)
        self.outputs = OutputRows(database)
        self.audit_rows = AuditRows(database.kind)

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
            order = self.history.order
            if since is None or order.keeps(tx, since) is None:
                return str(order.end(tx)), []
            rows = self.history.after(tx, since, limit)
            last = order.at(tx, rows[-1][0]) if rows else since
        return str(last), [record for _, record in rows]

    def keeps_after(self, position: str) -> bool:
        """Return whether everything after a position is still stored, or was until now."""
        since = read_position(position)
        with self.database.read() as tx:
            return bool(self.history.order.keeps(tx, since))

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

    def note(self, records: Sequence[AuditRecord]) -> None:
        """Add records to the audit."""
        with self.database.write() as tx:
            self.audit_rows.add(tx, records)

    def audit(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return the stored changes, the latest first."""
        with self.database.read() as tx:
            return self.audit_rows.latest(tx, job_id, since_us, before, limit)

    def happened_after(self, position: str | None, limit: int) -> Happened:
        """Return outcomes and changes in commit order."""
        since = None if position is None else read_feed_position(position)
        with self.database.read() as tx:
            ended, made = self.history.order, self.audit_rows.order
            kept = since and (ended.keeps(tx, since.outcomes), made.keeps(tx, since.changes))
            if since is None or kept is None or None in kept:
                return Happened(f"{ended.end(tx)}-{made.end(tx)}", [], since is None)
            outcomes = self.history.after(tx, since.outcomes, limit)
            changes = self.audit_rows.after(tx, since.changes, limit)
            last, found = in_order(since, outcomes, changes, limit)
            if last.outcomes != since.outcomes:
                last = last._replace(outcomes=ended.at(tx, last.outcomes.numbers))
            if last.changes != since.changes:
                last = last._replace(changes=made.at(tx, last.changes.numbers))
        return Happened(str(last), found, all(kept))
