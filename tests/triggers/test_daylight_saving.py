"""Wall-clock triggers where clocks are put forward or back: one policy for all of them."""

from __future__ import annotations

from datetime import datetime

import pytest

from schedcore.triggers import CalendarIntervalTrigger, CronTrigger, Trigger


def local(text: str, trigger: Trigger) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=trigger.timezone)


def fires(trigger: Trigger, after: str, n: int) -> list[str]:
    """Return the next *n* fire times after the wall-clock time *after*, as ISO text."""
    return [moment.isoformat() for moment in trigger.next_fire_times(n, local(after, trigger))]


@pytest.mark.parametrize(
    "trigger",
    [
        pytest.param(CronTrigger(hour=2, minute=30, timezone="Europe/Berlin"), id="cron"),
        pytest.param(CronTrigger.from_crontab("30 2 * * *", "Europe/Berlin"), id="crontab"),
        pytest.param(
            CalendarIntervalTrigger(
                days=1, hour=2, minute=30, start_date="2025-01-01", timezone="Europe/Berlin"
            ),
            id="calendarinterval",
        ),
    ],
)
def test_a_fixed_time_runs_once_on_every_day(trigger):
    """02:30 does not exist on 30 March 2025 in Berlin, and is there twice on 26 October."""
    assert fires(trigger, "2025-03-29T12:00", 2) == [
        "2025-03-30T03:00:00+02:00",
        "2025-03-31T02:30:00+02:00",
    ]
    assert fires(trigger, "2025-10-25T12:00", 2) == [
        "2025-10-26T02:30:00+02:00",
        "2025-10-27T02:30:00+01:00",
    ]


