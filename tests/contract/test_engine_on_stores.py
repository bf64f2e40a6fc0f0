"""The engine, on every store: the promises to users that the store has a part in."""

from __future__ import annotations

import gc
import logging
import threading
from datetime import timedelta

import pytest

from schedcore import (
    EVENT_JOB_EXECUTED,
    JobLookupError,
    MaxInstancesError,
    Outcome,
    Scheduler,
)
from schedcore.executors.inline import InlineExecutor
from schedcore.job import Job
from schedcore.methods.run_now import run_now
from schedcore.triggers import Trigger, factory, register_trigger
from tests.patience import SOON
from tests.stores.plain import PlainStore
from tests.stores.stepping import ByHand, Stepped, called, note

gates: dict[str, threading.Event] = {}


def wait_at(name):
    assert gates[name].wait(SOON)


class Moody(Trigger):
    """Fires each minute, unless it has an error."""

    kind = "moody"
    error: Exception | None = None

    def next_us(self, after_us: int) -> int:
        if self.error is not None:
            raise self.error
        return after_us + 60_000_000

    def to_dict(self):
        return {"trigger": self.kind}


@pytest.fixture
def inline(store):
    called.clear()
    return Stepped(store, InlineExecutor())


@pytest.fixture
def stepped(store):
    return Stepped(store, ByHand())


# The schedule


def test_a_job_that_runs_once_is_gone_then(inline):
    inline.scheduler.add_job(note, "date", run_date=inline.at(5), id="job")
    assert inline.step(4) == 5
    assert called == []
    assert inline.step(2) is None
    assert called == ["job"]
    assert inline.scheduler.get_job("job") is None
    assert inline.history() == [("executed", 5)]
    assert inline.scheduler.history("job")[0].result == "'job'"


def test_what_is_gone_is_not_kept_alive(inline, store):
    if isinstance(store, PlainStore):
        pytest.skip("it drops no definition")
    scheduler, much = inline.scheduler, ["x" * 1_000]
    scheduler.add_job(note, "date", args=much, run_date=inline.at(5), id="once")
    for job_id in ("removed", "replaced"):
        scheduler.add_job(note, "interval", args=much, hours=1, id=job_id)
    inline.step(6)
    scheduler.remove_job("removed")
    scheduler.add_job(note, "interval", hours=1, id="replaced", replace_existing=True)
    gc.collect()
    assert [
        each.id for each in gc.get_objects() if type(each) is Job and each.args == (*much,)
    ] == []


def test_tags_are_kept_and_changed(inline):
    inline.add(every=10, tags={"nightly", "billing"})
    job = inline.scheduler.get_job("job")
    assert job.tags == ("billing", "nightly")
    job.modify(tags=["weekly"])
    inline.step(10)
    assert inline.scheduler.get_job("job").tags == ("weekly",)


def test_an_interval_goes_on(inline):
    inline.add(every=10, args=["tick"])
    assert [inline.step(10) for _ in range(3)] == [20, 30, 40]
    assert called == ["tick"] * 3
    assert inline.history() == [("executed", 10), ("executed", 20), ("executed", 30)]
    assert [job.id for job in inline.scheduler.get_jobs()] == ["job"]


def test_jobs_are_listed_as_they_move_on(inline):
    inline.add(every=10)
    inline.scheduler.add_job(note, "date", run_date=inline.at(15), id="once")
    assert [job.id for job in inline.scheduler.get_jobs()] == ["job", "once"]
    inline.step(10)
    assert [job.id for job in inline.scheduler.get_jobs()] == ["once", "job"]
    assert inline.scheduler.get_job("job").next_run_time == inline.at(20)
    inline.scheduler.remove_job("once")
    assert [job.id for job in inline.scheduler.get_jobs()] == ["job"]


def test_one_that_cannot_run_stops_no_other_whatever_its_error_says(inline, monkeypatch):
    # Heard here alone: pytest's own reports are UTF-8, which has no such character.
    logger, heard = logging.getLogger("schedcore.engine"), logging.Handler()
    messages = []
    heard.emit = lambda record: messages.append(record.getMessage())
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [heard])
    monkeypatch.setattr(factory, "_registered", {})
    register_trigger(Moody)
    inline.scheduler.add_job(note, Moody(), id="moody")
    inline.add(every=100)
    monkeypatch.setattr(Moody, "error", ValueError("M\udcfcller\x00.csv"))
    for _ in range(3):
        inline.step(100)
    assert inline.counts() == {"executed": 3}
    assert len([each for each in messages if "cannot be run" in each]) == 1
    assert inline.scheduler.entry("moody").broken == "ValueError: M\\udcfcller\\x00.csv"


def test_what_is_missed_and_what_is_joined_is_recorded(inline):
    inline.add(every=10, misfire_grace_time=25)
    inline.step(60)
    assert inline.counts() == {"missed": 3, "executed": 1, "coalesced": 2}
    assert called == ["job"]


