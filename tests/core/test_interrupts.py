"""Ctrl-C where runs, listeners and triggers are called in the main thread: it is the program's."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest

from schedcore import (
    EVENT_JOB_ADDED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MISSED,
    EVENT_JOB_REMOVED,
    EVENT_JOB_SUBMITTED,
    Outcome,
    Trigger,
    simulate,
)
from schedcore.executors.inline import InlineExecutor


def press(*_):
    signal.raise_signal(signal.SIGINT)


def once():
    """Return what presses Ctrl-C the first time that it is called."""
    pressed = []

    def job(*_):
        if not pressed:
            pressed.append(1)
            press()

    return job


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_simulation_is_interrupted_and_can_go_on(virtual_scheduler, coroutine):
    press_once = once()

    async def task():
        press_once()

    virtual_scheduler.add_job(
        task if coroutine else press_once, "interval", hours=1, id="job", executor="default"
    )
    virtual_scheduler.add_job(lambda: None, "interval", hours=1, id="beside")
    virtual_scheduler.add_job(lambda: None, "date", run_date="2000-01-01T01:00", id="last")
    virtual_scheduler._executors["other"] = InlineExecutor()
    virtual_scheduler.add_job(lambda: None, "interval", hours=1, id="other", executor="other")
    with pytest.raises(KeyboardInterrupt):
        simulate(virtual_scheduler, timedelta(days=2))
    assert virtual_scheduler.counts("job") in ({Outcome.FAILED: 1}, {Outcome.CANCELLED: 1})
    assert virtual_scheduler.runs() == []
    for job_id in ("beside", "other", "last"):  # each due time has one outcome
        assert sum(virtual_scheduler.counts(job_id).values()) == 1
    simulate(virtual_scheduler, timedelta(hours=5))
    for job_id in ("job", "beside", "other"):
        assert virtual_scheduler.counts(job_id)[Outcome.EXECUTED] >= 5


@pytest.mark.parametrize(
    "mask",
    [EVENT_JOB_SUBMITTED, EVENT_JOB_EXECUTED, EVENT_JOB_ERROR, EVENT_JOB_MISSED, EVENT_JOB_REMOVED],
)
def test_a_listener_is_interrupted_and_no_run_is_lost(virtual_scheduler, manual_clock, mask):
    others = []
    virtual_scheduler.add_listener(once(), mask)
    virtual_scheduler.add_listener(others.append, mask)
    virtual_scheduler.add_job(lambda: None, "interval", hours=1, id="good")
    virtual_scheduler.add_job(lambda: 1 // 0, "interval", hours=1, id="bad")
    virtual_scheduler.add_job(
        lambda: None, "interval", hours=1, id="missed", misfire_grace_time=1, coalesce=False
    )
    virtual_scheduler.add_job(lambda: None, "date", run_date="2000-01-01T01:00", id="last")
    manual_clock.advance(timedelta(hours=1, seconds=2))
    with pytest.raises(KeyboardInterrupt):
        simulate(virtual_scheduler, timedelta(days=2))
    assert others
    assert virtual_scheduler.runs() == []
    for job_id in ("good", "bad", "missed", "last"):
        assert sum(virtual_scheduler.counts(job_id).values()) == 1


def test_a_trigger_is_interrupted_and_its_job_stays_as_it_was(virtual_scheduler):
    press_once = once()

    class Slow(Trigger):
        def next_us(self, after_us: int) -> int | None:
            if after_us > 1_000_000_000_000_000:
                return None
            press_once()
            return after_us + 3_600_000_000

    virtual_scheduler.add_job(
        lambda: None, Slow(), id="job", next_run_time="2000-01-01T01:00:00+00:00"
    )
    with pytest.raises(KeyboardInterrupt):
        simulate(virtual_scheduler, timedelta(hours=3))
    assert virtual_scheduler.entry("job").broken is None
    simulate(virtual_scheduler, timedelta(hours=3))
    assert virtual_scheduler.counts("job")[Outcome.EXECUTED] >= 3


def test_an_interrupt_while_the_clock_is_set_back_is_not_swallowed(virtual_scheduler):
    class Slow(Trigger):
        def next_us(self, after_us: int) -> int | None:
            if armed:
                raise KeyboardInterrupt
            return after_us + 3_600_000_000

    armed = []
    virtual_scheduler.add_job(lambda: None, Slow(), id="job")
    armed.append(True)
    with pytest.raises(KeyboardInterrupt):
        virtual_scheduler._engine.clock_moved(virtual_scheduler.clock.now_us(), -14_400_000_000)


def test_a_listener_that_is_interrupted_while_a_job_is_added_leaves_it_added(virtual_scheduler):
    virtual_scheduler.add_listener(press, EVENT_JOB_ADDED)
    with pytest.raises(KeyboardInterrupt):
        virtual_scheduler.add_job(lambda: None, id="job")
    assert virtual_scheduler.get_job("job") is not None


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit])
def test_other_errors_end_their_run_and_nothing_else(virtual_scheduler, error):
    def job():
        raise error

    virtual_scheduler.add_job(job, "interval", hours=1)
    virtual_scheduler.add_listener(lambda event: job(), EVENT_JOB_ERROR)
    assert simulate(virtual_scheduler, timedelta(hours=3)) == {Outcome.FAILED: 3}


def test_in_another_thread_an_interrupt_is_an_error_like_any(
    virtual_scheduler, manual_clock, heard
):
    def job():
        raise KeyboardInterrupt

    failed = heard(virtual_scheduler, EVENT_JOB_ERROR)
    virtual_scheduler.add_job(job, "interval", hours=1)
    virtual_scheduler.start()
    for _ in range(2):
        manual_clock.advance(timedelta(hours=1))
        failed()
    assert virtual_scheduler.running
