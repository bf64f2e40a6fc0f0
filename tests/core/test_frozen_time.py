"""Time that freezegun freezes: the loop goes by it in its own thread, and waits in real time."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone

import freezegun
import pytest

from schedcore import EVENT_JOB_ERROR, Outcome, Retry, Scheduler, SystemClock, ThreadPool
from schedcore.clock import passing_us
from tests.patience import SOON

YEARS = [1999, 2020, 2031, 2100]
"""Before and after the computer's own time."""


class Looked(SystemClock):
    """Tells when the loop has looked, done what is due, and sleeps."""

    __slots__ = ("asleep",)

    def __init__(self):
        self.asleep = threading.Semaphore(0)

    def wait(self, waker, until_us, cap_us):
        self.asleep.release()
        super().wait(waker, until_us, cap_us)


class Stand:
    """A scheduler, and what its jobs did."""

    def __init__(self):
        self.clock = Looked()
        self.scheduler = Scheduler(timezone="UTC", clock=self.clock)

    def look(self):
        """Wake the loop, and wait until it has looked at least once since."""
        self.scheduler.wakeup()
        for _ in range(2):  # the first may have been on its way
            self.scheduler.wakeup()
            while self.clock.asleep.acquire(blocking=False):
                pass
            self.scheduler.wakeup()
            assert self.clock.asleep.acquire(timeout=SOON)
        assert self.scheduler._runs.wait_until_idle(SOON)

    def times(self, job_id="job"):
        """Return when its runs began, the earliest first, as text."""
        records = self.scheduler.history(job_id)[::-1]
        return [f"{r.started:%Y-%m-%d %H:%M}" for r in records if r.outcome is Outcome.EXECUTED]


@pytest.fixture
def stand():
    stand = Stand()
    yield stand
    if stand.scheduler.running:
        stand.scheduler.shutdown(timeout=SOON)


