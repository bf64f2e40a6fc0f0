"""What two threads do at the same moment: each test has one of them come in between."""

from __future__ import annotations

import os
import signal
import subprocess
import threading

import pytest

from schedcore import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MISSED,
    ManualClock,
    Outcome,
    Retry,
    Scheduler,
    SystemClock,
    ThreadPool,
)
from schedcore.clock import Waker
from schedcore.events import Listeners
from schedcore.executors.processes import ProcessPool
from schedcore.loop import Loop
from tests.contract.test_executor import Reports, run_of
from tests.patience import SOON


class Uncapped(SystemClock):
    """A clock on which a loop never wakes a little early, to look; it says that it sleeps."""

    def __init__(self):
        self.asleep = threading.Semaphore(0)

    def wait(self, waker, until_us, cap_us):
        self.asleep.release()
        super().wait(waker, until_us, 3600 * 1_000_000)


class Work:
    """What a loop works on: calls *step*."""

    def __init__(self, step):
        self.step = self.step_paused = step
        self.clock_moved = self.take_back = lambda *_, **__: None


@pytest.fixture
def make_loop():
    loops = []

    def make(step, clock, **options):
        loops.append(Loop(Work(step), clock, **options))
        return loops[-1]

    yield make
    for loop in loops:
        loop.stop(SOON)


def test_while_listeners_change_those_that_stay_miss_no_event():
    seen = []

    class Mask(int):
        def __ror__(self, other):
            seen.append(listeners.mask & EVENT_JOB_EXECUTED)
            return int(self) | other

    listeners = Listeners()
    listeners.add(print, Mask(EVENT_JOB_ERROR))
    listeners.add(print, EVENT_JOB_EXECUTED)
    seen.clear()
    listeners.add(repr, EVENT_JOB_MISSED)
    listeners.remove(repr)
    assert seen == [EVENT_JOB_EXECUTED] * 2


# The loop


def test_a_paused_loop_is_woken_in_time_and_sleeps_again(make_loop):
    clock = Uncapped()
    loop = make_loop(lambda now_us: None, clock)
    loop.paused = True
    loop.start()
    for _ in range(2):
        assert clock.asleep.acquire(timeout=SOON)
        loop.expect(clock.now_us())
    assert clock.asleep.acquire(timeout=SOON)
    assert not clock.asleep.acquire(blocking=False)


def test_a_run_that_begins_while_a_shutdown_waits_times_out(gate):
    closing = threading.Event()

    class Pool(ThreadPool):
        def shutdown(self, timeout):
            closing.set()
            super().shutdown(timeout)

    scheduler = Scheduler(timezone="UTC", clock=Uncapped(), executors={"default": Pool(1)})
    scheduler.add_job(closing.wait, args=[SOON], id="first", next_run_time=None)
    scheduler.add_job(gate, id="second", timeout=0.01, next_run_time=None)
    scheduler.start()
    scheduler.run_job("first", wait=False)
    second = scheduler.run_job("second", wait=False)
    assert scheduler.shutdown(timeout=SOON) == []
    assert second.outcome is Outcome.TIMED_OUT
    gate.open()


def test_the_failure_of_a_thread_that_was_replaced_is_not_that_of_its_successor(make_loop, caplog):
    clock, held, release = Uncapped(), threading.Event(), threading.Event()
    threads = []

    def step(now_us):
        if not held.is_set():
            threads.append(threading.current_thread())
            held.set()
            release.wait(SOON)
            raise ValueError("too late")

    loop = make_loop(step, clock, stall_after=0.05, watch_every=0.01)
    loop.start()
    assert held.wait(SOON)
    assert clock.asleep.acquire(timeout=SOON)  # the successor
    release.set()
    threads[0].join(SOON)
    assert (loop.failing, loop.failing_why, loop.failures) == (0, "", 1)
    assert "too late" in caplog.text


# Runs


class Begun:
    """An executor that only has its runs begin."""

    def __init__(self, before=lambda: None):
        self.before = before
        self.runs = []

    def submit(self, runs, reporter):
        self.reporter = reporter
        for run in runs:
            self.before()
            reporter.begin(run)
            self.runs.append(run)

    def abandon(self, run):
        pass

    def shutdown(self, timeout):
        pass


def test_a_run_that_is_cancelled_as_it_begins_has_no_start():
    class Clock(ManualClock):
        beginning = None

        def now_us(self):
            if self.beginning is threading.current_thread():
                self.beginning = None
                scheduler.cancel(scheduler.runs()[0].id)
            return super().now_us()

    clock = Clock()
    executor = Begun(lambda: setattr(clock, "beginning", threading.current_thread()))
    scheduler = Scheduler(timezone="UTC", clock=clock, executors={"default": executor})
    scheduler.add_job(print, id="job", next_run_time=None)
    scheduler.start()
    run = scheduler.run_job("job", wait=False)
    assert run.outcome is Outcome.CANCELLED
    assert run.started_us is None
    assert scheduler.history("job")[0].started_us is None
    scheduler.shutdown()


