"""Statements of the stores in PostgreSQL's syntax: parameters, lists, and many rows at once."""

from __future__ import annotations

import re
import selectors
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache, partial
from typing import Any, Final

import psycopg

from schedcore.stores.database import Row, Rows, Transaction
from schedcore.stores.postgres_sockets import PatientConnection

TEXTS: Final = frozenset(
    (
        *("id", "app", "definition", "fingerprint", "executor", "broken", "job_id", "outcome"),
        *("name", "channel", "body", "notices", "key"),
        *("result", "error_type", "error_text", "cause", "reason", "head", "tail"),
        *("who", "address", "verb", "before_text", "after_text"),
    )
)
"""The text columns in statements for many rows; all other columns are integers."""
_VALUES = re.compile(r"(insert into \w+ \()([^)]*)(\)) values \((.*?)\)(?= on conflict|$)")
MANY: Final = 1_000
"""Jobs that are worked on within a fraction of the time for which a transaction may be idle."""
_NUMBER: Final = "select pg_current_xact_id()::text::bigint"
_Statement = tuple["psycopg.Cursor[Row]", str, Sequence[object]]
_PARAMETER = re.compile(r"(?:(\w+) (?:=|<>|<=|>) )?\?")


class PostgresTransaction(Transaction):
    """Statements on one connection, from ``begin`` to ``commit``.

    Statements without a result are queued, and sent with the next one that has a result: so a
    transaction takes one round trip for each result that it needs, and one for its commit.
    After each answer the server waits for this process, and ends the transaction if that takes too
    long.

    Args:
        connection: A connection in autocommit mode: begin and commit are sent here.
        begin: The statement that begins it.
        writes: Whether it reads rows in order to write them.

    Attributes:
        run_ids: Ids for runs, reserved in advance.
        expected: Returns more of them.
        tells: Whether to notify other processes at the commit.
        number: The server's number of this transaction, to look up whether it is over; None:
            unknown.
        commits: Whether the commit was sent.
    """

    _cursor: psycopg.Cursor[Row]  # for all statements without a result

    def __init__(self, connection: PatientConnection, begin: str, writes: bool) -> None:
        super().__init__(connection.cursor())
        self.connection = connection
        self.run_ids: deque[int] = deque()
        self.expected: Rows = list
        self.tells = self.commits = self._failed = False
        self.number: int | None = None
        self._named: psycopg.Cursor[Row] | None = None
        self._unsent: list[_Statement] = [(self._cursor, begin, ())]
        self._piped = ExitStack()
        self._pipeline: psycopg.Pipeline | None = None
        if writes:
            self.for_update, self.skip_locked = " for update", " for update skip locked"
            self.for_share = " for key share"

    def will_take(self, count: int) -> None:
        """Let the server wait longer for the next statement of a transaction with many jobs."""
        if count > MANY:
            idle = self.connection.idle * (1 + count / MANY)
            self.run(f"set local idle_in_transaction_session_timeout = {idle * 1000:.0f}")

    def notify(self) -> None:
        """Notify other processes at the commit."""
        self.tells = True

    # Statements

    def run(self, sql: str, *params: object) -> None:
        """Run a statement."""
        self._unsent.append((self._cursor, _spelled(sql), params))

    def count(self, sql: str, *params: object) -> int:
        """Run a statement; return how many rows it changed."""
        self.run(sql, *params)
        self._send()
        return int(self._cursor.rowcount)

    def all(self, sql: str, *params: object) -> list[Row]:
        """Return the rows of a query."""
        return self.later(sql, *params)()

    def later(self, sql: str, *params: object) -> Rows:
        """Send a query whose rows are read later."""
        cursor = self.connection.cursor()
        self._unsent.append((cursor, _spelled(sql), params))
        return partial(self._rows, cursor)

    def _rows(self, cursor: psycopg.Cursor[Row]) -> list[Row]:
        if any(cursor is waiting for waiting, _, _ in self._unsent):
            self._send()
        return cursor.fetchall()

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Write all *rows* in one statement: one by one takes three times as long."""
        if len(rows) == 1:
            self.run(sql, *rows[0])
        elif rows:
            text, are_texts = _at_once(sql)
            columns = zip(*rows, strict=True)
            given: list[Any] = [
                list(column) if is_text else _numbers(column)
                for column, is_text in zip(columns, are_texts, strict=True)
            ]
            self.run(text, *given)

    def among(self, sql: str, values: Iterable[object], *params: object) -> list[Row]:
        """Return the rows of a query with a list of *values* instead of ``{}``."""
        return self.among_later(sql, values, *params)()

    def among_later(self, sql: str, values: Iterable[object], *params: object) -> Rows:
        """Send a query like :meth:`among`, whose rows are read later."""
        given = list(values)
        if not given:
            return list
        if isinstance(given[0], int):
            return self.later(_among(sql, "bigint"), _numbers(given), *params)
        return self.later(_among(sql, "text"), given, *params)

    # The end

    def commit(self) -> str:
        """Send the queue and the commit; return the server's command tag."""
        if self._named is not None:
            ((self.number,),) = self._named.fetchall()
        self.run("commit")
        self._send(last=True)
        return str(self._cursor.statusmessage)

    def rollback(self) -> None:
        """Roll back, unless the connection is lost."""
        self._unsent.clear()
        idle = psycopg.pq.TransactionStatus.IDLE
        with self._piped:
            if self.connection.closed:
                return
            if self.connection.info.transaction_status != idle:
                # This makes the driver forget its prepared statements: the server has skipped
                # those behind the one that failed.
                self.connection.rollback()
            elif self._failed:
                self.connection.close()

    def _send(self, last: bool = False) -> None:
        """Send the queue, and read the answers.

        From the first statement to the last, the connection is in the mode in which several are
        under way.  To leave it, the driver says more than that it waits, after which the server
        would not count for how long a transaction is idle.

        Raises:
            psycopg.Error: the first one, if there is any.
        """
        unsent, self._unsent = self._unsent, []
        if self._pipeline is None:
            self._pipeline = self._piped.enter_context(self.connection.pipeline())
            if self.for_update and not last:
                self._named = self.connection.cursor()
                unsent.insert(1, (self._named, _NUMBER, ()))
        try:
            for cursor, sql, params in unsent:
                self.commits = sql == "commit"
                cursor.execute(sql, params)
            if last:
                self._piped.close()
            else:
                _flush(self.connection)
                self._pipeline.sync()
        except psycopg.Error:
            self._failed = True
            with suppress(psycopg.Error):
                self._pipeline.sync()  # the statements behind a failed one were skipped
            raise


