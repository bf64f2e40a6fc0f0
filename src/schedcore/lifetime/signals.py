"""Running a scheduler as the main task of a script, until a signal shuts it down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from schedcore.clock import Waker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


POLL_EVERY = 1.0
"""Seconds between two checks whether everything is done, in case no event says so."""


def start_and_wait(
    start: Callable[[], object], stopped: Waker, is_over: Callable[[], bool] | None = None
) -> None:
    """Call *start*, and block until SIGINT or SIGTERM, or *stopped* is woken and *is_over* agrees.

    A signal that comes while *start* is under way counts: it ends the wait before it begins.
    Outside of the main thread, where Python takes no signals, only *stopped* ends it.
    """
    signals: list[bool] = []

    def react() -> None:
        signals.append(True)
        stopped.wake()

    # Not an Event: its set() in a handler can meet its own wait() holding the lock it needs.
    with signals_call(react):
        try:
            start()
            # In slices: a signal that comes just before a lock begins to be waited for does not end
            # that wait, and Python calls the handler after it.
            if is_over is None:
                while not (signals or stopped.sleep(POLL_EVERY)):
                    continue
                return
            while not (signals or is_over()):
                stopped.sleep(POLL_EVERY)
        except KeyboardInterrupt:  # SIGINT, just before the handler was in place
            return


@contextmanager
def signals_call(react: Callable[[], None]) -> Iterator[None]:
    """Call *react* on SIGINT and SIGTERM, and put back the handlers that were there before.

    Outside of the main thread, where Python takes no signals, do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(_number: int, _frame: FrameType | None) -> None:
        react()

    before: dict[signal.Signals, Any] = {}
    try:
        for number in _SIGNALS:
            before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
