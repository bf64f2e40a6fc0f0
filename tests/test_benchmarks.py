"""The benchmarks' table and arithmetic, on made-up figures: nothing is timed here."""

from __future__ import annotations

import pytest

from benchmarks.measuring import OURS, Measured, Row, Scenario, Stopwatch
from benchmarks.results import results_of
from benchmarks.table import amount, heading, line, times

PEER = "peer"


def measured(*rounds, row=None):
    """Return rounds of (ours, peer); None where a subject gave nothing."""
    subjects = (OURS, PEER)
    return Measured(
        Scenario("add", dict.fromkeys(subjects, dict), (row or Row(peer=PEER),)),
        [
            {s: {"cost": v} for s, v in zip(subjects, values, strict=True) if v is not None}
            for values in rounds
        ],
    )


def result(*rounds, **bars):
    return results_of(measured(*rounds, row=Row(peer=PEER, **bars)))[0]


def test_a_figure_is_the_median_of_its_rounds():
    assert result((1.0, 9), (2.0, 9), (7.0, 9)).median(OURS) == 2.0


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    """A round in which the machine is ten times slower counts like any other."""
    assert result((1, 4), (10, 40), (1, 5)).times_peer == 4


def test_the_spread_is_told_as_a_part_of_the_median():
    assert result((1, 9), (2, 9), (3, 9)).spread == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bars", "met"),
    [
        pytest.param({}, None, id="no bar"),
        pytest.param({"times_peer": 4.0}, True, id="as good as asked"),
        pytest.param({"times_peer": 4.1}, False, id="not as good"),
        pytest.param({"times_peer": 4.0, "at_most": 0.6}, False, id="one of two"),
        pytest.param({"at_most": 1.0}, True, id="not more than allowed"),
        pytest.param({"at_most": 0.0}, False, id="more than none"),
    ],
)
def test_bars(bars, met):
    assert result((1, 4), **bars).met is met


def test_a_bar_is_open_while_there_is_nothing_to_hold_against_it():
    assert result((None, 4), times_peer=2, at_most=1).met is None
    assert result((1, None), times_peer=2).met is None


def test_a_bar_that_is_missed_is_missed_whatever_else_is_unknown():
    assert result((2, None), times_peer=2, at_most=1).met is False


def test_why_a_subject_gave_nothing_is_noted():
    without = measured((1, None))
    without.troubles[PEER] = "took longer than 120 s"
    assert "peer: took longer than 120 s" in line(results_of(without)[0])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.234e-6, "s", "1.23 us"),
        (12.34e-3, "s", "12.3 ms"),
        (123.4e-9, "s", "123 ns"),
        (0.0, "s", "0.00 ns"),
        (356.4, "B", "356 B"),
        (1234, "runs", "1,234"),
        (None, "s", ""),
    ],
)
def test_amounts(value, unit, text):
    assert amount(value, unit) == text


def test_ratios():
    assert [times(ratio) for ratio in (0.3, 1.25, 15, 104.4, None)] == [
        "0.30",
        "1.25",
        "15.0",
        "104",
        "",
    ]


def test_a_line_fits_its_heading():
    shown = line(result((2e-6, 30e-6), (2e-6, 30e-6), times_peer=15))
    assert shown.split() == ["add", "2.00", "us", "30.0", "us", "15.0", "15.0", "yes"]
    assert shown.index("yes") == heading().index("met")


def test_a_line_tells_what_must_not_be_exceeded():
    shown = line(result((2e-6, 30e-6), at_most=1e-6))
    assert "<= 1.00 us" in shown
    assert " NO" in shown


def test_a_stopwatch_times_its_block():
    with Stopwatch() as watch:
        pass
    assert watch.seconds >= 0
    assert watch.processor >= 0
