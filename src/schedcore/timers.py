"""When runs are tried again, and when they have taken too long."""

from __future__ import annotations

import threading

from schedcore.atfork import Lock, hold_while_forking
from schedcore.heap import DueQueue
from schedcore.run import Run


class Timer:
    """One alarm of a run."""

    __slots__ = ("queued_us", "run")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.queued_us: int | None = None


class Timers:
    """At most one timer for each run, by a clock that never steps.  Thread-safe."""

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
        """Call off the timer of *run*, if it has one."""
        with self._lock:
            timer, run._timer = run._timer, None
            if isinstance(timer, Timer):
                self._queue.discard(timer)

    def pop_due(self, now_us: int) -> list[Run]:
        """Return the runs whose time has come, the earliest first; their timers are gone."""
        with self._lock:
            runs = [timer.run for timer in self._queue.pop_due(now_us, len(self._queue))]
            for run in runs:
                run._timer = None
            return runs

    def first_due(self) -> int | None:
        """Return when the first one rings, or None."""
        with self._lock:
            return self._queue.first_due()

    def clear(self) -> None:
        """Call all of them off."""
        with self._lock:
            self._queue.clear()
