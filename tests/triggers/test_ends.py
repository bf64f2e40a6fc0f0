"""The end of a trigger: a date means all of that day, whatever the kind; a time means that time."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schedcore.clock import from_us, to_us
from schedcore.triggers import Trigger, make_trigger, merge, trigger_from_dict
from schedcore.triggers.options import date_of, day_number
from schedcore.triggers.zones import zone_of
from tests.patience import examples

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
NOON = {
    "cron": {"hour": 12},
    "crontab": {"crontab": "0 12 * * *"},
    "interval": {"hours": 24, "start_date": "2026-12-01 12:00"},
    "calendarinterval": {"days": 1, "hour": 12, "start_date": "2026-12-01"},
}
LAST = datetime.max.replace(tzinfo=UTC)
BEFORE = datetime(2026, 12, 14, tzinfo=UTC)


def at_noon(kind: str, end: object) -> Trigger:
    options = {**NOON[kind], "end_date": end}
    return make_trigger("cron" if kind == "crontab" else kind, options, BERLIN)


def last_fire(trigger: Trigger, zone: ZoneInfo = BERLIN) -> str:
    return trigger.next_fire_times(99, BEFORE)[-1].astimezone(zone).isoformat(" ", "minutes")[:16]


@pytest.mark.parametrize("kind", NOON)
@pytest.mark.parametrize("end", [date(2026, 12, 17), "2026-12-17", " 2026-12-17 "])
def test_the_last_day_is_included(kind, end):
    trigger = at_noon(kind, end)
    assert last_fire(trigger) == "2026-12-17 12:00"
    assert trigger.to_dict()["end_date"] == "2026-12-17"
    again = trigger_from_dict(json.loads(json.dumps(trigger.to_dict())), UTC)
    assert (again, last_fire(again)) == (trigger, "2026-12-17 12:00")
    for combination in ("and", "or"):
        both = make_trigger(combination, {"triggers": [trigger.to_dict()]}, UTC)
        assert last_fire(both) == "2026-12-17 12:00"


@pytest.mark.parametrize("kind", ["cron", "crontab", "interval"])
@pytest.mark.parametrize(
    ("end", "last"),
    [
        ("2026-12-17T12:00", 17),
        ("2026-12-17T11:59:59.999999", 16),
        ("2026-12-17T00:00", 16),
        (datetime(2026, 12, 17, 12, tzinfo=BERLIN), 17),
        (datetime(2026, 12, 17, 10, 59, tzinfo=UTC), 16),
    ],
)
def test_a_time_is_the_last_instant(kind, end, last):
    assert last_fire(at_noon(kind, end)) == f"2026-12-{last} 12:00"


@pytest.mark.parametrize("kind", NOON)
@pytest.mark.parametrize("end", ["9999-12-30", "9999-12-31", date.max])
def test_for_ever(kind, end):
    """The last date that there is stands for no end at all."""
    trigger = at_noon(kind, end)
    assert trigger == at_noon(kind, None)
    assert "end_date" not in trigger.to_dict()


@pytest.mark.parametrize("kind", ["cron", "crontab", "interval"])
@pytest.mark.parametrize("end", ["9999-12-31T23:59:59", "9999-12-31T23:59:59Z", LAST])
def test_for_ever_with_a_time(kind, end):
    assert at_noon(kind, end) == at_noon(kind, None)


def test_in_another_zone_it_is_the_last_day_there():
    """A date is read in the trigger's zone, and follows it when that changes."""
    trigger = at_noon("cron", "2026-12-17")
    moved = merge(trigger, {"timezone": "Pacific/Auckland"}, UTC)
    assert last_fire(moved, ZoneInfo("Pacific/Auckland")) == "2026-12-17 12:00"


ZONES = [
    "Europe/Berlin", "America/Havana", "America/Sao_Paulo", "America/St_Johns", "Asia/Beirut",
    "Pacific/Apia", "Asia/Gaza", "Africa/Casablanca", "Australia/Lord_Howe",
]  # fmt: skip


@settings(max_examples=examples(80), deadline=None)
@given(st.sampled_from(ZONES), st.dates(date(1995, 1, 1), date(2030, 1, 1)))
@example("America/St_Johns", date(2008, 11, 1))  # back at 00:01 of the 2nd, to 23:01 of the 1st
@example("America/Sao_Paulo", date(2015, 2, 21))  # back at midnight, to 23:00
@example("America/Havana", date(2020, 10, 31))  # back at 01:00, to midnight
@example("Asia/Beirut", date(2022, 3, 26))  # midnight of the next day is skipped
@example("Pacific/Apia", date(2011, 12, 29))  # the next day is skipped
def test_the_last_instant_of_a_day(name, day):
    """The last minute at which the clock shows the day, found by looking at each."""
    zone = ZoneInfo(name)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=16)
    minutes = [start + timedelta(minutes=n) for n in range(60 * 60)]
    shown = [minute for minute in minutes if minute.astimezone(zone).date() == day]
    found = zone_of(name).last_of_day(day_number(day))
    assert from_us(found) == shown[-1] + timedelta(minutes=1, microseconds=-1)


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from(["interval", "calendarinterval"]), st.integers(1, 40_000), st.data())
def test_one_that_is_over_before_it_begins_round_trips(kind, days, data):
    """Bound too late to fire at all, or just in time: its plain data says the same."""
    end = data.draw(st.integers(days - 2, days + 2).map(date_of))
    bound = make_trigger(kind, {"days": days, "end_date": end}, BERLIN).bound_to(0)
    assert merge(bound, bound.to_dict(), BERLIN) == bound
    assert trigger_from_dict(bound.to_dict(), UTC) == bound
    late = make_trigger(kind, {"days": days, "end_date": "1969-01-01"}, BERLIN).bound_to(0)
    assert merge(late, late.to_dict(), BERLIN) == late
    assert late.first_us(0) is late.next_us(to_us(BEFORE)) is None
