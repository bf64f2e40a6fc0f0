"""Due times written many at a time: always what each would be by itself."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcore.clock import SECOND, from_us, to_us
from schedhttp import duetimes
from schedhttp.duetimes import DueTimes

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
UTC = timezone.utc
ODD = timezone(timedelta(hours=1, minutes=2, seconds=5))
HALF = timezone(timedelta(hours=-3, minutes=-30))
BERLIN, LORD_HOWE, ST_JOHNS, KOLKATA, AMSTERDAM = map(
    ZoneInfo,
    [
        "Europe/Berlin",
        "Australia/Lord_Howe",  # half an hour, in the middle of an hour of UTC
        "America/St_Johns",  # until 2011 at one minute past midnight
        "Asia/Kolkata",
        "Europe/Amsterdam",  # until 1937 by seconds
    ],
)
ZONES = [UTC, ODD, HALF, BERLIN, LORD_HOWE, ST_JOHNS, KOLKATA, AMSTERDAM]
CHANGES = {
    "spring": (BERLIN, datetime(2026, 3, 29, 1, tzinfo=UTC)),
    "autumn": (BERLIN, datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "half an hour, forth": (LORD_HOWE, datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    "half an hour, back": (LORD_HOWE, datetime(2026, 4, 4, 15, 0, tzinfo=UTC)),
    "a minute past": (ST_JOHNS, datetime(2010, 3, 14, 3, 31, tzinfo=UTC)),
    "seconds": (AMSTERDAM, datetime(1937, 6, 30, 23, 40, 28, tzinfo=UTC)),
    "a new year, ahead": (KOLKATA, datetime(2026, 12, 31, 18, 30, tzinfo=UTC)),
    "a new year, behind": (HALF, datetime(2027, 1, 1, 3, 30, tzinfo=UTC)),
}
instants = st.one_of(
    st.integers(0, 3 * MINUTE),
    st.integers(-3 * HOUR, 3 * HOUR),
    st.integers(-100, 100).map(lambda n: n * SECOND),
    st.integers(to_us(datetime(1, 1, 2, tzinfo=UTC)), to_us(datetime(9999, 12, 30, tzinfo=UTC))),
)
jobs = st.lists(st.tuples(st.none() | instants, st.sampled_from(ZONES)), max_size=40)
in_order = st.tuples(
    st.lists(instants, max_size=40), st.sampled_from(ZONES), st.integers(0, 3)
).map(
    lambda drawn: [*((due, drawn[1]) for due in sorted(drawn[0])), *[(None, drawn[1])] * drawn[2]]
)


def expected(due_us, zone):
    if due_us is None:
        place = {"next_run_time": None, "state": "paused"}
    else:
        place = {"next_run_time": from_us(due_us, zone).isoformat(), "state": "scheduled"}
    return b"," + json.dumps(place, separators=(",", ":")).encode()[1:]


def check(due_times, jobs):
    dues, zones = [due for due, _ in jobs], [zone for _, zone in jobs]
    befores, afters = due_times.tails(dues, zones)
    alone = [expected(due, zone) for due, zone in jobs]
    assert [a + b for a, b in zip(befores, afters, strict=True)] == alone
    assert [due_times.tail(due, zone) for due, zone in jobs] == alone


@given(st.lists(jobs | in_order, max_size=4))
def test_each_is_as_it_would_be_by_itself(lists):
    """In any order, in any zones, paused or not, whatever was written before."""
    due_times = DueTimes()
    for listed in lists:
        check(due_times, listed)


@pytest.mark.parametrize("change", CHANGES)
def test_the_offset_is_that_of_the_very_instant(change):
    """Also of many jobs that are due around a change of it, or of the date."""
    zone, moment = CHANGES[change]
    around = [
        to_us(moment) + step
        for n in range(-300, 300)
        for step in (n * 20 * SECOND, n * 20 * SECOND + 7 * n, n, n * MINUTE)
    ]
    check(DueTimes(), [(due_us, zone) for due_us in sorted(around)])
    assert len({expected(due_us, zone)[-30:] for due_us in around}) > 1


@pytest.mark.parametrize(
    "dues",
    [[], [None], [0, 1], [None, 5, None, 7], [7, None, 5], [5 * HOUR, 1, 2 * HOUR, MINUTE]],
    ids=str,
)
def test_jobs_may_stand_in_any_order(dues):
    check(DueTimes(), [(due_us, UTC) for due_us in dues])


@pytest.mark.parametrize("span_us", [1001, MINUTE + 1001, 7 * HOUR + 1001, 30 * HOUR])
def test_what_is_kept_is_bounded(monkeypatch, span_us):
    """By points of a minute, and by hours; and it is right when it was let go of."""
    monkeypatch.setattr(duetimes, "_MOST_SECONDS", 50)
    monkeypatch.setattr(duetimes, "_MOST_HOURS", 100)
    due_times = DueTimes()
    for zone in ZONES:
        for n in range(3):
            check(due_times, [((100 * n + i) * span_us, zone) for i in range(1, 100)])
            assert len(due_times._hours) <= 100
            assert sum(map(len, due_times._seconds.values())) <= 2 * 50
