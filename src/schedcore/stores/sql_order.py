"""Rows of a table in commit order, for readers that store their position.

SQLite executes one writing transaction after the other, so row numbers are in commit order.  In
PostgreSQL a row with a lower number may be committed later.  So there rows are in the order of
their transactions, and are returned once no earlier transaction is active.  A long transaction
elsewhere on the server delays them.

After a backup was restored, numbers are used again.  So a position says when the row before it was
written: it is one of the store only for as long as that row is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from schedcore.stores.database import Row, Transaction
from schedcore.stores.positions import STORE_ID_LENGTH, Position

_SETTLED: Final = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


class _Cut(NamedTuple):
    """The last deleted row: its numbers, and when it was written; None: unknown."""

    tx: int
    seq: int
    at_us: int | None


class _State(NamedTuple):
    """The table at present."""

    store_id: str
    end: tuple[int, int]
    """The numbers behind all rows."""
    cut: _Cut


class CommitOrder:
    """Reads a table whose rows are numbered by ``seq``, and in PostgreSQL have their ``tx``.

    Args:
        table: The name of the table.
        kind: The kind of the database.
        at_us: The column with the time at which a row was written.
    """

    def __init__(self, table: str, kind: str, at_us: str) -> None:
        self._table = table
        self._at_us = at_us
        self._by_tx = kind == "postgresql"
        self._cut = f"{table} cut"

    def take_over(self, tx: Transaction) -> None:
        """Order rows of another server before all that this server commits.

        This is needed after a dump was restored: transactions of the other server have unrelated
        numbers, which may be greater than those here for years.  Readers that had not read all of
        these rows are told so.
        """
        if not self._by_tx:
            return
        last = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        moved = tx.count(f"update {self._table} set tx = 0 where tx > {last}")
        of_cut = f"name = ? and split_part(value, '.', 1)::bigint > {last}"
        if moved or tx.one(f"select 1 from schedcore_meta where {of_cut}", self._cut):
            tx.run(
                f"insert into schedcore_meta values (?, {_SETTLED} || '.0')"
                " on conflict (name) do update set value = excluded.value",
                self._cut,
            )

    def _state(self, tx: Transaction) -> _State:
        end = _SETTLED
        if not self._by_tx:
            end = f"coalesce((select seq from sqlite_sequence where name = '{self._table}'), 0)"
        sql = f"select name, value, {end} from schedcore_meta where name in ('id', ?)"
        rows = tx.all(sql, self._cut)
        values = {name: value for name, value, _ in rows}
        last = rows[0][2]
        return _State(
            values["id"][:STORE_ID_LENGTH],
            (last, 0) if self._by_tx else (0, last),
            _cut_of(values.get(self._cut, "0.0")),
        )

    def end(self, tx: Transaction) -> Position:
        """Return the position behind all rows."""
        state = self._state(tx)
        return self._at(tx, state, state.end)

    def at(self, tx: Transaction, numbers: tuple[int, int]) -> Position:
        """Return the position behind the row with these numbers."""
        return self._at(tx, self._state(tx), numbers)

    def _at(self, tx: Transaction, state: _State, numbers: tuple[int, int]) -> Position:
        if self._by_tx:
            sql = (
                f"select tx, seq, {self._at_us} from {self._table} where (tx, seq) <= (?, ?)"
                " order by tx desc, seq desc limit 1"
            )
            row = tx.one(sql, *numbers)
        else:
            sql = f"select 0, seq, {self._at_us} from {self._table} where seq <= ?"
            row = tx.one(f"{sql} order by seq desc limit 1", numbers[1])
        last_us = None if row is None else row[2]
        if state.cut[:2] <= numbers and (row is None or state.cut[:2] > row[:2]):
            last_us = state.cut.at_us
        return Position(state.store_id, *numbers, last_us)

    def keeps(self, tx: Transaction, position: Position) -> bool | None:
        """Return whether nothing was deleted after a position; None: it is not of this store.

        It is not if a backup was restored that ends before it.
        """
        state = self._state(tx)
        if position.store_id != state.store_id or position.numbers > state.end:
            return None
        # If the row before it was deleted, and a later one too, that cannot be compared any more.
        if position.numbers < state.cut[:2]:
            return False
        return True if self._at(tx, state, position.numbers) == position else None

    def after(self, tx: Transaction, columns: str, position: Position, limit: int) -> list[Row]:
        """Return rows after a position of this store: their ``tx``, ``seq`` and *columns*."""
        if self._by_tx:
            return tx.all(
                f"select tx, seq, {columns} from {self._table} where (tx, seq) > (?, ?)"
                f" and tx < {_SETTLED} order by tx, seq limit ?",
                position.tx,
                position.seq,
                limit,
            )
        sql = f"select 0, seq, {columns} from {self._table} where seq > ? order by seq limit ?"
        return tx.all(sql, position.seq, limit)

    def cut(self, tx: Transaction, where: str, params: Sequence[object], most: int) -> int:
        """Delete the first *most* rows of a condition, and note the last; return how many."""
        columns = f"{'tx' if self._by_tx else '0'}, seq, {self._at_us}"
        sql = f"select {columns} from {self._table} where {where} order by seq limit ?"
        rows = tx.all(sql, *params, most)
        if rows:
            tx.many(f"delete from {self._table} where seq = ?", [(seq,) for _, seq, _ in rows])
            newest = max(_Cut._make(max(rows)), self._state(tx).cut, key=lambda cut: cut[:2])
            tx.run(
                "insert into schedcore_meta values (?, ?)"
                " on conflict (name) do update set value = excluded.value",
                self._cut,
                ".".join(str(part) for part in newest if part is not None),
            )
        return len(rows)


def order_of_outcomes(kind: str) -> CommitOrder:
    """Return the order of outcomes in a kind of database."""
    return CommitOrder("schedcore_ledger", kind, "recorded_us")


def order_of_changes(kind: str) -> CommitOrder:
    """Return the order of changes in a kind of database."""
    return CommitOrder("schedcore_audit", kind, "at_us")


def _cut_of(text: str) -> _Cut:
    tx, seq, *at_us = map(int, text.split("."))
    return _Cut(tx, seq, at_us[0] if at_us else None)
