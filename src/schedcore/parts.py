"""Builds the parts of a scheduler that its arguments name or describe."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from schedcore.basics.protocols import missing
from schedcore.clock import Clock, SystemClock
from schedcore.engine import Engine
from schedcore.errors import InvalidOptionError
from schedcore.history.history import History
from schedcore.job import Options, check_label
from schedcore.output.text import Redact, storable
from schedcore.retry import RandomSource
from schedcore.stores.memory import MemoryStore

if TYPE_CHECKING:
    from schedcore.notices.notifier import Notifier
    from schedcore.output.capture import StreamCapture
    from schedcore.stores.contract import Store

T = TypeVar("T")


def store_of(store: Store | str | None, history: History | None, clock: Clock) -> Store:
    """Return the given or named store; in memory, one with that history.

    A shared store uses the scheduler's clock, unless it was given another.

    Raises:
        InvalidOptionError: if the store or the history is none.
    """
    if history is not None and not isinstance(history, History):
        raise InvalidOptionError("history", history, "a History, or None")
    if store is None:
        return MemoryStore(history, clock)
    if isinstance(store, str):
        from schedcore.stores.urls import open_store  # sqlite3: 20 ms

        return open_store(store, clock)
    if not _is_ours(store):
        from schedcore.stores.checked import checked_store

        store = checked_store(store)
    if (cluster := getattr(store, "cluster", None)) is not None:
        cluster.use_clock(clock)
    return store


def _is_ours(store: object) -> bool:
    """Return whether a store is one of this package, or based on one."""
    sql = sys.modules.get("schedcore.stores.sql")  # imported if there is one
    return isinstance(store, MemoryStore) or (sql is not None and isinstance(store, sql.SqlStore))


def clock_of(clock: Clock | None) -> Clock:
    """Return the given clock; by default the computer's.

    Raises:
        InvalidOptionError: if it is none.
    """
    return SystemClock() if clock is None else _checked("clock", clock, Clock, "ManualClock()")


def random_of(random: RandomSource | None) -> RandomSource:
    """Return the given source of random numbers, or another.

    Raises:
        InvalidOptionError: if it is none.
    """
    from random import Random  # 1 ms, and not at the first fire

    return Random() if random is None else _checked("random", random, RandomSource, "Random(1)")


def _checked(option: str, part: T, protocol: type, example: str) -> T:
    """Return *part* if it has the methods of *protocol*."""
    lacks = missing(part, protocol)
    if lacks or isinstance(part, type):
        lack = f"it has no {lacks}" if lacks else "it is a class"
        raise InvalidOptionError(option, part, f"an object such as {example}, or None; {lack}")
    return part


def notifier_of(
    notices: Mapping[str, Any] | None,
    remind_every: float,
    engine: Engine,
    defaults: Options,
    clock: Clock,
    redact: Redact | None,
) -> Notifier | None:
    """Return the notifier for the given or described channels, or None.

    Raises:
        InvalidOptionError: naming the channel, and what is wrong with it.
    """
    is_number = isinstance(remind_every, int | float) and not isinstance(remind_every, bool)
    if not is_number or not 1 <= remind_every <= 30 * 86_400:
        raise InvalidOptionError(
            "remind_every", remind_every, "a number of seconds, from 1 to 2592000 (30 days)"
        )
    if not notices:
        return None
    # http.client and ssl: 40 ms
    from schedcore.notices.channels import make_channels
    from schedcore.notices.notifier import notifier_for

    channels = make_channels(notices)
    return notifier_for(engine, channels, defaults, remind_every, clock, redact)


def redact_of(patterns: Sequence[str]) -> Redact | None:
    """Return a function that hides what *patterns* match in a text; None: there are no patterns.

    Raises:
        InvalidOptionError: if one is not a pattern, or may take exponential time.
    """
    if isinstance(patterns, tuple) and not patterns:
        return None
    from schedcore.output.redacting import redactor

    return redactor(patterns)


def capture_of(capture_output: bool, redact: Redact | None) -> StreamCapture | None:
    """Return the capture of runs' output, or None.

    Raises:
        InvalidOptionError: if it is neither true nor false.
    """
    if not isinstance(capture_output, bool):
        raise InvalidOptionError("capture_output", capture_output, "True or False")
    if not capture_output:
        return None
    from schedcore.output.capture import StreamCapture  # logging: 6 ms

    return StreamCapture(redact)


def check_app_name(name: str | None) -> str:
    """Return the name of a program: the given one, or that of its main script.

    Raises:
        InvalidOptionError: if it is not text of 1 to 255 characters that every store accepts.
    """
    if name is None:
        main = sys.modules.get("__main__")
        folder, script = os.path.split(getattr(main, "__file__", None) or "")
        # That of a package started by -m: its command, if it has one, is called like the package.
        found = os.path.basename(folder if script == "__main__.py" else script)
        return storable(found) or "main"  # a file's name may be no valid text
    return check_label("name", name)
