"""What is to come: which runs, how many of them at once, and whether there are workers for them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from random import Random

import pytest

from schedcore import (
    CronTrigger,
    InvalidOptionError,
    ManualClock,
    NodeInfo,
    OrTrigger,
    Scheduler,
    ThreadPool,
    Trigger,
)
from schedcore.clock import SECOND, to_us
from schedcore.load_forecast import load_ahead

START = datetime(2026, 3, 28, 12, tzinfo=timezone.utc)
HOUR = 3_600 * SECOND


@pytest.fixture
def scheduler():
    """One that stands at noon, in UTC, with a pool of three workers."""
    return Scheduler(clock=ManualClock(START), timezone="UTC", executors={"default": ThreadPool(3)})


def work():
    """Stands for what a job does."""


def at(text):
    return to_us(datetime.fromisoformat(text).replace(tzinfo=timezone.utc))


def ahead(scheduler, hours=24, seconds=0.0, **more):
    """Return what is to come, where each run takes so many seconds."""
    took = {entry.job.id: round(seconds * SECOND) for entry in scheduler.entries()}
    now_us = scheduler.clock.now_us()
    return load_ahead(scheduler.entries(), took, {"default": 3}, now_us, hours, **more)


def load(found):
    """Return the parts in which runs fall due: when, how many, and how many at once."""
    (executor,) = found.executors
    return [(part.begin_us, part.runs, part.most) for part in executor.slices if part.runs]


def test_each_run_is_in_its_place(scheduler):
    scheduler.add_job(work, "cron", hour="2,14", id="twice")
    scheduler.add_job(work, "date", run_date="2026-03-28T13:05:00", id="once")
    found = ahead(scheduler)
    assert [(job.job_id, job.times_us, job.runs) for job in found.jobs] == [
        ("once", (at("2026-03-28 13:05"),), 1),
        ("twice", (at("2026-03-28 14:00"), at("2026-03-29 02:00")), 2),
    ]
    assert load(found) == [
        (at("2026-03-28 13:00"), 1, 1),
        (at("2026-03-28 14:00"), 1, 1),
        (at("2026-03-29 02:00"), 1, 1),
    ]
    assert (found.runs, found.crowds, found.exact_until_us) == (3, (), found.end_us)


def test_more_runs_than_workers_are_told_with_their_moment(scheduler):
    for n in range(5):
        scheduler.add_job(work, "cron", hour=2, minute=1, id=f"nightly {n}")
    (crowd,) = ahead(scheduler, seconds=1200).crowds
    assert crowd == (
        *("default", 3, at("2026-03-29 02:00"), at("2026-03-29 02:30")),
        *(5, at("2026-03-29 02:01")),
    )


def test_a_worker_is_free_for_what_is_due_as_its_run_ends(scheduler):
    for minute in range(4):
        scheduler.add_job(work, "cron", hour=13, minute=minute * 10, id=f"job {minute}")
    assert {most for _, _, most in load(ahead(scheduler, seconds=600))} == {1}
    assert max(most for _, _, most in load(ahead(scheduler, seconds=601))) == 2


def test_a_run_counts_in_all_parts_in_which_it_is_under_way(scheduler):
    scheduler.add_job(work, "cron", hour=13, id="long")
    (executor,) = ahead(scheduler, seconds=3_600).executors
    busy = [part.begin_us for part in executor.slices if part.most]
    assert busy == [at("2026-03-28 13:00") + n * HOUR // 4 for n in range(4)]


def test_no_more_runs_of_a_job_are_under_way_than_it_may_have(scheduler):
    scheduler.add_job(work, "interval", minutes=1, max_instances=2, id="slow")
    assert max(most for _, _, most in load(ahead(scheduler, 1, seconds=600))) == 2


def test_a_run_may_begin_as_the_one_before_it_ends(scheduler):
    scheduler.add_job(work, "interval", minutes=10, id="back to back")
    (executor,) = ahead(scheduler, 3, seconds=600).executors
    assert {part.most for part in executor.slices[10:]} == {1}


def test_as_many_runs_as_workers_are_not_too_many(scheduler):
    for n in range(3):
        scheduler.add_job(work, "cron", hour=2, id=f"nightly {n}")
    assert ahead(scheduler, seconds=60).crowds == ()


def test_what_is_overdue_is_due_now(scheduler):
    scheduler.add_job(work, "cron", hour="13,20", id="late")
    scheduler.clock.advance(3 * 3_600)
    (job,) = ahead(scheduler).jobs
    assert job.times_us[:2] == (at("2026-03-28 15:00"), at("2026-03-28 20:00"))


def test_broken_jobs_are_not_there(scheduler):
    scheduler.add_job(work, "cron", hour=13, id="broken")
    entries = [entry._replace(broken="no function") for entry in scheduler.entries()]
    assert load_ahead(entries, {}, {"default": 3}, scheduler.clock.now_us(), 24).jobs == ()


def test_combinations_of_triggers_are_looked_up_too(scheduler):
    scheduler.add_job(work, OrTrigger([CronTrigger(minute=m) for m in (0, 20, 40)]), id="or")
    found = ahead(scheduler, 10, budget=40)
    assert (found.runs, found.exact_until_us) == (30, found.end_us)


def test_of_jobs_that_run_often_the_rest_is_counted(scheduler):
    """A job each second, looked up one by one for its share alone: all its runs are there."""
    scheduler.add_job(work, "interval", seconds=1, id="each second")
    scheduler.add_job(work, "cron", second="*/2", id="each other second")
    scheduler.add_job(work, "cron", hour=2, id="nightly")
    found = ahead(scheduler, 24, seconds=0.5, budget=3_000)
    assert found.exact_until_us == START.timestamp() * SECOND + 1_000 * SECOND
    assert found.runs == pytest.approx(86_399 + 43_200 + 1, abs=2)
    _, *inner, _ = load(found)
    assert {round(runs) for _, runs, _ in inner} == {900 + 450, 900 + 450 + 1}
    by_the_mean = [most for begin, _, most in inner if begin > found.exact_until_us]
    assert min(by_the_mean) == pytest.approx(0.5 + 0.25, abs=0.01)
    assert max(by_the_mean) == pytest.approx(1 + 0.5 + 0.25, abs=0.01)  # the nightly one is exact


def test_the_mean_is_no_more_than_a_job_may_have_under_way(scheduler):
    scheduler.add_job(work, "interval", seconds=1, max_instances=2, id="slow")
    *_, (_, _, most) = load(ahead(scheduler, 24, seconds=600, budget=100))
    assert most == 2


class Often(Trigger):
    """One that cannot be counted by arithmetic: each ten seconds."""

    def next_us(self, after_us):
        return after_us // (10 * SECOND) * 10 * SECOND + 10 * SECOND


class Broken(Trigger):
    """One that fails after its first fire time."""

    def next_us(self, after_us):
        if after_us > START.timestamp() * SECOND:
            raise RuntimeError("no idea")
        return after_us + SECOND


def test_triggers_of_others_are_taken_to_go_on_as_they_began(scheduler):
    scheduler.add_job(work, Often(), id="often")
    assert ahead(scheduler, 10, budget=50).runs == pytest.approx(3_600, abs=2)


def test_a_trigger_that_raises_is_named_and_spoils_nothing(scheduler):
    scheduler.add_job(work, Broken(), id="broken")
    scheduler.add_job(work, "cron", hour=2, id="well")
    found = ahead(scheduler)
    assert found.unknown == ("broken",)
    assert [job.job_id for job in found.jobs] == ["well"]


def test_paused_and_later_jobs_are_not_there(scheduler):
    scheduler.add_job(work, "cron", hour=14, id="paused")
    scheduler.add_job(work, "date", run_date="2026-03-30", id="later")
    scheduler.pause_job("paused")
    assert ahead(scheduler).jobs == ()


def test_the_hour_that_does_not_exist_has_no_runs_of_its_own(scheduler):
    """In Berlin, clocks go from 02:00 to 03:00 in this night: what is due between runs at 03:00."""
    berlin = {"timezone": "Europe/Berlin"}
    for minute in (15, 30, 45):
        scheduler.add_job(work, "cron", hour=2, minute=minute, id=f"gap {minute}", **berlin)
    scheduler.add_job(work, "cron", hour=3, id="after", **berlin)
    assert load(ahead(scheduler)) == [(at("2026-03-29 01:00"), 4, 4)]


def test_adding_up_in_any_order_gives_the_same(scheduler):
    random = Random(1)
    for n in range(40):
        scheduler.add_job(work, "cron", hour=random.randrange(24), id=f"job {n}", max_instances=2)
    entries = scheduler.entries()
    took = {entry.job.id: random.randrange(7_200 * SECOND) for entry in entries}
    given = took, {"default": 3}, scheduler.clock.now_us(), 24
    assert load_ahead(entries, *given).executors == load_ahead(entries[::-1], *given).executors


def test_a_scheduler_knows_how_long_its_runs_take_and_how_many_workers_there_are():
    clock = ManualClock(START)
    with_two = {"default": ThreadPool(2)}
    scheduler = Scheduler(clock=clock, timezone="UTC", executors=with_two)
    for name in "abc":
        scheduler.add_job(lambda: clock.advance(600), "cron", hour=13, id=name)
    scheduler.start()
    scheduler.run_job("a")
    (first, *_) = [job for job in scheduler.forecast(2).jobs if job.job_id == "a"]
    scheduler.shutdown()
    found = scheduler.forecast(2)
    assert first.took_us == 600 * SECOND
    assert [each.name for each in found.executors] == ["default", "coroutines"]
    (crowd,) = found.crowds
    assert (crowd.workers, crowd.most, crowd.most_us) == (2, 3, at("2026-03-28 13:00"))


def test_runs_under_way_take_their_workers(scheduler):
    """Two until one o'clock, one for longer than usual: it may end at any moment."""
    now_us = scheduler.clock.now_us()
    under_way = [("default", now_us + HOUR)] * 2 + [("default", now_us - HOUR), ("gone", now_us)]
    found = load_ahead([], {}, {"default": 3}, now_us, 2, under_way)
    (executor,) = found.executors
    assert [part.most for part in executor.slices[::12]] == [3, 2, 2, 0, 0]  # each 24 minutes


def test_workers_of_all_processes_that_take_jobs_count(monkeypatch):
    scheduler = Scheduler(clock=ManualClock(START), executors={"default": ThreadPool(2)})
    node = NodeInfo(1, "h", 1, 0, "alive", True, None, 0, ("default",), "app")
    nodes = [node, node, node._replace(takes=False), node._replace(state="dead")]
    monkeypatch.setattr(scheduler, "nodes", lambda: nodes)
    workers = {each.name: each.workers for each in scheduler.forecast(1).executors}
    assert workers == {"default": 4, "coroutines": None}


@pytest.mark.parametrize("hours", [0, -1, 169, "24", None, True, float("nan")])
def test_hours_that_make_no_sense_are_refused(scheduler, hours):
    with pytest.raises(InvalidOptionError, match="168 at most"):
        scheduler.forecast(hours)


def test_it_ends_when_it_says(scheduler):
    scheduler.add_job(work, "interval", minutes=7, id="job")
    found = ahead(scheduler, 1.5)
    assert found.end_us - found.begin_us == timedelta(minutes=90) / timedelta(microseconds=1)
    assert [job.runs for job in found.jobs] == [12]
