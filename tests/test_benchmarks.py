"""The benchmarks' table and arithmetic, on made-up figures: nothing is timed here."""

from __future__ import annotations

import pytest

from benchmarks.measuring import OURS, Measured, Row, Scenario, Stopwatch
from benchmarks.results import curves_of, exponent, growth, results_of
from benchmarks.table import amount, heading, line, times

PEER, LIMIT = "peer", "limit"


def measured(*rounds, row=None, **options):
    """Return rounds of (ours, peer, limit); None where a subject gave nothing."""
    subjects = (OURS, PEER, LIMIT)
    return Measured(
        Scenario(
            "add", dict.fromkeys(subjects, dict), (row or Row(peer=PEER, limit=LIMIT),), **options
        ),
        [
            {s: {"cost": v} for s, v in zip(subjects, values, strict=True) if v is not None}
            for values in rounds
        ],
    )


def result(*rounds, **bars):
    return results_of(measured(*rounds, row=Row(peer=PEER, limit=LIMIT, **bars)))[0]


def test_a_figure_is_the_median_of_its_rounds():
    assert result((1.0, 9, 9), (2.0, 9, 9), (7.0, 9, 9)).median(OURS) == 2.0


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    """A round in which the machine is ten times slower counts like any other."""
    slowed = result((1, 4, 0.5), (10, 40, 5), (1, 5, 0.5))
    assert (slowed.times_peer, slowed.of_limit) == (4, 0.5)


def test_the_spread_is_told_as_a_part_of_the_median():
    assert result((1, 9, 9), (2, 9, 9), (3, 9, 9)).spread == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bars", "met"),
    [
        pytest.param({}, None, id="no bar"),
        pytest.param({"times_peer": 4.0}, True, id="as good as asked"),
        pytest.param({"times_peer": 4.1}, False, id="not as good"),
        pytest.param({"times_peer": 4.0, "of_limit": 0.6}, False, id="one of two"),
        pytest.param({"at_most": 1.0}, True, id="not more than allowed"),
        pytest.param({"at_most": 0.0}, False, id="more than none"),
    ],
)
def test_bars(bars, met):
    assert result((1, 4, 0.5), **bars).met is met


def test_a_bar_is_open_while_there_is_nothing_to_hold_against_it():
    assert result((None, 4, 0.5), times_peer=2, at_most=1).met is None
    assert result((1, None, 0.5), times_peer=2).met is None


def test_a_bar_that_is_missed_is_missed_whatever_else_is_unknown():
    assert result((2, None, 0.5), times_peer=2, at_most=1).met is False


def test_why_a_subject_gave_nothing_is_noted():
    without = measured((1, None, 1))
    without.troubles[PEER] = "took longer than 120 s"
    assert "peer: took longer than 120 s" in line(results_of(without)[0])


def test_growth_is_the_exponent_of_the_total_cost():
    """Each costs the same: linear.  Each costs ten times more among ten times more: quadratic."""
    assert exponent([(10, 3.0), (100, 3.0), (1000, 3.0)]) == pytest.approx(1)
    assert exponent([(10, 1.0), (100, 10.0), (1000, 100.0)]) == pytest.approx(2)


def test_a_curve_takes_three_sizes():
    sizes = [measured((1, size, 1), curve="add", size=size) for size in (10, 100, 1000)]
    assert curves_of(sizes[:2]) == {}
    grown = growth("add", curves_of(sizes)["add"], PEER)
    assert grown.median(OURS) == pytest.approx(1)
    assert grown.median(PEER) == pytest.approx(2)
    assert grown.met is True


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.234e-6, "s", "1.23 us"),
        (12.34e-3, "s", "12.3 ms"),
        (123.4e-9, "s", "123 ns"),
        (0.0, "s", "0.00 ns"),
        (356.4, "B", "356 B"),
        (1234, "runs", "1,234"),
        (1.018, "exponent", "1.02"),
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
    shown = line(result((2e-6, 30e-6, 1e-6), (2e-6, 30e-6, 1e-6), times_peer=15, of_limit=0.3))
    assert shown.split()[:8] == ["add", "2.00", "us", "0%", "30.0", "us", "1.00", "us"]
    assert shown.index("yes") == heading().index("met")


def test_a_stopwatch_times_its_block():
    with Stopwatch() as watch:
        pass
    assert watch.seconds >= 0
