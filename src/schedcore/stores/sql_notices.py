"""Waiting notices in an SQL store, for all processes that share it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, passing_us
from schedcore.notices.data import channels_from_text
from schedcore.notices.notice import (
    MOST_WAITING,
    OLDEST_US,
    ChannelState,
    JobChannels,
    NoticeState,
    QueuedNotice,
)
from schedcore.output.text import storable
from schedcore.stores.database import Transaction

if TYPE_CHECKING:
    from schedcore.stores.sql import SqlStore

log = GuardedLogger(__name__)

FORGET_US: Final = 30 * 86_400 * SECOND
"""How long the notice state of a job is kept after its last notice."""
_TIDY_US: Final = 3600 * SECOND
_EVALUATION: Final = ""
"""The row for the evaluation of outcomes, with the position up to which they were evaluated."""
_STATE = ", ".join(NoticeState._fields)
_SET_STATE = (
    f"insert into schedcore_news (job_id, {_STATE}, changed_us) values (?, ?, ?, ?, ?, ?, ?, ?)"
    " on conflict (job_id) do update set changed_us = excluded.changed_us, "
    + ", ".join(f"{name} = excluded.{name}" for name in NoticeState._fields)
)
_LIVES = (
    "exists (select 1 from schedcore_nodes n where n.id = schedcore_channels.node"
    " and n.state = 'alive')"
)
_TAKE = (
    "insert into schedcore_channels (name, node) values (?, ?)"
    f" on conflict (name) do update set node = excluded.node where not {_LIVES}"
)
_START_AT = (
    "insert into schedcore_channels (name, place) values (?, ?) on conflict (name)"
    " do update set place = excluded.place where schedcore_channels.place is null"
)
_CONTINUE = "update schedcore_channels set place = ? where name = ? and place = ?"
_ADD = "insert into schedcore_notices (channel, made_us, body) values (?, ?, ?)"
_ADD_START = (
    "insert into schedcore_notices (channel, made_us, body)"
    " select cast(? as text), ?, cast(? as text)"
    " where exists (select 1 from schedcore_claims where run_id = ?)"
)
_DROP = (
    "delete from schedcore_notices where channel = ? and seq <= (select seq from schedcore_notices"
    " where channel = ? order by seq desc limit 1 offset ?)"
)
_PROBLEM = (
    "insert into schedcore_channels (name, problem) values (?, ?)"
    " on conflict (name) do update set problem = excluded.problem"
)


class SqlNotices:
    """Implements :class:`~schedcore.notices.notice.NoticeStore`.

    A lock belongs to the node that acquired it, until that node is no longer alive.

    Args:
        store: The store.
    """

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._held_by: int | None = None
        self._held: set[str] = set()
        self._tidied_us = passing_us()

    def acquire(self, names: Collection[str]) -> Collection[str]:
        """Acquire those of these locks that no living process holds; return those held here."""
        node = self._store.node
        if node != self._held_by:  # it was declared dead meanwhile, and has lost its locks
            self._held_by, self._held = node, set()
        missing = [name for name in sorted(names) if name not in self._held]
        if node is None or not missing:
            return self._held
        # Read first: usually others hold them, so no write lock is needed.
        sql = f"select name from schedcore_channels where name in ({{}}) and {_LIVES}"
        with self._store.database.read() as tx:
            taken = {row[0] for row in tx.among(sql, missing)}
        free = [name for name in missing if name not in taken]
        if free:
            with self._store.database.write() as tx:
                tx.many(_TAKE, [(name, node) for name in free])
                mine = tx.all("select name from schedcore_channels where node = ?", node)
            self._held = {row[0] for row in mine}
        return self._held

    def position(self) -> str | None:
        """Return the position up to which outcomes were evaluated."""
        with self._store.database.read() as tx:
            row = tx.one("select place from schedcore_channels where name = ?", _EVALUATION)
        return None if row is None else row[0]

    def channels(self, job_ids: Collection[str]) -> Mapping[str, JobChannels]:
        """Return the channels of these jobs, including recently removed jobs."""
        sql = "select id, notices from schedcore_gone where id in ({})"
        with self._store.database.read() as tx:
            found = {job_id: channels_from_text(text) for job_id, text in tx.among(sql, job_ids)}
            rows = self._store.jobs.find(tx, job_ids)
            for job in self._store.jobs.jobs(tx, list(rows.values())):
                found[job.id] = JobChannels.of(job.options)
        return found

    def job_states(self, job_ids: Collection[str]) -> Mapping[str, NoticeState]:
        """Return the notice states of those of these jobs that have one."""
        sql = f"select job_id, {_STATE} from schedcore_news where job_id in ({{}})"
        with self._store.database.read() as tx:
            return {job_id: NoticeState(*rest) for job_id, *rest in tx.among(sql, job_ids)}

    def advance(
        self,
        old: str | None,
        new: str,
        job_states: Mapping[str, NoticeState],
        notices: Sequence[tuple[str, str]],
        now_us: int,
    ) -> bool:
        """Record that outcomes up to *new* were evaluated, with the results: all or nothing."""
        with self._store.database.write() as tx:
            made = tx.count(_START_AT, _EVALUATION, new) if old is None else 0
            if not (made or tx.count(_CONTINUE, new, _EVALUATION, old)):
                return False
            tx.many(
                _SET_STATE, [(job_id, *each, now_us) for job_id, each in sorted(job_states.items())]
            )
            tx.many(_ADD, [(channel, now_us, text) for channel, text in notices])
            self._drop(tx, {channel for channel, _ in notices})
            self._tidy(tx, now_us)
        return True

    def add_starts(self, notices: Sequence[tuple[int, str, str]], now_us: int) -> None:
        """Add notices that runs have started, for runs that are still open."""
        with self._store.database.write() as tx:
            for run_id, name, text in notices:
                tx.run(_ADD_START, name, now_us, text, run_id)
            self._drop(tx, {channel for _, channel, _ in notices})

    def _drop(self, tx: Transaction, channels: Collection[str]) -> None:
        """Drop the oldest notices of channels for which too many wait."""
        for channel in sorted(channels):
            dropped = tx.count(_DROP, channel, channel, MOST_WAITING)
            if dropped > 0:
                log.error("%d notice(s) dropped: too many wait for channel %r", dropped, channel)

    def _tidy(self, tx: Transaction, now_us: int) -> None:
        """Delete old notice states and notices, once an hour."""
        if passing_us() - self._tidied_us < _TIDY_US:
            return
        self._tidied_us = passing_us()
        tx.run("delete from schedcore_news where changed_us < ?", now_us - FORGET_US)
        tx.run("delete from schedcore_notices where made_us < ?", now_us - OLDEST_US)

    def waiting(self, channels: Collection[str], limit: int) -> list[QueuedNotice]:
        """Return the first waiting notices of each of these channels, in order."""
        found: list[QueuedNotice] = []
        with self._store.database.read() as tx:
            sql = "select distinct channel from schedcore_notices where channel in ({})"
            for (channel,) in tx.among(sql, channels):
                sql = "select seq, channel, made_us, body from schedcore_notices"
                rows = tx.all(f"{sql} where channel = ? order by seq limit ?", channel, limit)
                found += map(QueuedNotice._make, rows)
        return found

    def remove(self, seqs: Collection[int]) -> None:
        """Remove notices that were sent, or given up."""
        with self._store.database.write() as tx:
            tx.many("delete from schedcore_notices where seq = ?", [(seq,) for seq in seqs])

    def note(self, channel: str, problem: str | None) -> None:
        """Record the state of a channel, for all processes."""
        with self._store.database.write() as tx:
            tx.run(_PROBLEM, channel, problem and storable(problem))

    def states(self) -> list[ChannelState]:
        """Return the states of all channels that were ever used here."""
        with self._store.database.read() as tx:
            sql = "select name, problem from schedcore_channels where name <> ?"
            problems: dict[str, str | None] = dict(tx.all(sql, _EVALUATION))
            sql = "select channel, count(*), min(made_us) from schedcore_notices group by channel"
            waiting = {name: (count, first_us) for name, count, first_us in tx.all(sql)}
        return [
            ChannelState(name, *waiting.get(name, (0, None)), problems.get(name))
            for name in sorted(problems.keys() | waiting.keys())
        ]
