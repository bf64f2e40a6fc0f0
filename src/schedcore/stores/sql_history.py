"""The history in an SQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from schedcore.errors import whole
from schedcore.history.history import TROUBLES
from schedcore.history.query import MOST_ID, RunQuery, bounded
from schedcore.output.text import is_storable, storable
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.database import Transaction
from schedcore.stores.positions import Position
from schedcore.stores.sql_order import order_of_outcomes
from schedcore.stores.sql_totals import TotalRows

TRIM_AT_ONCE: Final = 1_000
"""Maximum number of rows to delete per transaction: others cannot write for a few milliseconds."""
DAY_US: Final = 86_400 * 10**6
_COLUMNS = (
    "run_id, job_id, outcome, due_us, started_us, ended_us, late_us, occurrences, result,"
    " error_type, error_text, attempt, cause, reason"
)
_INSERT = (
    f"insert into schedcore_ledger ({_COLUMNS}, node, recorded_us)"
    " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
TROUBLE: Final = "outcome <> 'executed'"
"""The exact condition of the schema's partial indexes, which exclude successes."""
_NEAR: Final = 1_000
"""Maximum number of runs searched for the latest outcome before a deleted run."""


class Retention(NamedTuple):
    """How much history a store on disk keeps."""

    per_job: int = 1_000
    """Number of outcomes per job; older ones are kept only if they are among its last 5 that were
    not ``executed``."""
    days: int = 30
    """Maximum age of an outcome."""
    overall: int = 1_000_000
    """Number of outcomes of all jobs."""
    outputs_per_job: int = 100
    """Number of outputs per job, of runs that printed something."""
    outputs: int = 10_000
    """The same for all jobs; each takes at most 64 KiB, for one-byte characters."""
    audit_days: int = 90
    """Maximum age of a change in the audit."""
    audit: int = 100_000
    """Number of changes in the audit."""

    def checked(self) -> Retention:
        """Return this value after a check.

        Raises:
            InvalidOptionError: if a limit is not a whole number of 1 or more.
        """
        for name, value in self._asdict().items():
            whole(name, value)
        return self


class Condition(NamedTuple):
    """A condition on outcomes, and its parameters."""

    where: str
    params: tuple[object, ...]


class HistoryRows:
    """Reads and writes outcomes, inside the caller's transaction.

    Args:
        kind: The kind of the database.

    Attributes:
        totals: The counts of all outcomes.
        order: The order in which outcomes were committed.
    """

    def __init__(self, kind: str) -> None:
        self.totals = TotalRows()
        self.order = order_of_outcomes(kind)

    def add(
        self, tx: Transaction, records: Sequence[RunRecord], now_us: int, node: int | None
    ) -> None:
        """Add outcomes, and count their occurrences."""
        if not records:
            return
        tx.many(_INSERT, [(*_values(record), record.node or node, now_us) for record in records])
        self.totals.add(tx, records, node)

    def note(self, tx: Transaction, run_id: int, reason: str) -> None:
        """Add a note to the outcome of a lost run about how it ended."""
        tx.run(
            "update schedcore_ledger set reason = ? where run_id = ? and outcome = ?",
            reason,
            run_id,
            Outcome.LOST.value,
        )

    def note_begun(self, tx: Transaction, runs: Sequence[Run]) -> None:
        """Add the beginnings of runs to their outcomes, which another process recorded."""
        sql = (
            "update schedcore_ledger set started_us = ?, late_us = ?"
            " where run_id = ? and started_us is null"
        )
        begun = [(run._started_us, run._due_us, run._id) for run in runs]
        tx.many(sql, [(at, max(0, (at or 0) - due), run_id) for at, due, run_id in begun])

    def records(self, tx: Transaction, query: RunQuery) -> list[RunRecord]:
        """Return the outcomes that *query* selects, in its order."""
        query = query.bounded()
        conditions = _conditions(query)
        order = ("due_us", "seq") if query.by_time else ("seq",)
        if query.before is not None:
            behind = self._behind(tx, query.before, order)
            if behind is None:
                return []
            conditions.append(behind)
        latest = ", ".join(f"{column} desc" for column in order)
        rows = tx.all(
            f"select {_COLUMNS}, node from schedcore_ledger{where_all(conditions)}"
            f" order by {latest} limit ? offset ?",
            *(value for each in conditions for value in each.params),
            MOST_ID if query.limit is None else query.limit,
            query.offset,
        )
        return [_record(row) for row in rows]

    def _behind(self, tx: Transaction, run_id: int, order: Sequence[str]) -> Condition | None:
        """Return the condition for outcomes after a run, in this order; None: there are none."""
        columns = ", ".join(order)
        position = tx.one(f"select {columns} from schedcore_ledger where run_id = ?", run_id)
        compared = "<"
        if position is None:  # the latest of the runs before it
            compared = "<="
            near = "select due_us, seq from schedcore_ledger where run_id < ? order by run_id desc"
            latest = ", ".join(f"{column} desc" for column in order)
            position = tx.one(
                f"select {columns} from ({near} limit ?) near order by {latest} limit 1",
                run_id,
                _NEAR,
            )
        if position is None:
            return None
        return Condition(f"({columns}) {compared} ({', '.join('?' * len(order))})", tuple(position))

    def kept(self, tx: Transaction, query: RunQuery, most: int) -> int:
        """Return how many outcomes *query* selects in total, at most *most*."""
        conditions = _conditions(query.bounded())
        ((count,),) = tx.all(
            "select count(*) from"
            f" (select 1 from schedcore_ledger{where_all(conditions)} limit ?) found",
            *(value for each in conditions for value in each.params),
            bounded(most),
        )
        return int(count)

    def tally(
        self, tx: Transaction, query: RunQuery, slice_us: int, most: int
    ) -> dict[tuple[int, Outcome], int]:
        """Return how many outcomes *query* selects, by slices of due time and by outcome."""
        conditions = _conditions(query.bounded())
        rows = tx.all(
            "select due_us / ?, outcome, count(*) from (select due_us, outcome from"
            f" schedcore_ledger{where_all(conditions)} order by due_us desc limit ?) found"
            " group by 1, 2",
            bounded(slice_us),
            *(value for each in conditions for value in each.params),
            bounded(most),
        )
        return {(number, Outcome(outcome)): count for number, outcome, count in rows}

    def after(
        self, tx: Transaction, position: Position, limit: int
    ) -> list[tuple[tuple[int, int], RunRecord]]:
        """Return the outcomes that were committed after a position, with their numbers."""
        rows = self.order.after(tx, f"{_COLUMNS}, node", position, limit)
        return [((row[0], row[1]), _record(row[2:])) for row in rows]

    def find(self, tx: Transaction, run_id: int) -> RunRecord | None:
        """Return the outcome of a run, or None."""
        sql = f"select {_COLUMNS}, node from schedcore_ledger where run_id = ?"
        row = tx.one(sql, run_id)
        return None if row is None else _record(row)

    def excess(self, tx: Transaction, keep: Retention, now_us: int) -> list[Condition]:
        """Return conditions for outcomes that are too old, or too many of a job."""
        # By age and not up to a row: if the clock was wrong, later rows may be older.
        found = [Condition("recorded_us < ?", (now_us - keep.days * DAY_US,))]
        # Jobs with the most outcomes first: others may have only their last failures in addition.
        many = (
            "select job_id from schedcore_ledger group by job_id having count(*) > ?"
            " order by count(*) desc limit 100"
        )
        for job in tx.all(many, keep.per_job):
            for beyond in self._beyond(tx, "job_id = ? and ", job, keep.per_job):
                cut = _but_for_troubles(beyond, job)
                if tx.one(f"select 1 from schedcore_ledger where {cut.where} limit 1", *cut.params):
                    found.append(cut)
        return found

    def excess_overall(self, tx: Transaction, keep: Retention) -> list[Condition]:
        """Return conditions for outcomes that are too many overall, after the limits per job."""
        ((first,),) = tx.all("select min(seq) from schedcore_ledger")
        ((last,),) = tx.all("select max(seq) from schedcore_ledger")
        if first is None or last - first < keep.overall:  # counting them takes longer
            return []
        return self._beyond(tx, "", (), keep.overall)

    def _beyond(
        self, tx: Transaction, where: str, params: tuple[object, ...], most: int
    ) -> list[Condition]:
        """Return the condition for all but the last *most* of some outcomes."""
        sql = f"select seq from schedcore_ledger where {where}seq > 0 order by seq desc"
        row = tx.one(f"{sql} limit 1 offset ?", *params, most)
        return [] if row is None else [Condition(f"{where}seq <= ?", (*params, row[0]))]

    def cut(self, tx: Transaction, excess: Condition) -> int:
        """Delete outcomes, at most :data:`TRIM_AT_ONCE`; return how many."""
        return self.order.cut(tx, *excess, TRIM_AT_ONCE)


