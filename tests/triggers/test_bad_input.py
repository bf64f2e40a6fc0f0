"""Every refusal names the option, the value and what is allowed; none takes long."""

# ruff: noqa: E501 — a table of messages, each whole

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcore.errors import InvalidTriggerError
from schedcore.triggers import make_trigger, merge, option_names, trigger_from_dict
from schedcore.triggers.options import MAX_TEXT
from tests.patience import examples

BERLIN = ZoneInfo("Europe/Berlin")
MINUTES = "0 to 59, a range such as 10-20, a step such as */5, *, or a list such as '1,3'"
HOURS = "0 to 23, a range such as 9-17, a step such as */2, *, or a list such as '1,3'"
WEEKDAYS = "0 to 6, a name such as mon, a range such as mon-fri or *, or a list such as '1,3'"
DATES = "a date such as 2026-03-29 or 2026-03-29T02:30:00+01:00, a datetime, or a date object"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        # Cron fields.
        ("cron", {"minute": 99}, f"minute=99: expected {MINUTES}"),
        ("cron", {"minute": -1}, f"minute=-1: expected {MINUTES}"),
        ("cron", {"minute": True}, f"minute=True: expected {MINUTES}"),
        ("cron", {"minute": 1.5}, f"minute=1.5: expected {MINUTES}"),
        ("cron", {"minute": [0, 30]}, f"minute=[0, 30]: expected {MINUTES}"),
        ("cron", {"minute": ""}, f"minute='': expected {MINUTES}"),
        ("cron", {"minute": "5,99"}, f"minute='5,99': expected {MINUTES}, not '99'"),
        ("cron", {"minute": "*/0"}, f"minute='*/0': expected {MINUTES} (a step is from 1 to 59, and starts anew)"),
        ("cron", {"minute": "*/90"}, f"minute='*/90': expected {MINUTES} (a step is from 1 to 59, and starts anew)"),
        ("cron", {"minute": "*-5"}, f"minute='*-5': expected {MINUTES}"),
        ("cron", {"minute": "٣"}, f"minute='٣': expected {MINUTES}"),
        ("cron", {"hour": "22-2"}, f"hour='22-2': expected {HOURS} (a range goes up: did you mean '22-23,0-2'?)"),
        ("cron", {"day_of_week": "fri-mon"}, f"day_of_week='fri-mon': expected {WEEKDAYS} (a range goes up: did you mean 'fri-sun,mon'?)"),
        ("cron", {"day_of_week": 7}, f"day_of_week=7: expected {WEEKDAYS} (0 is Monday and 6 is Sunday; 7 is Sunday in crontab text only)"),
        ("cron", {"day_of_week": "monday"}, f"day_of_week='monday': expected {WEEKDAYS} (did you mean 'mon'?)"),
        ("cron", {"day_of_week": "mno"}, f"day_of_week='mno': expected {WEEKDAYS} (did you mean 'mon'?)"),
        ("cron", {"day_of_week": "fri#2"}, f"day_of_week='fri#2': expected {WEEKDAYS} (a weekday of the month is day='2nd fri' or day='last fri')"),
        ("cron", {"day_of_week": "last fri"}, f"day_of_week='last fri': expected {WEEKDAYS} (a weekday of the month is day='2nd fri' or day='last fri')"),
        ("cron", {"day": "L"}, "day='L': expected 1 to 31, a range such as 1-15, */2, *, '2nd fri', 'last fri' or 'last', or a list such as '1,3' (did you mean 'last'?)"),
        ("cron", {"hour": 10**5000}, f"hour=<int too long to show>: expected {HOURS}"),
        ("cron", {"hour": 10**12}, f"hour=1000000000000: expected {HOURS}"),
        ("cron", {"hour": "1," * MAX_TEXT}, None),
        # Dates that never come.
        ("cron", {"month": 2, "day": 30}, "day=30: expected a date that exists: none from 1970 to 9999 matches month=2 day=30"),
        ("cron", {"year": 2025, "month": 2, "day": 29, "hour": 3}, "day=29: expected a date that exists: none from 1970 to 9999 matches year=2025 month=2 day=29 hour=3"),
        ("cron", {"week": 53, "month": 6}, "week=53: expected a date that exists: none from 1970 to 9999 matches month=6 week=53"),
        ("cron", {"day": "5th mon", "day_of_week": "tue"}, "day_of_week='tue': expected a date that exists: none from 1970 to 9999 matches day=5th mon day_of_week=tue"),
        # Names of options, kinds and zones.
        ("cron", {"mintue": 5}, "mintue=5: expected an option of the cron trigger: year, month, day, week, day_of_week, hour, minute, second, crontab, start_date, end_date, timezone, jitter (did you mean 'minute'?)"),
        ("interval", {"second": 3}, "second=3: expected an option of the interval trigger: weeks, days, hours, minutes, seconds, start_date, end_date, timezone, jitter (did you mean 'seconds'?)"),
        ("intervall", {}, "trigger='intervall': expected one of date, interval, cron, calendarinterval, and, or (did you mean 'interval'?)"),
        ("cron", {"hour": 2, "timezone": "europe/berlin"}, "timezone='europe/berlin': expected a zone name such as 'Europe/Berlin' (did you mean 'Europe/Berlin'?)"),
        ("cron", {"hour": 2, "timezone": "Europe/Berlim"}, "timezone='Europe/Berlim': expected a zone name such as 'Europe/Berlin' (did you mean 'Europe/Berlin'?)"),
        ("cron", {"hour": 2, "timezone": "../../etc/passwd"}, "timezone='../../etc/passwd': expected a zone name such as 'Europe/Berlin'"),
        ("cron", {"hour": 2, "timezone": "Europe"}, None),
        ("cron", {"hour": 2, "timezone": ""}, "timezone='': expected a zone name such as 'Europe/Berlin'"),
        ("cron", {"hour": 2, "timezone": "+25:00"}, None),
        ("cron", {"hour": 2, "timezone": 3}, "timezone=3: expected a zone name such as 'Europe/Berlin', or a tzinfo"),
        ("cron", {"crontab": "0 9 * * *", "hour": 2}, "hour=2: expected no field beside crontab='0 9 * * *'"),
        # Dates.
        ("date", {"run_date": "tomorrow"}, f"run_date='tomorrow': expected {DATES}"),
        ("date", {"run_date": 1700000000}, f"run_date=1700000000: expected {DATES}"),
        ("date", {"run_date": "2025-02-30"}, "run_date='2025-02-30': expected a date that exists: day is out of range for month"),
        ("date", {"run_date": "2025-03-30T02:30:00"}, "run_date='2025-03-30T02:30:00': expected a time that exists in Europe/Berlin, where clocks go from 02:00:00 to 03:00:00 then; give 03:00:00 or later, or add the UTC offset"),
        ("date", {"run_date": datetime(2025, 3, 30, 2)}, None),  # noqa: DTZ001
        ("date", {"run_date": "0001-01-01T00:00:00Z"}, "run_date='0001-01-01T00:00:00Z': expected a date from 0001-01-02 to 9999-12-30 in UTC"),
        ("date", {"run_date": datetime.max.replace(tzinfo=timezone(timedelta(hours=-23)))}, None),
        ("interval", {"hours": 1, "start_date": "2025-03-30T02:30:00"}, None),
        ("cron", {"hour": 1, "end_date": "2025-03-30T02:30:00"}, None),
        ("interval", {"hours": 1, "start_date": "2025-01-02", "end_date": "2025-01-01"}, "end_date='2025-01-01': expected no earlier than start_date, 2025-01-02T00:00:00+01:00"),
        ("cron", {"hour": 1, "start_date": "2025-01-02", "end_date": "2025-01-01"}, "end_date='2025-01-01': expected no earlier than start_date, 2025-01-02T00:00:00+01:00"),
        # Intervals.
        ("interval", {}, "seconds=0: expected weeks, days, hours, minutes and seconds that add up to one microsecond or more, and to less than 8000 years"),
        ("interval", {"seconds": 0}, None),
        ("interval", {"seconds": 1e-9}, None),
        ("interval", {"seconds": -5}, "seconds=-5: expected a number of seconds, zero or more"),
        ("interval", {"seconds": True}, "seconds=True: expected a number of seconds, zero or more"),
        ("interval", {"seconds": "x"}, "seconds='x': expected a number of seconds, zero or more"),
        ("interval", {"seconds": "nan"}, None),
        ("interval", {"seconds": float("inf")}, "seconds=inf: expected a number of seconds, zero or more"),
        ("interval", {"weeks": 10**400}, None),
        ("interval", {"weeks": 1e300}, None),
        ("interval", {"weeks": 10**5000}, None),
        ("interval", {"weeks": "9" * 5000}, None),
        ("interval", {"seconds": [1]}, "seconds=[1]: expected a number of seconds, zero or more"),
        ("interval", {"seconds": 1, "jitter": -1}, "jitter=-1: expected a number of seconds from 0 to 31622400 (a year)"),
        ("interval", {"seconds": 1, "jitter": "soon"}, "jitter='soon': expected a number of seconds from 0 to 31622400 (a year)"),
        # Calendar intervals.
        ("calendarinterval", {}, "days=0: expected years, months, weeks or days of one or more"),
        ("calendarinterval", {"days": 1.5}, "days=1.5: expected a whole number from 0 to 2930000"),
        ("calendarinterval", {"days": 1, "hour": 24}, "hour=24: expected a whole number from 0 to 23"),
        ("calendarinterval", {"days": 1, "start_date": "2025-01-01T10:00"}, "start_date='2025-01-01T10:00': expected a date such as 2026-03-29, without a time of day"),
        ("calendarinterval", {"days": 1, "start_date": "2025-01-02", "end_date": "2025-01-01"}, "end_date='2025-01-01': expected no earlier than 2025-01-02"),
        # Combinations.
        ("and", {"triggers": []}, None),
        ("or", {}, "triggers=None: expected a list of 1 to 64 triggers, nested at most 8 deep"),
        ("or", {"triggers": ["cron"]}, "trigger='cron': expected a mapping such as {'trigger': 'cron', ...}"),
        ("or", {"triggers": [{"trigger": "cron", "hour": 1, "jitter": 5}]}, None),
    ],
)  # fmt: skip
def test_refusals(kind, options, message):
    began = time.thread_time()
    with pytest.raises(InvalidTriggerError) as caught:
        make_trigger(kind, options, BERLIN)
    assert time.thread_time() - began < 2  # some ms
    assert len(str(caught.value)) < 600
    if message is None:
        assert caught.value.option in {*options, "seconds", "weeks", "triggers"}
    else:
        assert str(caught.value) == message


