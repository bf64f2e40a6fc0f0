"""Executes runs immediately in the calling thread: for simulations and tests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from schedcore.errors import is_interrupt
from schedcore.executors.base import Reporter, perform, settle
from schedcore.run import Run


class InlineExecutor:
    """Executes each run within ``submit``, one after the other, coroutines included.

    A run that is submitted from inside another one, such as one that waited for its end, is
    executed after that one and not inside it: so a long backlog does not need a deep stack.

    Ctrl-C in the main thread is recorded as the end of the active run, and raised again for the
    program.  The runs after that one are cancelled.
    """

    def __init__(self) -> None:
        self._here = threading.local()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Execute *runs* before returning, unless this is called from inside a run.

        Raises:
            KeyboardInterrupt: if that was raised inside a run, in the main thread.
        """
        queue: deque[tuple[Run, Reporter]] | None = getattr(self._here, "queue", None)
        if queue is not None:
            queue.extend((run, reporter) for run in runs)
            return
        self._here.queue = queue = deque((run, reporter) for run in runs)
        try:
            while queue:
                raised: list[BaseException] = []
                perform(*queue.popleft(), raised)
                if raised and is_interrupt(raised[-1]):
                    raise raised[-1]
            settle(reporter)
        finally:
            self._here.queue = None
            for run, its_reporter in queue:
                its_reporter.cancelled(run)

    def workers_here(self) -> int | None:
        """Return 1 inside a run of this thread, and None elsewhere."""
        return None if getattr(self._here, "queue", None) is None else 1

    def abandon(self, run: Run) -> None:
        """Do nothing: a run in the calling thread cannot be stopped."""

    def shutdown(self, timeout: float | None) -> None:
        """Do nothing: no run is ever waiting."""
