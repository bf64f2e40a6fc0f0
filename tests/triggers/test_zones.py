"""Zones as spans of constant offset: the same as the tzinfo says, at any time."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta, timezone, tzinfo

import pytest
from dateutil import tz as dateutil_tz
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schedcore.clock import SECOND, from_us, to_us
from schedcore.triggers import CronTrigger
from schedcore.triggers.zones import DAY_US, HORIZON_US, MIN_US, zone_of
from tests.patience import examples

UTC = timezone.utc
NAMES = sorted(zoneinfo.available_timezones() - {"localtime"})


def offset_us(zone: tzinfo, instant: int) -> int:
    return from_us(instant).astimezone(zone).utcoffset() // timedelta(microseconds=1)


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from(NAMES), st.integers(to_us(datetime(1900, 1, 1, tzinfo=UTC)), HORIZON_US))
@example("Asia/Gaza", to_us(datetime(2470, 10, 24, 22, tzinfo=UTC)))  # 2070 is in its table
@example("Africa/Casablanca", to_us(datetime(6480, 7, 15, tzinfo=UTC)))
def test_the_offset_at_any_instant(name, instant):
    """From 1900 to 9999, the cycles of 400 years included."""
    zone = zone_of(name)
    span = zone.span_at(instant)
    assert span.begin_us <= instant < span.end_us
    for moment in (span.begin_us, instant, min(span.end_us - 1, HORIZON_US)):
        if moment >= MIN_US:
            assert offset_us(zone.tz, moment) == span.offset_us
    if span.begin_us > MIN_US:
        assert span.floor_us == span.begin_us + offset_us(zone.tz, span.begin_us - 1)


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(NAMES), st.integers(2000, 2060), st.integers(0, 365 * DAY_US))
def test_wall_clock_and_back(name, year, into):
    """What the clock shows at an instant leads back to it, or to its first showing."""
    zone = zone_of(name)
    instant = to_us(datetime(year, 1, 1, tzinfo=UTC)) + into
    shown = instant + zone.span_at(instant).offset_us
    first = zone.instant_of_wall(shown)
    assert first <= instant
    assert first + zone.span_at(first).offset_us == shown
    moment = from_us(instant, zone.tz)
    assert (first == instant) == (moment.fold == 0)


@pytest.mark.parametrize("instant", [MIN_US, HORIZON_US, 0, -1])
@pytest.mark.parametrize("name", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "+23:59", "-23:59"])
def test_the_ends_of_time(name, instant):
    span = zone_of(name).span_at(instant)
    assert span.begin_us <= instant < span.end_us


def test_other_kinds_of_tzinfo():
    """Any tzinfo will do, with a hash or without; pytz's are taken by their name."""
    after = datetime(2025, 3, 29, 12, tzinfo=UTC)
    expected = CronTrigger(hour=2, minute=30, timezone="Europe/Berlin").next_fire_times(3, after)

    class FromPytz(tzinfo):
        zone = "Europe/Berlin"

    for zone in (dateutil_tz.gettz("Europe/Berlin"), FromPytz()):
        trigger = CronTrigger(hour=2, minute=30, timezone=zone)
        assert trigger.next_fire_times(3, after) == expected
    assert CronTrigger(hour=2, timezone=FromPytz()).to_dict()["timezone"] == "Europe/Berlin"


def test_offsets_that_are_no_whole_seconds():
    """Fire times lie at whole seconds of the wall clock."""
    zone = timezone(timedelta(hours=1, microseconds=250_000))
    found = CronTrigger(second="*/10", timezone=zone).next_us(0)
    assert (found + offset_us(zone, found)) % (10 * SECOND) == 0
    assert 0 < found <= 10 * SECOND


def test_names_that_mean_one_zone():
    assert zone_of("UTC") == zone_of(UTC) == zone_of(zoneinfo.ZoneInfo("UTC"))
    assert zone_of("+02:00") == zone_of(timezone(timedelta(hours=2)))
    assert zone_of("+0200").name == "+02:00"
    assert zone_of("Europe/Berlin") is zone_of(zoneinfo.ZoneInfo("Europe/Berlin"))
    assert zone_of("Europe/Berlin") != zone_of("Europe/Paris")
