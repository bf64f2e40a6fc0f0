"""Rows of a table in commit order, for readers that store their position.

SQLite executes one writing transaction after the other, so row numbers are in commit order.  In
PostgreSQL a row with a lower number may be committed later.  So there rows are in the order of
their transactions, and are returned once no earlier transaction is active.  A long transaction
elsewhere on the server delays them.
"""

from __future__ import annotations

from collections.abc import Sequence

from schedcore.stores.database import Row, Transaction
from schedcore.stores.positions import STORE_ID_LENGTH, Position

_SETTLED = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


class CommitOrder:
    """Reads a table whose rows are numbered by ``seq``, and in PostgreSQL have their ``tx``.

    Args:
        table: The name of the table.
        kind: The kind of the database.
    """

    def __init__(self, table: str, kind: str) -> None:
        self._table = table
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

    def end(self, tx: Transaction) -> Position:
        """Return the position behind all rows."""
        if self._by_tx:
            ((store_id, settled),) = tx.all(f"select value, {_SETTLED} from schedcore_meta{_ID}")
            return Position(store_id[:STORE_ID_LENGTH], settled, 0)
        last = "coalesce((select seq from sqlite_sequence where name = ?), 0)"
        ((store_id, seq),) = tx.all(f"select value, {last} from schedcore_meta{_ID}", self._table)
        return Position(store_id[:STORE_ID_LENGTH], 0, seq)

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

    def keeps(self, tx: Transaction, position: Position) -> bool:
        """Return whether nothing was deleted after a position."""
        row = tx.one("select value from schedcore_meta where name = ?", self._cut)
        return row is None or (position.tx, position.seq) >= _numbers(row[0])

    def cut(self, tx: Transaction, where: str, params: Sequence[object], most: int) -> int:
        """Delete the first *most* rows of a condition, and note the last; return how many."""
        number = "tx" if self._by_tx else "0"
        sql = f"select {number}, seq from {self._table} where {where} order by seq limit ?"
        rows = tx.all(sql, *params, most)
        if rows:
            tx.many(f"delete from {self._table} where seq = ?", [(seq,) for _, seq in rows])
            before = tx.one("select value from schedcore_meta where name = ?", self._cut)
            newest = max(row[0] for row in rows), rows[-1][1]
            if before is not None:
                newest = max(newest, _numbers(before[0]))
            tx.run(
                "insert into schedcore_meta values (?, ?)"
                " on conflict (name) do update set value = excluded.value",
                self._cut,
                f"{newest[0]}.{newest[1]}",
            )
        return len(rows)


_ID = " where name = 'id'"


def _numbers(text: str) -> tuple[int, int]:
    tx, _, seq = text.partition(".")
    return int(tx), int(seq)
