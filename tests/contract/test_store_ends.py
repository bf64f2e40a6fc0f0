"""What every store promises of ends, retries and the history."""

from __future__ import annotations

import threading
from collections import deque

import pytest

from schedcore import Outcome
from schedcore.history.query import RunQuery
from schedcore.run import RunRecord
from schedcore.stores.ends import End, end_of
from tests.stores.calls import (
    add,
    backlog,
    begun,
    changed,
    due_times,
    end,
    entry,
    ids,
    job_ids,
    outcomes,
    paused,
    put_records,
    removed,
    replaced,
    run_now,
    settle,
)

BOOM = ValueError("boom")


def failed(run, at=30):
    return end_of(run, Outcome.FAILED, at, error=BOOM)


# Ends


def test_an_end_is_recorded_once_whoever_comes_first(store):
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 6, next_us=15).runs, at=8)
    ends = deque([end_of(run, Outcome.EXECUTED, 11, {"answer": 42})])
    recorded, started, due_us = store.end(ends, True)
    assert ([one.run for one in recorded], started, due_us) == ([run], [], None)
    assert not ends, "what is recorded is taken out"
    assert store.end(deque([failed(run)]), True) == ([], [], None)
    record = RunRecord(run.id, "a", Outcome.EXECUTED, 5, 8, 11, 3, 1, "{'answer': 42}")
    assert store.records(RunQuery("a")) == [record]
    assert run.record == record
    assert (store.counts("a"), store.runs()) == ({Outcome.EXECUTED: 1}, [])
    with pytest.raises(LookupError, match="has ended"):
        _ = run.job


def test_an_end_is_told_as_it_was_reported(store):
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 6).runs)
    reported = failed(run)
    (recorded,) = store.end(deque([reported]), True).recorded
    assert recorded is reported or recorded == reported
    assert isinstance(recorded, End)
    assert recorded.error is BOOM
    (record,) = store.records(RunQuery("a"))
    assert (record.error_type, record.error_text) == ("ValueError", "boom")


def test_of_many_threads_each_end_is_recorded_by_one(store):
    add(store, *(entry(f"j{n}", n) for n in range(200)))
    runs = begun(*settle(store, 500, limit=500).runs)
    recorded = []
    shared = deque(end_of(run, Outcome.EXECUTED, 30) for run in runs)

    def report(part):
        recorded.extend(store.end(shared, True).recorded)
        ends = deque(end_of(run, Outcome.LOST, 31) for run in part)
        recorded.extend(store.end(ends, True).recorded)

    threads = [threading.Thread(target=report, args=(runs[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not shared
    assert sorted(one.run.id for one in recorded) == sorted(run.id for run in runs)
    assert sum(store.counts(None).values()) == 200


# Retries


def test_a_run_that_failed_waits_for_its_next_attempt_in_its_place(store):
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 5, next_us=15).runs)
    assert store.retry(failed(run), 0)
    assert (run.attempt, run.started_us, run.outcome) == (2, None, None)
    assert (store.runs(), store.records()) == ([run], [])
    assert settle(store, 15, next_us=25).skipped
    begun(run, at=40)
    end(store, run, at=50)
    record = store.records(RunQuery("a"))[0]
    assert (record.outcome, record.attempt, record.started_us) == (Outcome.EXECUTED, 2, 40)
    assert (record.error_type, record.error_text) == (None, None)


def test_a_run_that_has_ended_is_not_tried_again(store):
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 5).runs)
    report = failed(run)
    end(store, run, outcome=Outcome.TIMED_OUT)
    assert not store.retry(report, 0)
    assert outcomes(store) == [Outcome.TIMED_OUT]


def test_the_run_of_a_job_that_had_its_last_fire_time_is_tried_again(store):
    add(store, entry("once", 5))
    (run,) = begun(*settle(store, 5).runs)
    assert store.retry(failed(run), 0)


# Changes end what has not begun

LEFT = {
    "removed": (removed, Outcome.CANCELLED),
    "paused": (paused, Outcome.PAUSED),
    "replaced": (lambda store, job_id: replaced(store, entry(job_id, 900)), Outcome.CANCELLED),
}


@pytest.fixture(params=LEFT)
def left(request):
    """Return what takes job ``a`` out of the schedule, and the outcome of what has not begun."""
    change, outcome = LEFT[request.param]
    return lambda store: change(store, "a"), outcome


