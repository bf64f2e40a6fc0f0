"""Runs that wait for other runs: those that would wait for ever are refused."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from schedcore import Outcome, Scheduler, ThreadPool
from schedcore.executors.inline import InlineExecutor
from tests.patience import SOON


@pytest.fixture
def scheduler():
    pools = {
        "one": ThreadPool(1),
        "two": ThreadPool(2),
        "future": ThreadPoolExecutor(1),
        "inline": InlineExecutor(),
    }
    scheduler = Scheduler(timezone="UTC", executors=pools)
    scheduler.start()
    yield scheduler
    scheduler.shutdown(timeout=SOON)
    pools["future"].shutdown()


def nothing():
    pass


async def nothing_async():
    pass


def record_of(scheduler, func, **options):
    """Run *func* as a job to its end."""
    job = scheduler.add_job(func, "interval", hours=1, **options)
    run = scheduler.run_job(job.id, wait=False)
    assert run.wait(SOON)
    return run.record


@pytest.mark.parametrize("executor", ["one", "future", "inline", "coroutines"])
def test_the_last_worker_may_not_wait_for_a_run_of_its_executor(scheduler, executor):
    async def wait_async():
        scheduler.run_job("other")

    asynchronous = executor == "coroutines"
    other = nothing_async if asynchronous else nothing
    scheduler.add_job(other, "interval", hours=1, id="other", executor=executor)
    waits = wait_async if asynchronous else lambda: scheduler.run_job("other")
    for _ in range(2):
        record = record_of(scheduler, waits, executor=executor)
        assert record.outcome is Outcome.FAILED
        assert record.error_type == "InvalidOptionError"
        assert f"the executor {executor!r}" in record.error_text
    assert not scheduler.counts("other"), "nothing was begun"


@pytest.mark.parametrize("executor", ["one", "coroutines"])
@pytest.mark.parametrize("how", [{"wait": False}, {"timeout": 0.01}])
def test_one_that_does_not_wait_for_ever_may(scheduler, executor, how):
    async def start_async():
        scheduler.run_job("other", **how)

    asynchronous = executor == "coroutines"
    other = nothing_async if asynchronous else nothing
    scheduler.add_job(other, "interval", hours=1, id="other", executor=executor)
    start = start_async if asynchronous else lambda: scheduler.run_job("other", **how)
    assert record_of(scheduler, start, executor=executor).outcome is Outcome.EXECUTED
    assert scheduler._runs.wait_until_idle(SOON)
    assert scheduler.counts("other") == {Outcome.EXECUTED: 1}


def test_those_that_leave_a_worker_may_wait_and_the_last_may_not(scheduler, gate):
    """Of two that wait for one another's kind, the first one gets its run in the end."""
    scheduler.add_job(gate, "interval", hours=1, id="other", executor="two", max_instances=2)
    first = scheduler.add_job(
        lambda: scheduler.run_job("other"), "interval", hours=1, executor="two"
    )
    run = scheduler.run_job(first.id, wait=False)
    gate.wait()
    gate.open()
    assert run.wait(SOON)
    assert run.record.outcome is Outcome.EXECUTED
    assert record_of(scheduler, lambda: scheduler.run_job("other"), executor="two").outcome is (
        Outcome.EXECUTED
    )


def test_as_many_as_there_are_workers_never_all_wait(scheduler):
    """Both workers are about to wait for runs that neither could begin."""
    both = threading.Barrier(2)

    def wait():
        both.wait(2 * SOON)
        scheduler.run_job("other")

    scheduler.add_job(nothing, "interval", hours=1, id="other", executor="two", max_instances=2)
    jobs = [scheduler.add_job(wait, "interval", hours=1, executor="two") for _ in range(2)]
    runs = [scheduler.run_job(job.id, wait=False) for job in jobs]
    assert all(run.wait(SOON) for run in runs)
    assert {run.record.outcome for run in runs} == {Outcome.EXECUTED, Outcome.FAILED}


@pytest.mark.parametrize("executor", ["two", "coroutines"])
def test_a_wait_for_another_executor_is_none_of_those(scheduler, executor):
    scheduler.add_job(nothing_async, "interval", hours=1, id="other")
    scheduler.add_job(nothing, "interval", hours=1, id="third", executor="one")

    async def wait_elsewhere():
        await asyncio.to_thread(scheduler.run_job, "other")
        scheduler.run_job("third")

    waits = wait_elsewhere if executor == "coroutines" else lambda: scheduler.run_job("other")
    assert record_of(scheduler, waits, executor=executor).outcome is Outcome.EXECUTED


def test_outside_of_runs_nobody_is_refused(scheduler):
    for executor in ("one", "future", "inline", "coroutines"):
        func = nothing_async if executor == "coroutines" else nothing
        scheduler.add_job(func, "interval", hours=1, id=executor, executor=executor)
        assert scheduler.run_job(executor).record.outcome is Outcome.EXECUTED
