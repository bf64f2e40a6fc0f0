"""Wall-clock triggers against an oracle that walks the clock minute by minute.

The oracle shares nothing with the triggers: it asks a tzinfo what the clock shows at each minute
of UTC, and :mod:`datetime` and :mod:`calendar` about dates.
"""

from __future__ import annotations

import calendar
import functools
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcore.clock import to_us
from schedcore.triggers import CalendarIntervalTrigger, CronTrigger
from tests.patience import examples

UTC = timezone.utc
MINUTE = timedelta(minutes=1)
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
FIELDS = ["month", "day", "week", "day_of_week", "hour", "minute"]


class Change(NamedTuple):
    zone: str
    at: datetime
    by: timedelta


@functools.lru_cache(maxsize=1)
def changes() -> list[Change]:
    """Return every change of offset from 2000 to 2040, in one of the zones that make it.

    Found by looking every 3 days; the sweep below would miss nothing that clocks show for longer.
    """
    names = {_rules_of(name): name for name in sorted(zoneinfo.available_timezones(), reverse=True)}
    found: dict[object, Change] = {}
    for name in sorted(names.values()):
        zone = zoneinfo.ZoneInfo(name)
        for at, by in _changes_of(zone):
            found.setdefault((at, by, at.astimezone(zone).utcoffset()), Change(name, at, by))
    return list(found.values())


def _rules_of(name: str) -> object:
    """Return the file of a zone: many have two names."""
    files = (Path(folder, name) for folder in zoneinfo.TZPATH)
    return next((file.read_bytes() for file in files if file.is_file()), name)


def _changes_of(zone: tzinfo) -> Iterator[tuple[datetime, timedelta]]:
    def shown(stamp: int) -> timedelta:
        return datetime.fromtimestamp(stamp, zone).utcoffset() or timedelta(0)

    step = 3 * 86_400
    low = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(2041, 1, 1, tzinfo=UTC).timestamp())
    before = shown(low)
    while low < end:
        high = low + step
        after = shown(high)
        if after != before:
            left, right = low, high
            while right - left > 60:
                middle = (left + right) // 120 * 60
                left, right = (middle, right) if shown(middle) == before else (left, middle)
            yield datetime.fromtimestamp(right, UTC), after - before
        low, before = high, after


def oracle(
    zone: tzinfo,
    matches: Callable[[datetime], bool],
    elapsed: bool,
    start: datetime,
    end: datetime,
) -> list[datetime]:
    """Return the fire times in ``(start, end]``, at whole minutes.

    By elapsed time: whenever the clock shows a match.  Else each match fires at the first minute
    at which the clock shows it, or something later.
    """
    fired = []
    instant = start - timedelta(days=2)
    pending = instant.astimezone(zone).replace(tzinfo=None)
    while instant <= end:
        shown = instant.astimezone(zone).replace(tzinfo=None)
        due = elapsed and matches(shown)
        while not elapsed and pending <= shown:
            due = matches(pending) or due
            pending += MINUTE
        if due and instant > start:
            fired.append(instant)
        instant += MINUTE
    return fired


def fire_times(trigger: CronTrigger, start: datetime, end: datetime) -> list[datetime]:
    """Return the trigger's own fire times in ``(start, end]``, in UTC."""
    found = []
    moment = trigger.next_after(start)
    while moment is not None and moment.astimezone(UTC) <= end:
        found.append(moment.astimezone(UTC))
        moment = trigger.next_after(moment)
    return found


class Expression(NamedTuple):
    text: str
    holds: Callable[[datetime], bool]


def among(text: str, read: Callable[[datetime], int], allowed: set[int]) -> Expression:
    return Expression(text, lambda moment: read(moment) in allowed)


