"""Whatever a run does, on any executor: it ends in the right outcome, once, and harms none."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context

import pytest

from schedcore import EVENT_JOB_EXECUTED, Outcome, Scheduler, ThreadPool
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.executors.futures import FuturesAdapter
from schedcore.executors.inline import InlineExecutor
from schedcore.executors.processes import ProcessPool
from tests.core import work
from tests.core.celery_workers import celery_workers
from tests.core.dask_cluster import dask_cluster
from tests.durable.processes import until
from tests.patience import SOON


def new_store():
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"sqlite:///{folder}/jobs.db"


@cache
def programs_loop():
    """Return an event loop that the program runs, in a thread here."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


KINDS = {
    "threads": lambda: ThreadPool(2),
    "coroutines": CoroutineLoop,
    "the program's loop": lambda: CoroutineLoop(loop=programs_loop()),
    "inline": InlineExecutor,
    "futures' threads": lambda: ThreadPoolExecutor(2),
    "futures' processes": lambda: ProcessPoolExecutor(2, get_context("spawn")),
    "processes": lambda: ProcessPool(2),
    "dask": lambda: {"type": "dask", "address": dask_cluster()},
    "dask and a store": lambda: {"type": "dask", "address": dask_cluster()},
    "celery": lambda: {"type": "celery", "broker": celery_workers().broker, "max_workers": 2},
}
ON_LOOPS = {"coroutines", "the program's loop"}
REMOTE = {"futures' processes", "processes", "dask", "dask and a store", "celery"}
STORES = {"celery": lambda: celery_workers().store, "dask and a store": new_store}
"""Those of executors whose workers are told the store when they start."""


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@contextmanager
def started(kind):
    """Start a scheduler with an executor of a kind, and another one beside it."""
    executor = KINDS[kind]()
    executors = {"default": executor, "other": ThreadPool(1)}
    store = STORES[kind]() if kind in STORES else None
    scheduler = Scheduler(timezone="UTC", executors=executors, capture_output=True, store=store)
    scheduler.start()
    yield scheduler
    scheduler.shutdown(timeout=SOON)
    if hasattr(executor, "map"):
        executor.shutdown()


@pytest.fixture
def scheduler(kind):
    with started(kind) as scheduler:
        yield scheduler


def ran(scheduler, func, *args, **options):
    """Run *func* once as a job, and return its record: the only one that there is of it."""
    job = scheduler.add_job(func, args=args, next_run_time=None, **options)
    run = scheduler.run_job(job.id, wait=False)
    assert run.wait(SOON)
    (record,) = scheduler.history(job.id)
    return record


def check_well(scheduler):
    """Check that the next runs, here and on another executor, are executed."""
    assert ran(scheduler, work.returned, 1).outcome is Outcome.EXECUTED
    assert ran(scheduler, work.returned, 2, executor="other").outcome is Outcome.EXECUTED
    # A cluster whose workers have all just died has none until they are started again.
    until(lambda: scheduler.health().ok, "that it is well", SOON)


def test_what_it_returns_is_its_result(scheduler):
    heard = []
    scheduler.add_listener(lambda event: heard.append(event.retval), EVENT_JOB_EXECUTED)
    record = ran(scheduler, work.returned, 1, "a")
    assert (record.outcome, record.result, heard) == (Outcome.EXECUTED, "(1, 'a')", [(1, "a")])
    assert ran(scheduler, work.returns_nothing).result is None


@pytest.mark.parametrize("raised", [ValueError, SystemExit, MemoryError, GeneratorExit])
def test_what_it_raises_is_its_failure(scheduler, raised):
    record = ran(scheduler, work.raising, raised.__name__)
    assert record.outcome is Outcome.FAILED
    assert (record.error_type, record.error_text) == (raised.__name__, "no")
    check_well(scheduler)


def test_what_cannot_be_pickled_is_its_end_all_the_same(scheduler):
    record = ran(scheduler, work.raises_what_cannot_be_pickled)
    assert (record.outcome, record.error_type) == (Outcome.FAILED, "NotPickled")
    assert record.error_text == "no"
    record = ran(scheduler, work.returns_lock)
    assert record.outcome is Outcome.EXECUTED
    assert "lock object" in record.result
    check_well(scheduler)


def test_fifty_megabytes_are_a_result_like_any_other(scheduler):
    record = ran(scheduler, work.returns_much)
    assert (record.outcome, record.result[:4]) == (Outcome.EXECUTED, "'xxx")
    assert len(record.result) <= 1_000
    check_well(scheduler)


def test_a_coroutine_function_runs_to_its_end(scheduler):
    assert ran(scheduler, work.awaited, 7).result == "7"


def test_it_knows_about_itself(scheduler):
    record = ran(scheduler, work.about_itself)
    told = (record.run_id, record.job_id, 1, record.run_id, record.scheduled, "manual")
    assert record.result == repr(told)[:1_000] or str(record.run_id) in record.result


