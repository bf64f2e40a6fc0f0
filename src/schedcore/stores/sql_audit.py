"""The audit in an SQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schedcore.changes.audit import AuditRecord
from schedcore.history.query import bounded
from schedcore.output.text import storable
from schedcore.stores.database import Transaction
from schedcore.stores.positions import Position
from schedcore.stores.sql_history import (
    DAY_US,
    TRIM_AT_ONCE,
    Condition,
    Retention,
    of_job,
    where_all,
)
from schedcore.stores.sql_order import order_of_changes

_COLUMNS: Final = "at_us, who, address, verb, job_id, run_id, before_text, after_text"
_MARKS: Final = ", ".join("?" * (_COLUMNS.count(",") + 1))
_LAST_OUTCOME: Final = (
    "coalesce((select seq from sqlite_sequence where name = 'schedcore_ledger'), 0)"
)


class AuditRows:
    """Reads and writes the audit, inside the caller's transaction.

    Args:
        kind: The kind of the database.

    Attributes:
        order: The order in which changes were committed.
    """

    def __init__(self, kind: str) -> None:
        self.order = order_of_changes(kind)
        # If numbers are in commit order, that of the last outcome says what was before.
        ledger = _LAST_OUTCOME if kind == "sqlite" else "0"
        self._insert = (
            f"insert into schedcore_audit ({_COLUMNS}, ledger) values ({_MARKS}, {ledger})"
        )

    def add(self, tx: Transaction, records: Sequence[AuditRecord]) -> None:
        """Add records."""
        if records:
            tx.many(self._insert, [_values(record) for record in records])

    def latest(
        self,
        tx: Transaction,
        job_id: str | None,
        since_us: int | None,
        before: int | None,
        limit: int,
    ) -> list[AuditRecord]:
        """Return the changes of a job (None: all), since a time, before a number; latest first."""
        conditions = [] if job_id is None else [of_job(job_id)]
        for where, number in (("at_us >= ?", since_us), ("seq < ?", before)):
            if number is not None:
                conditions.append(Condition(where, (bounded(number),)))
        sql = f"select seq, {_COLUMNS} from schedcore_audit{where_all(conditions)}"
        values = [value for each in conditions for value in each.params]
        rows = tx.all(f"{sql} order by seq desc limit ?", *values, bounded(limit))
        return [AuditRecord(*row) for row in rows]

    def after(
        self, tx: Transaction, position: Position, limit: int
    ) -> list[tuple[tuple[int, int], tuple[int, int], AuditRecord]]:
        """Return changes after a position, for :func:`~schedcore.stores.positions.in_order`."""
        rows = self.order.after(tx, f"ledger, {_COLUMNS}", position, limit)
        return [((row[0], row[2]), (row[0], row[1]), AuditRecord(row[1], *row[3:])) for row in rows]

    def excess(self, tx: Transaction, keep: Retention, now_us: int) -> list[Condition]:
        """Return conditions for changes that are too old or too many."""
        found = [Condition("at_us < ?", (now_us - keep.audit_days * DAY_US,))]
        sql = "select seq from schedcore_audit order by seq desc limit 1 offset ?"
        beyond = tx.one(sql, keep.audit)
        return found if beyond is None else [*found, Condition("seq <= ?", beyond)]

    def cut(self, tx: Transaction, excess: Condition) -> int:
        """Delete changes, at most :data:`TRIM_AT_ONCE`; return how many."""
        return self.order.cut(tx, *excess, TRIM_AT_ONCE)


def _values(record: AuditRecord) -> tuple[object, ...]:
    _, at_us, who, address, *rest = record
    return at_us, storable(who), address and storable(address), *rest
