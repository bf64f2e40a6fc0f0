"""How many fire times lie between two instants, by arithmetic: the same as by walking."""

from __future__ import annotations

import itertools
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcore.clock import SECOND, to_us
from schedcore.triggers import CronTrigger, IntervalTrigger, Trigger
from tests.patience import examples

UTC = timezone.utc
DAY = 86_400 * SECOND
ZONES = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns"]
SCHEDULES = [
    {"minute": "*/20"},
    {"hour": "*/3", "minute": 5},
    {"hour": 2, "minute": "0,30", "second": "*/20"},
    {"hour": "1-5"},
    {"day": "last fri", "hour": "0-3", "minute": 15},
    {"day_of_week": "sun", "hour": 2, "minute": 30},
    {"week": "10-15", "hour": "2,3"},
    {"month": "3,10", "minute": "*/30"},
    {"year": 2025, "minute": 0},
]


def instants(year: int) -> st.SearchStrategy[int]:
    start = to_us(datetime(year, 1, 1, tzinfo=UTC))
    return st.integers(start, start + 366 * DAY)


@settings(max_examples=examples(80), deadline=None)
@given(
    st.sampled_from(SCHEDULES),
    st.sampled_from(ZONES),
    instants(2025),
    st.integers(0, 400 * DAY),
    st.sampled_from([None, "2025-03-30T01:00:00Z", "2025-10-26T00:30:00Z"]),
)
def test_cron_counts_as_it_walks(fields, zone, after, span, start_date):
    trigger = CronTrigger(**fields, timezone=zone, start_date=start_date)
    walked = Trigger.count_us(trigger, after, after + span, 4_000)
    assert trigger.count_us(after, after + span, 4_000) == walked


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("fields", SCHEDULES[:4])
def test_cron_counts_each_hour_of_the_year_of_changes(fields, zone):
    """Cut at every hour, the parts add up to the whole."""
    trigger = CronTrigger(**fields, timezone=zone)
    start = to_us(datetime(2025, 1, 1, tzinfo=UTC))
    cuts = [start + n * 3600 * SECOND for n in range(366 * 24)]
    parts = sum(trigger.count_us(a, b, 10**9) for a, b in itertools.pairwise(cuts))
    assert parts == trigger.count_us(cuts[0], cuts[-1], 10**9)


@given(
    st.integers(1, 10**7),
    st.integers(-(10**6), 10**6),
    st.integers(-(10**7), 10**8),
    st.integers(0, 10**9),
    st.integers(0, 50),
)
def test_interval_counts_as_it_walks(every, anchor, after, span, limit):
    micros = timedelta(microseconds=1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    trigger = IntervalTrigger(
        seconds=every / SECOND,
        start_date=epoch + anchor * micros,
        end_date=epoch + (anchor + 10**8) * micros,
        timezone="UTC",
    )
    walked = Trigger.count_us(trigger, after, after + span, limit)
    assert trigger.count_us(after, after + span, limit) == walked


def test_a_year_asleep_is_counted_at_once():
    """31,536,000 fire times of a schedule that runs every second, less the hour skipped."""
    trigger = CronTrigger(second="*", timezone="Europe/Berlin")
    after = to_us(datetime(2025, 1, 1, tzinfo=UTC)) - 1
    trigger.count_us(after, after + 365 * DAY, 10**9)
    began = time.thread_time()
    assert trigger.count_us(after, after + 365 * DAY, 10**9) == 31_536_000
    assert time.thread_time() - began < 0.5  # some 20 us; a walk would take half a minute
    assert trigger.count_us(after, after + 365 * DAY, 10) == 10
    fixed = CronTrigger(hour="0-23", minute="0-59", second="0-59", timezone="Europe/Berlin")
    assert fixed.count_us(after, after + 365 * DAY, 10**9) == 31_536_000 - 3_600
