"""What every store promises of runs, from the schedule to where they are under way."""

from __future__ import annotations

import pytest

from schedcore import JobLookupError, Outcome, admission
from schedcore.history.query import RunQuery
from schedcore.planning import Backlog
from schedcore.run import RunRecord
from schedcore.stores import open_runs
from schedcore.stores.base import NotRun
from tests.stores.calls import (
    add,
    backlog,
    begun,
    changed,
    due_times,
    end,
    entry,
    job,
    outcomes,
    run_now,
    settle,
)

# From the schedule to a run


def test_a_fire_time_that_is_settled_is_an_open_run_of_the_definition_that_was_taken(store):
    add(store, entry("a", 5))
    settled = settle(store, 6, next_us=15)
    (run,) = settled.runs
    assert (run.job_id, run.due_us, run.attempt) == ("a", 5, 1)
    assert run.started_us is run.ended_us is run.outcome is run.record is None
    assert run.job is store.get("a").job
    assert store.runs() == [run]
    assert store.records() == []


def test_runs_have_numbers_that_grow(store):
    add(store, *(entry(f"j{n}", n) for n in range(5)))
    runs = settle(store, 5, next_us=10).runs
    begun(*runs)
    end(store, *runs)
    later = settle(store, 10).runs
    numbers = [run.id for run in [*runs, *later]]
    assert numbers == sorted(set(numbers))


def test_outcomes_of_what_does_not_run_are_recorded_as_the_place_is_written(store):
    add(store, entry("a", 5))
    missed = NotRun(Outcome.MISSED, Backlog(5, 7), 40)
    joined = NotRun(Outcome.COALESCED, Backlog(40, 2), 5)
    settled = settle(store, 45, times=(), next_us=50, not_run=(missed, joined))
    assert settled.not_run == [(store.get("a").job, missed), (store.get("a").job, joined)]
    assert settled.runs == []
    assert store.records(RunQuery("a")) == [joined.record("a"), missed.record("a")]
    assert store.counts("a") == {Outcome.MISSED: 7, Outcome.COALESCED: 2}


# max_instances and overlap


def two_rounds(store, **options):
    """Settle a fire time whose run begins, then another; return its run, and what came of that."""
    add(store, entry("a", 5, **options))
    (run,) = begun(*settle(store, 5, next_us=15).runs)
    return run, settle(store, 15, next_us=100)


def test_one_that_is_too_many_is_skipped(store):
    run, settled = two_rounds(store)
    assert settled.runs == settled.evicted == []
    assert [each[:2] for each in settled.skipped] == [(store.get("a").job, (15,))]
    (record,) = store.records(RunQuery("a"))
    assert record._replace(reason=None) == RunRecord(None, "a", Outcome.SKIPPED, 15)
    assert f"run {run.id} " in record.reason
    assert store.runs() == [run]


def test_several_that_find_no_room_are_skipped_together(store):
    add(store, entry("a", 5, coalesce=False))
    settle(store, 5, next_us=15)
    settled = settle(store, 27, times=(15, 20, 25), next_us=30)
    assert settled.runs == []
    assert [tuple(times) for _, times, _ in settled.skipped] == [(15, 20, 25)]
    record = RunRecord(None, "a", Outcome.SKIPPED, 15, late_us=12, occurrences=3)
    assert [each._replace(reason=None) for each in store.records(RunQuery("a"))] == [record]
    assert store.counts("a") == {Outcome.SKIPPED: 3}


def test_up_to_max_instances_run_at_once(store):
    run, settled = two_rounds(store, max_instances=2)
    assert due_times(settled.runs) == [15]
    assert settle(store, 100, next_us=200).skipped
    end(store, run)
    assert due_times(settle(store, 200).runs) == [200]


def test_one_may_wait_in_a_queue_and_starts_in_the_place_that_becomes_free(store):
    run, settled = two_rounds(store, overlap="queue")
    assert settled.runs == settled.skipped == []
    (waiting,) = [one for one in store.runs() if one is not run]
    assert waiting.due_us == 15
    assert settle(store, 100, next_us=200).skipped
    ended = end(store, run)
    assert [one.run for one in ended.recorded] == [run]
    assert ended.runs == [waiting]
    begun(waiting)
    assert end(store, waiting).runs == []
    assert outcomes(store) == [Outcome.SKIPPED, Outcome.EXECUTED, Outcome.EXECUTED]


def test_the_oldest_under_way_is_cancelled_for_a_new_one(store):
    run, settled = two_rounds(store, overlap="cancel")
    assert due_times(settled.runs) == [15]
    assert [(one.run, one.outcome, one.job) for one in settled.evicted] == [
        (run, Outcome.CANCELLED, store.get("a").job)
    ]
    assert run.cancelled
    assert run.record.outcome is Outcome.CANCELLED
    assert store.runs() == settled.runs
    assert end(store, run) == ([], [], None)
    assert outcomes(store) == [Outcome.CANCELLED]


