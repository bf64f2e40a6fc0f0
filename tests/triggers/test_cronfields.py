"""The keyword-field language, as tables of plain strings."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcore.clock import from_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers import CronTrigger, make_trigger, trigger_from_dict

UTC = timezone.utc
AFTER = datetime(2025, 1, 1, tzinfo=UTC)  # a Wednesday; strictly later than midnight


def cron(text: str) -> CronTrigger:
    """Read ``"hour=9; day=2nd fri"`` as keyword fields, in UTC."""
    return CronTrigger(**dict(pair.split("=") for pair in text.split("; ") if pair), timezone=UTC)


def short(trigger: CronTrigger, n: int, after: datetime = AFTER) -> list[str]:
    """Return the next *n* fire times, midnights as dates."""
    times = trigger.next_fire_times(n, after)
    return [moment.strftime("%y-%m-%d %H:%M:%S").removesuffix(" 00:00:00") for moment in times]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # Less significant than the least significant one given: the minimum.  Others: every.
        ("second=30", ["25-01-01 00:00:30", "25-01-01 00:01:30"]),
        ("minute=5", ["25-01-01 00:05:00", "25-01-01 01:05:00"]),
        ("hour=9", ["25-01-01 09:00:00", "25-01-02 09:00:00"]),
        ("hour=9; second=10", ["25-01-01 09:00:10", "25-01-01 09:01:10"]),
        ("day_of_week=fri", ["25-01-03", "25-01-10"]),
        ("week=3", ["25-01-13", "25-01-14"]),
        ("day=10", ["25-01-10", "25-02-10"]),
        ("month=4", ["25-04-01", "26-04-01"]),
        ("month=4; hour=1", ["25-04-01 01:00:00", "25-04-02 01:00:00"]),
        ("year=2027", ["27-01-01"]),
    ],
)
def test_fields_left_out(fields, expected):
    assert short(cron(fields), 2) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # Steps, from the start of the field or from a number.
        ("minute=*/20", ["25-01-01 00:20:00", "25-01-01 00:40:00", "25-01-01 01:00:00"]),
        ("minute=5/25", ["25-01-01 00:05:00", "25-01-01 00:30:00", "25-01-01 00:55:00"]),
        ("hour=3-10/4", ["25-01-01 03:00:00", "25-01-01 07:00:00", "25-01-02 03:00:00"]),
        ("month=*/5", ["25-06-01", "25-11-01", "26-01-01"]),
        ("day=*/15", ["25-01-16", "25-01-31", "25-02-01"]),
        ("year=2025/4", ["29-01-01", "33-01-01", "37-01-01"]),
        # Numbers, ranges, lists; as numbers or as text.
        ("hour=1,3", ["25-01-01 01:00:00", "25-01-01 03:00:00", "25-01-02 01:00:00"]),
        ("hour=22-23, 2", ["25-01-01 02:00:00", "25-01-01 22:00:00", "25-01-01 23:00:00"]),
        ("hour=07", ["25-01-01 07:00:00", "25-01-02 07:00:00", "25-01-03 07:00:00"]),
        ("minute=5; second=10,40", ["25-01-01 00:05:10", "25-01-01 00:05:40", "25-01-01 01:05:10"]),
        # Names, in any case.
        ("day_of_week=MON-Tue", ["25-01-06", "25-01-07", "25-01-13"]),
        ("day_of_week=0,6", ["25-01-05", "25-01-06", "25-01-12"]),
        ("day_of_week=mon-sun/3", ["25-01-02", "25-01-05", "25-01-06"]),
        ("month=jan-Mar,DEC", ["25-02-01", "25-03-01", "25-12-01"]),
        # Days of the month by weekday.
        ("day=2nd fri", ["25-01-10", "25-02-14", "25-03-14"]),
        ("day=5th  Wed", ["25-01-29", "25-04-30", "25-07-30"]),
        ("day=last sun", ["25-01-26", "25-02-23", "25-03-30"]),
        ("day=last", ["25-01-31", "25-02-28", "25-03-31"]),
        ("day=1st mon,3rd mon", ["25-01-06", "25-01-20", "25-02-03"]),
        ("day=last,15", ["25-01-15", "25-01-31", "25-02-15"]),
        # Day of month AND day of week.
        ("day=13; day_of_week=fri", ["25-06-13", "26-02-13", "26-03-13"]),
        ("day_of_week=fri; hour=0,9", ["25-01-03", "25-01-03 09:00:00", "25-01-10"]),
        # ISO weeks belong to the year of their Thursday.
        ("week=1; day_of_week=mon", ["25-12-29", "27-01-04", "28-01-03"]),
        ("week=53; day_of_week=sun", ["27-01-03", "33-01-02", "38-01-03"]),
        # Leap days.
        ("month=2; day=29", ["28-02-29", "32-02-29", "36-02-29"]),
        ("month=2; day=29; day_of_week=mon", ["44-02-29", "72-02-29", "12-02-29"]),
    ],
)
def test_expressions(fields, expected):
    assert short(cron(fields), 3) == expected


def test_no_leap_day_in_2100():
    after = datetime(2096, 3, 1, tzinfo=UTC)
    assert cron("month=2; day=29").next_fire_times(1, after)[0].year == 2104


SPELLINGS = [
    {"day_of_week": 0},
    {"day_of_week": "0-4,6"},
    {"day_of_week": "MON-fri"},
    {"day_of_week": "*/2"},
    {"hour": 2, "minute": 0},
    {"hour": "05", "minute": "*/5", "second": "0-59/07"},
    {"month": "jan-mar"},
    {"month": "JAN,3-12/4"},
    {"month": "1", "day": "2nd Fri,last"},
    {"year": "2026-2030/2", "week": "*, 5", "day": "01"},
]


@pytest.mark.parametrize("given", SPELLINGS, ids=str)
def test_replies_show_what_was_given(given):
    """In the user's own spelling; a number that was given as text is shown as a number."""
    shown = {name: 1 if text == "1" else text for name, text in given.items()}
    trigger = CronTrigger(**given, timezone="UTC")
    assert trigger.to_dict() == {"trigger": "cron", **shown, "timezone": "UTC"}
    assert trigger_from_dict(trigger.to_dict(), UTC) == trigger


