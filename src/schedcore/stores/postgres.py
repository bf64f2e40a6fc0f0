"""The store in a PostgreSQL database."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar

from schedcore.changes.audit import Actor, AuditRecord
from schedcore.clock import SECOND, Clock
from schedcore.run import Run
from schedcore.stores.base import (
    Change,
    Declared,
    Ended,
    Entry,
    Executors,
    Otherwise,
    Settled,
    Slot,
    Written,
)
from schedcore.stores.database import Transaction
from schedcore.stores.ends import End
from schedcore.stores.postgres_cluster import PostgresCluster
from schedcore.stores.postgres_pool import Collision, PostgresPool, TimeLimits
from schedcore.stores.postgres_sockets import is_cut_off
from schedcore.stores.postgres_sql import PostgresTransaction
from schedcore.stores.run_requests import Backfill, Opened, RunRequest
from schedcore.stores.sql import SqlStore
from schedcore.stores.sql_due import JobRow
from schedcore.stores.sql_history import Retention
from schedcore.stores.sql_settle import SqlBatch

T = TypeVar("T")

AGAIN_US: Final = 20_000
"""How long to wait before due jobs that others hold are tried again."""
MOST_COLLISIONS: Final = 10
"""Maximum number of retries of a call after conflicts with other transactions."""
_RUNNING: Final = "(select state from schedcore_cluster) = 'running'"


class _Ahead(NamedTuple):
    """The next due times as last read; invalid once this process has written."""

    writes: int
    executors: Collection[str] | None
    due_us: int | None
    again_us: int | None


class _Held(NamedTuple):
    """A query for due jobs that did not get all of them; invalid like :class:`_Ahead`."""

    writes: int
    executors: Collection[str] | None
    until_us: int


class PostgresStore(SqlStore):
    """Stores jobs, open runs and the history in a database, for the processes of all hosts.

    All of them take due jobs: each skips rows that another has locked.

    Args:
        url: ``"postgresql://user:password@host/database"``, with libpq's options, and
            ``?schema=name`` for the schema of the tables, created if it does not exist, and
            ``?lease=seconds``, after which a process that has not renewed its lease counts as dead.
        keep: How much history to keep.
        clock: Gives the times of events between processes; default: the scheduler's.
        limits: Timeouts of the server.

    Raises:
        InvalidOptionError: if the URL is invalid.
    """

    most_at_once = 1_000

    def __init__(
        self,
        url: str,
        keep: Retention | None = None,
        clock: Clock | None = None,
        limits: TimeLimits | None = None,
    ) -> None:
        self.database: PostgresPool = PostgresPool(url, limits)
        super().__init__(self.database, keep)
        self.history.totals.shares = True
        self.cluster: PostgresCluster = PostgresCluster(self, clock)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._batches: set[PostgresBatch] = set()
        self._ahead: _Ahead | None = None
        # Jobs that were due at a time, but that others hold.
        self._held: _Held | None = None
        self.adopted_us = 0

    def __repr__(self) -> str:
        return f"<PostgresStore {self.database.shown}>"

    # The schedule

    def take(self, now_us: int, limit: int, executors: Executors = None) -> PostgresBatch:
        """Take up to *limit* due jobs, earliest first.

        Their rows stay locked until they are settled or given back, so that no other process takes
        them, and none plans in vain.
        """
        most = min(limit, self.most_at_once)
        names = _names(executors)
        if not self.takes or self._nothing_until(now_us, names):
            return PostgresBatch(self, ())
        writes = self.database.writes
        tx = self.database.begin()
        try:
            with self.database.telling():
                batch = self._taken_in(tx, now_us, most, executors)
        except BaseException:
            self.database.rollback(tx)
            raise
        if isinstance(executors, Mapping):
            most = min([most, *executors.values()])
        # If fewer came than requested, others hold the rest of the due jobs.
        self._held = _Held(writes, names, now_us) if len(batch.rows) < most else None
        if not batch.rows:
            self.database.rollback(tx)
        return batch

    def _taken_in(
        self,
        tx: PostgresTransaction,
        now_us: int,
        most: int,
        executors: Executors,
    ) -> PostgresBatch:
        may_take = self.cluster.may_take(tx)
        # A pause for all waits for this transaction, or is seen by the next statement.
        only_if = "true" if self.node is None else _RUNNING
        due = self.jobs.take_due(tx, now_us, most, executors, only_if)
        waiting = self.claims.waiting(tx)
        if not may_take():
            return PostgresBatch(self, ())
        rows = [row for row in map(JobRow._make, due()) if self._taken.get(row.k) != row.seq]
        if not rows:
            return PostgresBatch(self, ())
        batch = PostgresBatch(self, self.taken(tx, rows, waiting), rows, tx)
        self._batches.add(batch)
        return batch

    @contextmanager
    def _settling(self, batch: SqlBatch) -> Iterator[tuple[Transaction, dict[int, int]]]:
        """Return the transaction in which the jobs were taken; a new one if that is over."""
        assert isinstance(batch, PostgresBatch)
        tx = batch.transaction()
        if tx is None:
            with self.database.write() as another:
                there = self.cluster.may_take(another)()
                yield another, self._now_there(another, batch) if there else {}
            return
        try:
            with self.database.telling():
                yield tx, {row.k: row.seq for row in batch.rows}
        except BaseException:
            batch.loosen()
            raise
        batch.tx = None
        self.database.commit(tx)

    def give_back(self, rows: Sequence[JobRow]) -> None:
        """Let jobs be taken again."""
        super().give_back(rows)
        if rows:
            self._held = self._ahead = None

    def let_go(self, job_ids: Collection[str] | None = None) -> None:
        """Unlock taken jobs among these (None: all), for other calls of this process.

        Jobs that others change meanwhile are not settled.
        """
        for batch in list(self._batches):
            if job_ids is None or any(slot.job.id in job_ids for slot in batch.slots):
                batch.loosen()

    def next_due(self, executors: Collection[str] | None = None) -> int | None:
        """Return when the first job is due that is not taken, or None."""
        if not self.takes:
            return None
        executors, writes = _names(executors), self.database.writes
        ahead = self._known(executors)
        if ahead is None:
            with self.database.read() as tx:
                orphan = self.claims.first_orphan(tx)
                due_us = self.jobs.first_due(tx, self._taken, executors)
                ((again_us,),) = ((None,),) if self.node is None else orphan()
            ahead = self._ahead = _Ahead(writes, executors, due_us, again_us)
        held = self._held
        looked = held is not None and (held.writes, held.executors) == (writes, executors)
        if looked and held and ahead.due_us is not None and ahead.due_us <= held.until_us:
            # It is due, but others hold it for some milliseconds.
            self._ahead = None
            return held.until_us + AGAIN_US
        again_us = ahead.again_us
        if again_us is not None and again_us <= self.adopted_us:
            again_us = self.adopted_us + SECOND  # it cannot be run here
        return min((us for us in (ahead.due_us, again_us) if us is not None), default=None)

    def _known(self, executors: Collection[str] | None) -> _Ahead | None:
        """Return the next due times if they are known: a node is notified of changes."""
        ahead = self._ahead
        if ahead is None or self.node is None or not self.cluster.well_informed:
            return None
        if ahead.writes != self.database.writes or ahead.executors != executors:
            return None
        return ahead

    def _nothing_until(self, now_us: int, executors: Collection[str] | None) -> bool:
        ahead = self._known(executors)
        return ahead is not None and (ahead.due_us is None or ahead.due_us > now_us)

    def nothing_to_adopt(self, now_us: int) -> bool:
        """Return whether it is known that no run without an owner is due again."""
        ahead = self._ahead
        if ahead is None or self._known(ahead.executors) is None:
            return False
        return ahead.again_us is None or ahead.again_us > max(now_us, self.adopted_us)

    def is_news(self, due_us: int | None, again_us: int | None) -> bool:
        """Return whether the next due times differ from those that this process knows."""
        ahead = self._ahead
        return ahead is None or (ahead.due_us, ahead.again_us) != (due_us, again_us)

    def forget_ahead(self) -> None:
        """Forget the next due times, which others have changed."""
        self._ahead = self._held = None

    # Calls that may conflict with other transactions

    def _again(self, call: Callable[..., T], *args: Any) -> T:
        for _ in range(MOST_COLLISIONS):
            with suppress(Collision):
                return call(*args)
        return call(*args)

    def write(
        self, changes: Sequence[Change | Entry], now_us: int, by: Actor | None = None
    ) -> Written:
        """Make all of *changes*, or none; see :meth:`~schedcore.stores.contract.Store.write`."""
        self.let_go({c.job.id if isinstance(c, Entry) else c.old.job.id for c in changes})
        return self._again(super().write, changes, now_us, by)

    def declare(
        self,
        app: str | None,
        declared: Sequence[Declared],
        now_us: int,
        otherwise: Otherwise = "change",
        by: Actor | None = None,
    ) -> list[Entry]:
        """Match jobs that *app* declares with the stored ones, by id."""
        self.let_go({entry.job.id for entry, _ in declared})
        return self._again(super().declare, app, declared, now_us, otherwise, by)

    def retire(
        self, app: str, declared: Collection[str], now_us: int, by: Actor | None = None
    ) -> list[str]:
        """Park jobs that *app* declared before and that are no longer in *declared*."""
        self.let_go()
        return self._again(super().retire, app, declared, now_us, by)

    def open(self, requests: Sequence[RunRequest], due_us: int) -> list[Opened]:
        """Open runs outside the schedule, or record them as skipped."""
        self.let_go({each.job.id for each in requests})
        return self._again(super().open, requests, due_us)

    def backfill(
        self, request: Backfill, note: AuditRecord
    ) -> tuple[Sequence[Run], Sequence[Run]] | None:
        """Open a run of a job for each of its past due times, or none at all."""
        self.let_go((request.job.id,))
        return self._again(super().backfill, request, note)

    def end(self, ends: deque[End], promote: bool) -> Ended:
        """Move runs to the history, each once, and start runs that waited for them."""
        return self._again(super().end, ends, promote)

    def promote(self) -> Ended:
        """Start the waiting runs for which there is room."""
        return self._again(super().promote)

    def retry(self, failed: End, act_us: int) -> bool:
        """Let a failed run wait for its next attempt; False: there is none."""
        return self._again(super().retry, failed, act_us)

    def try_again(self, runs: Sequence[Run]) -> list[Run]:
        """Begin the next attempt of runs in this process; return those that are still open."""
        return self._again(super().try_again, runs)

    def note(self, records: Sequence[AuditRecord]) -> None:
        """Add records to the audit."""
        self._again(super().note, records)

    def close(self) -> None:
        """Give back taken jobs, and close the connections; the jobs stay."""
        for batch in list(self._batches):
            batch.give_back()
        self.cluster.close()
        super().close()


class PostgresBatch(SqlBatch):
    """Jobs whose rows a transaction holds; see :class:`~schedcore.stores.contract.Batch`.

    Args:
        store: The store.
        slots: The jobs.
        rows: Their rows as they were read.
        tx: The transaction; None: nothing was taken.
    """

    def __init__(
        self,
        store: PostgresStore,
        slots: Sequence[Slot],
        rows: Sequence[JobRow] = (),
        tx: PostgresTransaction | None = None,
    ) -> None:
        super().__init__(store, slots, rows)
        self.tx = tx
        self._postgres = store
        # Held while the transaction is used, but not while triggers are called.
        self._using = threading.RLock()

    def settle(self, decided: Sequence[Any], now_us: int) -> Settled:
        """Write all decisions, or none."""
        if not self._postgres.cluster.holds_lease:
            return Settled([], [], [], [], [])
        with self._using:
            return super().settle(decided, now_us)

    def transaction(self) -> PostgresTransaction | None:
        """Return the transaction, if it still holds the rows.

        The server ends a transaction that was idle for too long.  Then the jobs that nobody has
        changed meanwhile are settled in a new one.
        """
        if self.tx is not None and is_cut_off(self.tx.connection):
            self.loosen()
        return self.tx

    def loosen(self) -> None:
        """Unlock the rows; the jobs stay taken by this process."""
        with self._using:
            tx, self.tx = self.tx, None
            if tx is not None:
                self._postgres.database.rollback(tx)

    def give_back(self) -> None:
        """Give back unsettled jobs, even while another thread waits for an answer."""
        if self._using.acquire(timeout=0):
            try:
                self.loosen()
            finally:
                self._using.release()
        elif self.tx is not None:
            _cut_off(self.tx.connection)
        super().give_back()
        self._postgres._batches.discard(self)


def _cut_off(connection: Any) -> None:
    """Close a connection that another thread uses: the server rolls back, and that thread fails."""
    with suppress(Exception), socket.fromfd(connection.fileno(), socket.AF_UNIX, 0) as end:
        end.shutdown(socket.SHUT_RDWR)


def _names(executors: Executors) -> Collection[str] | None:
    return None if executors is None else frozenset(executors)