def test_a_pause_passes_over_what_comes_and_a_removed_job_is_gone(inline):
    inline.add(every=10)
    inline.scheduler.pause_job("job")
    assert inline.step(35) is None
    inline.scheduler.resume_job("job")
    assert inline.counts() == {"paused": 3}
    assert inline.step(5) == 50
    inline.clock.advance(15)
    inline.scheduler.remove_job("job")
    assert inline.step(100) is None
    assert inline.counts() == {"paused": 3, "executed": 1, "cancelled": 1}
    with pytest.raises(JobLookupError):
        inline.scheduler.pause_job("job")


def test_a_change_is_made_while_the_job_moves_on(stepped):
    """It is worked out once, though the job is due in the middle of it."""
    stepped.add(every=10)
    asked = []

    def changes(entry):
        asked.append(entry)
        stepped.step(10)
        return {"name": "Other"}

    stepped.scheduler.update_job("job", changes)
    assert len(asked) == 1
    assert stepped.scheduler.get_job("job").name == "Other"
    assert stepped.scheduler.get_job("job").next_run_time == stepped.at(20)


# Runs


def test_runs_are_seen_from_pending_to_outcome(stepped):
    stepped.add(every=10)
    stepped.step(10)
    (run,) = stepped.scheduler.runs()
    assert (run.job_id, run.started_us, stepped.history()) == ("job", None, [])
    stepped.clock.advance(2)
    stepped.hand.begin()
    stepped.clock.advance(3)
    stepped.hand.end("done")
    assert stepped.scheduler.runs() == []
    (record,) = stepped.scheduler.history()
    assert (record.lateness, record.result) == (2, "'done'")
    assert record.ended - record.started == timedelta(seconds=3)
    assert run.record == record


@pytest.mark.parametrize(
    ("overlap", "outcomes"),
    [
        ("skip", {"executed": 1, "skipped": 2}),
        ("queue", {"executed": 2, "skipped": 1}),
        ("cancel", {"executed": 1, "cancelled": 2}),
    ],
)
def test_overlap(stepped, overlap, outcomes):
    stepped.add(every=10, overlap=overlap)
    for _ in range(3):
        stepped.step(10)
        if stepped.hand.waiting:
            stepped.hand.begin()
    while stepped.hand.under_way:
        stepped.hand.end()
        if stepped.hand.waiting:
            stepped.hand.begin()
    assert stepped.counts() == outcomes
    assert stepped.scheduler.runs() == []
    assert len(stepped.hand.abandoned) == outcomes.get("cancelled", 0)


def test_one_cancelled_for_another_keeps_its_reason_though_its_time_is_over_as_well(stepped):
    stepped.add(every=10, overlap="cancel", timeout=5)
    stepped.step(10)
    stepped.hand.begin()
    stepped.step(10)
    (record,) = stepped.scheduler.history("job")
    assert record.reason == "for a new run: overlap is 'cancel'"


def test_what_waits_starts_when_max_instances_is_raised(stepped):
    stepped.add(every=10, overlap="queue")
    stepped.step(10)
    stepped.hand.begin()
    stepped.step(10)
    stepped.scheduler.modify_job("job", max_instances=2)
    assert stepped.due(stepped.hand.waiting) == [20]
    stepped.hand.begin()
    stepped.step(10)
    assert stepped.counts() == {}, "one more waits, and none is skipped"


def test_what_waits_does_not_start_while_the_scheduler_is_paused(stepped):
    stepped.add(every=10, overlap="queue")
    stepped.step(10)
    stepped.hand.begin()
    stepped.step(10)
    stepped.engine.runs.hold()
    stepped.scheduler.modify_job("job", max_instances=2)
    assert stepped.hand.waiting == []
    stepped.scheduler.modify_job("job", max_instances=1)
    stepped.hand.end()
    (waiting,) = stepped.scheduler.runs()
    with pytest.raises(MaxInstancesError):
        run_now(stepped.engine, "job")
    assert f"run {waiting.id} waits" in stepped.scheduler.history("job")[0].reason
    stepped.engine.runs.reopen()
    stepped.engine.runs.promote()
    assert stepped.due(stepped.hand.waiting) == [20]


def test_each_fire_time_of_a_backlog_runs_and_what_comes_meanwhile_too(stepped):
    stepped.add(every=10, coalesce=False, misfire_grace_time=5_000)
    stepped.step(1_505)
    ran = []
    while stepped.hand.waiting or stepped.hand.under_way:
        ran += stepped.due([stepped.hand.begin()])
        stepped.clock.advance(2)
        stepped.hand.end()
        stepped.step()
    assert ran == [10 * n for n in range(1, len(ran) + 1)]
    assert len(ran) > 150
    assert stepped.counts() == {"executed": len(ran)}


