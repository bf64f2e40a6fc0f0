"""One PostgreSQL database: a connection pool with timeouts, safe with threads and forks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

import psycopg
import psycopg_pool
from psycopg import errors as pg_errors

from schedcore.basics.atfork import call_in_child
from schedcore.errors import StoreError, StoreUnavailableError
from schedcore.stores.database import INTERRUPTS, CommitInDoubtError, Transaction
from schedcore.stores.postgres_in_doubt import is_committed
from schedcore.stores.postgres_sockets import PatientConnection, check
from schedcore.stores.postgres_sql import PostgresTransaction
from schedcore.stores.postgres_url import parts_of
from schedcore.stores.schema import POSTGRESQL, migrate
from schedcore.stores.sql_order import order_of_changes, order_of_outcomes

OLDEST_SERVER: Final = 13
"""The first PostgreSQL with ``pg_current_xact_id()``."""
MOST_CONNECTIONS: Final = 10
KEYS_AHEAD: Final = 30
"""Number of additional keys that a process reserves for the next jobs that it adds."""
LEASE: Final = 15.0
CONNECTION_TIMEOUT: Final = 5.0
"""Seconds that a call waits for a connection."""
_CHANGED: Final = "select coalesce(max(changed), 0) as last from"
_VERSION: Final = (
    f"select greatest((select last from ({_CHANGED} schedcore_due) d),"
    f" (select last from ({_CHANGED} schedcore_gone) g),"
    " (select coalesce(max(value::bigint), 0) from schedcore_meta"
    " where name = 'changes_known_from')),"
    " pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
)
_LATE_CHANGES: Final = (
    "select coalesce(sum(hashint8(changed # k)), 0) from"
    " (select changed, k from schedcore_due where changed >= ? union all"
    " select changed, hashtext(id) from schedcore_gone where changed >= ?) late"
)
_RUN_IDS: Final = "select nextval('schedcore_run_ids') from generate_series(1, ?)"
_JOB_KEYS: Final = (
    "select nextval(pg_get_serial_sequence('schedcore_jobs', 'k')) from generate_series(1, ?)"
)
_left_to_parents: list[object] = []
"""Pools that a forked child inherited: closing them here would end the parent's sessions."""


class TimeLimits(NamedTuple):
    """Timeouts of the server and of this side, in seconds."""

    idle: float = 5.0
    """For the next statement of a transaction: then the locks of a stopped process are released."""
    lock: float = 8.0
    """For a lock of another transaction: longer than *idle*, so that the other one ends first."""
    statement: float = 30.0
    """For the end of a statement."""
    answer: float = 40.0
    """For an answer, on this side: a server may be stopped, or a commit wait for a replica."""


class Collision(StoreUnavailableError):
    """A conflict with another transaction; the call is retried at once."""


class Version(NamedTuple):
    """A version of the list of jobs.

    Transactions do not commit in the order of their numbers: one that began before the last visible
    change may still add an earlier change.
    """

    last: int
    """The number of the last transaction that changed a job."""
    settled: int
    """All transactions with smaller numbers are over; greater than *last* if all are over."""
    late: int
    """Distinguishes the visible changes of those that are not over."""