HALF_MINUTE = {"trigger": "interval", "seconds": 30}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ({"type": "interval", "trigger": "cron"}, {}, "type='interval': expected no other kind beside trigger='cron'"),
        ({"type": "cron", "trigger": "interval", "seconds": 3}, {}, "type='cron': expected no other kind beside trigger='interval'"),
        (HALF_MINUTE, {"seconds": 60}, "seconds=60: expected no seconds beside a trigger that has seconds=30"),
        ({"type": "cron", "hour": 3}, {"hour": 4}, "hour=4: expected no hour beside a trigger that has hour=3"),
        ({"type": "cron", "hour": 3}, {"hour": None}, "hour=None: expected no hour beside a trigger that has hour=3"),
        ("or", {"triggers": [{"type": "cron", "trigger": "date"}]}, "type='cron': expected no other kind beside trigger='date'"),
    ],
)  # fmt: skip
def test_what_contradicts_itself(kind, options, message):
    with pytest.raises(InvalidTriggerError) as caught:
        make_trigger(kind, options, BERLIN)
    assert str(caught.value) == message


def test_what_is_said_twice_is_no_contradiction():
    twice = {"type": "interval", **HALF_MINUTE}
    assert make_trigger(twice, {"seconds": 30}, BERLIN) == make_trigger(HALF_MINUTE, {}, BERLIN)
    joined = make_trigger(HALF_MINUTE, {"jitter": 5}, BERLIN)
    assert joined == make_trigger("interval", {"seconds": 30, "jitter": 5}, BERLIN)


