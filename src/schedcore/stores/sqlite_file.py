"""One SQLite file as a database, safe with threads, forks and several processes."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from schedcore.basics.atfork import Lock, call_in_child, held_here, hold_while_forking
from schedcore.clock import Deadline
from schedcore.errors import StoreError, StoreUnavailableError
from schedcore.stores.database import INTERRUPTS, Transaction
from schedcore.stores.schema import SQLITE, migrate

OLDEST_SQLITE = (3, 24, 0)
"""The first SQLite with ``insert ... on conflict do update``."""
MOUNTS = Path("/proc/self/mounts")
"""The mounted file systems, on Linux."""
BUSY_TIMEOUT = 5.0
"""Seconds that a transaction waits for those of other processes."""
_NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "fuse.sshfs", "fuse.glusterfs", "ceph")
)
_left_to_parents: list[sqlite3.Connection] = []
"""Connections that a forked child inherited from a fork inside a transaction: closing them here
would break the parent's (sqlite.org/howtocorrupt.html, 2.6)."""


class SqliteFile:
    """Implements :class:`~schedcore.stores.database.Database`.  Opened at the first call.

    All threads share one connection, under one lock: a transaction takes tens of microseconds, and
    SQLite has only one writer at a time anyway.

    Args:
        path: The path of the file, which is created if it does not exist.
        durable: Whether data survives a power failure (``synchronous=FULL``); then each commit
            waits for the disk.
    """

    kind = "sqlite"
    marked = "(select changes from schedcore_cluster)"

    def __init__(self, path: str | os.PathLike[str], durable: bool = True) -> None:
        self._connection: sqlite3.Connection | None = None
        # The locks are beside the file: all processes have to use the same ones, by any link.
        self.path = Path(os.path.realpath(path))
        self.shown = str(self.path)
        self._durable = durable
        self.schema = 0
        self._begin_anew()
        hold_while_forking(self)
        call_in_child(self)

    def _begin_anew(self) -> None:
        # Re-entrant, so that a signal handler that interrupts a transaction detects that.
        self._lock = threading.RLock()
        self._connection = None
        self._turns = 0  # of the thread that holds the lock
        self._within = False
        self._opened = 0

    def __repr__(self) -> str:
        return f"<SqliteFile {self.path}>"

    def __del__(self) -> None:
        # For a store that was not closed: Python 3.13 warns about an open connection.
        if self._connection is not None:
            self._connection.close()

    def data_lock(self) -> Lock:
        """Return the lock that each transaction holds."""
        return self._lock

    def before_fork(self) -> None:
        """Close the connection; parent and child each open a new one at their next call.

        A child that inherits it also inherits SQLite's state of the process's locks, which only the
        parent has: other processes could then truncate the log while the child uses it.
        """
        if not self._within:
            self.close()

    def after_fork_in_child(self) -> None:
        """Start without a connection, and leave one that is inside a transaction to the parent."""
        if self._connection is not None:
            _left_to_parents.append(self._connection)
        self._begin_anew()

    # Transactions

    def is_used_here(self) -> bool:
        """Return whether this thread is inside a transaction, or about to begin or leave one."""
        return held_here(self)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Return a read-only transaction on a consistent snapshot."""
        # The first query takes the snapshot; until then, other processes may block it.
        with self._transaction("begin", "select 1 from schedcore_cluster") as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Return a transaction that excludes all other writers."""
        # A transaction that reads before it writes would fail at once whenever another process
        # wrote in between, whatever its timeout is.
        with self._transaction("begin immediate") as tx:
            yield tx

    @contextmanager
    def write_soon(self) -> Iterator[Transaction]:
        """Return the same without waiting for the disk: a power failure may undo it."""
        with self._turn():
            if self._within or not self._durable:
                with self.write() as tx:  # which reports the error
                    yield tx
                return
            with self._translating_errors():
                connection = self._connection or self._open()
                connection.execute("pragma synchronous=normal")
            try:
                with self.write() as tx:
                    yield tx
            finally:
                connection.execute("pragma synchronous=full")

    @contextmanager
    def _transaction(self, *begin: str) -> Iterator[Transaction]:
        with self._turn(), self._translating_errors():
            if self._within:
                raise StoreUnavailableError(str(self.path), INTERRUPTS)
            connection = self._connection or self._open()
            tx = Transaction(connection.cursor())
            try:
                self._within = True
                _retrying_busy(connection, begin)
                yield tx
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                tx.undone()
                raise
            else:
                tx.made()
            finally:
                self._within = False

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for other threads, but no longer than for other processes."""
        try:
            acquired = self._lock.acquire(timeout=BUSY_TIMEOUT)
        except BaseException:  # Ctrl-C, maybe just after the lock was acquired
            if not self._turns and held_here(self):
                self._lock.release()
            raise
        if not acquired:
            text = f"other threads have been waiting for it, or using it, for {BUSY_TIMEOUT:.0f} s"
            raise StoreUnavailableError(str(self.path), f"{text}; try again")
        try:
            self._turns += 1
            yield
        finally:
            self._turns -= 1
            self._lock.release()

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Add the file and a solution to errors of SQLite."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(str(self.path), _advice(error)) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(str(self.path), _advice(error)) from error

    def mark(self, tx: Transaction) -> None:
        """Assign a number to a transaction, which is unique for the file over all processes."""
        tx.run("update schedcore_cluster set changes = changes + 1")

    def expect_runs(self, tx: Transaction, count: int) -> None:
        """Do nothing: there is nothing to prepare."""

    def run_ids(self, tx: Transaction, count: int) -> Sequence[int]:
        """Return ids for so many runs, each greater than all earlier ones."""
        tx.run("update schedcore_cluster set runs = runs + ?", count)
        ((last,),) = tx.all("select runs from schedcore_cluster")
        return range(last - count + 1, last + 1)

    def job_keys(self, tx: Transaction, count: int) -> Sequence[int]:
        """Return keys for so many jobs that were never used before."""
        used = tx.one("select seq from sqlite_sequence where name = 'schedcore_jobs'")
        last = 0 if used is None else int(used[0])
        return range(last + 1, last + count + 1)

    def changed_since(self, tx: Transaction, since: object) -> tuple[object, int | None]:
        """Return the current version, and the mark above which rows may have changed."""
        ((version,),) = tx.all("select changes from schedcore_cluster")
        return version, since if isinstance(since, int) and since <= version else None

    def others_version(self) -> tuple[int, int]:
        """Return a version that changes when another process writes, and sometimes without that."""
        with self._lock:
            if self._connection is None:
                with self._translating_errors():
                    self._open()
            assert self._connection is not None
            # Each process reads it ten times a second: it takes two words of shared memory.
            (version,) = self._connection.execute("pragma data_version").fetchone()
            return self._opened, version  # which is valid for one connection only

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    # Opening

    def _open(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StoreError(
                str(self.path), f"SQLite is {sqlite3.sqlite_version}, and has to be 3.24 or later"
            )
        self._check_place()
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=0
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._opened += 1
        return connection

    def _check_place(self) -> None:
        """Create the file, readable by this user only, since it contains arguments of jobs."""
        found = file_system_of(self.path.parent)
        if found in _NETWORK:
            raise StoreError(
                str(self.path),
                f"it is on a network file system ({found}), whose locks do not hold: name a file"
                " on a disk of this machine, or a PostgreSQL server (postgresql://...)",
            )
        # Never opened here once it exists: closing it would release the locks that other
        # connections of this process hold on it (sqlite.org/howtocorrupt.html, 2.2).
        new = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            os.close(os.open(self.path, new, 0o600))
        except FileExistsError:
            self._check_name()
        except OSError as error:
            raise StoreError(
                str(self.path),
                f"it cannot be written ({error.strerror}): name a file in a folder that this user"
                " may write, as in sqlite:////var/lib/app/jobs.db",
            ) from error

    def _check_name(self) -> None:
        """Refuse a file of several names when it is first opened: each would have its own locks."""
        found = os.stat(self.path)
        if not self._opened and stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            raise StoreError(
                str(self.path),
                "it has another name (a hard link), under which a process would not see the locks"
                " of others: remove that name, or copy the file instead",
            )

    def _set_up(self, connection: sqlite3.Connection) -> None:
        (mode,) = _retrying_busy(connection, ("pragma journal_mode=wal",))
        if mode != "wal":
            raise StoreError(str(self.path), f"its journal mode stays {mode!r}, and has to be wal")
        connection.execute(f"pragma synchronous={'full' if self._durable else 'normal'}")
        connection.execute("pragma foreign_keys=on")
        connection.execute("pragma cache_size=-16000")
        _retrying_busy(connection, ("begin immediate",))
        try:
            self.schema = migrate(Transaction(connection.cursor()), SQLITE, str(self.path))
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise


def _retrying_busy(connection: sqlite3.Connection, statements: Sequence[str]) -> Any:
    """Run statements that other processes may block; return the first row of the last one.

    SQLite itself sleeps for up to 100 ms between two attempts, so a busy process starves the
    others; this function tries every 1 to 3 ms.
    """
    deadline = pause = row = None
    for statement in statements:
        while True:
            try:
                row = connection.execute(statement).fetchone()
                break
            except sqlite3.OperationalError as error:
                # Created only now, since nearly no transaction is blocked.
                deadline, pause = deadline or Deadline(BUSY_TIMEOUT), pause or threading.Event()
                if not _is_busy(error) or not deadline.left():
                    raise
            pause.wait(random.uniform(0.001, 0.003))
    return row


def _is_busy(error: sqlite3.Error) -> bool:
    text = str(error)
    return "locked" in text or "busy" in text


def _advice(error: sqlite3.Error) -> str:
    text = str(error)
    if _is_busy(error):
        return (
            f"another process has been writing to it for {BUSY_TIMEOUT:.0f} s ({text}); try again"
        )
    if "readonly" in text:
        return f"it cannot be written ({text}): let this user write the file and its folder"
    if "unable to open" in text:
        return f"it cannot be opened ({text}): let this user read and write the file and its folder"
    if "full" in text:
        return f"its disk is full ({text}): make room, and it goes on by itself"
    if "not a database" in text or "malformed" in text:
        return f"it is no SQLite database, or a damaged one ({text}): name another file"
    return text


def file_system_of(folder: Path) -> str:
    """Return Linux's name of the file system of a folder; "": unknown."""
    if not sys.platform.startswith("linux"):
        return ""
    real = os.path.realpath(folder)
    best, kind = "", ""
    with suppress(OSError):
        for line in MOUNTS.read_text("utf-8", "replace").splitlines():
            point, found = line.split(" ")[1:3]
            point = point.replace("\\040", " ")
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, found
    return kind