def test_runs_that_have_not_begun_end_with_their_job(store, left):
    change, outcome = left
    runs = backlog(store, (1, 2, 3, 4), max_instances=2, next_us=500).runs
    begun(runs[0])
    rest = [run for run in store.runs() if run is not runs[0]]
    assert due_times(rest) == [2, 3, 4]
    written = change(store)
    assert [one.run for one in written.ended] == rest
    assert {one.outcome for one in written.ended} == {outcome}
    assert all(run.cancelled and run.outcome is outcome for run in rest)
    assert store.runs() == [runs[0]]
    assert not runs[0].cancelled
    end(store, runs[0])
    assert store.counts("a") == {outcome: 3, Outcome.EXECUTED: 1}


def test_one_that_waits_for_its_next_attempt_has_failed_with_the_error_of_the_last(store, left):
    change, _ = left
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 5, next_us=500).runs)
    store.retry(failed(run), 0)
    (ended,) = change(store).ended
    assert (ended.run, ended.outcome, ended.error_text) == (run, Outcome.FAILED, "boom")
    (record,) = store.records(RunQuery("a"))
    assert (record.outcome, record.error_type) == (Outcome.FAILED, "ValueError")
    assert store.runs() == []


def test_one_that_is_under_way_meanwhile_is_not_tried_again(store, left):
    change, _ = left
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 5, next_us=500).runs)
    assert not change(store).ended
    report = failed(run)
    assert not store.retry(report, 0)
    assert store.runs() == [run]
    store.end(deque([report]), True)
    assert outcomes(store) == [Outcome.FAILED]


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_run_besides_the_schedule_runs_though_its_job_is_paused_meanwhile(store, attempt):
    add(store, entry("a", 5))
    run = run_now(store, store.get("a").job, 3)
    if attempt == 2:
        begun(run)
        assert store.retry(failed(run), 0)
    assert not paused(store, "a").ended
    assert (store.runs(), run.cancelled) == ([run], False)
    begun(run)
    assert store.retry(failed(run), 0)
    assert [one.run for one in removed(store, "a").ended] == [run]


def test_other_changes_leave_runs_alone(store):
    (run,) = backlog(store, (1, 2), next_us=500).runs
    before = store.runs()
    assert not changed(store, "a", due_us=700, fire_us=700).ended
    assert not changed(store, "a", max_instances=3).ended
    begun(run)
    assert store.retry(failed(run), 0)
    assert store.runs() == before


def test_a_job_that_is_paused_already_keeps_the_run_by_hand(store):
    add(store, entry("a", None))
    run = run_now(store, store.get("a").job, 3)
    assert not changed(store, "a", max_instances=2).ended
    assert store.runs() == [run]


def test_a_replaced_jobs_backlog_does_not_hold_the_new_one(store):
    backlog(store, (1, 2, 3), next_us=4, backlog_us=9)
    (run, *_) = begun(store.runs()[0])
    replaced(store, entry("a", 20))
    assert store.next_due() == 20
    assert due_times(settle(store, 20, next_us=30).runs) == [20]
    assert end(store, run).runs == []


# The history


def test_outcomes_from_elsewhere_are_kept_and_counted(store):
    add(store, entry("a", 5))
    records = [
        RunRecord(7, "a", Outcome.LOST, 1, 2, None, 1),
        RunRecord(None, "b", Outcome.MISSED, 2, late_us=9, occurrences=5),
    ]
    put_records(store, records)
    assert store.records(RunQuery("a")) == records[:1]
    assert store.records(RunQuery("b")) == records[1:]
    assert store.records() == records[::-1]
    assert store.records(RunQuery("nobody")) == []
    assert store.counts(None) == {Outcome.LOST: 1, Outcome.MISSED: 5}
    assert store.counts("nobody") == {}


def test_counts_never_forget(store):
    add(store, entry("a", 5))
    of_two = [RunRecord(None, "a", Outcome.MISSED, n, occurrences=2) for n in range(300)]
    of_one = [RunRecord(None, "a", Outcome.COALESCED, n) for n in range(300)]
    for n in range(0, 300, 20):
        put_records(store, [*of_two[n : n + 20], *of_one[n : n + 20]])
    expected = {Outcome.MISSED: 600, Outcome.COALESCED: 300}
    assert store.counts("a") == store.counts(None) == expected
    assert store.records(RunQuery("a"))[0] == of_one[-1]
    removed(store, "a")
    assert store.counts("a") == store.counts(None) == expected


def test_what_a_job_did_is_known_after_it_is_gone(store):
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 5).runs)
    end(store, run)
    assert ids(store.entries()) == []
    assert outcomes(store, "a") == [Outcome.EXECUTED]
    assert job_ids(store.runs()) == []
