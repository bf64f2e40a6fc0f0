"""The interface of databases for SQL stores: transactions, and growing numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from schedcore.errors import StoreUnavailableError
from schedcore.run import Run

Row = tuple[Any, ...]
Rows = Callable[[], list[Row]]
"""Returns the rows of a query that was sent before."""
CHUNK: Final = 500
"""Maximum number of values in one list: SQLite before 3.32 accepts 999 parameters."""


class CommitInDoubtError(StoreUnavailableError):
    """The connection was lost during a commit, so its result is unknown until it is looked up."""


class Cursor(Protocol):
    """The common part of cursors of Python's database API (PEP 249)."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, sql: str, params: Sequence[object], /) -> Any:
        """Run one statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[object]], /) -> Any:
        """Run one statement once for each row."""
        ...

    def fetchall(self) -> list[Row]:
        """Return the rows of the last statement."""
        ...


INTERRUPTS: Final = (
    "this call interrupts a transaction of its own thread, in a signal handler or a finalizer:"
    " make it in another thread, or later"
)


class Transaction:
    """Statements that are committed together or not at all.

    Parameters are written as ``?``.

    Args:
        cursor: Executes them.

    Attributes:
        for_update: The end of a query that locks rows for writing, if a transaction does not
            exclude all other writers.
        skip_locked: The same for a query that leaves out locked rows.
        for_share: The end of a query whose rows must not be removed before the commit.
        started: The runs that this process begins after the commit.
        given: Runs that this process no longer owns after the commit.
        may_start: Returns whether this process may begin its runs.
    """

    for_update = ""
    skip_locked = ""

    for_share = ""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._then: list[Callable[[], object]] = []
        self._undo: list[Callable[[], object]] = []
        self._forget: list[Callable[[], object]] = []
        self.started: Sequence[Run] = ()
        self.given: list[Run] = []
        self.may_start: Callable[[], object] = lambda: True

    def will_take(self, count: int) -> None:
        """Announce the number of jobs in this transaction, which a server's timeouts depend on."""

    def notify(self) -> None:
        """Notify other processes at the commit; otherwise they poll for the changes."""

    # The state in memory follows the commit.  If the answer to a commit was lost, its result is
    # unknown for a while: until it is known, nothing is applied and nothing is restored.

    def if_made(self, then: Callable[[], object]) -> None:
        """Call *then* after the commit."""
        self._then.append(then)

    def if_undone(self, undo: Callable[[], object]) -> None:
        """Call *undo* if this is not committed: it restores the state before."""
        self._undo.append(undo)

    def unless_made(self, forget: Callable[[], object]) -> None:
        """Call *forget* unless this is known to be committed: it drops state that may be wrong."""
        self._forget.append(forget)

    def made(self) -> None:
        """Apply the results: called after the commit."""
        for then in self._then:
            then()

    def unsure(self) -> None:
        """Drop state that may be wrong: called if it is unknown whether this was committed."""
        while self._forget:
            self._forget.pop()()

    def undone(self) -> None:
        """Restore the state before: called if this was not committed."""
        self.unsure()
        while self._undo:
            self._undo.pop()()

    def run(self, sql: str, *params: object) -> None:
        """Run a statement."""
        self._cursor.execute(sql, params)

    def count(self, sql: str, *params: object) -> int:
        """Run a statement; return how many rows it changed."""
        self._cursor.execute(sql, params)
        return self._cursor.rowcount

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each of *rows*."""
        if rows:
            self._cursor.executemany(sql, rows)

    def all(self, sql: str, *params: object) -> list[Row]:
        """Return the rows of a query."""
        self._cursor.execute(sql, params)
        return self._cursor.fetchall()

    def later(self, sql: str, *params: object) -> Rows:
        """Send a query whose rows are read later, if the database supports several at a time."""
        rows = self.all(sql, *params)
        return lambda: rows

    def one(self, sql: str, *params: object) -> Row | None:
        """Return the first row of a query, or None."""
        rows = self.all(sql, *params)
        return rows[0] if rows else None

    def among(self, sql: str, values: Iterable[object], *params: object) -> list[Row]:
        """Return the rows of a query with a list of *values* instead of ``{}``."""
        given = list(values)
        found: list[Row] = []
        for start in range(0, len(given), CHUNK):
            part = given[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            found += self.all(sql.format(marks), *part, *params)
        return found

    def among_later(self, sql: str, values: Iterable[object], *params: object) -> Rows:
        """Send a query like :meth:`among`, whose rows are read later."""
        rows = self.among(sql, values, *params)
        return lambda: rows


class Database(Protocol):
    """One database, for all threads of a process; other processes may use it too.

    Errors of its driver are raised as a :class:`~schedcore.errors.StoreError`.
    """

    kind: str
    """``"sqlite"`` or ``"postgresql"``."""
    marked: str
    """The SQL expression for the number of a transaction."""
    shown: str
    """Its URL, without a password."""

    def is_used_here(self) -> bool:
        """Return whether this thread is inside a transaction.

        Then a call that is not a part of it was made by a signal handler, or by a finalizer.
        """
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """Return a read-only transaction on a consistent snapshot."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """Return a transaction; an error inside rolls it back."""
        ...

    def write_soon(self) -> AbstractContextManager[Transaction]:
        """Return the same, for writes that a power failure may undo if it also ends their process.

        The end of the process alone does not undo them.
        """
        ...

    def mark(self, tx: Transaction) -> None:
        """Assign a number to a transaction, with which it marks the jobs that it changes."""
        ...

    def expect_runs(self, tx: Transaction, count: int) -> None:
        """Announce that about so many run ids are needed next; their jobs are locked."""
        ...

    def run_ids(self, tx: Transaction, count: int) -> Sequence[int]:
        """Return ids for so many runs, each greater than earlier ones of the same job."""
        ...

    def job_keys(self, tx: Transaction, count: int) -> Sequence[int]:
        """Return keys for so many jobs."""
        ...

    def changed_since(self, tx: Transaction, since: object) -> tuple[object, int | None]:
        """Return the current version, and the mark above which rows may have changed.

        The mark is None if *since* is not a version of this database.
        """
        ...

    def close(self) -> None:
        """Close all connections; a later call connects again."""
        ...
