"""Runs that wait for a worker, ids of runs, and what is kept of them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta, timezone
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcore import (
    EVENT_JOB_SUBMITTED,
    History,
    ManualClock,
    MaxInstancesError,
    Outcome,
    RunRecord,
    Scheduler,
    State,
    SystemClock,
    ThreadPool,
    simulate,
)
from schedcore.admission import MOST_WAITING
from schedcore.basics.runids import RunIds
from schedcore.history.history import TROUBLES
from schedcore.history.query import RunQuery
from schedcore.lifetime.health import LONGEST_WAIT
from tests.patience import SOON


class Standing:
    """A pool whose workers never come to do anything, until they are told to."""

    def __init__(self):
        self.waiting = []

    def submit(self, runs, reporter):
        self.waiting += [(run, reporter) for run in runs]

    def begin(self):
        """Begin what waits, and return it."""
        begun, self.waiting = self.waiting, []
        return [run for run, reporter in begun if reporter.begin(run)]

    def abandon(self, run):
        pass

    def shutdown(self, timeout):
        pass


@pytest.fixture
def standing():
    """Return a scheduler on virtual time, its pool, and what steps it."""
    pool, clock = Standing(), ManualClock()
    scheduler = Scheduler(timezone="UTC", clock=clock, executors={"default": pool})

    def step(seconds):
        clock.advance(seconds)
        scheduler._engine.step(clock.now_us())

    return scheduler, pool, step


def nothing():
    return None


def floods(**options):
    return {"trigger": "interval", "seconds": 0.01, "max_instances": 10**9, **options}


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
def test_so_many_runs_of_one_job_wait_and_no_more(standing, coalesce, overlap):
    scheduler, _, step = standing
    scheduler.add_job(nothing, **floods(id="flood", coalesce=coalesce, overlap=overlap))
    scheduler.add_job(nothing, "interval", seconds=1, id="other")
    for _ in range(3 * MOST_WAITING):
        step(0.01)
    assert len([run for run in scheduler.runs() if run.job_id == "flood"]) <= MOST_WAITING + 100
    came = sum(scheduler.counts("flood").values()) + len(scheduler.runs()) - 1
    if coalesce or overlap != "queue":  # where one waits, the rest of a backlog is left alone
        assert came == pytest.approx(3 * MOST_WAITING, abs=100)  # none is lost
    assert [run.job_id for run in scheduler.runs()].count("other") == 1


def test_those_under_way_do_not_count(standing):
    scheduler, pool, step = standing
    scheduler.add_job(nothing, **floods(id="flood", coalesce=False))
    for _ in range(MOST_WAITING + 500):
        step(0.01)
        pool.begin()
    assert len(scheduler.runs()) == MOST_WAITING + 500


def test_what_is_run_by_hand_counts_too(standing):
    scheduler, _, _ = standing
    scheduler.add_job(nothing, "interval", hours=1, id="j", max_instances=10**9)
    scheduler.start(paused=True)
    for _ in range(MOST_WAITING):
        scheduler.run_job("j", wait=False)
    with pytest.raises(MaxInstancesError, match="already has 1,000 runs that wait for a worker"):
        scheduler.run_job("j", wait=False)
    scheduler.modify_job("j", max_instances=MOST_WAITING)
    with pytest.raises(MaxInstancesError, match=r"already has 1000 active run\(s\)"):
        scheduler.run_job("j", wait=False)
    scheduler.shutdown(wait=False)


@pytest.mark.parametrize("end", ["remove", "remove_all", "pause"])
def test_a_job_that_is_taken_out_takes_what_has_not_begun_with_it(standing, end):
    scheduler, pool, step = standing
    scheduler.add_job(nothing, "interval", seconds=1, id="j", max_instances=9, coalesce=False)
    step(2)
    (first, _) = pool.begin()
    step(3)
    assert len(scheduler.runs()) == 5
    {
        "remove": lambda: scheduler.remove_job("j"),
        "remove_all": scheduler.remove_all_jobs,
        "pause": lambda: scheduler.pause_job("j"),
    }[end]()
    assert len(scheduler.runs()) == 2
    assert first in scheduler.runs()
    assert pool.begin() == []
    outcome = Outcome.PAUSED if end == "pause" else Outcome.CANCELLED
    assert scheduler.counts("j") == {outcome: 3}


def test_a_pause_leaves_what_was_asked_for_by_hand(standing):
    scheduler, pool, _ = standing
    scheduler.add_job(nothing, "interval", hours=1, id="j")
    scheduler.start()
    run = scheduler.run_job("j", wait=False)
    scheduler.pause_job("j")
    assert pool.begin() == [run]
    scheduler.shutdown(wait=False)


def test_a_removed_job_is_not_called_by_a_real_pool(gate):
    scheduler = Scheduler(executors={"default": ThreadPool(1)}, timezone="UTC")
    called = threading.Event()
    scheduler.add_job(gate, id="holds")
    scheduler.start()
    gate.wait()
    scheduler.add_job(called.set, "interval", hours=1, id="j")
    scheduler.run_job("j", wait=False)
    scheduler.remove_job("j")
    gate.open()
    scheduler.shutdown(timeout=SOON)
    assert not called.is_set()
    assert scheduler.counts("j") == {Outcome.CANCELLED: 1}


def test_health_tells_how_long_the_oldest_run_waits(standing):
    scheduler, pool, _ = standing
    scheduler.add_job(nothing, "interval", seconds=3600, id="j")
    scheduler.start(paused=True)
    assert (scheduler.health().ok, scheduler.health().waiting) == (True, {})
    scheduler.run_job("j", wait=False)
    scheduler.clock.advance(LONGEST_WAIT - 1)
    assert (scheduler.health().ok, dict(scheduler.health().waiting)) == (
        True,
        {"default": LONGEST_WAIT - 1},
    )
    scheduler.clock.advance(2)
    assert (scheduler.health().ok, dict(scheduler.health().waiting)) == (
        False,
        {"default": LONGEST_WAIT + 1},
    )
    pool.begin()
    assert (scheduler.health().ok, scheduler.health().waiting) == (True, {})
    scheduler.shutdown(wait=False)


# Ids


def test_ids_are_unique_over_makers_and_grow_with_time():
    makers = [RunIds(SystemClock()) for _ in range(20)]
    ids = [[maker.next() for _ in range(1_000)] for maker in makers]
    assert len({each for own in ids for each in own}) == 20_000
    for own in ids:
        assert own == sorted(own)
    assert min(ids[-1]) // 10**6 > min(ids[0]) // 10**6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_forked_children_make_others_than_their_parent():
    scheduler = Scheduler(timezone="UTC")
    ids = scheduler._engine.store._ids
    read, write = os.pipe()
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            os.write(write, b"".join(b"%d\n" % ids.next() for _ in range(100)))
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        theirs = [int(line) for line in file]
    own = [ids.next() for _ in range(100)]
    # The digits that a maker draws tell them apart, whatever the microsecond.
    assert len({each % 10**6 for each in theirs} | {each % 10**6 for each in own}) == 5
    assert len({*theirs, *own}) == 500


def test_they_grow_though_the_clock_is_set_back():
    clock = ManualClock()
    ids = RunIds(clock)
    made = [ids.next()]
    clock.jump(-3600)
    made += [ids.next() for _ in range(3)]
    clock.jump(7200)
    made.append(ids.next())
    assert made == sorted(set(made))


def test_a_simulation_that_is_repeated_has_the_same_ids():
    def ids():
        scheduler = Scheduler(timezone="UTC", clock=ManualClock())
        scheduler.add_job(nothing, "interval", minutes=1)
        simulate(scheduler, timedelta(hours=1))
        return [record.run_id for record in scheduler.history()]

    assert len(set(ids())) == 60
    assert ids() == ids()


def test_a_broken_clock_stops_no_ids():
    ids = RunIds(Mock(now_us=Mock(side_effect=RuntimeError("no time"))))
    assert ids.next() < ids.next()


# The history


@given(st.lists(st.sampled_from(list(Outcome)), max_size=120))
def test_the_last_outcomes_of_a_job_hold_its_last_failures(outcomes):
    """The oracle: all of them, and of those before the last 4 so many as make 5 failures."""
    history = History(per_job=4)
    every = [RunRecord(n, "j", outcome, n) for n, outcome in enumerate(outcomes)]
    for record in every:
        history.add(record)
    bad = [record for record in every if record.outcome is not Outcome.EXECUTED][-TROUBLES:]
    expected = [record for n, record in enumerate(every) if n >= len(every) - 4 or record in bad]
    assert history.records(RunQuery("j")) == expected[::-1]
    assert sum(history.counts("j").values()) == len(outcomes)


def test_what_is_kept_of_a_job_that_is_gone_goes_with_it():
    history = History(per_job=1, removed_jobs=1)
    for job_id in "ab":
        for outcome in [Outcome.FAILED] + [Outcome.EXECUTED] * 9:
            history.add(RunRecord(1, job_id, outcome, 1))
        history.job_removed(job_id)
    assert history.records(RunQuery("a")) == []
    kept = history.records(RunQuery("b"))
    assert [record.outcome.value for record in kept] == ["executed", "failed"]


# Reprs


def test_a_record_is_read_by_people():
    us = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc).timestamp()) * 10**6
    record = RunRecord(
        7, "bad", Outcome.FAILED, us, us + 10**6, us + 3 * 10**6, 10**6, 1, None, "E", "no", 2
    )
    assert repr(record) == (
        "<RunRecord of 'bad': failed, due 2026-01-02T03:04:05+00:00, 1.000 s late, took 2.000 s,"
        " attempt 2, E: no, run 7>"
    )
    missed = RunRecord(None, "j", Outcome.MISSED, us, occurrences=3)
    assert (
        repr(missed) == "<RunRecord of 'j': missed, 3 occurrences, due 2026-01-02T03:04:05+00:00>"
    )


def test_a_scheduler_is_read_by_people(virtual_scheduler):
    assert repr(virtual_scheduler) == "<Scheduler stopped, 0 job(s), next run: none>"
    virtual_scheduler.add_job(nothing, "interval", hours=1)
    virtual_scheduler.add_job(nothing, next_run_time=None)
    assert repr(virtual_scheduler) == (
        "<Scheduler stopped, 2 job(s), next run: 2000-01-01T01:00:00+00:00>"
    )
    virtual_scheduler._engine.store = Mock(entries=Mock(side_effect=OSError("gone")))
    assert "its store raised" in repr(virtual_scheduler)


# Many that follow each other


class Refusing(Standing):
    """Accepts nothing."""

    def submit(self, runs, reporter):
        raise RuntimeError("closed")


class Synchronous(Executor):
    """Calls what is submitted at once, in the thread that submits it."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