def _but_for_troubles(beyond: Condition, job: tuple[object, ...]) -> Condition:
    """Exclude the last failures of a job from the condition for its excess outcomes."""
    last = (
        f"select seq from schedcore_ledger where job_id = ? and {TROUBLE}"
        f" order by seq desc limit {TROUBLES}"
    )
    where = f"{beyond.where} and seq not in ({last})"
    return Condition(where, (*beyond.params, *job))


def of_job(job_id: str) -> Condition:
    """Return the condition for what belongs to a job: for an id of any text."""
    return Condition("job_id = ?", (job_id,)) if is_storable(job_id) else Condition("1 = 0", ())


def _conditions(query: RunQuery) -> list[Condition]:
    """Return the conditions of a query, apart from its position."""
    conditions = []
    if query.job_id is not None:
        conditions.append(of_job(query.job_id))
    if query.job_ids is not None:
        ids = tuple(filter(is_storable, query.job_ids))
        conditions.append(Condition(f"job_id in ({', '.join('?' * len(ids)) or 'null'})", ids))
    if (outcomes := query.outcomes) is not None:
        names = tuple(sorted(outcome.value for outcome in outcomes))
        # "in ()" is not valid, and null is in no list.
        conditions.append(Condition(f"outcome in ({', '.join('?' * len(names)) or 'null'})", names))
        if Outcome.EXECUTED not in outcomes:
            conditions.append(Condition(TROUBLE, ()))
    if query.since_us is not None:
        conditions.append(Condition("due_us >= ?", (query.since_us,)))
    if query.until_us is not None:
        conditions.append(Condition("due_us < ?", (query.until_us,)))
    return conditions


def where_all(conditions: Sequence[Condition]) -> str:
    """Return the clause for what meets all conditions."""
    return f" where {' and '.join(each.where for each in conditions)}" if conditions else ""


def _values(record: RunRecord) -> tuple[object, ...]:
    run_id, job_id, outcome, *times, result, kind, text, attempt, cause, reason, _ = record
    texts = (each and storable(each) for each in (result, kind, text))
    # Not .value, which is a slow property: each run passes here.
    return run_id, job_id, outcome._value_, *times, *texts, attempt, cause, reason


def _record(row: tuple[object, ...]) -> RunRecord:
    run_id, job_id, outcome, *rest = row
    return RunRecord(run_id, job_id, Outcome(outcome), *rest)  # type: ignore[arg-type]
