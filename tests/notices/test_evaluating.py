"""What is told of a row of outcomes: pure, without a scheduler."""

from __future__ import annotations

import pytest

from schedcore import Notice, Outcome, RunRecord
from schedcore.clock import SECOND
from schedcore.notices.data import from_text, to_json, to_text
from schedcore.notices.notice import NoticeState, evaluate, is_run

HOUR = 3600


def record(outcome, second, **more):
    us = second * SECOND
    ended = None if outcome in ("missed", "skipped") else us
    return RunRecord(7, "job", Outcome(outcome), us, ended_us=ended, **more)


def told(*outcomes, again=HOUR):
    """Return what is told of outcomes: pairs of an outcome and its second."""
    news, found = NoticeState(), []
    for outcome, second in outcomes:
        news, event = evaluate(news, record(outcome, second), again * SECOND)
        if event is not None:
            found.append((second, event.kind, event.count))
    return found


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param([("executed", 0), ("executed", 1)], [], id="a job that does well"),
        pytest.param([("failed", 0)], [(0, "failure", 1)], id="the first failure"),
        pytest.param([("timed_out", 0)], [(0, "failure", 1)], id="a time-out is one"),
        pytest.param([("lost", 0)], [(0, "failure", 1)], id="a lost run is one"),
        pytest.param([("shed", 0)], [(0, "failure", 1)], id="a full executor is one"),
        pytest.param([("cancelled", 0), ("paused", 1), ("coalesced", 2)], [], id="these are none"),
        pytest.param(
            [("failed", second) for second in range(5000)],
            [(0, "failure", 1), (3600, "failure", 3601)],
            id="each second, told once, and again after an hour",
        ),
        pytest.param(
            [("failed", 0), ("failed", 1), ("executed", 2), ("executed", 3)],
            [(0, "failure", 1), (2, "recovery", 2)],
            id="the first success is told once",
        ),
        pytest.param(
            [("failed", 0), ("cancelled", 1), ("executed", 2)],
            [(0, "failure", 1), (2, "recovery", 1)],
            id="a cancelled run recovers nothing",
        ),
        pytest.param(
            [(("failed", "executed")[n % 2], n) for n in range(90)],
            [
                *((0, "failure", 1), (1, "recovery", 1), (2, "failure", 1)),
                *((63, "recovery", 1), (64, "failure", 1)),
            ],
            id="one that goes up and down, told each minute, and never that it is well for long",
        ),
        pytest.param(
            [("failed", 0), ("executed", 600), ("failed", 1200)],
            [(0, "failure", 1), (600, "recovery", 1), (1200, "failure", 1)],
            id="it fails anew, and is told before the hour is over",
        ),
        pytest.param(
            [("failed", 0), ("executed", 20), *(("failed", 40 + n) for n in range(9))],
            [(0, "failure", 1), (20, "recovery", 1), (40, "failure", 1)],
            id="it was told that all is well, so the next failure is told, however soon",
        ),
        pytest.param(
            [
                *(("failed", 0), ("executed", 20), ("failed", 40), ("executed", 50)),
                *(("failed", 60), ("failed", 70), ("executed", 80), ("executed", 100)),
            ],
            [(0, "failure", 1), (20, "recovery", 1), (40, "failure", 1), (100, "recovery", 2)],
            id="a recovery that waited is told with its own row of failures",
        ),
        pytest.param(
            [("missed", 0), ("skipped", 1), ("missed", 3600)],
            [(0, "missed", 1), (3600, "missed", 2)],
            id="misses are counted meanwhile",
        ),
        pytest.param(
            [("failed", 1000), ("failed", 0)],
            [(1000, "failure", 1), (0, "failure", 2)],
            id="a clock that is set back silences nothing",
        ),
    ],
)
def test_what_is_told(outcomes, expected):
    assert told(*outcomes) == expected


def test_whoever_asked_for_a_run_that_was_skipped_was_told():
    assert evaluate(NoticeState(), record("skipped", 0, cause="manual"), HOUR * SECOND) == (
        NoticeState(),
        None,
    )


def test_a_run_that_was_cancelled_before_its_next_attempt_has_an_end():
    assert is_run(record("cancelled", 0, attempt=2))
    assert is_run(record("cancelled", 0, started_us=0))
    assert not is_run(record("cancelled", 0))


def test_misses_count_each_occurrence():
    _, event = evaluate(NoticeState(), record("missed", 0, occurrences=40), HOUR * SECOND)
    assert event.count == 40


def test_a_failure_that_lasts_is_told_as_often_as_one_likes():
    outcomes = [("failed", second) for second in range(25)]
    assert [second for second, _, _ in told(*outcomes, again=10)] == [0, 10, 20]


def test_a_notice_is_the_same_after_a_way_through_text():
    failed = record("failed", 3, error_type="ValueError", error_text="\ud800 \x00 ü")
    for each in (failed, None):
        notice = Notice("failure", "jöb", 3_000_000, 7, each, 2, 1_000_000, "out\x00put", "id")
        assert from_text(to_text(notice)) == notice


def test_fields_of_another_version_are_left_out():
    text = to_text(Notice("missed", "job", 1, None, record("missed", 0)))
    later = text.replace('"kind":', '"colour":"red","kind":').replace(
        '"outcome":', '"mood":1,"outcome":'
    )
    assert later.count("colour") == later.count("mood") == 1
    assert from_text(later) == from_text(text)


@pytest.mark.parametrize(
    ("kind", "outcome", "count", "text"),
    [
        ("failure", "failed", 1, "job 'job': failed: ValueError: no"),
        (
            "failure",
            "failed",
            3,
            "job 'job': failed: ValueError: no; failure 3 in a row since 1970-01-01T00:00:01+00:00",
        ),
        (
            "recovery",
            "executed",
            3,
            "job 'job' succeeded again, after 3 failure(s) since 1970-01-01T00:00:01+00:00",
        ),
    ],
)
def test_it_says_what_happened_in_one_sentence(kind, outcome, count, text):
    what = record(outcome, 5, error_type="ValueError", error_text="no")
    notice = Notice(kind, "job", 5 * SECOND, 7, what, count, SECOND)
    assert notice.text == text
    shown = to_json(notice)
    assert (shown["text"], shown["time"]) == (text, "1970-01-01T00:00:05+00:00")
    assert (shown["run_id"], shown["since"]) == ("7", "1970-01-01T00:00:01+00:00")
