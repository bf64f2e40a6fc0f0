"""The history in a store over SQL: the ledger of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from schedcore.errors import whole
from schedcore.output import storable
from schedcore.run import Outcome, RunRecord
from schedcore.stores.database import Transaction
from schedcore.stores.places import Place
from schedcore.stores.sql_order import CommitOrder
from schedcore.stores.sql_totals import TotalRows

TRIM_AT_ONCE: Final = 1_000
"""Rows that are cut in one transaction: a few milliseconds, in which nobody else writes."""
_DAY_US = 86_400 * 10**6
_COLUMNS = (
    "run_id, job_id, outcome, due_us, started_us, ended_us, late_us, occurrences, result,"
    " error_type, error_text, attempt, cause, reason"
)
_INSERT = (
    f"insert into schedcore_ledger ({_COLUMNS}, node, recorded_us)"
    " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Retention(NamedTuple):
    """How much of the history a store on disk keeps."""

    per_job: int = 1_000
    """The last outcomes of each job."""
    days: int = 30
    """How old an outcome may be."""
    overall: int = 1_000_000
    """The last outcomes of all jobs."""
    outputs_per_job: int = 100
    """Of the last runs of each job that printed something, what that was."""
    outputs: int = 10_000
    """The same of all jobs: 64 KiB each at most, of letters that take one byte."""

    def checked(self) -> Retention:
        """Return it.

        Raises:
            InvalidOptionError: if a bound is not a whole number of 1 or more.
        """
        for name, value in self._asdict().items():
            whole(name, value)
        return self


class Excess(NamedTuple):
    """Outcomes that are kept no longer: a condition, and its parameters."""

    where: str
    params: tuple[object, ...]


class HistoryRows:
    """Reads and writes outcomes, within a transaction of the caller's.

    Args:
        kind: Of the database.

    Attributes:
        totals: Counts them.
        order: The order in which outcomes were committed.
    """

    def __init__(self, kind: str) -> None:
        self.totals = TotalRows()
        self.order = CommitOrder("schedcore_ledger", kind)

    def add(
        self, tx: Transaction, records: Sequence[RunRecord], now_us: int, node: int | None
    ) -> None:
        """Add outcomes, and count their occurrences."""
        if not records:
            return
        tx.many(_INSERT, [(*_values(record), node, now_us) for record in records])
        self.totals.add(tx, records, node)

    def note(self, tx: Transaction, run_id: int, reason: str) -> None:
        """Write beside the outcome of a run that was lost what became of it after all."""
        tx.run(
            "update schedcore_ledger set reason = ? where run_id = ? and outcome = ?",
            reason,
            run_id,
            Outcome.LOST.value,
        )

    def records(self, tx: Transaction, job_id: str | None, limit: int | None) -> list[RunRecord]:
        """Return the outcomes of one job, or of all, the latest first."""
        where, params = ("", ()) if job_id is None else (" where job_id = ?", (job_id,))
        sql = f"select {_COLUMNS}, node from schedcore_ledger{where} order by seq desc"
        most = () if limit is None else (limit,)
        rows = tx.all(sql + (" limit ?" if most else ""), *params, *most)
        return [_record(row) for row in rows]

    def after(
        self, tx: Transaction, place: Place, limit: int
    ) -> list[tuple[tuple[int, int], RunRecord]]:
        """Return the outcomes that were committed after a place, with their numbers."""
        rows = self.order.after(tx, f"{_COLUMNS}, node", place, limit)
        return [((row[0], row[1]), _record(row[2:])) for row in rows]

    def find(self, tx: Transaction, run_id: int) -> RunRecord | None:
        """Return the outcome of a run, or None."""
        sql = f"select {_COLUMNS}, node from schedcore_ledger where run_id = ?"
        row = tx.one(sql, run_id)
        return None if row is None else _record(row)

    def excess(self, tx: Transaction, keep: Retention, now_us: int) -> list[Excess]:
        """Return what is too old, and what is beyond the last ones of jobs."""
        # By age and not up to a row: while the clock was wrong, later rows may have been older.
        found = [Excess("recorded_us < ?", (now_us - keep.days * _DAY_US,))]
        many = "select job_id from schedcore_ledger group by job_id having count(*) > ? limit 100"
        for job in tx.all(many, keep.per_job):
            found += self._beyond(tx, "job_id = ? and ", job, keep.per_job)
        return found

    def excess_overall(self, tx: Transaction, keep: Retention) -> list[Excess]:
        """Return what is beyond the last ones of all jobs, once those of each job were cut."""
        ((first,),) = tx.all("select min(seq) from schedcore_ledger")
        ((last,),) = tx.all("select max(seq) from schedcore_ledger")
        if first is None or last - first < keep.overall:  # to count them takes longer
            return []
        return self._beyond(tx, "", (), keep.overall)

    def _beyond(
        self, tx: Transaction, where: str, params: tuple[object, ...], most: int
    ) -> list[Excess]:
        """Return what is beyond the last *most* of some outcomes."""
        sql = f"select seq from schedcore_ledger where {where}seq > 0 order by seq desc"
        row = tx.one(f"{sql} limit 1 offset ?", *params, most)
        return [] if row is None else [Excess(f"{where}seq <= ?", (*params, row[0]))]

    def cut(self, tx: Transaction, excess: Excess) -> int:
        """Cut outcomes, :data:`TRIM_AT_ONCE` at most; return how many."""
        return self.order.cut(tx, *excess, TRIM_AT_ONCE)


def _values(record: RunRecord) -> tuple[object, ...]:
    run_id, job_id, outcome, *times, result, kind, text, attempt, cause, reason, _ = record
    texts = (result and storable(result), kind, text and storable(text))
    # Not .value, which is a property: each run passes here.
    return run_id, job_id, outcome._value_, *times, *texts, attempt, cause, reason


def _record(row: tuple[object, ...]) -> RunRecord:
    run_id, job_id, outcome, *rest = row
    return RunRecord(run_id, job_id, Outcome(outcome), *rest)  # type: ignore[arg-type]