@pytest.mark.parametrize(
    ("zone", "fields", "after", "expected"),
    [
        # Berlin, spring: several times fall on one instant and run once.
        ("Europe/Berlin", {"hour": "1-5"}, "2025-03-30T00:30",
         ["30T01:00+01", "30T03:00+02", "30T04:00+02"]),
        ("Europe/Berlin", {"hour": 2, "minute": "0-59"}, "2025-03-30T00:30",
         ["30T03:00+02", "31T02:00+02", "31T02:01+02"]),
        ("Europe/Berlin", {"hour": 2, "minute": 30, "second": "*"}, "2025-03-30T00:30",
         ["30T03:00+02", "31T02:30+02", "31T02:30:01+02"]),
        # By elapsed time nothing is made up for, and nothing left out.
        ("Europe/Berlin", {"minute": "*/30"}, "2025-03-30T01:00",
         ["30T01:30+01", "30T03:00+02", "30T03:30+02"]),
        ("Europe/Berlin", {"hour": 2, "minute": "*/30"}, "2025-03-29T02:30",
         ["31T02:00+02", "31T02:30+02"]),
        # Berlin, autumn: a fixed time runs the first time, elapsed time both.
        ("Europe/Berlin", {"hour": "1-5"}, "2025-10-26T00:30",
         ["26T01:00+02", "26T02:00+02", "26T03:00+01"]),
        ("Europe/Berlin", {"minute": "*/30"}, "2025-10-26T01:30",
         ["26T02:00+02", "26T02:30+02", "26T02:00+01", "26T02:30+01", "26T03:00+01"]),
        ("Europe/Berlin", {"minute": 0}, "2025-10-26T01:30",
         ["26T02:00+02", "26T02:00+01", "26T03:00+01"]),
        ("Europe/Berlin", {"hour": 2, "minute": "*/30"}, "2025-10-26T01:30",
         ["26T02:00+02", "26T02:30+02", "26T02:00+01", "26T02:30+01", "27T02:00+01"]),
        ("Europe/Berlin", {"hour": 2, "minute": "0,30"}, "2025-10-26T01:30",
         ["26T02:00+02", "26T02:30+02", "27T02:00+01"]),
        # A day without midnight is not skipped.
        ("Asia/Beirut", {"hour": 0}, "2024-03-30T12:00", ["31T01:00+03", "01T00:00+03"]),
        ("America/Santiago", {"hour": 0, "minute": 15}, "2024-09-07T12:00",
         ["08T01:00-03", "09T00:15-03"]),
        ("America/Santiago", {"day": "8"}, "2024-09-07T12:00", ["08T01:00-03", "08T00:00-03"]),
        # Half an hour: Lord Howe goes from 02:00 to 02:30, and from 02:00 to 01:30.
        ("Australia/Lord_Howe", {"hour": 2, "minute": 15}, "2025-10-05T01:00",
         ["05T02:30+11", "06T02:15+11"]),
        ("Australia/Lord_Howe", {"hour": 2, "minute": "0,15,30"}, "2025-10-05T01:00",
         ["05T02:30+11", "06T02:00+11"]),
        ("Australia/Lord_Howe", {"hour": 1, "minute": "15,45"}, "2025-04-06T01:00",
         ["06T01:15+11", "06T01:45+11", "07T01:15+10:30"]),
        ("Australia/Lord_Howe", {"minute": "*/15"}, "2025-04-06T01:15",
         ["06T01:30+11", "06T01:45+11", "06T01:30+10:30", "06T01:45+10:30", "06T02:00+10:30"]),
        # One minute past midnight, in St. John's until 2011.
        ("America/St_Johns", {"hour": 0, "minute": "0,30"}, "2010-03-13T12:00",
         ["14T00:00-03:30", "14T01:01-02:30", "15T00:00-02:30"]),
        # Apia left out 30 December 2011: what falls on it runs as the 31st begins.
        ("Pacific/Apia", {"hour": 9}, "2011-12-29T08:00",
         ["29T09:00-10", "31T00:00+14", "31T09:00+14"]),
        ("Pacific/Apia", {"day": 30, "hour": "9,17"}, "2011-12-29T08:00",
         ["31T00:00+14", "30T09:00+14"]),
        ("Pacific/Apia", {"hour": 0}, "2011-12-29T08:00", ["31T00:00+14", "01T00:00+14"]),
        ("Pacific/Apia", {"minute": 0}, "2011-12-29T22:30", ["29T23:00-10", "31T00:00+14"]),
        # Morocco suspends its daylight saving for Ramadan.
        ("Africa/Casablanca", {"hour": 2, "minute": 30}, "2025-02-22T12:00",
         ["23T02:30+01", "24T02:30+00"]),
        ("Africa/Casablanca", {"hour": 2, "minute": 30}, "2025-04-05T12:00",
         ["06T03:00+01", "07T02:30+01"]),
        # Standard offsets that changed: Caracas 2007 (back by half an hour) and 2016 (forward).
        ("America/Caracas", {"hour": 2, "minute": 45}, "2007-12-08T12:00",
         ["09T02:45-04", "10T02:45-04:30"]),
        ("America/Caracas", {"hour": 2, "minute": 45}, "2016-04-30T12:00",
         ["01T03:00-04", "02T02:45-04"]),
        # Pyongyang 2018: half an hour forward, at 23:30.
        ("Asia/Pyongyang", {"hour": 23, "minute": 40}, "2018-05-04T12:00",
         ["05T00:00+09", "05T23:40+09"]),
    ],
)  # fmt: skip
def test_cron_where_clocks_change(zone, fields, after, expected):
    trigger = CronTrigger(**fields, timezone=zone)
    found = [brief(text) for text in fires(trigger, after, len(expected))]
    assert found == expected


def brief(text: str) -> str:
    """Return ``30T03:00+02`` for ``2025-03-30T03:00:00+02:00``, as the tables have it."""
    time, offset = text[8:-6].removesuffix(":00"), text[-6:].removesuffix(":00")
    return time + offset


