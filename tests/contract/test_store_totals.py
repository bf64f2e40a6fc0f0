"""What every store promises of totals: what became of all occurrences ever, and for how long."""

from __future__ import annotations

from collections import deque
from math import inf

import pytest

from schedcore import Outcome
from schedcore.history.totals import BOUNDS, Total
from schedcore.run import RunRecord
from schedcore.stores.ends import end_of
from tests.stores.calls import add, begun, end, entry, put_records, settle

SECOND = 1_000_000


def one_run(store, job_id, due, at, ended, outcome=Outcome.EXECUTED):
    """Run a job of this id once."""
    add(store, entry(job_id, due, misfire_grace_time=None))
    (run,) = begun(*settle(store, due).runs, at=at)
    store.end(deque([end_of(run, outcome, ended)]), True)


def spans(histogram):
    """Return the bounds that something was counted with, and the sum."""
    counted = zip(BOUNDS, histogram.counts, strict=True)
    return {bound: n for bound, n in counted if n}, histogram.sum_us


def test_nothing_has_ended_yet(store):
    overall, jobs, took, late = store.totals(["a"])
    assert (overall, jobs, spans(took), spans(late)) == ({}, {}, ({}, 0), ({}, 0))


def test_totals_are_kept_by_job_and_outcome(store):
    one_run(store, "a", 5, 8, 11)
    one_run(store, "a", 15, 18, 28)
    one_run(store, "b", 25, 28, 30, Outcome.FAILED)
    overall, jobs, _, _ = store.totals(["a", "b", "c"])
    assert overall == {Outcome.EXECUTED: 2, Outcome.FAILED: 1}
    assert jobs == {
        "a": {Outcome.EXECUTED: Total(2, 13, 28)},
        "b": {Outcome.FAILED: Total(1, 2, 30)},
    }
    assert store.totals(["b"]).jobs.keys() == {"b"}, "only those that were asked for"


@pytest.mark.parametrize(
    ("span", "bound"),
    [
        pytest.param(0, 0.001, id="none"),
        pytest.param(1_000, 0.001, id="as long as a bound"),
        pytest.param(1_001, 0.005, id="just longer"),
        pytest.param(45 * SECOND, 60, id="between two"),
        pytest.param(90_000 * SECOND, inf, id="longer than any"),
    ],
)
def test_spans_are_counted_with_the_first_bound_that_holds_them(store, span, bound):
    one_run(store, "a", 5, 5, 5 + span)
    one_run(store, "b", 5, 5 + span, 5 + span)
    _, _, took, late = store.totals([])
    expected = {0.001: 1, bound: 1} if bound != 0.001 else {0.001: 2}
    assert spans(took) == spans(late) == (expected, span)


def test_a_clock_that_was_set_back_hides_no_other_run(store):
    one_run(store, "b", 5, 5, 12)
    one_run(store, "b", 50, 40, 30)
    assert store.totals(["b"]).jobs == {"b": {Outcome.EXECUTED: Total(2, 7, 30)}}


def test_a_clock_that_was_set_back_takes_nothing_away(store):
    one_run(store, "a", 50, 40, 30)
    overall, jobs, took, late = store.totals(["a"])
    assert spans(took) == spans(late) == ({0.001: 1}, 0)
    assert (overall, jobs["a"]) == (
        {Outcome.EXECUTED: 1},
        {Outcome.EXECUTED: Total(1, 0, 30)},
    )


def test_what_did_not_run_took_no_time(store):
    add(store, entry("a", 5, max_instances=1))
    (run,) = settle(store, 5, next_us=15).runs
    settle(store, 15, next_us=25)
    end(store, run, outcome=Outcome.CANCELLED, at=30)
    missed = RunRecord(None, "a", Outcome.MISSED, 40, late_us=7, occurrences=3)
    put_records(store, [missed])
    overall, jobs, took, late = store.totals(["a"])
    assert overall == {Outcome.CANCELLED: 1, Outcome.SKIPPED: 1, Outcome.MISSED: 3}
    assert jobs["a"][Outcome.MISSED] == Total(3, 0, 47)
    assert (spans(took), spans(late)) == (({}, 0), ({}, 0))


def test_nobody_knows_how_long_a_lost_run_took(store):
    one_run(store, "a", 5, 8, 11 * SECOND, Outcome.LOST)
    _, jobs, took, late = store.totals(["a"])
    assert jobs["a"] == {Outcome.LOST: Total(1, 0, 11 * SECOND)}
    assert (spans(took), spans(late)) == (({}, 0), ({}, 0))


def test_a_later_attempt_was_not_late(store):
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 5).runs, at=8)
    assert store.retry(end_of(run, Outcome.FAILED, 9, error=ValueError()), 60 * SECOND)
    begun(*store.try_again([run]), at=60 * SECOND)
    end(store, run, at=61 * SECOND)
    _, _, took, late = store.totals([])
    assert spans(took) == ({1.0: 1}, SECOND)
    assert spans(late) == ({}, 0)


def test_the_last_one_counts_also_if_the_clock_was_wrong_before(store):
    one_run(store, "a", 5, 8, 900 * SECOND)
    one_run(store, "a", 15, 18, 28)
    assert store.totals(["a"]).jobs["a"][Outcome.EXECUTED].last_us == 28
