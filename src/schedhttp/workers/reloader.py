"""Werkzeug's reloader: of its two processes the one that serves runs the scheduler.

The parent imports the app as well, only to start the child again and again.  That it is such a
parent cannot be known before the app is run, when its scheduler may be started already.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from schedcore.atfork import call_in_child
from schedcore.clock import Patience, Waker
from schedhttp.workers.gunicorn import process_start

_WATCH_FOR = 60.0
_LOOK_EVERY = 0.05


def is_child() -> bool:
    """Tell whether this process serves, and a reloader started it."""
    return os.environ.get("WERKZEUG_RUN_MAIN") == "true"


def instance() -> str:
    """Return what the two processes and all later children share, and nobody else; "": unknown."""
    return process_start(os.getppid() if is_child() else os.getpid())


def call_in_parent(leave: Callable[[], object]) -> None:
    """Call *leave* as soon as this process turns out to be a reloader's parent, within a minute.

    Werkzeug imports its reloader only to run it.
    """
    if not is_child():
        _watch.add(leave)


class _Watch:
    """One thread looks for all that are to leave, and ends a minute after the last one came."""

    def __init__(self) -> None:
        self._reset()
        call_in_child(self)

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._leaves: list[Callable[[], object]] = []
        self._patience = Patience(_WATCH_FOR)
        self._watches = False

    def add(self, leave: Callable[[], object]) -> None:
        with self._mutex:
            self._leaves.append(leave)
            self._patience = Patience(_WATCH_FOR)
            if not self._watches:
                self._watches = True
                threading.Thread(target=self._look, name="schedhttp-reloader", daemon=True).start()

    def _look(self) -> None:
        leaves = None
        while leaves is None:
            leaves = self._ended()
            if leaves is None:
                Waker().sleep(_LOOK_EVERY)
        for leave in leaves:
            leave()

    def _ended(self) -> list[Callable[[], object]] | None:
        """Return who is to leave, if there is an end to the watch; None: it goes on."""
        with self._mutex:
            is_parent = "werkzeug._reloader" in sys.modules
            if not is_parent and self._patience.left():
                return None
            leaves, self._leaves, self._watches = self._leaves, [], False
            return leaves if is_parent else []

    def after_fork_in_child(self) -> None:
        """Watch for nobody: the thread stayed behind in the parent."""
        self._reset()


_watch = _Watch()
