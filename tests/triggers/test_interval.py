"""Intervals are elapsed time, counted from an anchor."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from schedcore.clock import SECOND, from_us, to_us
from schedcore.triggers import DateTrigger, IntervalTrigger, trigger_from_dict

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-01-05T{text}:00+00:00")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param("11:00", "12:00", id="before the anchor"),
        pytest.param("12:00", "12:10", id="strictly later than a fire time"),
        pytest.param("12:34", "12:40", id="between two fire times"),
        pytest.param("12:40", "12:50", id="the end is a fire time too"),
        pytest.param("12:50", None, id="past the end"),
    ],
)
def test_next_after(after, expected):
    trigger = IntervalTrigger(
        minutes=10, start_date=at("12:00"), end_date=at("12:50"), timezone=UTC
    )
    assert trigger.next_after(at(after)) == (at(expected) if expected else None)


def test_left_out_the_anchor_is_one_span_after_adding():
    trigger = IntervalTrigger(minutes=10, timezone=UTC)
    now = to_us(at("12:00"))
    assert trigger.start_date is None
    assert trigger.bound_to(now).start_date == at("12:10")
    assert trigger.bound_to(now).first_us(now) == trigger.first_us(now) == to_us(at("12:10"))


def test_one_that_is_bound_too_late_to_fire_can_be_told_all_the_same():
    trigger = IntervalTrigger(minutes=10, end_date=at("12:05"), timezone=UTC)
    now = to_us(at("12:00"))
    bound = trigger.bound_to(now)
    assert bound.first_us(now) is None
    assert bound.next_us(0) is None or bound.next_us(0) > to_us(at("12:05"))
    assert bound.count_us(0, now, 100) == 0
    assert trigger_from_dict(bound.to_dict(), UTC) == bound


def test_an_anchor_now_fires_now():
    now = to_us(at("12:00"))
    assert IntervalTrigger(hours=1, start_date=at("12:00"), timezone=UTC).first_us(now) == now


@pytest.mark.parametrize("seconds", [0.1, 1 / 3, 7, 86_399.999999, 1e-6])
def test_a_million_periods_later_the_phase_is_exact(seconds):
    trigger = IntervalTrigger(seconds=seconds, start_date=at("12:00"), timezone=UTC)
    anchor, every = to_us(at("12:00")), trigger.interval_us
    assert every == round(seconds * SECOND)
    assert trigger.next_us(anchor + 1_000_000 * every) == anchor + 1_000_001 * every
    found = anchor
    for n in range(1, 1000):
        found = trigger.next_us(found)
        assert found == anchor + n * every


def test_a_day_is_24_hours_over_a_change_of_clocks():
    trigger = IntervalTrigger(days=1, start_date="2025-03-29T02:30", timezone=BERLIN)
    times = trigger.next_fire_times(3, datetime(2025, 3, 29, tzinfo=BERLIN))
    assert [moment.isoformat() for moment in times] == [
        "2025-03-29T02:30:00+01:00",
        "2025-03-30T03:30:00+02:00",
        "2025-03-31T03:30:00+02:00",
    ]


def test_starts_in_a_fold():
    """A naive start in a fold is the first of the two; with an offset it can be the second."""
    first = IntervalTrigger(hours=1, start_date="2025-10-26T02:30", timezone=BERLIN)
    second = IntervalTrigger(hours=1, start_date="2025-10-26T02:30+01:00", timezone=BERLIN)
    assert first.start_date.isoformat() == "2025-10-26T02:30:00+02:00"
    assert second.start_date.isoformat() == "2025-10-26T02:30:00+01:00"
    assert second.next_us(0) - first.next_us(0) == 3600 * SECOND


@pytest.mark.parametrize(
    ("run_date", "zone", "expected"),
    [
        ("2025-10-26 02:30:15.5", "Europe/Berlin", "2025-10-26T02:30:15.500000+02:00"),
        ("2025-10-26T02:30Z", "Europe/Berlin", "2025-10-26T03:30:00+01:00"),
        ("2025-10-26T02:30+0530", "UTC", "2025-10-25T21:00:00+00:00"),
        ("2025-7-1", "Asia/Tokyo", "2025-07-01T00:00:00+09:00"),
        (datetime(2025, 7, 1, 5), "Asia/Tokyo", "2025-07-01T05:00:00+09:00"),  # noqa: DTZ001
        (datetime(2025, 7, 1, 5, tzinfo=UTC), "Asia/Tokyo", "2025-07-01T14:00:00+09:00"),
        (datetime(2025, 7, 1).date(), "Asia/Tokyo", "2025-07-01T00:00:00+09:00"),  # noqa: DTZ001
        # A day without midnight begins when it begins.
        ("2024-03-31", "Asia/Beirut", "2024-03-31T01:00:00+03:00"),
        # An explicit fold is heeded.
        (datetime(2025, 10, 26, 2, 30, fold=1), "Europe/Berlin", "2025-10-26T02:30:00+01:00"),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_dates(run_date, zone, expected):
    assert DateTrigger(run_date, zone).run_date.isoformat() == expected


def test_a_date_fires_once_and_late():
    """Only a date answers with the past, so that a job added too late still runs."""
    trigger = DateTrigger(at("12:00"), UTC)
    noon = to_us(at("12:00"))
    assert trigger.next_us(noon - 1) == noon
    assert trigger.next_us(noon) is None
    assert trigger.first_us(noon + 10**12) == noon
    now = DateTrigger(timezone=UTC).bound_to(noon)
    assert now.first_us(noon) == noon
    assert from_us(noon) == now.run_date
