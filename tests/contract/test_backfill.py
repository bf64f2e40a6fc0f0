"""Backfill, on every store: a job runs for due times that have passed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedcore import InvalidOptionError, JobLookupError, MaxInstancesError, Scheduler, current_run
from schedcore.admission import MOST_WAITING
from tests.patience import SOON
from tests.stores.stepping import ByHand, Stepped

HOUR = 3600


@pytest.fixture
def stepped(store):
    return Stepped(store, ByHand())


@pytest.fixture
def started(stepped):
    """A scheduler, five hours old, whose runs begin and end by hand; its job is due each hour."""
    stepped.clock.advance(5.5 * HOUR)
    stepped.add(every=HOUR)
    stepped.scheduler.start()
    yield stepped
    stepped.scheduler.shutdown(wait=False)


def outcomes(stepped):
    return [(outcome, due / HOUR) for outcome, due in stepped.history()]


def finish(stepped):
    while stepped.hand.waiting:
        stepped.hand.run()


def test_each_due_time_of_the_range_runs_once_the_oldest_first(started):
    ids = started.scheduler.backfill("job", started.at(2 * HOUR), started.at(4 * HOUR))
    assert len(ids) == 2
    states = {run.id: run.state for run in started.scheduler.runs()}
    assert [states[run_id] for run_id in ids] == ["waiting"] * 2
    assert len(started.hand.waiting) == 1, "max_instances is 1"
    finish(started)
    assert outcomes(started) == [("executed", 2), ("executed", 3)]
    found = [started.scheduler.get_run(run_id) for run_id in ids]
    assert {run.cause for run in found} == {"backfill"}
    assert found[0].scheduled_us == started.start_us + 2 * HOUR * 10**6


def test_what_was_executed_is_left_out_unless_it_is_to_run_again(started):
    scheduler = started.scheduler
    scheduler.backfill("job", started.at(2 * HOUR), started.at(3 * HOUR))
    finish(started)
    scheduler.backfill("job", started.at(3 * HOUR), started.at(4 * HOUR))
    started.hand.run(error=ValueError("no luck"))
    assert len(scheduler.backfill("job", started.at(0))) == 4
    assert scheduler.backfill("job", started.at(0)) == [], "all are open, or were executed"
    finish(started)
    assert outcomes(started)[1:] == [
        *[("failed", 3), ("executed", 1), ("executed", 3), ("executed", 4), ("executed", 5)]
    ]
    assert len(scheduler.backfill("job", started.at(0), again=True)) == 5


def test_as_many_run_at_once_as_max_instances_lets(started):
    started.scheduler.modify_job("job", max_instances=3)
    started.scheduler.backfill("job", started.at(0))
    assert started.due(started.hand.waiting) == [HOUR, 2 * HOUR, 3 * HOUR]
    finish(started)
    assert [due for _, due in outcomes(started)] == [1, 2, 3, 4, 5]


def test_pausing_or_removing_the_job_ends_what_waits(started):
    scheduler = started.scheduler
    scheduler.backfill("job", started.at(0), started.at(4 * HOUR))
    started.hand.begin()
    scheduler.pause_job("job")
    started.hand.end()
    assert outcomes(started) == [("paused", 2), ("paused", 3), ("executed", 1)]
    scheduler.backfill("job", started.at(2 * HOUR), started.at(4 * HOUR))
    started.hand.begin()
    scheduler.remove_job("job")
    started.hand.end()
    assert scheduler.runs() == []
    assert outcomes(started)[3:] == [("cancelled", 3), ("executed", 2)]


def test_a_paused_job_runs_all_of_them_and_stays_paused(started):
    scheduler = started.scheduler
    scheduler.pause_job("job")
    assert len(scheduler.backfill("job", started.at(0))) == 5
    finish(started)
    assert [outcome for outcome, _ in outcomes(started)] == ["executed"] * 5
    assert scheduler.get_job("job").next_run_time is None


def test_due_times_that_the_schedule_will_bring_yet_are_left_to_it(started):
    """Nobody takes them while all is paused: they would run twice."""
    started.scheduler.pause()
    started.clock.advance(2 * HOUR)
    ids = started.scheduler.backfill("job", started.at(5 * HOUR), again=True)
    assert [started.scheduler.get_run(run_id).due_us for run_id in ids] == [
        started.start_us + 5 * HOUR * 10**6
    ]
    finish(started)
    assert outcomes(started) == [("executed", 5)]
    assert started.scheduler.entry("job").fire_us == started.start_us + 6 * HOUR * 10**6


def test_two_at_once_run_each_due_time_once(started, monkeypatch):
    """The second one looks before the first one has written, and writes after it."""
    scheduler, store = started.scheduler, started.engine.store
    backfill, firsts = store.backfill, []

    def after_another(asked, note):
        if not firsts:
            firsts.append(None)
            firsts[:] = scheduler.backfill("job", started.at(0), started.at(3 * HOUR))
        return backfill(asked, note)

    monkeypatch.setattr(store, "backfill", after_another)
    seen = []
    second = scheduler.backfill("job", started.at(0), check=lambda times: seen.append(len(times)))
    assert (len(firsts), len(second)) == (2, 3)
    assert seen == [5, 3], "what is confirmed is what runs"
    finish(started)
    assert [due for _, due in outcomes(started)] == [1, 2, 3, 4, 5]


def test_what_ends_or_begins_while_one_looks_is_not_run_again(started, monkeypatch):
    scheduler, store = started.scheduler, started.engine.store
    scheduler.backfill("job", started.at(0), started.at(3 * HOUR))
    started.hand.begin()
    records = store.records

    def ends_first(query):
        if started.hand.under_way:
            started.hand.end()
        return records(query)

    monkeypatch.setattr(store, "records", ends_first)
    assert len(scheduler.backfill("job", started.at(0))) == 3
    finish(started)
    assert [due for _, due in outcomes(started)] == [1, 2, 3, 4, 5]


def test_how_many_may_wait_is_looked_at_when_they_are_written(started, monkeypatch):
    scheduler, store, at = started.scheduler, started.engine.store, started.at
    scheduler.reschedule_job("job", "interval", seconds=1, start_date=at(0))
    scheduler.pause_job("job")
    backfill, firsts = store.backfill, []

    def after_another(asked, note):
        if not firsts:
            firsts.append(None)
            firsts[:] = scheduler.backfill("job", at(0), at(MOST_WAITING))
        return backfill(asked, note)

    monkeypatch.setattr(store, "backfill", after_another)
    with pytest.raises(MaxInstancesError):
        scheduler.backfill("job", at(MOST_WAITING), at(MOST_WAITING + 2))
    assert len(scheduler.runs()) == MOST_WAITING


def test_whoever_looks_at_the_times_may_refuse_them_all(started):
    seen = []

    def refuse(times):
        seen.extend((us - started.start_us) / 1e6 for us in times)
        raise ValueError("not these")

    with pytest.raises(ValueError, match="not these"):
        started.scheduler.backfill("job", started.at(4 * HOUR), check=refuse)
    assert seen == [4 * HOUR, 5 * HOUR]
    assert started.scheduler.runs() == started.hand.waiting == []


def test_what_cannot_be_asked_for_is_refused_and_nothing_is_done(started):
    scheduler, at = started.scheduler, started.at
    with pytest.raises(JobLookupError):
        scheduler.backfill("no", at(0))
    for since, until in ((at(6 * HOUR), None), (at(3), at(3)), (at(3), at(2)), ("soon", None)):
        with pytest.raises(InvalidOptionError, match="since"):
            scheduler.backfill("job", since, until)
    assert scheduler.backfill("job", at(0) - timedelta(days=1), at(HOUR)) == [], "nothing was due"
    scheduler.reschedule_job("job", "interval", seconds=1, start_date=at(0))
    scheduler.pause_job("job")
    with pytest.raises(InvalidOptionError, match="at most 1,000 due times"):
        scheduler.backfill("job", at(0))
    last = at(MOST_WAITING)
    assert len(scheduler.backfill("job", at(0), last)) == MOST_WAITING
    with pytest.raises(MaxInstancesError):
        scheduler.backfill("job", last, at(MOST_WAITING + 3))
    assert len(scheduler.runs()) == MOST_WAITING


def test_a_jitter_does_not_hide_that_a_due_time_was_executed(stepped):
    stepped.add(every=HOUR, jitter=HOUR // 2)
    stepped.step(1.75 * HOUR)
    finish(stepped)
    stepped.scheduler.start()
    assert stepped.scheduler.backfill("job", stepped.at(0)) == []
    stepped.scheduler.shutdown(wait=False)


def test_a_run_accounts_for_one_due_time_however_far_jitter_puts_them_off(stepped):
    """One by hand accounts for none, and one of a backfill for its own."""
    stepped.clock.advance(5.5 * HOUR)
    stepped.add(every=HOUR, jitter=10 * HOUR)
    scheduler = stepped.scheduler
    scheduler.start()
    scheduler.run_job("job", wait=False)
    finish(stepped)
    assert len(scheduler.backfill("job", stepped.at(3 * HOUR), stepped.at(4 * HOUR))) == 1
    finish(stepped)
    assert len(scheduler.backfill("job", stepped.at(0), stepped.at(5.5 * HOUR))) == 4
    scheduler.shutdown(wait=False)


def test_it_is_in_the_audit(started):
    started.scheduler.backfill("job", started.at(5 * HOUR))
    assert started.scheduler.audit("job")[0].verb == "backfilled"


def times():
    return current_run().scheduled


def test_a_function_learns_which_due_time_its_run_is_of(make_store):
    scheduler = Scheduler(store=make_store())
    scheduler.start()
    scheduler.add_job(times, "cron", day=1, hour=0, minute=0, id="monthly", timezone="UTC")
    (run_id,) = scheduler.backfill("monthly", "2025-12-31", "2026-01-02")
    scheduler.shutdown(timeout=SOON)
    assert "2026, 1, 1, 0, 0" in scheduler.get_run(run_id).result
