"""Executors: round trips per second, compared with the pool below or the best peer."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor as FuturesPool
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from multiprocessing import get_context
from typing import Any

from benchmarks.measuring import COST, OURS, Figures, Row, Scenario, Stopwatch
from schedcore import DateTrigger, Outcome, Run, Scheduler, ThreadPool, current_run
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.executors.futures import FuturesAdapter
from schedcore.executors.processes import ProcessPool
from schedcore.job import Job, Options

WORKERS = 2
BARE = "concurrent.futures"
PEBBLE = "pebble"
DASK = "distributed"
CELERY = "celery"


def nothing() -> None:
    """Do nothing: the function of every run."""


async def nothing_awaited() -> None:
    """Do nothing: the function of every run on an event loop."""


class Counting:
    """Counts reports, and ignores them."""

    remote = None
    captures = False

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self._over = threading.Event()

    def wait(self) -> None:
        assert self._over.wait(100)

    def begin(self, run: Run) -> bool:
        run._started_us = 0
        return True

    def begun(self, run: Run, at_us: int) -> None:
        run._started_us = at_us

    def end(
        self,
        run: Run,  # noqa: ARG002
        value: Any,  # noqa: ARG002
        error: BaseException | None,
        at_us: int | None = None,  # noqa: ARG002
    ) -> int:
        assert error is None
        with self._lock:
            self._left -= 1
            if not self._left:
                self._over.set()
        return 100

    def settle(self) -> None:
        """Do nothing."""


def runs(count: int, function: Callable[..., Any]) -> list[Run]:
    trigger = DateTrigger("2030-01-01", "UTC")
    job = Job("j", function, (), {}, trigger, Options())
    return [Run(number, job, 0) for number in range(count)]


def trips(executor: Any, count: int, function: Callable[..., Any] = nothing) -> Figures:
    """Return the time of a round trip, after a warm-up."""
    for warm in (True, False):
        number = 20 if warm else count
        batch, counting = runs(number, function), Counting(number)
        with Stopwatch() as watch:
            executor.submit(batch, counting)
            counting.wait()
    executor.shutdown(10)
    return {COST: watch.seconds / count}


def bare_trips(pool: FuturesPool, count: int) -> Figures:
    """Return the same for a pool alone."""
    for number in (20, count):
        with Stopwatch() as watch:
            for future in [pool.submit(nothing) for _ in range(number)]:
                future.result()
    pool.shutdown()
    return {COST: watch.seconds / count}


def pebble_trips(count: int) -> Figures:
    from pebble import ProcessPool as Pebble

    pool = Pebble(WORKERS, context=get_context("spawn"))
    for number in (20, count):
        with Stopwatch() as watch:
            for future in [pool.schedule(nothing) for _ in range(number)]:
                future.result()
    pool.close()
    pool.join()
    return {COST: watch.seconds / count}


def dask_trips(count: int, ours: bool) -> Figures:
    """Return the same for a Dask cluster: with the executor, or its client alone."""
    from distributed import Client, LocalCluster

    from schedcore.executors.dask import DaskExecutor

    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        if ours:
            return trips(DaskExecutor(client), count)
        for number in (20, count):
            with Stopwatch() as watch:
                client.gather([client.submit(nothing, pure=False) for _ in range(number)])
        return {COST: watch.seconds / count}


def celery_trips(count: int, ours: bool) -> Figures:
    """Return the same for Celery workers: with a scheduler and its store, or Celery alone."""
    from benchmarks.celery_trips import trips_of

    return trips_of(count, ours)


LATE = "late"
"""The figure of a scenario that has one: seconds by which a job on threads is late at most."""


def late_beside_a_burst(count: int, on_disk: bool = False) -> Figures:
    """Return how late a job on threads is, each 10 ms, while *count* fall due for processes."""
    with tempfile.TemporaryDirectory() as folder:
        return _late(count, f"sqlite:///{folder}/jobs.db" if on_disk else None)


def _late(count: int, store: str | None) -> Figures:
    executors = {"default": ThreadPool(WORKERS), "cpu": ProcessPool(WORKERS)}
    scheduler = Scheduler(timezone="UTC", executors=executors, store=store)
    scheduler.start()
    job = {"func": "os:getpid", "executor": "cpu", "next_run_time": None}
    for number in range(WORKERS):  # whose processes are there then
        scheduler.run_job(scheduler.add_job(**job, id=f"warm {number}").id)
    _seconds.clear()
    due = datetime.now(timezone.utc) + timedelta(seconds=2 + count / (1_000 if store else 5_000))
    burst = {**job, "trigger": "date", "next_run_time": due}
    scheduler.add_jobs({**burst, "id": str(number)} for number in range(count))
    scheduler.add_job(tick, "interval", seconds=0.01, start_date=due, id="tick")
    while scheduler.counts().get(Outcome.EXECUTED, 0) < count:
        threading.Event().wait(0.1)
    scheduler.shutdown(timeout=10)
    return {LATE: max(_seconds)}


_seconds: list[float] = []


def tick() -> None:
    """Note how late this run is."""
    _seconds.append(current_run().lateness)


def spawned() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(WORKERS, get_context("spawn"))


@contextmanager
def own_pool(pool: FuturesPool) -> Iterator[FuturesAdapter]:
    with pool:
        yield FuturesAdapter(pool)


def adapted_trips(make: Callable[[], FuturesPool], count: int) -> Figures:
    with own_pool(make()) as executor:
        return trips(executor, count)


def scenarios(full: bool) -> Sequence[Scenario]:
    """Return the scenarios."""
    count = 20_000 if full else 4_000
    few = count // 2
    return [
        Scenario(
            "round trip on threads",
            {
                OURS: lambda: trips(ThreadPool(WORKERS), count),
                BARE: lambda: bare_trips(ThreadPoolExecutor(WORKERS), count),
            },
            (Row(peer=BARE, times_peer=1.0),),
        ),
        Scenario(
            "round trip on an event loop",
            {OURS: lambda: trips(CoroutineLoop(), count, nothing_awaited)},
            (Row(peer=BARE),),
        ),
        Scenario(
            "round trip on threads of a pool",
            {
                OURS: lambda: adapted_trips(lambda: ThreadPoolExecutor(WORKERS), count),
                BARE: lambda: bare_trips(ThreadPoolExecutor(WORKERS), count),
            },
            (Row(peer=BARE),),
        ),
        Scenario(
            "round trip on processes",
            {
                OURS: lambda: trips(ProcessPool(WORKERS), few),
                PEBBLE: lambda: pebble_trips(few),
            },
            (Row(peer=PEBBLE, times_peer=0.8),),
        ),
        Scenario(
            "round trip on processes of a pool",
            {
                OURS: lambda: adapted_trips(spawned, few),
                BARE: lambda: bare_trips(spawned(), few),
            },
            (Row(peer=BARE, times_peer=0.8),),
        ),
        Scenario(
            "10,000 due at once for processes",
            {OURS: lambda: late_beside_a_burst(10_000)},
            (Row(LATE, label="a job on threads, late at most", at_most=0.020),),
            rounds=3,
        ),
        Scenario(
            "10,000 due at once for processes, SQLite",
            {OURS: lambda: late_beside_a_burst(10_000, on_disk=True)},
            (Row(LATE, label="a job on threads, late at most"),),
            rounds=3,
        ),
        Scenario(
            "round trip on Dask",
            {
                OURS: lambda: dask_trips(few // 10, ours=True),
                DASK: lambda: dask_trips(few // 10, ours=False),
            },
            (Row(peer=DASK, times_peer=0.8),),
        ),
        Scenario(
            "round trip on Celery",
            {
                OURS: lambda: celery_trips(few // 5, ours=True),
                CELERY: lambda: celery_trips(few // 5, ours=False),
            },
            (Row(peer=CELERY),),
        ),
    ]