@pytest.mark.parametrize(
    ("kind", "options", "hint"),
    [
        # Without a trigger a job has a date: other options say what was meant.
        ("date", {"seconds": 60}, "trigger='interval'"),
        ("date", {"minutes": 5, "start_date": "2026-01-01"}, "trigger='interval'"),
        ("date", {"end_date": "2026-01-01", "hours": 5}, "trigger='interval'"),
        ("date", {"hour": 9}, "trigger='cron'"),
        ("date", {"day_of_week": "mon", "timezone": "UTC"}, "trigger='cron'"),
        ("date", {"crontab": "@daily"}, "trigger='cron'"),
        ("date", {"months": 1}, "trigger='calendarinterval'"),
        ("date", {"months": 1, "hour": 3}, "trigger='calendarinterval'"),
        ("date", {"triggers": []}, "trigger='and'"),
        ("date", {"run_dat": "2026-01-01"}, "'run_date'"),
        # Where a kind is named, a slip of the pen is likelier.
        ("cron", {"seconds": 5}, "'second'"),
        ("interval", {"second": 5}, "'seconds'"),
        ("interval", {"crontab": "@daily"}, "trigger='cron'"),
        ("cron", {"run_date": "2026-01-01"}, None),
    ],
)
def test_options_of_another_kind(kind, options, hint):
    with pytest.raises(InvalidTriggerError) as caught:
        make_trigger(kind, options, BERLIN)
    if hint is not None:
        assert str(caught.value).endswith(f"(did you mean {hint}?)")


