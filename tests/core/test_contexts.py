"""Each run has a context of its own, wherever it is executed and whoever submitted it."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextvars import ContextVar
from datetime import timedelta

import pytest

from schedcore import Outcome, Retry, Scheduler, ThreadPool, current_run
from schedcore.executors.futures import FuturesAdapter
from schedcore.executors.inline import InlineExecutor
from tests.patience import SOON

color = ContextVar("color", default="none")


def paint():
    """Return what was there, and leave something."""
    found = color.get()
    color.set("red")
    return found


async def paint_in_a_task():
    return paint()


EXECUTORS = {
    "threads": (lambda: ThreadPool(1), paint),
    "awaiting": (lambda: ThreadPool(1), paint_in_a_task),
    "coroutines": (None, paint_in_a_task),
    "inline": (InlineExecutor, paint),
    "futures": (lambda: FuturesAdapter(ThreadPoolExecutor(1)), paint),
    "processes": (lambda: FuturesAdapter(ProcessPoolExecutor(1)), paint),
}


@pytest.fixture(params=EXECUTORS)
def stand(request):
    """A scheduler, the name of an executor of it, and a function for that."""
    make, func = EXECUTORS[request.param]
    executors = {} if make is None else {request.param: make()}
    scheduler = Scheduler(timezone="UTC", executors=executors)
    color.set("green")  # what whoever submits has set is not the run's
    scheduler.start()
    yield scheduler, request.param, func
    scheduler.shutdown(timeout=SOON)
    if request.param in ("futures", "processes"):
        executors[request.param]._pool.shutdown()


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_run_sees_nothing_of_its_submitter_or_of_the_run_before(stand):
    scheduler, executor, func = stand
    scheduler.add_job(func, "interval", hours=1, id="job", executor=executor)
    assert [scheduler.run_job("job").record.result for _ in range(3)] == ["'none'"] * 3
    assert color.get() == "green"


class Painting:
    """Leaves something in its context; fails the first time."""

    def __init__(self):
        self.found, self.ended = [], threading.Semaphore(0)

    def __call__(self):
        self.found.append((paint(), current_run().attempt))
        self.ended.release()
        if len(self.found) == 1:
            raise ValueError("once")

    async def as_task(self):
        self()


@pytest.mark.parametrize("executor", ["default", "coroutines", "inline"])
def test_a_retry_and_what_waits_behind_a_run_have_contexts_of_their_own(
    virtual_scheduler, manual_clock, executor
):
    painting = Painting()
    virtual_scheduler._executors["inline"] = InlineExecutor()
    virtual_scheduler.add_job(
        painting.as_task if executor == "coroutines" else painting,
        "interval",
        seconds=10,
        executor=executor,
        coalesce=False,
        retry=Retry(count=1, delay=1, jitter=0),
        id="job",
    )
    virtual_scheduler.start()
    manual_clock.advance(timedelta(seconds=30))
    assert painting.ended.acquire(timeout=SOON)
    while len(painting.found) < 4:
        manual_clock.advance(1)
        assert painting.ended.acquire(timeout=SOON)
    assert [found for found, _ in painting.found] == ["none"] * 4
    assert {attempt for _, attempt in painting.found} == {1, 2}


def test_the_current_run_is_gone_with_its_context(virtual_scheduler):
    virtual_scheduler._executors["default"] = InlineExecutor()
    virtual_scheduler.start()
    virtual_scheduler.add_job(lambda: current_run().id, "interval", hours=1, id="job")
    run = virtual_scheduler.run_job("job")
    assert run.record.outcome is Outcome.EXECUTED
    with pytest.raises(LookupError, match="no run is active here"):
        current_run()