@pytest.mark.parametrize(
    ("fields", "options", "after", "expected"),
    [
        # The first instant after the gap is 01:00 UTC; the second pass of the fold begins then.
        ({"hour": 2, "minute": 30}, {"start_date": "2025-03-30T01:00:00Z"}, "2025-03-29T00:00",
         "2025-03-30T03:00:00+02:00"),
        ({"hour": 2, "minute": 30}, {"start_date": "2025-03-30T01:00:01Z"}, "2025-03-29T00:00",
         "2025-03-31T02:30:00+02:00"),
        ({"hour": 2, "minute": 30}, {"start_date": "2025-10-26T01:10:00Z"}, "2025-10-25T12:00",
         "2025-10-27T02:30:00+01:00"),
        ({"minute": "*/30"}, {"start_date": "2025-10-26T01:10:00Z"}, "2025-10-25T12:00",
         "2025-10-26T02:30:00+01:00"),
        ({"minute": "*/30"}, {"start_date": "2025-10-26T02:30"}, "2025-10-25T12:00",
         "2025-10-26T02:30:00+02:00"),
        ({"hour": 2, "minute": 30}, {"end_date": "2025-03-30T00:59:59Z"}, "2025-03-29T12:00",
         None),
        ({"hour": 2, "minute": 30}, {"end_date": "2025-03-30T03:00"}, "2025-03-29T12:00",
         "2025-03-30T03:00:00+02:00"),
        ({"minute": 45}, {"end_date": "2025-10-26T02:30+01:00"}, "2025-10-26T02:45", None),
    ],
)  # fmt: skip
def test_start_and_end_inside_a_gap_or_fold(fields, options, after, expected):
    trigger = CronTrigger(**fields, **options, timezone="Europe/Berlin")
    assert fires(trigger, after, 1) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("zone", "hour", "after", "expected"),
    [
        ("Asia/Beirut", 0, "2024-03-30T12:00", ["31T01:00+03", "01T00:00+03"]),
        ("Europe/Berlin", 2, "2025-10-25T12:00", ["26T02:00+02", "27T02:00+01"]),
        ("Pacific/Apia", 9, "2011-12-29T12:00", ["31T00:00+14", "31T09:00+14"]),
    ],
)
def test_calendar_intervals_follow_the_same_policy(zone, hour, after, expected):
    trigger = CalendarIntervalTrigger(days=1, hour=hour, start_date="2010-01-01", timezone=zone)
    assert [brief(text) for text in fires(trigger, after, 2)] == expected


@pytest.mark.parametrize("kind", ["cron", "calendarinterval"])
def test_no_fixed_time_fires_in_the_second_pass(kind):
    """Asked between the second 02:15 and the second 02:30, it is tomorrow's turn."""
    time = {"hour": 2, "minute": 30, "timezone": "Europe/Berlin"}
    daily = CalendarIntervalTrigger(days=1, start_date="2025-01-01", **time)
    trigger = CronTrigger(**time) if kind == "cron" else daily
    second = local("2025-10-26T02:15", trigger).replace(fold=1)
    assert trigger.next_after(second).isoformat() == "2025-10-27T02:30:00+01:00"


def test_elapsed_schedules_cross_years_without_a_match():
    """Every half hour of 29 February: the folds of the years between change nothing."""
    trigger = CronTrigger(month=2, day=29, hour="*", minute="*/30", timezone="Europe/Berlin")
    assert fires(trigger, "2024-02-29T23:30", 2) == [
        "2028-02-29T00:00:00+01:00",
        "2028-02-29T00:30:00+01:00",
    ]


def test_datetimes_of_one_zone_are_compared_as_instants():
    """After the first 02:15 comes the first 02:30; after the second, the second 03:00."""
    trigger = CronTrigger(minute="*/30", timezone="Europe/Berlin")
    first = local("2025-10-26T02:15", trigger)
    assert trigger.next_after(first).isoformat() == "2025-10-26T02:30:00+02:00"
    assert trigger.next_after(first.replace(fold=1)).isoformat() == "2025-10-26T02:30:00+01:00"


def test_elapsed_schedules_stop_short_of_a_change_years_ahead():
    """Auckland skips 02:00 to 03:00 on 26 September 2027; 00:30 comes before it."""
    trigger = CronTrigger(
        year=2027, month=9, day=26, hour="*", minute=30, timezone="Pacific/Auckland"
    )
    assert [text[11:] for text in fires(trigger, "2024-01-01T00:00", 3)] == [
        "00:30:00+12:00",
        "01:30:00+12:00",
        "03:30:00+13:00",
    ]
