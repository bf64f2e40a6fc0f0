"""How PostgreSQL spells the statements of the stores: parameters, lists, and many rows at once."""

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
"""The columns of text of which many rows are written at once; all others are whole numbers."""
_VALUES = re.compile(r"(insert into \w+ \()([^)]*)(\)) values \((.*?)\)(?= on conflict|$)")
MANY: Final = 1_000
"""Jobs that are worked on within a fraction of the time for which a transaction may be idle."""
_NUMBER: Final = "select pg_current_xact_id()::text::bigint"
_Statement = tuple["psycopg.Cursor[Row]", str, Sequence[object]]
_PARAMETER = re.compile(r"(?:(\w+) (?:=|<>|<=|>) )?\?")


class PostgresTransaction(Transaction):
    """Statements on one connection, from ``begin`` to ``commit``.

    What nobody asks an answer of waits here, and is sent with the next that somebody does: a
    transaction takes a round trip for each answer that it depends on, and one for its commit.
    After each answer the server waits for this process, and ends a transaction for which that takes
    too long.

    Args:
        connection: In autocommit mode: what begins and ends here is said here.
        begin: The statement that begins it.
        writes: Whether it reads rows in order to write them.

    Attributes:
        run_ids: Ids for runs, got ahead.
        expected: Gives more of them.
        tells: Whether other processes are to look at once when this is made.
        number: The server's own for this transaction, by which it tells whether it is over; None:
            not known.
        commits: Whether the server was asked to make it.
    """

    _cursor: psycopg.Cursor[Row]  # for all whose rows nobody asks for

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
        """Have the server wait longer for the next statement of one that works on many jobs."""
        if count > MANY:
            idle = self.connection.idle * (1 + count / MANY)
            self.run(f"set local idle_in_transaction_session_timeout = {idle * 1000:.0f}")

    def tell(self) -> None:
        """Have other processes look at once, when this is made."""
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
        """Return the rows that a query finds."""
        return self.later(sql, *params)()

    def later(self, sql: str, *params: object) -> Rows:
        """Make a query whose rows are asked for later."""
        cursor = self.connection.cursor()
        self._unsent.append((cursor, _spelled(sql), params))
        return partial(self._rows, cursor)

    def _rows(self, cursor: psycopg.Cursor[Row]) -> list[Row]:
        if any(cursor is waiting for waiting, _, _ in self._unsent):
            self._send()
        return cursor.fetchall()

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Write all of *rows* in one statement: the same one by one takes three times as long."""
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
        """Return the rows of a query with a list of *values* in the place of ``{}``."""
        return self.among_later(sql, values, *params)()

    def among_later(self, sql: str, values: Iterable[object], *params: object) -> Rows:
        """Make a query as :meth:`among`, for rows that are asked for later."""
        given = list(values)
        if not given:
            return list
        if isinstance(given[0], int):
            return self.later(_among(sql, "bigint"), _numbers(given), *params)
        return self.later(_among(sql, "text"), given, *params)

    # The end

    def commit(self) -> str:
        """Send what waits, and the commit; return what the server says that it did."""
        if self._named is not None:
            ((self.number,),) = self._named.fetchall()
        self.run("commit")
        self._send(last=True)
        return str(self._cursor.statusmessage)

    def rollback(self) -> None:
        """Undo what was sent, if the connection is not lost."""
        self._unsent.clear()
        idle = psycopg.pq.TransactionStatus.IDLE
        with self._piped:
            if self.connection.closed:
                return
            if self.connection.info.transaction_status != idle:
                # So the driver forgets which statements are prepared: of those behind one that
                # failed it believes so, and the server has passed them over.
                self.connection.rollback()
            elif self._failed:
                self.connection.close()

    def _send(self, last: bool = False) -> None:
        """Send what waits, and hear the answers.

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
                self._pipeline.sync()  # what follows a statement that failed was passed over
            raise


def _flush(connection: PatientConnection) -> None:
    """Write what the driver holds back of long statements: it would wait for an answer to them.

    Answers are read meanwhile, or the server would wait in turn.
    """
    while connection.pgconn.flush():
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE)
            found = selector.select(connection.patience)
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
    """Return whole numbers as PostgreSQL writes an array: a fifth of the time of the driver's."""
    return "{" + ",".join("null" if value is None else str(value) for value in values) + "}"


@lru_cache(100)
def _at_once(sql: str) -> tuple[str, list[bool]]:
    """Return a statement that does for the rows of arrays what *sql* does for one.

    Returns:
        The statement, and of each array whether it is of texts.
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