def test_a_run_that_has_not_begun_is_not_cancelled_for_another(store):
    add(store, entry("a", 5, overlap="cancel"))
    (run,) = settle(store, 5, next_us=15).runs
    settled = settle(store, 15, next_us=25)
    assert settled.skipped
    assert settled.evicted == settled.runs == []
    assert (store.runs(), run.cancelled) == ([run], False)


def test_lowered_max_instances_cancel_as_many_as_are_too_many(store):
    add(store, entry("a", 1, max_instances=3, overlap="cancel"))
    runs = [settle(store, due, next_us=due + 1).runs[0] for due in (1, 2, 3)]
    begun(*runs)
    changed(store, "a", max_instances=1)
    settled = settle(store, 4, next_us=5)
    assert [one.run for one in settled.evicted] == runs
    assert due_times(settled.runs) == due_times(store.runs()) == [4]


def test_lowered_max_instances_hold_for_what_waits(store):
    backlog(store, (1, 2, 3, 4), max_instances=2)
    changed(store, "a", max_instances=1)
    one, two, _, _ = store.runs()
    begun(one, two)
    assert end(store, one).runs == []
    assert due_times(end(store, two).runs) == [3]


# Backlogs of which each fire time runs


def test_the_rest_of_several_fire_times_waits_and_follows_one_by_one(store):
    settled = backlog(store, (1, 2, 3), next_us=100)
    assert (due_times(settled.runs), settled.skipped) == ([1], [])
    assert due_times(store.runs()) == [1, 2, 3]
    (run,) = settled.runs
    for due in (2, 3):
        begun(run)
        (run,) = end(store, run).runs
        assert run.due_us == due
    begun(run)
    assert end(store, run).runs == []
    assert store.counts("a") == {Outcome.EXECUTED: 3}


def test_a_backlog_uses_all_places(store):
    settled = backlog(store, (1, 2, 3, 4, 5), max_instances=3)
    assert due_times(settled.runs) == [1, 2, 3]
    begun(*settled.runs)
    assert due_times(end(store, *settled.runs[:2]).runs) == [4, 5]


def test_the_rest_of_a_backlog_is_held_until_the_last_of_its_first_part_has_started(store):
    (run,) = backlog(store, (1, 2), next_us=3, backlog_us=9).runs
    held = store.get("a")
    assert (held.fire_us, held.due_us, held.backlog_us) == (3, 3, 9)
    assert store.next_due() is None
    assert settle(store, 50) is None
    begun(run)
    ended = end(store, run)
    (second,) = ended.runs
    assert store.next_due() == ended.due_us == 3
    with store.take(50, 10) as batch:
        (slot,) = batch.slots
        assert (slot.fire_us, slot.backlog_us, slot.behind) == (3, 9, None)
    settled = settle(store, 50, times=(3,), next_us=100)
    assert settled.runs == settled.skipped == [], "it waits behind the second one"
    begun(second)
    (third,) = end(store, second).runs
    assert third.due_us == 3
    assert store.get("a").backlog_us is None


@pytest.mark.parametrize("places", [1, 2])
def test_what_falls_due_while_the_last_of_a_backlog_is_under_way_waits_for_it(store, places):
    """Nothing waits behind it any more, and nothing is held."""
    runs = backlog(store, (1, 2), next_us=3, max_instances=places).runs
    if places == 1:
        begun(*runs)
        runs = end(store, *runs).runs
    begun(*runs)
    settled = settle(store, 3, next_us=100)
    assert settled.runs == settled.skipped == []
    followers = end(store, *runs).runs
    assert due_times(followers) == [3]
    begun(*followers)
    end(store, *followers)
    assert store.counts("a") == {Outcome.EXECUTED: 3}
    for due in range(100, 100 + places):
        begun(*settle(store, due, next_us=due + 1).runs)
    assert settle(store, 200, next_us=300).skipped, "those were no backlog"


def test_a_job_whose_runs_wait_says_so_when_it_is_taken(store):
    backlog(store, (1, 2), next_us=100)
    with store.take(100, 10) as batch:
        assert batch.slots[0].behind is not None


def test_the_rest_of_a_backlog_is_due_again_when_what_waits_is_cancelled(store):
    (run,) = backlog(store, (1, 2), next_us=3, backlog_us=9).runs
    waiting = store.runs()[1]
    ended = end(store, waiting, outcome=Outcome.CANCELLED)
    assert store.next_due() == ended.due_us == 3
    begun(run)
    assert end(store, run).runs == []


def test_the_first_of_several_that_are_due_again_is_told(store):
    """By it the loop is woken."""
    for job_id, next_us in (("a", 30), ("b", 20), ("c", 40)):
        add(store, entry(job_id, 1, coalesce=False))
        settle(store, 2, times=(1, 2), next_us=next_us, backlog_us=9)
    firsts = [run for run in store.runs() if run.due_us == 1]
    assert store.next_due() is None
    begun(*firsts)
    assert end(store, *firsts).due_us == 20


