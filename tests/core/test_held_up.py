"""A listener, an executor or a log handler that blocks holds up itself, and nobody else's run."""

from __future__ import annotations

import logging
import sys
import threading
from datetime import datetime, timedelta, timezone

import pytest

from schedcore import (
    EVENT_JOB_CANCELLED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_REMOVED,
    EVENT_JOB_SUBMITTED,
    ManualClock,
    Outcome,
    Scheduler,
    SystemClock,
    ThreadPool,
)
from schedcore.clock import Deadline
from tests.patience import SOON

START = datetime(2000, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def release():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def clock():
    return ManualClock(START)


class Blocking:
    """An executor whose ``submit`` does not return."""

    def __init__(self, release):
        self.entered, self._release = threading.Event(), release

    def submit(self, runs, reporter):
        self.entered.set()
        self._release.wait(SOON)

    def abandon(self, run):
        pass

    def shutdown(self, timeout):
        pass


def step_aside(scheduler, clock):
    """Step the engine in a thread of its own, as a loop does that is then held up."""
    thread = threading.Thread(target=scheduler._engine.step, args=(clock.now_us(),), daemon=True)
    thread.start()
    return thread


def skipping(scheduler, gate):
    """Have a job that runs until *gate* opens, and whose next fire time finds no room."""
    scheduler.add_job(gate, "interval", seconds=1, id="crowded", overlap="skip")


def cancelling(scheduler, gate):
    scheduler.add_job(gate, "interval", seconds=1, id="crowded", overlap="cancel")


@pytest.mark.parametrize(
    ("event", "prepare"),
    [
        (EVENT_JOB_MISSED, None),
        (EVENT_JOB_SUBMITTED, None),
        (EVENT_JOB_REMOVED, None),
        (EVENT_JOB_MAX_INSTANCES, skipping),
        (EVENT_JOB_CANCELLED, cancelling),
    ],
)
def test_a_listener_that_blocks_keeps_no_run_from_its_worker(clock, release, gate, event, prepare):
    scheduler = Scheduler(clock=clock, timezone="UTC")
    if prepare is not None:
        prepare(scheduler, gate)
        clock.advance(1)
        scheduler._engine.step(clock.now_us())
        gate.wait()
    ran, blocked = threading.Event(), threading.Event()

    def block(_event):
        blocked.set()
        release.wait(SOON)

    scheduler.add_listener(block, event)
    long_ago = START - timedelta(hours=1)
    scheduler.add_job(int, "date", run_date=long_ago, misfire_grace_time=1, id="missed")
    scheduler.add_job(ran.set, "date", run_date=START, id="once")
    clock.advance(1)
    step_aside(scheduler, clock)
    assert blocked.wait(SOON)
    assert ran.wait(SOON)
    gate.open()
    release.set()


def test_a_listener_that_blocks_keeps_no_later_run_of_its_executor_from_it(clock, release):
    """The thread that is held up by it is replaced; what falls due then is submitted."""
    scheduler = Scheduler(clock=clock, timezone="UTC")
    ran, blocked = threading.Semaphore(0), threading.Event()

    def block(_event):
        blocked.set()
        release.wait(SOON)

    scheduler.add_listener(block, EVENT_JOB_SUBMITTED)
    scheduler.add_job(ran.release, "interval", seconds=1)
    for _ in range(3):
        clock.advance(1)
        step_aside(scheduler, clock)
        assert blocked.wait(SOON)
        assert ran.acquire(timeout=SOON)
        blocked.clear()
        scheduler._engine.take_back(clock.now_us(), hung=True)
    release.set()


def test_a_log_handler_that_blocks_keeps_no_run_from_its_worker(clock, release):
    scheduler = Scheduler(clock=clock, timezone="UTC")
    ran, blocked = threading.Event(), threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            blocked.set()
            release.wait(SOON)

    handler = Handler()
    logging.getLogger("schedcore").addHandler(handler)
    try:
        long_ago = START - timedelta(hours=1)
        scheduler.add_job(int, "date", run_date=long_ago, misfire_grace_time=1)
        scheduler.add_job(ran.set, "date", run_date=START)
        step_aside(scheduler, clock)
        assert blocked.wait(SOON)
        assert ran.wait(SOON)
    finally:
        release.set()
        logging.getLogger("schedcore").removeHandler(handler)


@pytest.mark.parametrize("first", ["bad", "good"])
def test_an_executor_that_blocks_holds_up_its_own_runs_alone(clock, release, first):
    bad = Blocking(release)
    scheduler = Scheduler(clock=clock, timezone="UTC", executors={"bad": bad, "good": ThreadPool()})
    ran = threading.Semaphore(0)
    for name in (first, "good" if first == "bad" else "bad"):
        func = int if name == "bad" else ran.release
        scheduler.add_job(func, "interval", seconds=10, id=name, executor=name, max_instances=9)
    clock.advance(10)
    step_aside(scheduler, clock)
    assert bad.entered.wait(SOON)
    scheduler._engine.take_back(clock.now_us(), hung=True)  # as the thread that watches does
    for _ in range(3):
        clock.advance(10)
        scheduler._engine.step(clock.now_us())
    for _ in range(4 if first == "good" else 3):
        assert ran.acquire(timeout=SOON)
    release.set()


def test_runs_left_behind_a_blocked_executor_are_submitted_once_it_goes_on(clock, release):
    taken = []

    class Slow(Blocking):
        def submit(self, runs, reporter):
            super().submit(runs, reporter)
            for run in runs:
                assert reporter.begin(run)
                taken.append(run.scheduled)
                reporter.end(run, None, None)

    slow = Slow(release)
    scheduler = Scheduler(clock=clock, timezone="UTC", executors={"slow": slow})
    scheduler.add_job(int, "interval", seconds=10, id="j", executor="slow", max_instances=9)
    clock.advance(10)
    stuck = step_aside(scheduler, clock)
    assert slow.entered.wait(SOON)
    clock.advance(10)
    scheduler._engine.step(clock.now_us())
    release.set()
    stuck.join(SOON)
    assert taken == [START + timedelta(seconds=10), START + timedelta(seconds=20)]
    assert scheduler.counts("j") == {Outcome.EXECUTED: 2}


def test_an_error_in_a_step_cancels_no_run_that_waits_for_a_worker(gate):
    """Only Ctrl-C does: after an error, the loop goes on."""

    class Failing(SystemClock):
        armed = False

        def monotonic_us(self):
            if self.armed and sys._getframe(1).f_code.co_name == "check_timers":
                self.armed = False
                raise OSError("no clock")
            return super().monotonic_us()

    scheduler = Scheduler(timezone="UTC", clock=Failing(), executors={"default": ThreadPool(1)})
    scheduler.add_job(gate, "interval", hours=1, id="first", timeout=3600)
    scheduler.add_job(int, "interval", hours=1, id="second")
    scheduler.start()
    scheduler.run_job("first", wait=False)
    gate.wait()
    second = scheduler.run_job("second", wait=False)
    scheduler.clock.armed = True
    failures = scheduler.health().loop_failures
    scheduler.wakeup()
    deadline = Deadline(SOON)
    while scheduler.health().loop_failures == failures:
        assert deadline.left(), "the step never failed"
    gate.open()
    assert second.wait(SOON)
    assert second.outcome is Outcome.EXECUTED
    scheduler.shutdown()