class PostgresPool:
    """Implements :class:`~schedcore.stores.database.Database`.  Opened at the first call.

    Args:
        url: Of the database, as libpq takes it; ``schema=name`` among its options says where the
            tables are, ``lease=seconds`` how long a process may be silent.
        limits: The timeouts.

    Attributes:
        shown: The URL without its password.
        lease: Seconds after which a process that has not renewed its lease counts as dead.
        writes: The number of writing transactions of this process.
        in_doubt: Commits whose answers were lost, for whoever finds out what became of them; None:
            nobody does, and nothing depends on it.
    """

    kind = "postgresql"
    marked = "pg_current_xact_id()::text::bigint"

    def __init__(self, url: str, limits: TimeLimits | None = None) -> None:
        self.shown, self._conninfo, own = parts_of(url)
        self._search_path = own.get("schema")
        self.lease = float(own.get("lease", LEASE))
        self._limits = limits or TimeLimits()
        self.schema = 0
        self.channel = "schedcore"
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._opening = threading.Lock()
        self._pool: psycopg_pool.ConnectionPool[PatientConnection] | None = None
        self._here = threading.local()
        self._away = False
        self._keys: deque[int] = deque()
        self.writes = 0
        self.in_doubt: list[PostgresTransaction] | None = None

    def __repr__(self) -> str:
        return f"<PostgresPool {self.shown}>"

    def after_fork_in_child(self) -> None:
        """Leave the connections to the parent; the next call opens new ones."""
        if self._pool is not None:
            _left_to_parents.append(self._pool)
        self._begin_anew()

    # Transactions

    @contextmanager
    def read(self) -> Iterator[PostgresTransaction]:
        """Return a read-only transaction on a consistent snapshot."""
        with self._within("begin isolation level repeatable read read only", False) as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[PostgresTransaction]:
        """Return a transaction; an error inside rolls it back."""
        with self._within("begin", True) as tx:
            yield tx

    write_soon = write
    """The same as :meth:`write`, since a crash of the server undoes what is not on disk."""

    def is_used_here(self) -> bool:
        """Return whether this thread is inside a transaction."""
        return getattr(self._here, "busy", False)

    @contextmanager
    def _within(self, begin: str, writes: bool) -> Iterator[PostgresTransaction]:
        if self.is_used_here():
            raise StoreUnavailableError(self.shown, INTERRUPTS)
        self._here.busy = True
        try:
            tx = self.begin(begin, writes)
            try:
                with self.telling():
                    yield tx
            except BaseException:
                self.rollback(tx)
                raise
            self.commit(tx)
        finally:
            self._here.busy = False

    def begin(self, begin: str = "begin", writes: bool = True) -> PostgresTransaction:
        """Begin a transaction, which the caller must end: :meth:`commit`, :meth:`rollback`."""
        with self.telling():
            return PostgresTransaction(self._borrowed(), begin, writes)

    def commit(self, tx: PostgresTransaction) -> None:
        """Commit a transaction.

        Raises:
            CommitInDoubtError: if it is unknown whether it was committed.
        """
        if tx.tells:
            tx.run("select pg_notify(?, 'look')", self.channel)
        try:
            said = tx.commit()
        except psycopg.Error as error:
            if tx.commits and not _is_refused(tx, error):
                self._find_out(tx, error)
                return
            self.rollback(tx)
            raise self._store_error(error) from error
        except BaseException:
            (self._doubt if tx.commits else self.rollback)(tx)
            raise
        self._give_back(tx.connection)
        if said != "COMMIT":
            tx.undone()
            raise StoreError(self.shown, f"a transaction ended with {said}: an error was passed by")
        self.writes += bool(tx.for_update)
        tx.made()

    def rollback(self, tx: PostgresTransaction) -> None:
        """Roll back a transaction, even if its connection is lost."""
        try:
            with suppress(psycopg.Error):
                tx.rollback()
        except BaseException:  # Ctrl-C, with the answer still to come
            tx.connection.close()
            raise
        finally:
            self._give_back(tx.connection)
            tx.undone()

    def _find_out(self, tx: PostgresTransaction, error: psycopg.Error) -> None:
        """Look up whether a transaction was committed whose connection was lost meanwhile.

        Raises:
            StoreUnavailableError: if it was not committed.
            CommitInDoubtError: if the commit is still active, or its result is unknown.
        """
        self._leave(tx)
        made = None
        with suppress(StoreError):
            made = is_committed(self, tx)
        if made:
            tx.made()
        elif made is None:
            self._keep(tx)
            raise CommitInDoubtError(self.shown, _advice(error)) from error
        else:
            tx.undone()
            raise self._store_error(error) from error

    def _doubt(self, tx: PostgresTransaction) -> None:
        """Keep a transaction whose result must be looked up later."""
        self._leave(tx)
        self._keep(tx)

    def _leave(self, tx: PostgresTransaction) -> None:
        tx.connection.close()  # no rollback: the server may be making it
        self._give_back(tx.connection)
        self.writes += 1

    def _keep(self, tx: PostgresTransaction) -> None:
        if self.in_doubt is None or tx.number is None or not (tx.started or tx.given):
            tx.undone()
        else:
            tx.unsure()
            self.in_doubt.append(tx)

    def _borrowed(self) -> PatientConnection:
        if self._away:
            # The pool tries on in the background, and cannot say why: this says it at once.
            self.connect().close()
            self._away = False
        pool = self._pool or self._open()
        try:
            return pool.getconn(timeout=CONNECTION_TIMEOUT)
        except psycopg_pool.PoolTimeout as error:
            self._away = True
            raise StoreUnavailableError(
                self.shown,
                f"no connection within {CONNECTION_TIMEOUT:.0f} s: the server is away, or all"
                f" {MOST_CONNECTIONS} connections of this process are in use; try again",
            ) from error

    def _give_back(self, connection: PatientConnection) -> None:
        pool = self._pool
        if pool is None:
            connection.close()
            return
        with suppress(ValueError):  # of a pool that was closed meanwhile, which closed it
            pool.putconn(connection)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Add the database and a solution to errors of the driver."""
        try:
            yield
        except psycopg.Error as error:
            raise self._store_error(error) from error

    def _store_error(self, error: psycopg.Error) -> StoreError:
        if isinstance(error, _COLLISIONS):
            return Collision(self.shown, _advice(error))
        if isinstance(error, _PASSING):
            return StoreUnavailableError(self.shown, _advice(error))
        return StoreError(self.shown, _advice(error))

    # Numbers

    def mark(self, tx: Transaction) -> None:
        """Give a transaction a number: it has one, of all on this server."""

    def expect_runs(self, tx: Transaction, count: int) -> None:
        """Have ids for so many runs come with the next answer."""
        assert isinstance(tx, PostgresTransaction)
        tx.expected = tx.later(_RUN_IDS, count)

    def run_ids(self, tx: Transaction, count: int) -> Sequence[int]:
        """Return ids for so many runs, each greater than earlier ones of the same job."""
        assert isinstance(tx, PostgresTransaction)
        expected, tx.expected = tx.expected, list
        ids = tx.run_ids
        ids += [row[0] for row in expected()]
        if len(ids) < count:
            ids += [row[0] for row in tx.all(_RUN_IDS, count - len(ids))]
        return [ids.popleft() for _ in range(count)]

    def job_keys(self, tx: Transaction, count: int) -> Sequence[int]:
        """Return so many new keys of jobs, never used before; some are reserved in advance."""
        keys: list[int] = []
        with suppress(IndexError):
            while len(keys) < count:
                keys.append(self._keys.popleft())
        missing = count - len(keys)
        if missing:
            rows = tx.all(_JOB_KEYS, missing + KEYS_AHEAD)
            keys += [row[0] for row in rows[:missing]]
            self._keys += [row[0] for row in rows[missing:]]
        return keys

    def changed_since(self, tx: Transaction, since: object) -> tuple[object, int | None]:
        """Return the current version, and the mark above which rows may have changed."""
        ((last, settled),) = tx.all(_VERSION)
        if settled > last:
            version = Version(last, last + 1, 0)
        else:
            ((late,),) = tx.all(_LATE_CHANGES, settled, settled)
            version = Version(last, settled, int(late))
        return version, since.settled - 1 if isinstance(since, Version) else None

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    # Opening

    def connect(self) -> PatientConnection:
        """Return a connection of its own, with the time limits of all."""
        with self.telling():
            connection = PatientConnection.connect(self._conninfo, autocommit=True)
            try:
                self._configure(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _configure(self, connection: PatientConnection) -> None:
        limits = self._limits
        connection.answer_timeout, connection.idle = limits.answer, limits.idle
        wanted = {
            "idle_in_transaction_session_timeout": f"{limits.idle * 1000:.0f}",
            "lock_timeout": f"{limits.lock * 1000:.0f}",
            "statement_timeout": f"{limits.statement * 1000:.0f}",
        }
        if self._search_path:
            wanted["search_path"] = self._search_path
        names = ", ".join("set_config(%s, %s, false)" for _ in wanted)
        connection.execute(f"select {names}", [part for pair in wanted.items() for part in pair])

    def _open(self) -> psycopg_pool.ConnectionPool[PatientConnection]:
        with self._opening:
            if self._pool is None:
                with self.connect() as connection:
                    self._set_up(connection)
                self._pool = psycopg_pool.ConnectionPool(
                    self._conninfo,
                    kwargs={"autocommit": True},
                    connection_class=PatientConnection,
                    min_size=0,
                    max_size=MOST_CONNECTIONS,
                    configure=self._configure,
                    check=check,
                    reconnect_timeout=CONNECTION_TIMEOUT,
                    num_workers=1,
                    open=True,
                )
            return self._pool

    def _set_up(self, connection: PatientConnection) -> None:
        """Migrate the tables to the current schema, one process after the other."""
        version = connection.info.server_version // 10_000
        if version < OLDEST_SERVER:
            raise StoreError(
                self.shown, f"the server is PostgreSQL {version}, and has to be {OLDEST_SERVER}"
            )
        tx = PostgresTransaction(connection, "begin", writes=True)
        tx.all("select pg_advisory_xact_lock(hashtext('schedcore'))")
        path = self._search_path
        if path and not tx.all("select 1 from pg_namespace where nspname = ?", path):
            tx.run(f'create schema "{path}"')  # which may be a word of SQL
        ((there, name),) = tx.all(
            "select to_regclass('schedcore_meta') is not null, current_schema()"
        )
        self.schema = migrate(tx, POSTGRESQL, self.shown, there)
        for order in (order_of_outcomes(self.kind), order_of_changes(self.kind)):
            order.take_over(tx)
        tx.commit()
        # One for each schema: the channels of a database are the same in all of them.
        self.channel = f"schedcore_{name}"[:63]


_COLLISIONS = (
    pg_errors.UniqueViolation,
    pg_errors.DeadlockDetected,
    pg_errors.SerializationFailure,
)
_PASSING = (
    psycopg.OperationalError,  # among others: time-outs, a full disk, a server that shuts down
    psycopg.InterfaceError,  # the connection is closed
    pg_errors.IdleInTransactionSessionTimeout,
    pg_errors.ReadOnlySqlTransaction,  # a standby, until it takes over
)


def _is_refused(tx: PostgresTransaction, error: BaseException) -> bool:
    """Return whether the server has refused a transaction, and still works."""
    if tx.connection.closed or not isinstance(error, psycopg.Error):
        return False
    return error.diag.severity_nonlocalized == "ERROR"


def _advice(error: BaseException) -> str:
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    text = primary or " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, pg_errors.DiskFull):
        return f"its disk is full ({text}): make room, and it goes on by itself"
    if isinstance(error, pg_errors.LockNotAvailable):
        return f"another process holds what this call needs ({text}); try again"
    if isinstance(error, pg_errors.InsufficientPrivilege):
        return f"this user may not ({text}): grant it, or name another user"
    if isinstance(error, pg_errors.ReadOnlySqlTransaction):
        return f"it cannot be written ({text}): is it a standby?"
    return text
