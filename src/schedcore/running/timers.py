"""Timers of runs: when one is retried, and when one has taken too long."""

from __future__ import annotations

import threading

from schedcore.basics.atfork import Lock, hold_while_forking
from schedcore.heap import DueQueue
from schedcore.run import Run


class Timer:
    """The timer of one attempt of a run: it times the attempt out, or begins it."""

    __slots__ = ("attempt", "queued_us", "run", "times_out")

    def __init__(self, run: Run, times_out: bool) -> None:
        self.run = run
        self.attempt = run._attempt
        self.times_out = times_out
        self.queued_us: int | None = None

    def applies(self) -> bool:
        """Return whether it is still that attempt's turn, which has begun, or has not.

        A function may raise just when its time is over: then its next attempt waits.
        """
        run = self.run
        return run._attempt == self.attempt and self.times_out == (run._started_us is not None)


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

    def set(self, run: Run, at_us: int, times_out: bool) -> None:
        """Set the timer of *run* to *at_us*, in place of the one it had.

        Args:
            run: The run.
            at_us: When, by the monotonic clock.
            times_out: Whether it times out the attempt that has begun; else it begins the next one.
        """
        with self._lock:
            timer = Timer(run, times_out)
            if timer.applies():  # else the attempt has begun meanwhile, and has its time-out
                self.drop(run)
                run._timer = timer
                self._queue.put(timer, at_us)

    def drop(self, run: Run) -> None:
        """Drop the timer of *run*, if it has one."""
        with self._lock:
            timer, run._timer = run._timer, None
            if isinstance(timer, Timer):
                self._queue.discard(timer)

    def pop_due(self, now_us: int) -> list[Timer]:
        """Return the timers that are due, the earliest first, and drop them."""
        with self._lock:
            due = self._queue.pop_due(now_us, len(self._queue))
            for timer in due:
                timer.run._timer = None
            return due

    def first_due(self) -> int | None:
        """Return when the first one is due, or None."""
        with self._lock:
            return self._queue.first_due()

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._queue = DueQueue()
