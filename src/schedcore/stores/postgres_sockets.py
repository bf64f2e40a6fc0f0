"""Connections with a timeout for answers, and checks of connections without a query."""

from __future__ import annotations

import selectors
from collections.abc import Generator, Sequence
from typing import Any, NoReturn

import psycopg

from schedcore.clock import SECOND, passing_us
from schedcore.stores.database import Row


class PatientConnection(psycopg.Connection[Row]):
    """Gives up if the server does not answer: it is stopped, or waits for a replica.

    Attributes:
        answer_timeout: Maximum seconds to wait for an answer.
        idle: Maximum seconds that the server waits for the next statement of a transaction.
    """

    answer_timeout = 40.0
    idle = 5.0

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **named: Any) -> Any:
        """Wait for the driver's generator, with the timeout."""
        return super().wait(self._bounded(gen), *args, **named)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Pass events on to the driver, until the timeout."""
        until_us = passing_us() + round(self.answer_timeout * SECOND)
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready and passing_us() > until_us:
                    break
                state = gen.send(ready)
        except StopIteration as end:
            return end.value
        return self.give_up()

    def give_up(self) -> NoReturn:
        """Close the connection, and raise an error with the reason."""
        self.close()
        raise psycopg.OperationalError(f"the server gave no answer for {self.answer_timeout:.0f} s")


def readable(files: Sequence[int], seconds: float) -> list[int]:
    """Wait until a file is readable, or the time is over; return the readable files.

    Uses poll(2) if it exists: select(2) does not accept file descriptors above 1023, which a server
    with many clients has.
    """
    with _Selector() as selector:
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        return [key.fd for key, _ in selector.select(seconds)]


_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


def is_cut_off(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the server has closed an idle connection, without a query."""
    if connection.closed:
        return True
    # An idle connection only becomes readable when it is closed.
    return bool(readable((connection.fileno(),), 0))


def check(connection: psycopg.Connection[Any]) -> None:
    """Raise the driver's error if the server has closed an idle connection."""
    if is_cut_off(connection):
        connection.execute("select 1")  # raises, unless it was a notice that came
