"""Calendar intervals: dates counted from the first one, at one time of day."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcore.clock import to_us
from schedcore.triggers import CalendarIntervalTrigger
from tests.patience import examples

UTC = timezone.utc


@pytest.mark.parametrize(
    ("options", "start", "expected"),
    [
        ({"days": 10}, "2025-01-01", ["2025-01-01", "2025-01-11", "2025-01-21"]),
        ({"weeks": 1, "days": 1}, "2025-01-01", ["2025-01-01", "2025-01-09", "2025-01-17"]),
        ({"months": 1}, "2025-01-31", ["2025-01-31", "2025-03-31", "2025-05-31"]),
        ({"months": 1}, "2025-01-29", ["2025-01-29", "2025-03-29", "2025-04-29"]),
        ({"months": 5}, "2025-10-01", ["2025-10-01", "2026-03-01", "2026-08-01"]),
        ({"years": 1}, "2024-02-29", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        ({"years": 25}, "2000-02-29", ["2000-02-29", "2400-02-29", "2800-02-29"]),
        ({"years": 1, "days": 1}, "2025-01-01", ["2025-01-01", "2026-01-02", "2027-01-03"]),
    ],
)  # fmt: skip
def test_dates(options, start, expected):
    trigger = CalendarIntervalTrigger(**options, start_date=start, timezone=UTC)
    times = trigger.next_fire_times(3, datetime(2000, 1, 1, tzinfo=UTC) - timedelta(days=1))
    assert [moment.date().isoformat() for moment in times] == expected


def test_left_out_the_first_date_is_that_of_adding():
    """If the time of day is over by then, the first fire time is one step later."""
    trigger = CalendarIntervalTrigger(months=1, hour=9, timezone="Asia/Tokyo")
    now = to_us(datetime(2025, 5, 4, 23, tzinfo=UTC))  # the 5th, 8 o'clock in Tokyo
    bound = trigger.bound_to(now)
    assert bound.start_date == date(2025, 5, 5)
    assert (
        bound.next_after(datetime(2025, 5, 4, 23, tzinfo=UTC)).isoformat()[:13] == "2025-05-05T09"
    )
    late = datetime(2025, 5, 5, 0, 30, tzinfo=UTC)
    assert bound.next_after(late).isoformat()[:13] == "2025-06-05T09"
    assert trigger.next_after(late).isoformat()[:13] == "2025-06-05T09"


def test_the_end_date_is_the_last():
    trigger = CalendarIntervalTrigger(
        days=1, hour=23, start_date="2025-01-01", end_date="2025-01-03", timezone="Asia/Tokyo"
    )
    times = trigger.next_fire_times(9, datetime(2024, 1, 1, tzinfo=UTC))
    assert [moment.day for moment in times] == [1, 2, 3]


def walk(start: date, months: int, days: int, until: date) -> list[date]:
    """Return the dates of the series, step by step."""
    found = []
    for n in range(20_000):
        year, month = divmod(start.year * 12 + start.month - 1 + n * months, 12)
        if year > 2400:
            break
        if start.day <= calendar.monthrange(year, month + 1)[1]:
            day = date(year, month + 1, start.day) + timedelta(days=n * days)
            if day > until:
                break
            found.append(day)
    return found


@settings(max_examples=examples(80), deadline=None)
@given(
    st.dates(date(1990, 1, 1), date(2030, 1, 1)),
    st.integers(0, 40),
    st.integers(0, 60),
    st.dates(date(1985, 1, 1), date(2060, 1, 1)),
)
def test_the_same_as_step_by_step(start, months, days, after):
    if not months + days:
        return
    trigger = CalendarIntervalTrigger(
        months=months, days=days, hour=12, start_date=start, timezone=UTC
    )
    moment = datetime(after.year, after.month, after.day, 12, tzinfo=UTC)
    expected = [day for day in walk(start, months, days, date(2075, 1, 1)) if day > after]
    found = trigger.next_fire_times(5, moment)
    assert [each.date() for each in found[: len(expected)]] == expected[:5]


def test_the_end_of_9999_is_the_horizon():
    trigger = CalendarIntervalTrigger(years=999, start_date="2020-02-29", timezone="Asia/Tokyo")
    assert trigger.next_us(10**20) is None
    assert trigger.next_fire_times(9, datetime(9000, 1, 1, tzinfo=UTC)) == []
    daily = CalendarIntervalTrigger(days=1, start_date="2020-01-01", timezone="Asia/Tokyo")
    assert daily.next_fire_times(99, datetime(9999, 12, 25, tzinfo=UTC))[-1].day == 30
