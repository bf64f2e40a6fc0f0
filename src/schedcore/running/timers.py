"""Timers of runs: when one is retried, and when one has taken too long."""

from __future__ import annotations

import threading

from schedcore.basics.atfork import Lock, hold_while_forking
from schedcore.heap import DueQueue
from schedcore.run import Run


class Timer:
    """The timer of one run."""

    __slots__ = ("queued_us", "run")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.queued_us: int | None = None


class Timers:
    """At most one timer for each run, by the monotonic clock.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._queue: DueQueue[Timer] = DueQueue()
        hold_while_forking(self)

    def data_lock(self) -> Lock:
        """Return the lock that guards all of it."""
        return self._lock

    def __len__(self) -> int:
        """Return how many are set."""
        return len(self._queue)

    def set(self, run: Run, at_us: int) -> None:
        """Set the timer of *run* to *at_us*, in place of the one it had."""
        with self._lock:
            self.drop(run)
            run._timer = timer = Timer(run)
            self._queue.put(timer, at_us)

    def drop(self, run: Run) -> None:
        """Drop the timer of *run*, if it has one."""
        with self._lock:
            timer, run._timer = run._timer, None
            if isinstance(timer, Timer):
                self._queue.discard(timer)

    def pop_due(self, now_us: int) -> list[Run]:
        """Return the runs whose timers are due, the earliest first, and drop those timers."""
        with self._lock:
            runs = [timer.run for timer in self._queue.pop_due(now_us, len(self._queue))]
            for run in runs:
                run._timer = None
            return runs

    def first_due(self) -> int | None:
        """Return when the first one is due, or None."""
        with self._lock:
            return self._queue.first_due()

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._queue = DueQueue()