@pytest.mark.parametrize(
    ("executor", "outcome"), [(Refusing, Outcome.FAILED), (Synchronous, Outcome.EXECUTED)]
)
def test_a_thousand_runs_that_end_while_they_are_submitted_let_each_other_start(executor, outcome):
    clock = ManualClock()
    scheduler = Scheduler(timezone="UTC", clock=clock, executors={"default": executor()})
    start = clock.now()
    scheduler.add_job(int, "interval", minutes=1, coalesce=False, id="behind", start_date=start)
    for n in range(1_000):
        scheduler.add_job(int, id=f"at once {n}")
    clock.advance(timedelta(minutes=1_000))
    for _ in range(30):
        scheduler._engine.step(clock.now_us())
    assert scheduler.runs() == []
    assert scheduler.counts("behind") == {outcome: 1_001}
    assert scheduler.counts() == {outcome: 2_001}


def test_one_that_refuses_a_backfill_leaves_no_run_behind():
    clock = ManualClock()
    scheduler = Scheduler(timezone="UTC", clock=clock, executors={"default": Refusing()})
    start = clock.now()
    scheduler.add_job(int, "interval", minutes=1, id="job", start_date=start)
    clock.advance(timedelta(minutes=900))
    scheduler._engine.step(clock.now_us())
    scheduler._life.loop_or_error = lambda: None
    scheduler.backfill("job", start, start + timedelta(minutes=800))
    assert scheduler.runs() == []


