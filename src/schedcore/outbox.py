"""The way of runs to one executor: in order, one caller at a time, none waiting for another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from schedcore.job import Job
from schedcore.run import Run


class Outbox:
    """Runs that are to be submitted to one executor.

    While a thread is inside the executor's ``submit``, others leave their runs here, and that
    thread hands them on: an executor that blocks holds up one thread, and its own runs.

    Args:
        submit: Hands runs to the executor, and returns those that are to be told of, each with its
            job; never raises but to end the program.
    """

    def __init__(self, submit: Callable[[Sequence[Run]], Sequence[tuple[Run, Job]]]) -> None:
        self._submit = submit
        self._waiting: deque[Sequence[Run]] = deque()
        # Re-entrant: a run that this thread executes within submit may be followed by another.
        self._inside = threading.RLock()

    def put(self, runs: Sequence[Run]) -> None:
        """Leave *runs* to be submitted by :meth:`send`."""
        self._waiting.append(runs)

    def send(self) -> Sequence[tuple[Run, Job]]:
        """Submit what is here, unless another thread is at it: then that one does.

        Returns:
            What is to be told of, now that this thread keeps nobody out any more.
        """
        told: list[tuple[Run, Job]] = []
        # Looked at again after the lock was released: somebody may have found it taken just then.
        while self._waiting and self._inside.acquire(blocking=False):
            try:
                runs = self._waiting.popleft() if self._waiting else ()
                told += self._submit(runs)
            finally:
                self._inside.release()
        return told
