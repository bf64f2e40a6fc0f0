"""Round trips through Celery workers: with the executor and a store on disk, or Celery alone.

Its workers import this module: ``celery -A benchmarks.celery_trips worker``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery

from benchmarks.measuring import COST, Figures, Stopwatch
from schedcore import EVENT_JOB_EXECUTED, DateTrigger, Scheduler

WORKERS = 2
Call = Callable[[int], None]
"""Executes so many round trips."""
BROKER = "BENCHMARK_BROKER"
"""The environment variable with the broker's URL, for workers."""


def connected(url: str) -> Celery:
    """Return an app on a broker, which also stores results."""
    include = ["schedcore.executors.celery_task"]
    return Celery("benchmark", broker=url, backend=url, include=include, set_as_current=False)


def nothing() -> None:
    """Do nothing: the function of every run."""


app = connected(os.environ.get(BROKER, "redis://"))
app.task(nothing, name="nothing")


@contextmanager
def served() -> Iterator[str]:
    """Start a broker and two workers; return their folder."""
    with tempfile.TemporaryDirectory() as folder:
        redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", ""],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "benchmarks.celery_trips", "worker"),
                *("-c", str(WORKERS), "-l", "ERROR"),
            ],
            env={
                **os.environ,
                BROKER: f"redis+socket://{folder}/redis.sock",
                "SCHEDULER_STORE": f"sqlite:///{folder}/jobs.db",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield folder
        finally:
            for program in (worker, redis):
                program.terminate()
                program.wait()


def trips_of(count: int, ours: bool) -> Figures:
    """Return the time of a round trip, after a warm-up."""
    with served() as folder:
        url = f"redis+socket://{folder}/redis.sock"
        trips = _ours(folder, url) if ours else _bare(url)
        with trips as call:
            call(20)
            with Stopwatch() as watch:
                call(count)
        return {COST: watch.seconds / count}


@contextmanager
def _bare(url: str) -> Iterator[Call]:
    with connected(url) as client:

        def call(count: int) -> None:
            for result in [client.send_task("nothing") for _ in range(count)]:
                result.get()

        yield call


@contextmanager
def _ours(folder: str, url: str) -> Iterator[Call]:
    table = {"type": "celery", "broker": url}
    store = f"sqlite:///{Path(folder, 'jobs.db')}"
    scheduler = Scheduler(timezone="UTC", store=store, executors={"default": table})
    ended = threading.Semaphore(0)
    scheduler.add_listener(lambda _event: ended.release(), EVENT_JOB_EXECUTED)
    scheduler.start()

    def call(count: int) -> None:
        # All are due at once.
        trigger = DateTrigger("2020-01-01", "UTC")
        scheduler.add_jobs([{"func": nothing, "trigger": trigger} for _ in range(count)])
        for _ in range(count):
            assert ended.acquire(timeout=100)

    yield call
    scheduler.shutdown()