def test_the_rest_of_a_backlog_is_due_again_when_what_waits_is_promoted(store):
    (run,) = begun(*backlog(store, (1, 2), next_us=3, backlog_us=9).runs)
    assert end(store, run, promote=False)[1:] == ([], None)
    assert store.next_due() is None
    promoted = store.promote()
    assert due_times(promoted.runs) == [2]
    assert store.next_due() == promoted.due_us == 3


def test_a_backlog_that_ends_its_job_is_worked_off(store):
    settled = backlog(store, (1, 2, 3), next_us=None)
    assert settled.removed == ["a"]
    assert store.entries() == []
    (run,) = settled.runs
    while run is not None:
        begun(run)
        run = next(iter(end(store, run).runs), None)
    assert store.counts("a") == {Outcome.EXECUTED: 3}


def test_what_waits_stays_while_nothing_may_be_promoted(store):
    (run,) = backlog(store, (1, 2, 3), max_instances=2).runs[:1]
    begun(run)
    assert end(store, run, promote=False).runs == []
    assert due_times(store.runs()) == [2, 3]
    (third,) = store.promote().runs
    assert third.due_us == 3
    assert store.promote().runs == []


# Run now


def test_a_run_besides_the_schedule(store):
    add(store, entry("a", 5), entry("p", None))
    run = run_now(store, store.get("p").job, 3)
    assert (run.job_id, run.due_us) == ("p", 3)
    assert store.runs() == [run]
    assert not run.wait(0)
    begun(run)
    end(store, run)
    assert run.wait(0)
    assert run.record == store.records(RunQuery("p"))[0]
    assert [e.due_us for e in store.entries()] == [5, None]


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
def test_a_run_besides_the_schedule_finds_no_room(store, overlap):
    two_rounds(store, overlap=overlap)
    before = store.runs()
    assert run_now(store, store.get("a").job, 20) is None
    assert store.runs() == before
    skipped = store.records(RunQuery("a"))[0]
    assert skipped._replace(reason=None) == RunRecord(
        None, "a", Outcome.SKIPPED, 20, cause="manual"
    )
    does = "waits for a worker" if overlap == "cancel" else "has been under way since 1970-01-01T"
    assert skipped.why().startswith(f"skipped: run {before[0].id} {does}")
    assert skipped.why().endswith(", and max_instances is 1")


@pytest.fixture
def few_may_wait(monkeypatch):
    """Let no more than 20 runs of a job wait for a worker, so that this is soon reached."""
    for module in (admission, open_runs):
        monkeypatch.setattr(module, "MOST_WAITING", 20)


@pytest.mark.usefixtures("few_may_wait")
def test_no_more_than_so_many_runs_of_one_job_wait_for_a_worker(store):
    add(store, entry("a", 5, max_instances=5_000))
    definition = store.get("a").job
    runs = [run_now(store, definition, 3) for _ in range(20)]
    assert [run_now(store, definition, 3) for _ in range(9)] == [None] * 9
    assert settle(store, 5, next_us=15).skipped
    begun(*runs[:6])
    again = [run_now(store, definition, 3) for _ in range(9)]
    assert [run is not None for run in again] == [True] * 6 + [False] * 3
    begun(again[5])
    assert run_now(store, definition, 3) is not None
    begun(runs[6])
    assert due_times(settle(store, 15).runs) == [15]


@pytest.mark.usefixtures("few_may_wait")
def test_no_more_of_a_backlog_follow_than_may_wait_for_a_worker(store):
    runs = backlog(store, tuple(range(1, 31)), backlog_us=9, max_instances=5_000).runs
    assert len(runs) == 30
    assert settle(store, 200, times=range(100, 105), next_us=300).runs == []
    begun(*runs[:5])
    assert end(store, runs[0]).runs == []
    begun(*runs[5:16])
    assert due_times(end(store, *runs[1:16]).runs) == [100, 101, 102, 103, 104]


def test_a_run_besides_the_schedule_takes_a_place(store):
    add(store, entry("a", 5))
    run = run_now(store, store.get("a").job, 3)
    assert settle(store, 5, next_us=15).skipped
    begun(run)
    end(store, run)
    assert settle(store, 15).runs


def test_a_run_besides_the_schedule_of_no_job_is_said(store):
    with pytest.raises(JobLookupError, match="'a'"):
        run_now(store, job("a"), 3)
    assert store.counts(None) == {}


def test_a_run_is_found_by_its_number_once_it_has_ended(store):
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 5, next_us=15).runs)
    assert store.find(run.id) is run
    end(store, run)
    assert store.find(run.id) == store.records(RunQuery("a"))[0]
    assert store.find(run.id + 1) is None


def test_a_record_tells_whether_somebody_asked_for_its_run(store):
    add(store, entry("a", 5, max_instances=2))
    runs = [*settle(store, 5, next_us=15).runs, run_now(store, store.get("a").job, 6)]
    assert [run.cause for run in runs] == ["schedule", "manual"]
    for run in begun(*runs):
        end(store, run)
    assert {record.run_id: record.cause for record in store.records(RunQuery("a"))} == {
        runs[0].id: "schedule",
        runs[1].id: "manual",
    }
