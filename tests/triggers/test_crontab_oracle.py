"""Random crontab texts against a brute-force reading of them, and hints that can be followed."""

from __future__ import annotations

import re
import zoneinfo
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schedcore.errors import InvalidTriggerError
from schedcore.triggers import CronTrigger, make_trigger
from tests.patience import examples
from tests.triggers.crontab_reading import (
    day_holds,
    matches,
    number_holds,
    runs_by_elapsed_time,
    split,
)
from tests.triggers.test_walking_oracle import changes, fire_times, oracle

UTC = timezone.utc
MONTHS = st.sampled_from(
    ["jan", "feb", "mar", "Apr", "may", "jun", "JUL", "aug", "sep", "oct", "nov", "dec"]
)
WEEKDAYS = st.sampled_from(["sun", "mon", "tue", "wed", "THU", "Fri", "sat"])


def members(low: int, high: int, names: st.SearchStrategy[str] | None = None):
    """Draw a star, a number, a range in either direction, a step, or names."""
    word = st.integers(low, high).map(str)
    if names is not None:
        word |= names
    step = st.integers(1, high - low + 2)
    return st.one_of(
        st.just("*"),
        step.map("*/{}".format),
        word,
        st.builds("{}/{}".format, word, step),
        st.builds("{}-{}".format, word, word),
        st.builds("{}-{}/{}".format, word, word, step),
    )


def lists(member: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(member, min_size=1, max_size=3).map(",".join)


DAY_MEMBERS = st.one_of(
    members(1, 31),
    st.integers(1, 31).map("{}W".format),
    st.integers(1, 31).map("w{}".format),
    st.sampled_from(["L", "LW", "l", "15-L", "10-L/7"]),
    st.integers(0, 30).map("L-{}".format),
    st.integers(0, 30).map("L-{}W".format),
)
WEEKDAY_MEMBERS = st.one_of(
    members(0, 7, WEEKDAYS),
    st.builds("L{}".format, st.integers(0, 7) | WEEKDAYS),
    st.builds("{}#{}".format, st.integers(0, 7) | WEEKDAYS, st.integers(1, 5)),
    st.builds("{}-{}#{}".format, WEEKDAYS, WEEKDAYS, st.integers(1, 5)),
)
DAYS = lists(DAY_MEMBERS) | st.just("?")
WEEKDAY_FIELDS = lists(WEEKDAY_MEMBERS) | st.just("?")
MONTH_FIELDS = st.just("*") | lists(members(1, 12, MONTHS))


def read(text: str, zone: object = None) -> CronTrigger | None:
    """Return the trigger; None for a range of one value and for dates that never come."""
    try:
        return CronTrigger.from_crontab(text, zone)
    except InvalidTriggerError as error:
        reasons = ("for one value, or '*' for all", "a date that exists: none", "250 letters")
        if not any(reason in str(error) for reason in reasons):
            raise
        return None


@settings(max_examples=examples(60), deadline=None)
@given(DAYS, MONTH_FIELDS, WEEKDAY_FIELDS, st.dates(date(1970, 1, 1), date(2096, 1, 1)))
@example("1,15W", "*", "*", date(2025, 1, 1))
@example("*,13", "*", "fri", date(2025, 1, 1))
@example("13,*", "*", "fri", date(2025, 1, 1))
@example("L-30", "feb,mar", "0-7/2", date(2025, 1, 1))
@example("29", "2", "*", date(2025, 1, 1))
def test_dates_of_random_texts(day, month, weekday, first):
    """Every day that the text allows, and no other, over 500 days."""
    fields = ["0", "0", day, month, weekday]
    trigger = read(" ".join(fields), UTC)
    if trigger is None:
        return
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    each = [start + timedelta(days=n) for n in range(1, 500)]
    expected = [midnight for midnight in each if day_holds(fields, midnight.date())]
    found = trigger.next_fire_times(len(expected) + 1, start)
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) or found[-1] > each[-1]


@settings(max_examples=examples(60), deadline=None)
@given(DAYS, MONTH_FIELDS, WEEKDAY_FIELDS)
@example("30", "2", "*")
@example("L-30", "feb", "*")
@example("5-5", "*", "*")
def test_dates_that_are_refused_never_come(day, month, weekday):
    """Over the 28 years after which weekdays and leap years come round."""
    fields = ["0", "0", day, month, weekday]
    try:
        CronTrigger.from_crontab(" ".join(fields), UTC)
    except InvalidTriggerError as error:
        if "a date that exists" in str(error):
            each = (date(1972, 1, 1) + timedelta(days=n) for n in range(28 * 366))
            assert not any(day_holds(fields, one) for one in each)


