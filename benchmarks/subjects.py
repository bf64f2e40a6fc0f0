"""Who is measured: schedcore, APScheduler, and the least that any scheduler must do.

The limits are what the same interpreter does at best with the standard library: a heap and a dict,
a pool, a queue, a lock with a time-out.  They schedule nothing, check nothing and remember nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timezone
from heapq import heappush
from queue import SimpleQueue
from typing import Any

THREADS = 10
"""Of every pool; both libraries' default."""
HOUR_NS = 3600 * 10**9

HEAP, POOL, QUEUE, LOOP, LOCK = (
    "heap and dict",
    "ThreadPoolExecutor",
    "SimpleQueue",
    "heap and sleep",
    "lock and queue",
)
"""What the limits are called in the table."""


def nothing() -> None:
    """What a job does, unless it is to be counted."""


def ours() -> Any:
    """Return a scheduler as users get it: with its ledger, and dropping nothing."""
    from schedcore import Scheduler

    return Scheduler(timezone="UTC")


def theirs(**job_defaults: Any) -> Any:
    """Return APScheduler's scheduler, told to drop nothing that is late, as ours does not."""
    from apscheduler.executors.pool import ThreadPoolExecutor as TheirPool
    from apscheduler.schedulers.background import BackgroundScheduler

    return BackgroundScheduler(
        timezone=timezone.utc,
        executors={"default": TheirPool(THREADS)},
        job_defaults={"misfire_grace_time": None, "coalesce": True, **job_defaults},
    )


def theirs_losing_nothing() -> Any:
    """Return APScheduler's scheduler with the options under which it loses the fewest runs.

    A second run of a job may begin while one is under way or waits for a thread, and every fire
    time of a backlog is run.
    """
    return theirs(coalesce=False, max_instances=100)


class BareHeap:
    """Jobs in a dict and their due times in a heap; what is stale would be skipped when popped."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[object, ...]] = {}
        self.heap: list[tuple[int, str]] = []

    def start(self, paused: bool = False) -> None:
        """Do nothing: it does not run."""

    def add_job(self, func: object, *_: object, id: str, **__: object) -> None:
        due = time.time_ns() + HOUR_NS
        heappush(self.heap, (due, id))
        self.jobs[id] = (due, func)

    def reschedule_job(self, id: str, **_: object) -> None:
        due = time.time_ns() + HOUR_NS
        heappush(self.heap, (due, id))
        self.jobs[id] = (due, *self.jobs[id][1:])

    def modify_job(self, id: str, name: str) -> None:
        due, func, *_ = self.jobs[id]
        self.jobs[id] = (due, func, name)

    def pause_job(self, id: str) -> None:
        self.jobs[id] = (None, *self.jobs[id][1:])

    resume_job = reschedule_job

    def remove_job(self, id: str) -> None:
        del self.jobs[id]

    def get_job(self, id: str) -> object:
        return self.jobs[id]

    def get_jobs(self) -> list[object]:
        return list(self.jobs.values())


def through_pool(job: Callable[[], object], count: int) -> None:
    """Submit *job* so many times to the standard library's pool."""
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(count):
            pool.submit(job)


def through_queue(job: Callable[[], object], count: int) -> None:
    """Hand *job* so many times to threads that wait at a queue."""
    queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    def work() -> None:
        while (taken := queue.get()) is not None:
            taken()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for _ in range(count):
        queue.put(job)
    for _ in threads:
        queue.put(None)
    for thread in threads:
        thread.join()
