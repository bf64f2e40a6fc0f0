"""How the last runs of a job went, told from its outcomes."""

from __future__ import annotations

import pytest

from schedcore import Outcome, RunRecord
from schedcore.history.last_runs import last_runs
from schedcore.run import ended_run

EXECUTED, FAILED, LOST, SKIPPED, CANCELLED, TIMED_OUT = (
    *(Outcome.EXECUTED, Outcome.FAILED, Outcome.LOST),
    *(Outcome.SKIPPED, Outcome.CANCELLED, Outcome.TIMED_OUT),
)


def took(outcome, seconds=1.0):
    return RunRecord(1, "a", outcome, 0, 0, round(seconds * 1e6))


def test_of_no_outcome_nothing_is_known():
    assert last_runs(()) == (None, 0, None, None)


@pytest.mark.parametrize(
    ("outcomes", "failures"),
    [
        pytest.param([EXECUTED, FAILED], 0, id="it is well again"),
        pytest.param([FAILED, TIMED_OUT, LOST, EXECUTED, FAILED], 3, id="since the last success"),
        pytest.param([SKIPPED, FAILED, CANCELLED, FAILED, EXECUTED], 2, id="others do not count"),
        pytest.param([FAILED, FAILED], 2, id="all of them"),
        pytest.param([SKIPPED], 0, id="none ran"),
    ],
)
def test_failures_in_a_row(outcomes, failures):
    records = [took(outcome) for outcome in outcomes]
    assert last_runs(records).failures_in_a_row == failures
    assert last_runs(records).last is records[0]


def test_durations_are_those_of_runs_that_were_executed():
    records = [took(FAILED, 100), *(took(EXECUTED, n) for n in range(20, 0, -1)), took(LOST, 50)]
    found = last_runs(records)
    assert (found.mean_duration, found.p95_duration) == (10.5, 19.0)
    assert last_runs([took(EXECUTED, 2.5)])[2:] == (2.5, 2.5)
    assert last_runs([took(FAILED), RunRecord(None, "a", SKIPPED, 0)])[2:] == (None, None)


def test_a_run_during_which_the_clock_was_set_back_took_no_time():
    back = took(EXECUTED, -3600)
    assert last_runs([back, took(EXECUTED, 2)])[2:] == (1.0, 2.0)
    assert back.why() == "executed: it took 0.000 s"
    assert "took 0.000 s" in repr(back)
    assert ended_run(("a",), back._replace(scheduled_us=5)).lateness == 0
