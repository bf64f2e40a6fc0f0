"""Connections that wait no longer than they are told, and what can be told without asking."""

from __future__ import annotations

import selectors
from collections.abc import Generator, Sequence
from typing import Any, NoReturn

import psycopg

from schedcore.clock import SECOND, passing_us
from schedcore.stores.database import Row


class PatientConnection(psycopg.Connection[Row]):
    """Gives up a server that does not answer: one that was stopped, or waits for a replica.

    Attributes:
        patience: Seconds that it waits for an answer.
        idle: Seconds that the server waits for the next statement of a transaction.
    """

    patience = 40.0
    idle = 5.0

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **named: Any) -> Any:
        """Wait for what the driver waits for."""
        return super().wait(self._bounded(gen), *args, **named)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Pass on what the driver is told, as long as it is not told for too long to go on."""
        until_us = passing_us() + round(self.patience * SECOND)
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
        """Close it, and raise what tells why."""
        self.close()
        raise psycopg.OperationalError(f"the server gave no answer for {self.patience:.0f} s")


def readable(files: Sequence[int], seconds: float) -> list[int]:
    """Wait so long until something can be read; return the files of which it can.

    By poll(2) where there is one: select(2) takes no file of a number beyond 1023, which a server
    with as many clients has.
    """
    with _Selector() as selector:
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        return [key.fd for key, _ in selector.select(seconds)]


_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


def is_cut_off(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the server has closed a connection that nobody uses, without asking it."""
    if connection.closed:
        return True
    # Nothing is to come on an idle connection but its end.
    return bool(readable((connection.fileno(),), 0))


def check(connection: psycopg.Connection[Any]) -> None:
    """Raise what the driver does if the server has closed a connection that nobody uses."""
    if is_cut_off(connection):
        connection.execute("select 1")  # raises, unless it was a notice that came
