"""Due jobs in an SQL store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from schedcore.stores.base import Executors
from schedcore.stores.database import Rows, Transaction


class JobRow(NamedTuple):
    """A stored job without its definition."""

    k: int
    """The key, which is never used for another job, even if the id is."""
    id: str
    ver: int
    """The version of the definition."""
    seq: int
    """Grows with each change of the definition or the place."""
    fire_us: int | None
    due_us: int | None
    backlog_us: int | None
    broken: str | None

    @property
    def version(self) -> tuple[int, int, int]:
        """The version of its entry."""
        return self.k, self.ver, self.seq


NOT_HELD: Final = (
    "(d.backlog_us is null or not exists"
    " (select 1 from schedcore_claims c where c.k = d.k and c.state = 0))"
)
"""SQL condition for a due job: its backlog is not held by its waiting runs."""
PLACE = "d.k, j.id, j.ver, d.seq, d.fire_us, d.due_us, d.backlog_us, d.broken"
FROM = "from schedcore_due d join schedcore_jobs j on j.k = d.k"
_DUE = f"d.due_us <= ? and {NOT_HELD} order by d.due_us"


class DueRows:
    """Finds due jobs, inside the caller's transaction."""

    def due(
        self, tx: Transaction, now_us: int, limit: int, rooms: Executors = None
    ) -> list[JobRow]:
        """Return due jobs, earliest first, except backlogs whose runs wait.

        If there are more, return no more of each executor than its room, so that jobs of other
        executors that became due later are included.
        """
        rows = self._due(tx, now_us, limit)
        if len(rows) < limit or not isinstance(rooms, Mapping):
            return rows
        small = [name for name, room in rooms.items() if room < limit]
        part = limit // (len(small) + 1)  # leaves room for the others
        if not small or not part:
            return rows
        rows = []
        for name in small:
            rows += self._due(tx, now_us, min(rooms[name], part), "in", (name,))
        rows += self._due(tx, now_us, limit - len(rows), "not in", small)
        return sorted(rows, key=lambda row: row.due_us or 0)

    def _due(
        self,
        tx: Transaction,
        now_us: int,
        limit: int,
        which: str = "",
        executors: Collection[str] = (),
    ) -> list[JobRow]:
        only = f"d.executor {which} ({_marks('?', executors)}) and " if which else ""
        sql = f"select {PLACE} {FROM} where {only}{_DUE} limit ?"
        return [JobRow._make(row) for row in tx.all(sql, *executors, now_us, limit)]

    def take_due(
        self,
        tx: Transaction,
        now_us: int,
        limit: int,
        executors: Executors,
        only_if: str = "true",
    ) -> Rows:
        """Find jobs like :meth:`due`, without those of other executors and those that others lock.

        Until the end of *tx*, no other process changes or starts them.  None are found if *only_if*
        is false.
        """
        where = f"d.due_us <= ? and {NOT_HELD} and {only_if} order by d.due_us limit"
        lock = tx.skip_locked.replace("update", "update of d")
        if executors is None:
            return tx.later(f"select {PLACE} {FROM} where {where} ?{lock}", now_us, limit)
        rooms = executors if isinstance(executors, Mapping) else dict.fromkeys(executors, limit)
        given = [each for name, room in rooms.items() for each in (name, min(room, limit))]
        sql = (
            f"select {PLACE} from (values {_marks('?, cast(? as bigint)', rooms)}) e (name, room)"
            " cross join lateral (select * from schedcore_due d where d.executor = e.name and"
            f" {where} e.room{lock}) d join schedcore_jobs j on j.k = d.k"
            " order by d.due_us limit ?"
        )
        return tx.later(sql, *given, now_us, limit) if rooms else list

    def first_due(
        self, tx: Transaction, taken: Mapping[int, int], executors: Executors = None
    ) -> int | None:
        """Return when the first job is due that is not *taken*: keys, and ``seq`` of each.

        Args:
            tx: The transaction.
            taken: The taken jobs.
            executors: The names of a few executors; None: any.
        """
        where = f"d.due_us is not null and {NOT_HELD} order by d.due_us limit {len(taken) + 1}"
        sql = f"select d.k, d.seq, d.due_us from schedcore_due d where {where}"
        if executors is not None:
            sql = (
                f"select d.k, d.seq, d.due_us from (values {_marks('?', executors)}) e (name) cross"
                " join lateral (select * from schedcore_due d where d.executor = e.name and"
                f" {where}) d order by d.due_us"
            )
        rows = [] if executors is not None and not executors else tx.all(sql, *(executors or ()))
        return next((due_us for k, seq, due_us in rows if taken.get(k) != seq), None)


def _marks(of_each: str, what: Collection[object]) -> str:
    return ", ".join([f"({of_each})"] * len(what))