def test_white_space_is_made_plain():
    assert CronTrigger(day="  2nd   fri ", timezone="UTC").to_dict()["day"] == "2nd fri"


@pytest.mark.parametrize("fields", [{}, {"hour": None}, {"start_date": "2026-01-01"}])
@pytest.mark.parametrize("make", [CronTrigger, lambda **o: make_trigger("cron", o, UTC)])
def test_no_field_at_all_is_refused(fields, make):
    """It would fire each second, which hardly anybody means; who does says so."""
    with pytest.raises(InvalidTriggerError) as caught:
        make(**fields)
    told = "second=None: expected a cron field such as hour=9, or crontab='0 9 * * *'"
    assert str(caught.value) == f"{told}; second='*' is each second"
    assert short(cron("second=*"), 2) == ["25-01-01 00:00:01", "25-01-01 00:00:02"]


RANGES = st.sampled_from([("month", 1, 12), ("day", 1, 31), ("hour", 0, 23), ("minute", 0, 59)])


@given(RANGES, st.data())
def test_the_hint_at_a_range_that_goes_down_means_the_same(field, data):
    """It keeps the step, and can be read."""
    name, low, high = field
    first = data.draw(st.integers(low + 1, high))
    last = data.draw(st.integers(low, first - 1))
    step = data.draw(st.integers(1, high - low))
    walked = [*range(first, high + 1), *range(low, last + 1)][::step]
    with pytest.raises(InvalidTriggerError) as caught:
        CronTrigger(**{name: f"{first}-{last}/{step}"})
    meant = re.search("did you mean '(.*)'", str(caught.value))[1]
    assert CronTrigger(**{name: meant}).schedule == (
        CronTrigger(**{name: ",".join(map(str, walked))}).schedule
    )


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin"])
def test_the_end_of_9999_is_the_horizon(zone):
    """Searches end with 30 December 9999 in UTC; none overflows."""
    trigger = CronTrigger(hour=12, timezone=zone)
    last = trigger.next_fire_times(9, datetime(9999, 12, 25, tzinfo=UTC))
    assert date(9999, 12, 29) <= last[-1].date() <= date(9999, 12, 31)
    assert trigger.next_after(last[-1]) is None
    assert trigger.next_us(10**30) is None


def test_no_year_before_1970():
    trigger = CronTrigger(hour=0, timezone="Asia/Tokyo")
    first = trigger.next_us(-(10**30))
    assert first is not None
    assert from_us(first, trigger.timezone).isoformat() == "1970-01-01T00:00:00+09:00"


@pytest.mark.parametrize(
    "fields", ["minute=*/2; second=30", "hour=0; minute=0; second=30", "minute=0; second=15,30"]
)
def test_later_in_the_same_minute(fields):
    after = AFTER.replace(second=20)
    assert short(cron(fields), 1, after) == ["25-01-01 00:00:30"]