@st.composite
def numbers(draw: st.DrawFn, low: int, high: int) -> tuple[str, set[int]]:
    """Draw an expression of numbers, and the set that it means."""
    first, last = sorted(draw(st.tuples(st.integers(low, high), st.integers(low, high))))
    step = draw(st.integers(1, high - low))
    return draw(
        st.sampled_from(
            [
                ("*", set(range(low, high + 1))),
                (f"*/{step}", set(range(low, high + 1, step))),
                (f"{first}", {first}),
                (f"{first},{last}", {first, last}),
                (f"{first}-{last}", set(range(first, last + 1))),
                (f"{first}-{last}/{step}", set(range(first, last + 1, step))),
                (f"{first}/{step}", set(range(first, high + 1, step))),
            ]
        )
    )


def _nth(moment: datetime) -> int:
    return (moment.day - 1) // 7 + 1


def _is_last(moment: datetime, days: int) -> bool:
    return moment.day > calendar.monthrange(moment.year, moment.month)[1] - days


@st.composite
def days(draw: st.DrawFn) -> Expression:
    n, weekday = draw(st.integers(1, 5)), draw(st.integers(0, 6))
    text, allowed = draw(numbers(1, 31))
    name, ordinal = DAYS[weekday], f"{n}{['st', 'nd', 'rd', 'th', 'th'][n - 1]}"
    return draw(
        st.sampled_from(
            [
                among(text, lambda moment: moment.day, allowed),
                Expression("last", lambda moment: _is_last(moment, 1)),
                Expression(
                    f"{ordinal} {name}",
                    lambda moment: moment.weekday() == weekday and _nth(moment) == n,
                ),
                Expression(
                    f"last {name},{n}",
                    lambda moment: (
                        moment.day == n or (moment.weekday() == weekday and _is_last(moment, 7))
                    ),
                ),
            ]
        )
    )


@st.composite
def weekdays(draw: st.DrawFn) -> Expression:
    first, last = sorted(draw(st.tuples(st.integers(0, 6), st.integers(0, 6))))
    allowed = set(range(first, last + 1))
    text = draw(st.sampled_from([f"{first}-{last}", f"{DAYS[first]}-{DAYS[last].upper()}"]))
    return among(text, lambda moment: moment.weekday(), allowed)


@st.composite
def times(draw: st.DrawFn) -> dict[str, Expression]:
    hour, minute = draw(numbers(0, 23)), draw(numbers(0, 59))
    return {
        "hour": among(hour[0], lambda moment: moment.hour, hour[1]),
        "minute": among(minute[0], lambda moment: moment.minute, minute[1]),
    }


@st.composite
def dates(draw: st.DrawFn) -> dict[str, Expression]:
    month, week = draw(numbers(1, 12)), draw(numbers(1, 53))
    every = {
        "month": among(month[0], lambda moment: moment.month, month[1]),
        "day": draw(days()),
        "week": among(week[0], lambda moment: moment.isocalendar()[1], week[1]),
        "day_of_week": draw(weekdays()),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(every)), max_size=2, unique=True))
    return {name: every[name] for name in chosen}


@settings(max_examples=examples(40), deadline=None)
@given(st.data())
def test_cron_around_a_change_of_clocks(data):
    """Whatever the schedule and the zone: the oracle's fire times, and the same from anywhere."""
    change = data.draw(st.sampled_from(changes()))
    fields = data.draw(times()) | (data.draw(dates()) if data.draw(st.booleans()) else {})
    elapsed = fields["hour"].text[0] == "*" or fields["minute"].text[0] == "*"
    start = change.at - timedelta(minutes=data.draw(st.integers(0, 1800)))
    end = change.at + timedelta(hours=30)
    zone = zoneinfo.ZoneInfo(change.zone)

    def matches(shown: datetime) -> bool:
        return all(field.holds(shown) for field in fields.values())

    options = {name: field.text for name, field in fields.items()}
    try:
        trigger = CronTrigger(**options, timezone=zone)
    except ValueError:  # such as 30 February: test_bad_input tells which
        return
    expected = oracle(zone, matches, elapsed, start, end)
    assert fire_times(trigger, start, end) == expected
    after = data.draw(st.datetimes(start.replace(tzinfo=None), end.replace(tzinfo=None)))
    following = [moment for moment in expected if moment > after.replace(tzinfo=UTC)]
    found = trigger.next_us(to_us(after.replace(tzinfo=UTC)))
    if following:
        assert found == to_us(following[0])
    else:
        assert found is None or found > to_us(end)