def test_what_it_prints_is_kept(kind):
    with started(kind) as scheduler:  # here: pytest gives a fixture a sys.stdout of its own
        record = ran(scheduler, work.prints)
        assert scheduler.output(record.run_id).text == "printed\nwritten\nWARNING work: logged\n"
        record = ran(scheduler, work.raising, "ValueError")
        assert "in raising" in scheduler.output(record.run_id).text


def test_a_failure_is_tried_again(scheduler):
    retry = {"count": 2, "delay": 0, "on": ["ValueError"]}
    for func, args in ((work.raising, ("ValueError",)), (work.raises_what_cannot_be_pickled, ())):
        record = ran(scheduler, func, *args, retry=retry)
        assert (record.outcome, record.attempt) == (Outcome.FAILED, 3)
    assert ran(scheduler, work.raising, "KeyError", retry=retry).attempt == 1


def test_the_death_of_its_process_loses_it_and_no_later_run(scheduler, kind):
    if kind not in REMOTE:
        pytest.skip("it would be the end of this process")
    record = ran(scheduler, work.die)
    assert record.outcome is Outcome.LOST
    check_well(scheduler)


def test_one_that_hangs_times_out_and_the_next_one_is_executed(scheduler, kind, tmp_path):
    if kind == "inline":
        pytest.skip("it holds the thread that would time it out")
    gate = tmp_path / "gate"
    func = work.wait_for_async if kind in ON_LOOPS else work.wait_for
    job = scheduler.add_job(func, args=[str(gate)], next_run_time=None, timeout=0.5)
    assert ended(scheduler, job).outcome is Outcome.TIMED_OUT
    check_well(scheduler)
    gate.touch()


def ended(scheduler, job):
    run = scheduler.run_job(job.id, wait=False)
    assert run.wait(SOON)
    (record,) = scheduler.history(job.id)
    return record


def test_one_that_is_cancelled_while_it_waits_is_never_called(scheduler, kind, tmp_path):
    if kind in {"inline", *ON_LOOPS}:
        pytest.skip("no run waits there")
    gate, made = tmp_path / "gate", tmp_path / "made"
    hold = scheduler.add_job(work.wait_for, args=[str(gate)], next_run_time=None, max_instances=2)
    held = [scheduler.run_job(hold.id, wait=False) for _ in range(2)]
    until(lambda: all(run.started_us for run in held), "that both workers are busy")
    make = scheduler.add_job(os.mkdir, args=[str(made)], next_run_time=None, max_instances=9)
    waiting = [scheduler.run_job(make.id, wait=False) for _ in range(9)]
    for run in waiting:
        scheduler.cancel(run.id)
    gate.touch()
    assert all(run.wait(SOON) for run in held)
    check_well(scheduler)
    assert {run.outcome for run in waiting} == {Outcome.CANCELLED}
    assert {run.outcome for run in held} == {Outcome.EXECUTED}
    assert not made.exists()


def test_a_time_out_counts_from_the_beginning_and_not_while_it_waits(scheduler, kind, tmp_path):
    if kind in {"inline", *ON_LOOPS}:
        pytest.skip("no run waits there")
    gate = tmp_path / "gate"
    hold = scheduler.add_job(work.wait_for, args=[str(gate)], next_run_time=None, max_instances=2)
    held = [scheduler.run_job(hold.id, wait=False) for _ in range(2)]
    until(lambda: all(run.started_us for run in held), "that both workers are busy")
    brief = scheduler.add_job(work.returned, next_run_time=None, timeout=5)
    waiting = scheduler.run_job(brief.id, wait=False)
    until(lambda: scheduler.health().waiting.get("default", 0) > 0.2, "that it waits")
    assert waiting.started_us is None
    gate.touch()
    assert waiting.wait(SOON)
    assert waiting.outcome is Outcome.EXECUTED
    assert all(run.wait(SOON) for run in held)


def test_a_pool_that_cannot_be_made_anew_is_told_in_health():
    class Special(ProcessPoolExecutor):
        """Of which nobody knows how it was made."""

    with Special(1, get_context("spawn")) as pool:
        scheduler = Scheduler(timezone="UTC", executors={"mine": FuturesAdapter(pool)})
        scheduler.start()
        assert ran(scheduler, work.die, executor="mine").outcome is Outcome.LOST
        assert ran(scheduler, os.getpid, executor="mine").outcome is Outcome.FAILED
        health = scheduler.health()
        assert not health.ok
        assert list(health.broken) == ["mine"]
        scheduler.shutdown()


def test_a_thread_that_waits_for_a_worker_is_no_deadlock(scheduler, kind):
    """Many runs at once, of which each is executed once."""
    count, before = 60, scheduler.counts().get(Outcome.EXECUTED, 0)
    seen = threading.Semaphore(0)
    scheduler.add_listener(lambda _event: seen.release(), EVENT_JOB_EXECUTED)
    for n in range(count):
        scheduler.add_job(work.returned, args=[n])
    for _ in range(count):
        assert seen.acquire(timeout=SOON)
    assert scheduler.counts()[Outcome.EXECUTED] - before == count
