"""What can be told of a connection without asking the server."""

from __future__ import annotations

import selectors
from collections.abc import Sequence
from typing import Any

import psycopg


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
