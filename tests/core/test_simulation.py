"""Virtual time: the same engine, run for years and looked ahead with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from schedcore import (
    InvalidOptionError,
    ManualClock,
    Outcome,
    Scheduler,
    SchedulerAlreadyRunningError,
    ThreadPool,
    forecast,
    simulate,
)
from schedcore.executors.processes import ProcessPool

START = datetime(2000, 1, 1, tzinfo=timezone.utc)


def test_a_week_of_minutely_jobs_is_the_same_twice():
    def week():
        clock = ManualClock()
        scheduler = Scheduler(clock=clock, timezone="UTC")
        times = []
        scheduler.add_job(lambda: times.append(clock.now()), "cron", minute="*")
        counts = simulate(scheduler, timedelta(days=7))
        return times, counts

    times, counts = week()
    assert (times, counts) == week()
    assert counts == {Outcome.EXECUTED: 7 * 24 * 60 + 1}
    assert times[:2] == [START, START + timedelta(minutes=1)]


def test_the_clock_ends_at_the_end(virtual_scheduler, manual_clock):
    simulate(virtual_scheduler, START + timedelta(days=400))
    assert manual_clock.now() == START + timedelta(days=400)


def test_a_job_that_moves_the_clock_makes_others_late(virtual_scheduler, manual_clock):
    virtual_scheduler.add_job(lambda: manual_clock.advance(90), "date", run_date=START, id="slow")
    virtual_scheduler.add_job(
        lambda: None, "date", run_date=START + timedelta(seconds=60), id="late"
    )
    simulate(virtual_scheduler, timedelta(minutes=5))
    assert virtual_scheduler.history("late")[0].lateness == 30


def test_coroutines_run_too(virtual_scheduler):
    async def job():
        return "done"

    virtual_scheduler.add_job(job, id="job")
    simulate(virtual_scheduler, timedelta(0))
    assert virtual_scheduler.history("job")[0].result == "'done'"


def test_the_real_executors_are_back_afterwards(virtual_scheduler):
    before = dict(virtual_scheduler._executors)
    simulate(virtual_scheduler, timedelta(days=1))
    assert virtual_scheduler._executors == before


def test_what_cannot_be_simulated_is_said(virtual_scheduler):
    with pytest.raises(InvalidOptionError, match=r"clock=.*ManualClock"):
        simulate(Scheduler(), timedelta(1))
    with pytest.raises(InvalidOptionError, match=r"until=.*no earlier than now"):
        simulate(virtual_scheduler, START - timedelta(1))
    with pytest.raises(InvalidOptionError, match=r"until=.*aware datetime"):
        simulate(virtual_scheduler, datetime(2001, 1, 1))  # noqa: DTZ001
    virtual_scheduler.start()
    with pytest.raises(SchedulerAlreadyRunningError):
        simulate(virtual_scheduler, timedelta(1))


def test_a_forecast_is_what_then_happens():
    clock = ManualClock()
    scheduler = Scheduler(clock=clock, timezone="UTC")
    happened = []
    for id_, options in {
        "a": {"trigger": "cron", "hour": "*/5", "minute": 7},
        "b": {"trigger": "interval", "hours": 7},
        "c": {"trigger": "date", "run_date": START + timedelta(days=1)},
    }.items():
        scheduler.add_job(lambda id_=id_: happened.append((clock.now(), id_)), id=id_, **options)
    before = scheduler.entries()
    foreseen = forecast(scheduler, timedelta(days=3))
    assert happened == []
    assert scheduler.entries() == before
    simulate(scheduler, timedelta(days=3))
    assert sorted((fire.time, fire.job_id) for fire in foreseen.fires) == sorted(happened)
    assert foreseen.complete


@pytest.mark.parametrize("pool", [ThreadPool, ProcessPool, ThreadPoolExecutor])
def test_a_forecast_tells_the_load_of_the_pool(pool):
    executors = {"default": pool(2)}
    scheduler = Scheduler(clock=ManualClock(), timezone="UTC", executors=executors)
    for n in range(5):
        scheduler.add_job(print, "cron", minute=0, id=f"j{n}")
    foreseen = forecast(scheduler, timedelta(minutes=30), {f"j{n}": 60.0 for n in range(5)})
    assert foreseen.peaks == {"default": 5}
    assert foreseen.longest_wait == 120  # two at a time, a minute each: the fifth waits for two
    assert foreseen.skipped == 0


def test_a_forecast_tells_what_will_be_skipped(caplog):
    scheduler = Scheduler(clock=ManualClock(), timezone="UTC")
    scheduler.add_job(print, "interval", seconds=10, id="slow")
    foreseen = forecast(scheduler, timedelta(minutes=1), {"slow": 25.0})
    assert [fire.time.second for fire in foreseen.fires] == [10, 40]
    assert foreseen.skipped == 4
    assert caplog.records == []