# Paused schedulers


def waiting_runs(scheduler):
    """Have runs of one job wait behind each other; return its id."""
    start = scheduler.clock.now() - timedelta(minutes=10)
    job = scheduler.add_job(
        int, "interval", minutes=1, start_date=start, coalesce=False, next_run_time=start
    )
    scheduler._engine.step(scheduler.clock.now_us())
    return job.id


def test_what_waits_does_not_begin_where_a_scheduler_is_started_paused():
    pool = Standing()
    scheduler = Scheduler(timezone="UTC", clock=ManualClock(), executors={"default": pool})
    waiting_runs(scheduler)
    (first,) = pool.begin()
    scheduler._engine.runs.hold()
    scheduler._engine.runs.reporter.end(first, None, None)
    scheduler._engine.runs.settle()
    scheduler.start(paused=True)
    assert pool.waiting == []
    scheduler.resume()
    assert len(pool.waiting) == 1
    scheduler.shutdown(wait=False)


def test_a_pause_while_a_resume_is_under_way_holds_for_all():
    pool = Standing()
    scheduler = Scheduler(timezone="UTC", clock=ManualClock(), executors={"default": pool})
    scheduler.start(paused=True)
    waiting_runs(scheduler)
    (first,) = pool.begin()
    scheduler._engine.runs.reporter.end(first, None, None)
    scheduler._engine.runs.settle()
    scheduler.add_listener(lambda event: scheduler.pause(), EVENT_JOB_SUBMITTED)
    scheduler.resume()
    assert scheduler.state is State.PAUSED
    (second,) = pool.begin()
    scheduler._engine.runs.reporter.end(second, None, None)
    scheduler._engine.runs.settle()
    assert pool.waiting == [], "and so it does for what waits"
    scheduler.shutdown(wait=False)
