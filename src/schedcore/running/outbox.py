"""Hands runs to one executor: in order, one thread at a time, no thread waiting for another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from schedcore.basics.turns import Turn
from schedcore.job import Job
from schedcore.run import Run


class Outbox:
    """The runs that wait to be submitted to one executor.

    While a thread is inside the executor's ``submit``, others leave their runs here, and that
    thread submits them: an executor that blocks delays one thread, and only its own runs.

    Args:
        submit: Hands runs to the executor, and returns those to announce, each with its job; raises
            nothing but Ctrl-C.
    """

    def __init__(self, submit: Callable[[Sequence[Run]], Sequence[tuple[Run, Job]]]) -> None:
        self._submit = submit
        self._waiting: deque[Sequence[Run]] = deque()
        # A run that this thread executes or ends within submit may be followed by another.
        self._turn = Turn()

    def put(self, runs: Sequence[Run]) -> None:
        """Add *runs*; :meth:`send` submits them."""
        self._waiting.append(runs)

    def send(self) -> Sequence[tuple[Run, Job]]:
        """Submit all runs, unless another thread is submitting: then that one submits these too.

        Returns:
            The runs to announce, now that this thread delays no other.
        """
        handed: list[tuple[Run, Job]] = []
        while self._waiting and self._turn.take():
            try:
                runs = self._waiting.popleft() if self._waiting else ()
                handed += self._submit(runs)
            finally:
                self._turn.leave()
        return handed