@settings(max_examples=examples(30), deadline=None)
@given(st.data())
def test_times_of_random_texts_where_clocks_change(data):
    """Each minute around a change of some zone's clocks, named in the text."""
    change = data.draw(st.sampled_from(changes()))
    dates = data.draw(st.just("* * *") | st.builds("{} {} {}".format, DAYS, MONTH_FIELDS, WEEKDAYS))
    minute, hour = data.draw(lists(members(0, 59))), data.draw(lists(members(0, 23)))
    prefix = data.draw(st.sampled_from(["CRON_TZ=", "TZ="])) + change.zone
    text = f"{prefix} {minute} {hour} {dates}"
    trigger = read(text)
    if trigger is None:
        return
    zone, fields = split(text)
    start = change.at - timedelta(minutes=data.draw(st.integers(0, 600)))
    end = change.at + timedelta(hours=14)
    expected = oracle(
        zoneinfo.ZoneInfo(zone),
        lambda shown: matches(fields, shown),
        runs_by_elapsed_time(fields),
        start,
        end,
    )
    assert fire_times(trigger, start, end) == expected


@settings(max_examples=examples(30), deadline=None)
@given(lists(members(0, 59)), lists(members(1970, 2099)))
@example("50-10/7", "2098-1971/2")
def test_seconds_and_years_of_random_texts(second, year):
    trigger = read(f"* * * * * {second} {year}", UTC)
    if trigger is None:
        return
    for each in range(1970, 2100, 7):
        start = datetime(each, 6, 1, tzinfo=UTC) - timedelta(microseconds=1)
        expected = [
            datetime(each, 6, 1, 0, 0, n, tzinfo=UTC)
            for n in range(60)
            if number_holds(5, second, n) and number_holds(6, year, each)
        ]
        assert fire_times(trigger, start, start + timedelta(minutes=1)) == expected


HINT = re.compile(r"not (['\"])(.*)\1 \(did you mean (['\"])(.*)\3\?\)$", re.DOTALL)


def hint_followed(text: str) -> str | None:
    """Return the text with the hint of its refusal put in place; None without a hint."""
    try:
        CronTrigger.from_crontab(text, UTC)
    except InvalidTriggerError as error:
        told = str(error)
    else:
        return None
    if "did you mean" not in told:
        return None
    _, wrong, _, meant = HINT.search(told).groups()
    place = next(n for n, field in enumerate(text.split()) if wrong in field.split(","))
    fields = ["*"] * max(5, place + 1)
    fields[place] = meant
    return " ".join(fields)


@pytest.mark.parametrize(
    "text",
    [
        "0 0 * * friL", "0 0 * * 5L", "0 0 * * 1,5L", "0 0 * * MONL", "0 0 WL * *",
        "0 0 last * *", "0 0 * * monday", "0 0 * * Monday-Friday", "0 0 * january *",
        "0 0 * june-august/2 *", "0 0 * * mno", "0 0 * spe *", "0 0 * * friday#2",
        "0 0 * * Lfriday", "0 0 * * fridayL",
    ],
)  # fmt: skip
def test_a_hint_is_read(text):
    CronTrigger.from_crontab(hint_followed(text), UTC)


@pytest.mark.parametrize("text", ["0 0 * * 8L", "0 0 * * LL", "L 0 * * *", "0 0 * * xyzL"])
def test_no_hint_that_would_be_refused(text):
    assert hint_followed(text) is None


@settings(max_examples=examples(200), deadline=None)
@given(
    st.integers(0, 6),
    st.one_of(
        st.text("LlWw0123456789#-/,*?montuefriady", min_size=1, max_size=9),
        st.builds("{}{}".format, WEEKDAYS | MONTHS | st.integers(0, 40), st.sampled_from("LW#-x")),
        st.builds("{}day".format, WEEKDAYS),
    ),
)
def test_any_hint_is_read(place, field):
    fields = ["*"] * 7
    fields[place] = field
    followed = hint_followed(" ".join(fields))
    if followed is not None:
        CronTrigger.from_crontab(followed, UTC)


@pytest.mark.parametrize("text", ["@dayly", "@hourli", "@montly", "@year", "@weakly"])
def test_a_hint_at_an_alias_is_read(text):
    with pytest.raises(InvalidTriggerError) as caught:
        CronTrigger.from_crontab(text, UTC)
    CronTrigger.from_crontab(re.search(r"mean '(.*)'\?", str(caught.value))[1], UTC)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("@every 5m", {"minutes": 5}),
        ("@every 1h30m", {"hours": 1, "minutes": 30}),
        ("@Every 1.5h", {"hours": 1.5}),
        ("@every 90s", {"seconds": 90}),
        ("@every 250ms", {"seconds": 0.25}),
        ("CRON_TZ=Europe/Berlin @every 10s", {"seconds": 10}),
        ("@every day", {"minutes": 5}),  # an example
        ("@every", {"minutes": 5}),
        ("@every 0s", {"minutes": 5}),
    ],
)
def test_elapsed_time_is_refused_with_the_interval_that_means_it(text, options):
    with pytest.raises(
        InvalidTriggerError, match="elapsed time is the interval trigger's"
    ) as caught:
        make_trigger("cron", {"crontab": text}, UTC)
    told = re.search(r"trigger='interval', (.*)$", str(caught.value))[1]
    pairs = dict(pair.split("=") for pair in told.split(", "))
    assert make_trigger("interval", pairs, UTC) == make_trigger("interval", options, UTC)
