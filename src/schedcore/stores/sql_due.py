"""Jobs that are due, in a store over SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from schedcore.stores.base import Executors
from schedcore.stores.database import Rows, Transaction


class JobRow(NamedTuple):
    """A job as it is stored, but for its definition."""

    k: int
    """The key: of one job only, also if its id is used again."""
    id: str
    ver: int
    """Of the definition."""
    seq: int
    """Grows with each change of the definition or the place."""
    fire_us: int | None
    due_us: int | None
    judged_us: int | None
    broken: str | None

    @property
    def version(self) -> tuple[int, int, int]:
        """What an entry's version is."""
        return self.k, self.ver, self.seq


NOT_HELD: Final = (
    "(d.judged_us is null or not exists"
    " (select 1 from schedcore_claims c where c.k = d.k and c.state = 0))"
)
"""Of a job that is due: no rest of a backlog of it waits for its runs that wait."""
PLACE = "d.k, j.id, j.ver, d.seq, d.fire_us, d.due_us, d.judged_us, d.broken"
FROM = "from schedcore_due d join schedcore_jobs j on j.k = d.k"
_DUE = f"d.due_us <= ? and {NOT_HELD} order by d.due_us"


class DueRows:
    """Finds jobs that are due, within a transaction of the caller's."""

    def due(
        self, tx: Transaction, now_us: int, limit: int, rooms: Executors = None
    ) -> list[JobRow]:
        """Return due jobs, earliest first, except backlogs whose runs wait.

        Where there are more: of each executor no more than its room, so that those of others,
        which fell due later, are among them.
        """
        rows = self._due(tx, now_us, limit)
        if len(rows) < limit or not isinstance(rooms, Mapping):
            return rows
        small = [name for name, room in rooms.items() if room < limit]
        part = limit // (len(small) + 1)  # some is left for the others
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
        """Find jobs as :meth:`due`, but for those of other executors, and those others hold.

        Up to the end of *tx*, nobody else changes or starts them; none if *only_if* does not hold.
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
            taken: Which are taken.
            executors: Of which executors, which are few; None: any.
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
