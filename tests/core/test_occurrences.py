"""What becomes of fire times that meet others of their job: backlogs, overlap, changes."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest

from schedcore import ManualClock, Outcome, Scheduler, ThreadPool, simulate
from tests.core.conftest import LongestJitter
from tests.patience import SOON

START = datetime(2000, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def scheduler(clock):
    return Scheduler(clock=clock, timezone="UTC")


@pytest.fixture
def step(scheduler, clock):
    def step(seconds=0):
        clock.advance(seconds)
        scheduler._engine.step(clock.now_us())

    return step


def outcomes(scheduler, job_id):
    return [record.outcome for record in scheduler.history(job_id)][::-1]


# Backlogs of which each fire time is to run


@pytest.mark.parametrize("backlog", [1, 5, 99, 100, 101, 450])
@pytest.mark.parametrize("takes", [0.1, 0.5, 0.9])
def test_each_fire_time_of_a_backlog_runs_and_so_does_what_comes_meanwhile(backlog, takes):
    """A run takes less than a period, and nothing else keeps the worker busy."""
    clock = ManualClock(START)
    scheduler = Scheduler(clock=clock, timezone="UTC")
    first = START - timedelta(seconds=backlog)
    scheduler.add_job(
        lambda: clock.advance(takes),
        "interval",
        seconds=1,
        start_date=first,
        next_run_time=first,
        coalesce=False,
        id="j",
    )
    simulate(scheduler, timedelta(seconds=backlog * 12 + 20))
    seconds = int((clock.now() - START).total_seconds())
    counts = scheduler.counts("j")
    assert set(counts) == {Outcome.EXECUTED}
    assert counts[Outcome.EXECUTED] in (backlog + seconds, backlog + seconds + 1)


def test_a_backlog_is_worked_off_without_a_wait_between_its_portions():
    scheduler = Scheduler(timezone="UTC")
    first = datetime.now(timezone.utc) - timedelta(hours=1500)
    done = threading.Semaphore(0)
    scheduler.add_job(
        done.release, "interval", hours=1, start_date=first, next_run_time=first, coalesce=False
    )
    woken = []
    scheduler.start()
    expect = scheduler._runs.expect
    scheduler._runs.expect = lambda due_us: (woken.append(due_us), expect(due_us))
    for _ in range(1500):
        assert done.acquire(timeout=SOON)
    scheduler.shutdown(timeout=SOON)
    assert len(woken) >= 13  # after each portion but the first ones, the loop was told at once


def test_the_grace_of_a_backlog_is_judged_when_it_is_found(scheduler, clock, step, gate):
    """A full pool does not make the rest of it late."""
    first = START - timedelta(seconds=3)
    scheduler.add_job(
        gate,
        "interval",
        seconds=1,
        start_date=first,
        next_run_time=first,
        coalesce=False,
        misfire_grace_time=10,
        id="j",
    )
    step()
    gate.wait()
    step(1)  # found due, while the first part is still worked off
    clock.advance(60)  # far beyond the grace
    gate.open()
    assert scheduler._runs.wait_until_idle(SOON)
    while not scheduler._runs.wait_until_idle(0) or scheduler._engine.store.next_due() <= (
        clock.now_us()
    ):
        step()
    assert Outcome.MISSED not in scheduler.counts("j")
    assert Outcome.SKIPPED not in scheduler.counts("j")


def test_jitter_is_no_lateness_where_a_backlog_is_held(clock, gate):
    scheduler = Scheduler(clock=clock, timezone="UTC", random=LongestJitter())
    scheduler.add_job(
        gate,
        "interval",
        seconds=100,
        jitter=60,
        coalesce=False,
        misfire_grace_time=10,
        max_instances=1,
        overlap="queue",
        id="j",
    )
    for seconds in (160, 100, 100, 100):  # each time due after its jitter, and the first runs still
        clock.advance(seconds)
        scheduler._engine.step(clock.now_us())
    gate.open()
    for _ in range(4):
        assert scheduler._runs.wait_until_idle(SOON)
        scheduler._engine.step(clock.now_us())
    assert scheduler.counts("j") == {Outcome.EXECUTED: 4}


# Removed and paused jobs


@pytest.mark.parametrize("act", ["remove_job", "pause_job", "replace"])
def test_what_was_to_be_tried_again_is_not_after_its_job_is_gone(scheduler, clock, act):
    attempts = []

    def fail():
        attempts.append(1)
        raise ValueError("not today")

    retry = {"count": 20, "delay": 10, "factor": 1}
    scheduler.add_job(fail, "interval", hours=1, id="j", retry=retry)
    simulate(scheduler, timedelta(hours=1, seconds=15))
    before = len(attempts)
    assert before == 2
    if act == "replace":
        scheduler.add_job(int, "interval", hours=1, id="j", replace_existing=True)
    else:
        getattr(scheduler, act)("j")
    simulate(scheduler, timedelta(minutes=30))
    assert len(attempts) == before
    (record,) = scheduler.history("j")
    assert (record.outcome, record.error_text) == (Outcome.FAILED, "not today")
    assert scheduler.runs() == []


@pytest.mark.parametrize(
    ("act", "outcome"), [("remove_job", Outcome.CANCELLED), ("pause_job", Outcome.PAUSED)]
)
def test_what_waits_for_a_worker_ends_with_its_job(act, outcome, gate):
    scheduler = Scheduler(timezone="UTC", executors={"default": ThreadPool(1)})
    scheduler.start()
    scheduler.add_job(gate, id="busy")
    gate.wait()
    called = []
    scheduler.add_job(called.append, "interval", hours=1, args=[1], id="j", next_run_time=START)
    run_id = None
    while run_id is None:
        run_id = next((run.id for run in scheduler.runs() if run.job_id == "j"), None)
    getattr(scheduler, act)("j")
    assert scheduler.history("j")[0].outcome is outcome
    gate.open()
    scheduler.shutdown(timeout=SOON)
    assert called == []


def test_a_run_under_way_goes_on_when_its_job_is_removed(scheduler, step, gate):
    scheduler.add_job(gate, "interval", seconds=1, id="j")
    step(1)
    gate.wait()
    scheduler.remove_job("j")
    gate.open()
    assert scheduler._runs.wait_until_idle(SOON)
    assert outcomes(scheduler, "j") == [Outcome.EXECUTED]


# Overlap


def test_cancel_does_not_cancel_what_has_not_begun(clock):
    """On a busy pool, the run that waits takes the place of the one that would wait longer."""
    pool = ThreadPool(1)
    scheduler = Scheduler(clock=clock, timezone="UTC", executors={"default": pool})
    begun, go_on = threading.Event(), threading.Event()
    scheduler.add_job(lambda: (begun.set(), go_on.wait(SOON)), id="busy")
    scheduler._engine.step(clock.now_us())
    assert begun.wait(SOON)
    ran = []
    scheduler.add_job(ran.append, "interval", seconds=1, args=[1], id="j", overlap="cancel")
    for _ in range(5):
        clock.advance(1)
        scheduler._engine.step(clock.now_us())
    go_on.set()
    assert scheduler._runs.wait_until_idle(SOON)
    assert ran == [1]
    assert scheduler.counts("j") == {Outcome.EXECUTED: 1, Outcome.SKIPPED: 4}


def test_cancel_keeps_to_a_lowered_max_instances(scheduler, step, gate):
    scheduler.add_job(
        gate, "interval", seconds=1, id="j", max_instances=3, overlap="cancel", next_run_time=START
    )
    for _ in range(3):
        step()
        gate.wait()
        step(1)
    while len(scheduler.runs()) != 3:
        step()
    gate.wait()  # what has not begun is not cancelled
    scheduler.modify_job("j", max_instances=1)
    step(1)
    assert len(scheduler.runs()) == 1
    gate.open()


# The same id again


@pytest.mark.parametrize("how", ["one shot", "removed", "replaced"])
def test_the_same_id_again_is_another_job(scheduler, step, gate, how):
    if how == "one shot":
        scheduler.add_job(gate, id="x")
    else:
        scheduler.add_job(gate, "interval", hours=1, id="x", next_run_time=START)
    step()
    gate.wait()
    if how == "removed":
        scheduler.remove_job("x")
    ran = threading.Event()
    scheduler.add_job(ran.set, id="x", replace_existing=how == "replaced")
    step()
    assert ran.wait(SOON)
    gate.open()
    assert scheduler._runs.wait_until_idle(SOON)
    assert scheduler.counts("x") == {Outcome.EXECUTED: 2}


def test_each_fire_time_has_one_outcome_while_its_job_is_replaced_again_and_again():
    scheduler = Scheduler(timezone="UTC")
    scheduler.start()
    go_on = threading.Event()

    def replace():
        while not go_on.is_set():
            scheduler.add_job(int, "interval", seconds=0.001, id="x", replace_existing=True)

    threads = [threading.Thread(target=replace) for _ in range(2)]
    for thread in threads:
        thread.start()
    while sum(scheduler.counts("x").values()) < 300:
        pass
    go_on.set()
    for thread in threads:
        thread.join(SOON)
    scheduler.remove_job("x")
    scheduler.shutdown(timeout=SOON)
    seen = [r.scheduled_us for r in scheduler.history() if r.occurrences == 1]
    assert len(seen) == len(set(seen))


# What is left behind


def test_nothing_is_left_of_a_waiting_run_that_was_cancelled_while_paused(clock, gate):
    scheduler = Scheduler(clock=clock, timezone="UTC")
    scheduler.start()
    scheduler.add_job(gate, "interval", seconds=1, id="j", overlap="queue", next_run_time=START)
    gate.wait()
    clock.advance(1)
    while len(scheduler.runs()) < 2:
        pass
    scheduler.pause()
    gate.open()
    while len(scheduler.runs()) > 1:
        pass
    (waiting,) = scheduler.runs()
    scheduler.cancel(waiting.id)
    scheduler.remove_job("j")
    assert scheduler._runs.wait_until_idle(SOON)
    assert scheduler.history("j")[0].outcome is Outcome.CANCELLED
    scheduler.shutdown(timeout=SOON)