def _flush(connection: PatientConnection) -> None:
    """Flush what the driver buffers of long statements, since it would wait for their answers.

    Answers are read meanwhile: otherwise the server would block too.
    """
    while connection.pgconn.flush():
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE)
            found = selector.select(connection.answer_timeout)
        if not found:
            connection.give_up()
        ((_, events),) = found
        if events & selectors.EVENT_READ:
            connection.pgconn.consume_input()


@lru_cache(500)
def _spelled(sql: str) -> str:
    return sql.replace("?", "%s")


@lru_cache(500)
def _among(sql: str, kind: str) -> str:
    return sql.replace("in ({})", f"= any(?::{kind}[])")


def _numbers(values: Iterable[object]) -> str:
    """Return integers as a PostgreSQL array, in a fifth of the driver's time."""
    return "{" + ",".join("null" if value is None else str(value) for value in values) + "}"


@lru_cache(100)
def _at_once(sql: str) -> tuple[str, list[bool]]:
    """Return a statement that does for rows in arrays what *sql* does for one row.

    Returns:
        The statement, and for each array whether it contains text.
    """
    values = _VALUES.match(sql)
    if values is not None:
        # insert into t (a, b) values (?, 1) -> insert into t (a, b) select u.c1, 1 from ...
        names = [name.strip() for name in values[2].split(",")]
        given = [value.strip() for value in values[4].split(",")]
        are_texts = [n in TEXTS for n, v in zip(names, given, strict=True) if v == "?"]
        numbers = iter(range(1, len(given) + 1))
        chosen = ", ".join(f"u.c{next(numbers)}" if v == "?" else v for v in given)
        rest = sql[values.end() :]
        head = f"{values[1]}{values[2]}{values[3]}"
        return f"{head} select {chosen} from {_rows(are_texts)}{rest}", are_texts
    # update t set a = ? where b = ? -> update t set a = u.c1 from ... where b = u.c2
    are_texts = [match[1] in TEXTS for match in _PARAMETER.finditer(sql)]
    head, where, condition = sql.partition(" where ")
    joined = {"update": " from ", "delete": " using ", "insert": ", "}[sql[:6]]
    numbers = iter(range(1, len(are_texts) + 1))
    text = f"{head}{joined}{_rows(are_texts)}{where}{condition}"
    return re.sub(r"\?", lambda _: f"u.c{next(numbers)}", text), are_texts


def _rows(are_texts: Sequence[bool]) -> str:
    arrays = ", ".join("%s::text[]" if is_text else "%s::bigint[]" for is_text in are_texts)
    names = ", ".join(f"c{number}" for number in range(1, len(are_texts) + 1))
    return f"unnest({arrays}) as u({names})"