def test_a_trigger_that_is_given_takes_no_options():
    trigger = make_trigger("cron", {"hour": 1}, BERLIN)
    assert make_trigger(trigger, {}, BERLIN) is trigger
    with pytest.raises(InvalidTriggerError, match="minute=5: expected no options beside a trigger"):
        make_trigger(trigger, {"minute": 5}, BERLIN)


@pytest.mark.parametrize("kind", [None, 5, ["cron"], "", "CRON", "x" * 10_000])
def test_no_such_kind(kind):
    with pytest.raises(InvalidTriggerError, match="expected one of date, interval, cron"):
        trigger_from_dict({"trigger": kind}, BERLIN)


def test_deep_nesting_is_refused():
    data: dict[str, object] = {"trigger": "cron", "hour": 1}
    for _ in range(500):
        data = {"trigger": "or", "triggers": [data]}
    with pytest.raises(InvalidTriggerError, match="nested at most 8 deep"):
        trigger_from_dict(data, BERLIN)


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.text("0123456789*/-, lastmonfri#LW", max_size=12),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(timezone.utc)),
    st.lists(st.integers(), max_size=2),
)
KINDS = ["date", "interval", "cron", "calendarinterval"]


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_whatever_is_given_is_accepted_or_refused_by_name(data):
    """No other error, and an answer within any instant's reach."""
    kind = data.draw(st.sampled_from(KINDS))
    names = st.sampled_from(sorted(option_names(kind)))
    options = data.draw(st.dictionaries(names, ANYTHING, max_size=3))
    try:
        trigger = make_trigger(kind, options, BERLIN)
    except InvalidTriggerError:
        return
    for after in (-(10**18), 0, 1_700_000_000_000_000, 10**18):
        bound = trigger.bound_to(0)
        found = bound.next_us(after)
        assert found is None or found > after
    assert merge(bound, bound.to_dict(), BERLIN) == bound
