"""A process takes no more jobs from a shared store than its executors can begin."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest

from schedcore import DateTrigger, ManualClock, Outcome, Scheduler, ThreadPool
from schedcore.executors.inline import InlineExecutor
from schedcore.stores.sqlite import SqliteStore
from tests.contract.test_executor import Reports, run_of
from tests.core.conftest import LongestJitter
from tests.durable.processes import until
from tests.patience import SOON
from tests.stores.postgres import beside, postgres_store


class Gate:
    """Where runs are held, and how many have come to it."""

    opened, came = threading.Event(), []


@pytest.fixture
def gate():
    Gate.opened, Gate.came = threading.Event(), []
    yield Gate
    Gate.opened.set()


def hold():
    Gate.came.append(1)
    assert Gate.opened.wait(SOON)


def test_a_thread_pool_tells_how_many_runs_it_can_begin(gate):
    pool, reports = ThreadPool(max_workers=3), Reports()
    assert pool.room() == 3
    pool.submit([run_of(hold, n) for n in range(2)], reports)
    reports.wait_for_begun(2)
    assert pool.room() >= 1
    pool.submit([run_of(hold, n) for n in range(2, 300)], reports)
    assert pool.room() == 0
    gate.opened.set()
    reports.wait_for(300)
    until(lambda: pool.room() > 3, "room for more brief runs than there are threads")
    pool.shutdown(10)


def test_a_pool_sheds_nothing_of_what_it_has_room_for():
    assert ThreadPool(max_workers=3, max_queue=2).room() == 3


@pytest.fixture
def schedulers(gate):
    """Schedulers of two processes on one database, each with two threads."""
    store = postgres_store()
    made = [
        Scheduler(store=one, timezone="UTC", executors={"default": ThreadPool(2)})
        for one in (store, beside(store))
    ]
    yield made
    gate.opened.set()
    for scheduler in made:
        if scheduler.state:
            scheduler.shutdown()


def test_what_one_process_cannot_begin_is_left_to_another(schedulers, gate):
    one, other = schedulers
    one.start()
    for n in range(50):
        one.add_job(hold, id=f"j{n}")
    until(lambda: len(gate.came) == 2, "the first two runs")
    until(lambda: one.health().behind > 0, "jobs that are left to others")
    assert len(one.runs()) < 50
    other.start()
    until(lambda: len(gate.came) == 4, "two runs of the other process")
    gate.opened.set()
    until(lambda: one.counts() == {Outcome.EXECUTED: 50}, "the last run")


def test_a_job_that_a_full_executor_keeps_waiting_is_not_late(schedulers, gate):
    one, _ = schedulers
    one.start()
    for n in range(10):
        one.add_job(hold, id=f"j{n}", misfire_grace_time=4)
    until(lambda: one.health().behind > 4.5, "jobs that have waited for longer than that")
    assert one.health().waiting["default"] > 4
    gate.opened.set()
    until(lambda: one.counts() == {Outcome.EXECUTED: 10}, "the last run")


def test_an_executor_that_is_full_holds_up_no_other_one(gate):
    store = postgres_store()
    executors = {"default": ThreadPool(2), "full": ThreadPool(1)}
    scheduler = Scheduler(store=store, timezone="UTC", executors=executors)
    scheduler.start()
    due = datetime.now(timezone.utc) - timedelta(hours=1)  # all of them before the other job
    trigger = DateTrigger(due)
    for n in range(50):
        scheduler.add_job(hold, trigger, id=f"j{n}", executor="full")
    job = scheduler.add_job(threading.active_count)
    until(lambda: scheduler.counts(job.id) == {Outcome.EXECUTED: 1}, "the run of the other one")
    gate.opened.set()
    scheduler.shutdown()


class One(InlineExecutor):
    """Can always begin one more run."""

    clock = None

    def room(self):
        return 1


class Sized(InlineExecutor):
    """Can begin as many runs as a test says."""

    size = 0

    def room(self):
        return self.size


def test_a_full_executor_puts_off_no_job_of_another_and_makes_no_jitter_late():
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=timezone.utc))
    full = Sized()
    scheduler = Scheduler(
        store=postgres_store(),
        timezone="UTC",
        executors={"default": InlineExecutor(), "full": full},
        clock=clock,
        random=LongestJitter(),
    )
    grace = {"misfire_grace_time": 10, "executor": "full"}
    scheduler.add_job(int, "interval", seconds=100, jitter=60, id="kept waiting", **grace)
    scheduler.add_job(int, DateTrigger(clock.now() + timedelta(seconds=160.002)), id="other")
    clock.advance(160)
    now_us = clock.now_us()
    assert scheduler._engine.step(now_us) == now_us + 2_000
    clock.advance(30)
    full.size = 1
    scheduler._engine.step(clock.now_us())
    assert scheduler.counts() == {Outcome.EXECUTED: 2}
    scheduler._engine.store.close()


def take_a_second():
    One.clock.advance(1)


def test_jobs_are_not_late_where_all_of_the_room_was_taken_each_time():
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=timezone.utc))
    scheduler = Scheduler(
        store=postgres_store(clock=clock), timezone="UTC", executors={"default": One()}, clock=clock
    )
    trigger = DateTrigger(clock.now())
    One.clock = clock
    for n in range(20):
        scheduler.add_job(take_a_second, trigger, id=f"j{n}", misfire_grace_time=2)
    engine = scheduler._engine
    for _ in range(25):
        engine.step(clock.now_us())
    assert scheduler.counts() == {Outcome.EXECUTED: 20}


BEGINS = {}


def begins(name):
    BEGINS[name]()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_burst_for_workers_elsewhere_holds_no_other_job_up(manual_clock, tmp_path, kind):
    """What falls due meanwhile for another executor is begun with the first part of the burst."""

    class Elsewhere(InlineExecutor):
        remote = True

        def submit(self, runs, reporter):
            parts.append(len(runs))
            super().submit(runs, reporter)

    parts, begun_after = [], []
    executors = {"elsewhere": Elsewhere(), "default": InlineExecutor()}
    store = None
    if kind == "sqlite":
        store = SqliteStore(tmp_path / "jobs.db", durable=False, clock=manual_clock)
    scheduler = Scheduler(timezone="UTC", clock=manual_clock, executors=executors, store=store)
    due = manual_clock.now()
    burst = {"func": "os:getpid", "trigger": "date", "executor": "elsewhere"}
    scheduler.add_jobs({**burst, "run_date": due, "id": f"{n}"} for n in range(2_000))
    BEGINS["burst"] = lambda: begun_after.append(len(parts))
    scheduler.add_job(begins, "date", run_date=due + timedelta(seconds=1), args=["burst"])
    manual_clock.advance(2)
    for _ in range(100):
        scheduler._engine.step(manual_clock.now_us())
    assert sum(parts) == 2_000
    assert max(parts) < 500
    assert begun_after in ([0], [1])
    assert scheduler.counts() == {Outcome.EXECUTED: 2_001}
