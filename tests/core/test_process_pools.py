"""A process pool outlives the death of its processes, and leaves none behind."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from schedcore import EVENT_ALL, Outcome, Scheduler
from schedcore.executors.futures import FuturesAdapter
from tests.patience import SOON


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    threading.Event().wait()


POOLS = {
    "of the settings": lambda: {"type": "processpool", "max_workers": 1},
    "of the user's": lambda: ProcessPoolExecutor(1),
    "made by a function": lambda: FuturesAdapter(lambda: ProcessPoolExecutor(1)),
}


@pytest.fixture(params=POOLS)
def scheduler(request):
    pool = POOLS[request.param]()
    scheduler = Scheduler(timezone="UTC", executors={"default": pool})
    scheduler.start()
    yield scheduler
    scheduler.shutdown(timeout=SOON)
    if isinstance(pool, ProcessPoolExecutor):
        pool.shutdown()


def outcome_of(scheduler, func):
    """Run *func* once, and return how that ended."""
    ended = threading.Event()
    job = scheduler.add_job(func, next_run_time=None)
    scheduler.add_listener(lambda event: event.job_id == job.id and ended.set(), EVENT_ALL)
    scheduler.run_job(job.id, timeout=SOON)
    return scheduler.history(job.id)[0].outcome


def test_after_a_process_died_the_next_runs_are_executed(scheduler):
    for _ in range(2):
        assert outcome_of(scheduler, die) is Outcome.LOST
        assert outcome_of(scheduler, os.getpid) is Outcome.EXECUTED
    assert scheduler.health().ok


@pytest.mark.parametrize("pool", ["of the settings", "made by a function"])
def test_at_the_end_no_process_is_left_however_its_run_hangs(tmp_path, pool):
    scheduler = Scheduler(timezone="UTC", executors={"default": POOLS[pool]()})
    scheduler.start()
    file = tmp_path / "pid"
    scheduler.add_job(hang, args=[str(file)])
    while not (file.exists() and file.read_text()):
        pass
    scheduler.shutdown(timeout=0.1)
    pid = int(file.read_text())
    gone = threading.Event()
    while not gone.wait(0.01):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            gone.set()
    scheduler.start()  # and the next start has a pool again
    assert outcome_of(scheduler, os.getpid) is Outcome.EXECUTED
    scheduler.shutdown(timeout=SOON)
