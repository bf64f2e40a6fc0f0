"""A scheduler as the main thing a script does: until a signal, then a good end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from schedcore.clock import Waker

_SLICE = 0.5
"""Seconds after which a signal is noticed at the latest."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def wait_for_signal(stopped: Waker) -> None:
    """Block until SIGINT, SIGTERM, or *stopped* is woken.

    Outside of the main thread, where Python takes no signals, only *stopped* ends it.
    """
    # Not an Event: its set() in a handler can meet its own wait() holding the lock it needs.
    with _signals_call(stopped.wake):
        try:
            # In slices: a signal that comes just before a lock begins to be waited for does not end
            # that wait, and Python calls the handler after it.
            while not stopped.sleep(_SLICE):
                continue
        except KeyboardInterrupt:  # SIGINT, just before the handler was in place
            return


@contextmanager
def _signals_call(react: Callable[[], None]) -> Iterator[None]:
    """Call *react* on a signal, and put back the handlers that were there before."""
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