def test_a_function_that_raises_just_when_its_time_is_over_is_retried_after_its_delay():
    clock, executor = ManualClock(), Begun()
    scheduler = Scheduler(timezone="UTC", clock=clock, executors={"default": executor})

    def fail(event):
        """End the other run, whose time is over as well, before it is timed out."""
        if event.job_id == "first":
            executor.reporter.end(executor.runs[1], None, ValueError("no"))

    def after(seconds):
        clock.advance(seconds)
        scheduler._engine.step(clock.now_us())
        return [run.job_id for run in executor.runs]

    scheduler.add_listener(fail, EVENT_JOB_ERROR)
    retry = Retry(count=1, delay=60, jitter=0)
    scheduler.add_job(print, "date", run_date=clock.now(), timeout=4, id="first")
    scheduler.add_job(print, "date", run_date=clock.now(), timeout=5, retry=retry, id="other")
    assert after(0) == ["first", "other"]
    for seconds in (6, 59):
        assert after(seconds) == ["first", "other"]
        assert [(run.attempt, run.state) for run in scheduler.runs()] == [(2, "waiting")]
    assert after(1) == ["first", "other", "other"]
    after(6)
    assert scheduler.counts("other") == {Outcome.TIMED_OUT: 1}


def test_a_run_that_waits_for_its_retry_at_a_shutdown_has_failed():
    executor = Begun()
    scheduler = Scheduler(timezone="UTC", executors={"default": executor})
    scheduler.add_job(print, id="job", retry=Retry(count=1, delay=60), next_run_time=None)
    scheduler.start()
    run = scheduler.run_job("job", wait=False)
    executor.reporter.end(run, None, ValueError("no"))
    scheduler.shutdown()
    [record] = scheduler.history("job")
    assert record.outcome is Outcome.FAILED
    assert (record.error_type, record.error_text) == ("ValueError", "no")


# Executors


def press_ctrl_c_once(monkeypatch, owner, name, here, before):
    """Have Ctrl-C pressed in the main thread at the next call of a method of *owner* there.

    Args:
        monkeypatch: Undoes it.
        owner: The class.
        name: The method.
        here: Returns whether it is the call of this object.
        before: Whether to press it before the call and not after.
    """
    method, armed = getattr(owner, name), [True]

    def interrupted(self):
        if not (armed and here(self) and threading.current_thread() is threading.main_thread()):
            method(self)
            return
        armed.clear()
        if not before:
            method(self)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(owner, name, interrupted)


def test_ctrl_c_as_a_thread_of_a_pool_starts_leaves_none_of_which_the_pool_does_not_know(
    monkeypatch,
):
    pool, reports = ThreadPool(1, name="interrupted"), Reports()
    press_ctrl_c_once(
        monkeypatch,
        threading.Thread,
        "start",
        lambda thread: thread.name.startswith("interrupted"),
        before=False,
    )
    with pytest.raises(KeyboardInterrupt):
        pool.submit([run_of(pool.workers_here, 1)], reports)
    pool.submit([run_of(pool.workers_here, 2)], reports)
    assert [value for _, value, _ in reports.wait_for(2)] == [1, 1]
    pool.shutdown(SOON)


def test_ctrl_c_as_a_thread_of_a_pool_is_woken_leaves_it_awake(monkeypatch):
    pool, reports, count = ThreadPool(1), Reports(), 0
    press_ctrl_c_once(monkeypatch, Waker, "wake", lambda waker: True, before=True)
    interrupted = False
    while not interrupted:  # until the thread sleeps, and is woken
        count += 1
        try:
            pool.submit([run_of(print, count)], reports)
        except KeyboardInterrupt:
            interrupted = True
        reports.wait_for(count)
    pool.shutdown(SOON)


@pytest.mark.skipif(os.name != "posix", reason="POSIX only")
def test_a_process_that_starts_during_a_shutdown_of_its_pool_ends_with_it(monkeypatch):
    starting, release, processes = threading.Event(), threading.Event(), []
    popen = subprocess.Popen

    def held_up(*args, **options):
        starting.set()
        assert release.wait(SOON)
        processes.append(popen(*args, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", held_up)
    pool, reports = ProcessPool(1, name="held-up"), Reports()
    pool.submit([run_of(os.getpid)], reports)
    assert starting.wait(SOON)
    pool.shutdown(0)
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("held-up"):
            thread.join(SOON)
    [process] = processes
    try:
        assert process.poll() is not None
        assert reports.begun == []
    finally:
        process.kill()
        process.wait()