@pytest.mark.parametrize("tick", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("year", YEARS)
def test_what_is_due_runs_when_the_loop_is_woken_and_nothing_else(stand, year, before, tick):
    scheduler = stand.scheduler
    if before:
        scheduler.start()
        stand.look()
    with freezegun.freeze_time(f"{year}-03-02 05:00", tick=tick) as frozen:
        if not before:
            scheduler.start()
        stand.look()
        scheduler.add_job(lambda: None, "cron", hour=6, minute=30, id="job")
        scheduler.add_job(lambda: None, "interval", hours=1, id="hourly")
        scheduler.add_job(lambda: None, "date", run_date=f"{year}-03-02 08:00", id="once")
        stand.look()
        assert scheduler.counts() == {}
        frozen.tick(timedelta(hours=1, minutes=10))
        stand.look()
        assert stand.times() == []
        assert stand.times("hourly") == [f"{year}-03-02 06:10"]
        frozen.tick(timedelta(minutes=55))
        stand.look()
        assert stand.times() == [f"{year}-03-02 07:05"]
        frozen.move_to(f"{year}-03-05 06:45")
        stand.look()
        assert stand.times() == [f"{year}-03-02 07:05", f"{year}-03-05 06:45"]
        assert stand.times("once") == [f"{year}-03-05 06:45"]
        stand.look()
        assert scheduler.counts("job") == {Outcome.EXECUTED: 2, Outcome.COALESCED: 2}
        assert scheduler.counts("hourly")[Outcome.EXECUTED] == 3
        scheduler.shutdown(timeout=SOON)


@pytest.mark.parametrize("year", YEARS)
def test_a_job_added_and_started_before_the_freeze_goes_by_it(stand, year):
    """The step into frozen time is one of the clock, and so is the one out of it."""
    stand.scheduler.add_job(lambda: None, "cron", hour=6, minute=30, id="job")
    stand.scheduler.add_job(lambda: None, "interval", hours=1, id="hourly")
    stand.scheduler.start()
    stand.look()
    with freezegun.freeze_time(f"{year}-03-02 05:00") as frozen:
        stand.look()
        passed = year > 2026  # what fell due meanwhile is late, and runs once
        assert len(stand.times()) == len(stand.times("hourly")) == passed
        frozen.tick(timedelta(hours=2))
        stand.look()
        assert stand.times()[passed:] == [f"{year}-03-02 07:00"]
        assert stand.times("hourly")[passed:] == [f"{year}-03-02 07:00"]
    stand.look()
    if year > 2026:
        for job in stand.scheduler.get_jobs():
            assert job.next_run_time < datetime.now(timezone.utc) + timedelta(days=1)


def test_time_that_is_moved_back_within_a_freeze(stand):
    stand.scheduler.add_job(lambda: None, "interval", hours=1, id="hourly")
    with freezegun.freeze_time("2031-03-02 05:00") as frozen:
        stand.scheduler.add_job(lambda: None, "cron", hour=6, minute=30, id="job")
        stand.scheduler.start()
        stand.look()
        frozen.tick(timedelta(hours=2))
        stand.look()
        frozen.move_to("2020-03-02 05:00")
        stand.look()
        assert stand.times() == ["2031-03-02 07:00"]
        frozen.tick(timedelta(hours=2))
        stand.look()
        assert stand.times() == ["2031-03-02 07:00", "2020-03-02 07:00"]
        assert stand.times("hourly")[-1] == "2020-03-02 07:00"


def test_looking_at_the_time_does_not_move_time_that_ticks_by_itself(stand):
    moves = []
    with freezegun.freeze_time("2031-03-02 05:00", auto_tick_seconds=1) as frozen:
        stand.scheduler.add_job(lambda: None, "interval", hours=1, id="job")
        stand.scheduler.start()
        for _ in range(10):
            before = frozen.time_to_freeze
            stand.look()
            moves.append(frozen.time_to_freeze - before)
        # Not each time: threads of other tests may log something, which asks for the time.
        assert min(moves) == timedelta(0)
        assert stand.scheduler.counts() == {}
        while frozen.time_to_freeze.isoformat() < "2031-03-02T06:01":
            datetime.now(timezone.utc)
        stand.look()
        assert len(stand.times()) == 1


def test_real_time_can_be_asked_for():
    with freezegun.freeze_time("2031-03-02", ignore=["schedcore"]):
        assert SystemClock().now_us() < datetime(2031, 3, 1, tzinfo=timezone.utc).timestamp() * 1e6


# Real time goes on


@pytest.mark.parametrize("year", [1999, 2031])
@pytest.mark.parametrize("tick", [None, timedelta(days=3)])
def test_a_time_out_is_of_real_time(gate, heard, year, tick):
    with freezegun.freeze_time(f"{year}-01-01") as frozen:
        scheduler = Scheduler(timezone="UTC")
        errors = heard(scheduler, EVENT_JOB_ERROR)
        scheduler.add_job(gate, id="long", timeout=3600)
        scheduler.add_job(gate, id="short", timeout=0.2)
        scheduler.start()
        gate.wait()
        gate.wait()
        if tick:
            frozen.tick(tick)
        errors()
        assert [run.job_id for run in scheduler.runs()] == ["long"]
        gate.open()
        scheduler.shutdown(timeout=SOON)
    assert scheduler.counts() == {Outcome.TIMED_OUT: 1, Outcome.EXECUTED: 1}


@pytest.mark.parametrize("tick", [None, timedelta(days=3)])
def test_a_retry_comes_after_real_time(heard, tick):
    calls = []

    def job():
        calls.append(passing_us())
        if len(calls) < 2:
            raise ValueError("once")

    with freezegun.freeze_time("2031-01-01") as frozen:
        scheduler = Scheduler(timezone="UTC")
        done = heard(scheduler, 1 << 12)
        scheduler.add_job(job, retry=Retry(count=1, delay=0.5, jitter=0))
        scheduler.start()
        if tick:
            frozen.tick(tick)
            scheduler.wakeup()
        done()
        scheduler.shutdown(timeout=SOON)
    assert calls[1] - calls[0] >= 500_000


@pytest.mark.parametrize("executor", ["coroutines", "default", "inline"])
def test_coroutines_sleep_in_real_time(heard, executor):
    from schedcore.executors.inline import InlineExecutor

    async def job():
        await asyncio.sleep(0.05)
        await asyncio.wait_for(asyncio.sleep(0.05), SOON)

    with freezegun.freeze_time("2031-01-01"):
        scheduler = Scheduler(timezone="UTC", executors={"inline": InlineExecutor()})
        done = heard(scheduler, 1 << 12)
        scheduler.add_job(job, executor=executor)
        scheduler.start()
        done()
        scheduler.shutdown(timeout=SOON)


@pytest.mark.parametrize("year", [1999, 2031])
def test_waits_end_in_real_time(gate, year):
    with freezegun.freeze_time(f"{year}-01-01"):
        scheduler = Scheduler(timezone="UTC", executors={"default": ThreadPool(2)})
        scheduler.add_job(gate, "interval", hours=1, id="hangs")
        scheduler.start()
        run = scheduler.run_job("hangs", timeout=0.05)
        assert run.record is None
        assert not scheduler._runs.wait_until_idle(0.05)
        assert scheduler.health().ok
        assert scheduler.shutdown(timeout=0.05) == [run]
    gate.open()