@pytest.mark.parametrize("minute", ["*/15", "0,15,30,45"])
def test_cron_at_every_change_of_every_zone(minute):
    """Each change of some zone from 2000 to 2040, every quarter of an hour around it."""
    for change in changes():
        zone = zoneinfo.ZoneInfo(change.zone)
        margin = timedelta(hours=2) + abs(change.by)
        start, end = change.at - margin, change.at + margin
        trigger = CronTrigger(hour="0-23", minute=minute, timezone=zone)
        expected = quarters(zone, minute[0] == "*", start, end)
        assert fire_times(trigger, start, end) == expected, change


def quarters(zone: tzinfo, elapsed: bool, start: datetime, end: datetime) -> list[datetime]:
    """Return what the oracle does, in quarters of an hour if the change is at one: most are."""
    if start.minute % 15:  # St. John's and Gaza: one minute past midnight
        return oracle(zone, lambda shown: shown.minute % 15 == 0, elapsed, start, end)
    fired, last = [], None
    instant = start
    while instant <= end:
        shown = instant.astimezone(zone).replace(tzinfo=None)
        if instant > start and (elapsed or last is None or shown > last):
            fired.append(instant)
        last = shown if last is None else max(last, shown)
        instant += timedelta(minutes=15)
    return fired


@settings(max_examples=examples(40), deadline=None)
@given(dates(), st.dates(date(1970, 1, 1), date(2399, 1, 1)))
def test_dates_of_four_years(fields, first):
    """Every day that the fields allow, and no other, over 1,500 days in UTC."""
    options = {name: field.text for name, field in fields.items()}
    try:
        trigger = CronTrigger(**options, hour=0, timezone="UTC")
    except ValueError:  # such as 30 February
        return
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    expected = [
        start + timedelta(days=n)
        for n in range(1, 1500)
        if all(field.holds(start + timedelta(days=n)) for field in fields.values())
    ]
    found = trigger.next_fire_times(len(expected) + 1, start)
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) or found[-1] >= start + timedelta(days=1500)


@settings(max_examples=examples(40), deadline=None)
@given(st.data())
def test_a_calendar_interval_of_one_day_is_a_daily_cron(data):
    """Around any change, from any instant: the same fire time."""
    change = data.draw(st.sampled_from(changes()))
    time = {"hour": data.draw(st.integers(0, 23)), "minute": data.draw(st.integers(0, 59))}
    cron = CronTrigger(**time, timezone=change.zone)
    daily = CalendarIntervalTrigger(days=1, **time, start_date="1999-01-01", timezone=change.zone)
    for minutes in data.draw(st.lists(st.integers(-3000, 3000), min_size=5, max_size=20)):
        after = to_us(change.at + timedelta(minutes=minutes))
        assert daily.next_us(after) == cron.next_us(after)


@settings(max_examples=examples(50), deadline=None)
@given(numbers(0, 23), numbers(0, 59), numbers(0, 59), st.integers(0, 86_399))
def test_times_of_day_to_the_second(hour, minute, second, now):
    """From any second of a day, in UTC: the first of all the times that the fields allow."""
    options = {"hour": hour[0], "minute": minute[0], "second": second[0]}
    trigger = CronTrigger(**options, timezone="UTC")
    later = [
        h * 3600 + m * 60 + s
        for h in sorted(hour[1])
        if h * 3600 + 3599 > now
        for m in sorted(minute[1])
        for s in sorted(second[1])
        if h * 3600 + m * 60 + s > now
    ]
    first = 86_400 + min(hour[1]) * 3600 + min(minute[1]) * 60 + min(second[1])
    assert trigger.next_us(now * 1_000_000) == (later[0] if later else first) * 1_000_000
