"""Runs that wait for other runs of their executor, which needs a worker that is free for those."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from schedcore.changes.changing import Check
from schedcore.errors import InvalidOptionError
from schedcore.executors.base import Executor
from schedcore.run import loop_here
from schedcore.stores.base import Entry


class NestedWaits:
    """Keeps a run from waiting for one that would never begin, since all who could run it wait.

    Args:
        executors: By name.
    """

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        self._executors = executors
        self._waiting: Counter[str] = Counter()
        # Re-entrant: a signal handler may run a job, too.
        self._lock = threading.RLock()

    @contextmanager
    def waiting(self, check: Check | None, for_ever: bool) -> Generator[Check]:
        """Give *check* with another one, to be made of the job whose run this thread then awaits.

        That raises InvalidOptionError if the wait is *for_ever* and this thread is the last worker
        of the job's executor that does not wait yet.
        """
        counted: list[str] = []

        def check_both(entry: Entry) -> None:
            if check is not None:
                check(entry)
            if for_ever and self._is_worker(entry.job.executor):
                counted.append(entry.job.executor)

        try:
            yield check_both
        finally:
            with self._lock:
                self._waiting.subtract(counted)

    def _is_worker(self, name: str) -> bool:
        """Count this thread among the workers of an executor that wait, if it is one of them."""
        ask = getattr(self._executors.get(name), "workers_here", None)
        workers = ask() if ask is not None else None
        if workers is None:
            return False
        with self._lock:
            if self._waiting[name] + 1 >= workers:
                raise InvalidOptionError("wait", True, _why_not(name, workers))
            self._waiting[name] += 1
        return True


def _why_not(name: str, workers: int) -> str:
    """Say what is expected in place of a wait that would never end."""
    if loop_here() is not None:
        return (
            f"False in the event loop of the executor {name!r}, which would stand still; in a"
            " coroutine, call it in a thread: await asyncio.to_thread(scheduler.run_job, ...)"
        )
    return (
        f"False, or a timeout, inside a run of the executor {name!r}: all of its workers"
        f" ({workers}) would wait, and none would be left to run what they wait for"
    )