def test_after_a_backlog_one_that_is_too_many_is_skipped_again(stepped):
    """The last fire time of a backlog ends it: those that come later are no part of it."""
    stepped.add(every=10, coalesce=False)
    stepped.step(1_015)
    while stepped.hand.waiting:
        stepped.hand.run()
        stepped.step()
    assert stepped.counts() == {"executed": 101}
    stepped.step(5)
    stepped.hand.begin()
    stepped.step(10)
    assert stepped.counts() == {"executed": 101, "skipped": 1}


def test_a_run_that_fails_is_tried_again(stepped):
    stepped.scheduler.add_job(
        note, "date", run_date=stepped.at(5), id="job", retry={"count": 2, "delay": 3, "jitter": 0}
    )
    stepped.step(5)
    stepped.hand.run(error=ValueError("no"))
    assert (stepped.hand.waiting, stepped.history()) == ([], [])
    stepped.step(3)
    stepped.hand.run()
    (record,) = stepped.scheduler.history("job")
    assert (record.outcome, record.attempt) == (Outcome.EXECUTED, 2)


LEAVE = {
    "paused": lambda scheduler: scheduler.pause_job("job"),
    "removed": lambda scheduler: scheduler.remove_job("job"),
    "replaced": lambda scheduler: scheduler.add_job(
        note, "interval", hours=9, id="job", replace_existing=True
    ),
}


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("when", ["under way", "between two attempts"])
def test_a_job_that_leaves_the_schedule_is_not_tried_again(stepped, leave, when):
    stepped.add(every=1_000, retry={"count": 5, "delay": 3})
    stepped.step(1_000)
    run = stepped.hand.begin()
    if when == "under way":
        LEAVE[leave](stepped.scheduler)
        assert stepped.scheduler.runs() == [run]
        stepped.hand.end(error=ValueError("no"))
    else:
        stepped.hand.end(error=ValueError("no"))
        LEAVE[leave](stepped.scheduler)
    assert stepped.scheduler.runs() == []
    stepped.step(100)
    assert stepped.hand.waiting == []
    assert stepped.history() == [("failed", 1_000)]
    assert stepped.scheduler.history("job")[0].error_text == "no"


def test_a_run_that_takes_too_long_is_given_up(stepped):
    stepped.add(every=10, timeout=4)
    stepped.step(10)
    run = stepped.hand.begin()
    stepped.step(4)
    assert stepped.history() == [("timed_out", 10)]
    assert (stepped.hand.abandoned, run.cancelled) == ([run], True)
    stepped.hand.end()
    assert stepped.history() == [("timed_out", 10)]


def test_a_run_is_cancelled_by_its_number(stepped):
    stepped.add(every=10)
    stepped.step(10)
    (run,) = stepped.scheduler.runs()
    stepped.scheduler.cancel(run.id)
    stepped.hand.begin()
    assert stepped.hand.under_way == []
    assert stepped.history() == [("cancelled", 10)]


def test_a_removed_jobs_waiting_runs_end_with_it(stepped):
    stepped.add(every=10, overlap="queue")
    stepped.step(10)
    stepped.hand.begin()
    stepped.step(10)
    stepped.scheduler.remove_job("job")
    assert stepped.history() == [("cancelled", 20)]
    stepped.hand.end()
    assert stepped.history() == [("cancelled", 20), ("executed", 10)]
    assert stepped.hand.waiting == []


# With threads


@pytest.fixture
def started(store):
    scheduler = Scheduler(timezone="UTC", store=store)
    scheduler.start()
    yield scheduler
    for gate in gates.values():
        gate.set()
    scheduler.shutdown(timeout=SOON)


def test_a_run_by_hand_is_waited_for(started):
    started.add_job(note, "interval", hours=9, id="job", args=["by hand"])
    run = started.run_job("job", timeout=SOON)
    assert run.record.result == "'by hand'"
    assert started.counts("job") == {Outcome.EXECUTED: 1}


def test_a_run_by_hand_finds_no_room(started, monkeypatch):
    gates["busy"] = threading.Event()
    started.add_job(wait_at, "interval", hours=9, id="job", args=["busy"])
    run = started.run_job("job", wait=False)
    with monkeypatch.context() as patch:
        patch.setattr(started._engine.store, "runs", list)  # it ends in between
        with pytest.raises(MaxInstancesError, match="'job' already has 1 active"):
            started.run_job("job")
    gates["busy"].set()
    assert run.wait(SOON)
    assert started.counts("job") == {Outcome.SKIPPED: 1, Outcome.EXECUTED: 1}


def test_many_jobs_run_in_threads_each_once(started):
    ran = threading.Semaphore(0)
    started.add_listener(lambda event: ran.release(), EVENT_JOB_EXECUTED)
    started.add_jobs([{"func": note, "id": f"j{n}"} for n in range(100)])
    for _ in range(100):
        assert ran.acquire(timeout=SOON)
    assert started.counts() == {Outcome.EXECUTED: 100}
    assert started.get_jobs() == []
