"""What a store over SQL asks of a database: transactions, and numbers that only grow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from schedcore.errors import StoreUnavailableError
from schedcore.run import Run

Row = tuple[Any, ...]
Rows = Callable[[], list[Row]]
"""Gives the rows of a query that was made before."""
CHUNK: Final = 500
"""Values in one list of a statement: SQLite before 3.32 takes 999 parameters at most."""


class CommitInDoubtError(StoreUnavailableError):
    """The connection was lost during a commit: whether it was made can only be looked up."""


class Cursor(Protocol):
    """What the modules of Python's database API (PEP 249) have in common."""

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
        """Return what the last statement found."""
        ...


class Transaction:
    """Statements that are made whole or not at all.

    Parameters are written as ``?``.

    Args:
        cursor: Runs them.

    Attributes:
        for_update: What a query ends with that reads rows in order to write them, where a
            transaction does not keep all others from writing.
        skip_locked: The same for a query that leaves out what others are about to write.
        for_share: What one ends with that reads rows which are not to be removed before the end.
        started: The runs that this process begins once this is made.
        given: Runs of this process that are its own no more then.
        may_start: Tells, once it is asked, whether this process may have them.
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
        """Say that so many jobs are worked on in it, of which a server may have to know."""

    def tell(self) -> None:
        """Have other processes look at once, when this is made; by default, they soon do."""

    # What is kept in memory follows.  Of a commit whose answer was lost it is not known for a while
    # whether it was made: nothing follows from it, and nothing is put back, before it is.

    def if_made(self, then: Callable[[], object]) -> None:
        """Have *then* called once this is made."""
        self._then.append(then)

    def if_undone(self, undo: Callable[[], object]) -> None:
        """Have *undo* called if this is not made: it puts back what was before."""
        self._undo.append(undo)

    def unless_made(self, forget: Callable[[], object]) -> None:
        """Have *forget* called unless this is known to be made: it drops what may be wrong then."""
        self._forget.append(forget)

    def made(self) -> None:
        """Do what follows: called when this was made."""
        for then in self._then:
            then()

    def unsure(self) -> None:
        """Drop what may be wrong: called when it is not known whether this was made."""
        while self._forget:
            self._forget.pop()()

    def undone(self) -> None:
        """Put back what was before: called when this was not made."""
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
        """Return the rows that a query finds."""
        self._cursor.execute(sql, params)
        return self._cursor.fetchall()

    def later(self, sql: str, *params: object) -> Rows:
        """Make a query whose rows are asked for later, if a database does several at a time."""
        rows = self.all(sql, *params)
        return lambda: rows

    def one(self, sql: str, *params: object) -> Row | None:
        """Return the first row that a query finds, or None."""
        rows = self.all(sql, *params)
        return rows[0] if rows else None

    def among(self, sql: str, values: Iterable[object], *params: object) -> list[Row]:
        """Return the rows of a query with a list of *values* in the place of ``{}``."""
        given = list(values)
        found: list[Row] = []
        for start in range(0, len(given), CHUNK):
            part = given[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            found += self.all(sql.format(marks), *part, *params)
        return found

    def among_later(self, sql: str, values: Iterable[object], *params: object) -> Rows:
        """Make a query as :meth:`among`, for rows that are asked for later."""
        rows = self.among(sql, values, *params)
        return lambda: rows


class Database(Protocol):
    """One database, for all threads of a process; others of the same processes share it.

    What its driver raises comes out as a :class:`~schedcore.errors.StoreError`.
    """

    kind: str
    """``"sqlite"`` or ``"postgresql"``."""
    marked: str
    """The number of a transaction, as its statements write it."""
    shown: str
    """Where it is, without a password."""

    def read(self) -> AbstractContextManager[Transaction]:
        """Return a transaction that sees one moment, and writes nothing."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """Return a transaction; an error within it rolls it back."""
        ...

    def write_soon(self) -> AbstractContextManager[Transaction]:
        """Return the same, of what a power cut may undo, if it ends whoever wrote that as well.

        The end of a process alone undoes nothing of it.
        """
        ...

    def mark(self, tx: Transaction) -> None:
        """Give a transaction a number, with which it marks the jobs that it changes."""
        ...

    def expect_runs(self, tx: Transaction, count: int) -> None:
        """Say that ids for about so many runs are asked for next; their jobs are held."""
        ...

    def run_ids(self, tx: Transaction, count: int) -> Sequence[int]:
        """Return ids for so many runs: each greater than those of the same job before."""
        ...

    def job_keys(self, tx: Transaction, count: int) -> Sequence[int]:
        """Return keys for so many jobs."""
        ...

    def changed_since(self, tx: Transaction, since: object) -> tuple[object, int | None]:
        """Return the present version, and the mark above which rows may have changed.

        None in its place: *since* is no version of this database.
        """
        ...

    def close(self) -> None:
        """Close what is open; a later call opens it again."""
        ...
