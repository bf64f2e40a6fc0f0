"""Triggers are values: immutable, comparable, hashable, picklable, pure; and round-trip as data."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tzlocal import get_localzone

from schedcore.clock import SECOND, to_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers import (
    AndTrigger,
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    OrTrigger,
    Trigger,
    make_trigger,
    merge,
    option_names,
    trigger_from_dict,
)
from tests.patience import examples

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
IN_BERLIN = {"timezone": "Europe/Berlin"}
NOW = to_us(datetime(2025, 10, 1, 12, tzinfo=UTC))

TRIGGERS = [
    DateTrigger("2025-10-26T02:30:00+01:00", "Europe/Berlin"),
    DateTrigger(timezone=UTC),
    IntervalTrigger(seconds=90, timezone=BERLIN),
    IntervalTrigger(weeks=1, hours=1.5, seconds=0.1, start_date="2025-01-01", timezone=UTC),
    IntervalTrigger(minutes=1, jitter=3, timezone=UTC),
    CronTrigger(day_of_week=0, hour=2, minute="*/5", end_date="2030-01-01", timezone=BERLIN),
    CronTrigger.from_crontab("H 9 * * mon-fri", "+05:30", job_id="x", jitter=0.5),
    CalendarIntervalTrigger(months=1, hour=4, start_date="2025-01-31", timezone=BERLIN),
    OrTrigger([CronTrigger(hour=1, timezone=UTC), DateTrigger("2025-01-01", UTC)], jitter=9),
    AndTrigger([CronTrigger(hour=1, timezone=UTC), CronTrigger(day=13, hour=1, timezone=UTC)]),
]  # fmt: skip
EACH = pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)


@EACH
def test_immutable(trigger):
    for name in ("kind", "_zone", "_jitter", "triggers", "brand_new"):
        with pytest.raises(AttributeError, match="is immutable: make a new one"):
            setattr(trigger, name, 1)
        with pytest.raises(AttributeError, match="is immutable: make a new one"):
            delattr(trigger, name)
    assert not hasattr(trigger, "__dict__")


@EACH
def test_equal_by_value(trigger):
    for twin in (pickle.loads(pickle.dumps(trigger)), copy.copy(trigger), copy.deepcopy(trigger)):
        assert twin == trigger
        assert hash(twin) == hash(trigger)
        assert repr(twin) == repr(trigger)
    assert sum(trigger == other for other in TRIGGERS) == 1
    assert trigger != trigger.to_dict()


@EACH
def test_bound_once(trigger):
    bound = trigger.bound_to(NOW)
    assert bound.bound_to(NOW + SECOND) is bound or bound.bound_to(NOW + SECOND) == bound
    assert bound.first_us(NOW) is not None


@EACH
def test_plain_data_and_back(trigger):
    bound = trigger.bound_to(NOW)
    data = json.loads(json.dumps(bound.to_dict()))
    assert trigger_from_dict(data, UTC, "x") == bound
    typed = {"type": data.pop("trigger"), **data}
    assert trigger_from_dict(typed, UTC, "x") == bound
    assert make_trigger(bound.to_dict(), {}, UTC, "x") == bound


@EACH
def test_merging_what_is_there_changes_nothing(trigger):
    bound = trigger.bound_to(NOW)
    assert merge(bound, bound.to_dict(), UTC, "x") == bound
    assert merge(bound, {}, UTC, "x") == bound


def test_the_same_in_another_process():
    """The plain data is all that it takes: the fire times are those of any other process."""
    code = (
        "import json, sys; from datetime import timezone\n"
        "from schedcore.triggers import trigger_from_dict\n"
        "for data in json.load(sys.stdin):\n"
        f"    print(trigger_from_dict(data, timezone.utc, 'x').next_us({NOW}))"
    )
    bound = [trigger.bound_to(NOW) for trigger in TRIGGERS]
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([trigger.to_dict() for trigger in bound]),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.split() == [str(trigger.next_us(NOW)) for trigger in bound]


def test_asking_changes_nothing():
    """In any order, from any instant, the same questions have the same answers."""
    trigger = CronTrigger(hour="2,3", minute="*/15", timezone=BERLIN)
    asked = [NOW + n * 86_400 * SECOND * 37 for n in range(-200, 200)]
    before = [trigger.next_us(after) for after in asked]
    assert [trigger.next_us(after) for after in reversed(asked)] == before[::-1]


@pytest.mark.parametrize(
    ("trigger", "data"),
    [
        (
            IntervalTrigger(seconds=90, timezone=BERLIN, jitter=5),
            {"trigger": "interval", "seconds": 90, "timezone": "Europe/Berlin", "jitter": 5},
        ),
        (
            IntervalTrigger(minutes="2", seconds=0.25, start_date="2025-06-01", timezone=BERLIN),
            {
                "trigger": "interval",
                "minutes": 2,
                "seconds": 0.25,
                "start_date": "2025-06-01T00:00:00+02:00",
                "timezone": "Europe/Berlin",
            },
        ),
        (
            CronTrigger.from_crontab("  0  9 * * MON-fri", UTC),
            {"trigger": "cron", "crontab": "0 9 * * MON-fri", "timezone": "UTC"},
        ),
        (
            DateTrigger("2025-10-26T02:30", BERLIN),
            {"trigger": "date", "run_date": "2025-10-26T02:30:00+02:00"} | IN_BERLIN,
        ),
        (
            OrTrigger([CronTrigger(hour=1, timezone="+01:00")]),
            {
                "trigger": "or",
                "triggers": [{"trigger": "cron", "hour": 1, "timezone": "+01:00"}],
            },
        ),
    ],
)  # fmt: skip
def test_the_users_own_units_come_back(trigger, data):
    assert trigger.to_dict() == data


def test_a_bound_interval_shows_its_anchor():
    bound = IntervalTrigger(seconds=30, timezone=UTC).bound_to(NOW)
    assert bound.to_dict()["start_date"] == "2025-10-01T12:00:30+00:00"


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        # Any unit of an interval replaces the whole interval, and then it counts from now.
        ({"minutes": 5, "seconds": 30}, {"seconds": 60}, {"seconds": 60}),
        ({"minutes": 5}, {"jitter": 3}, {"minutes": 5, "jitter": 3}),
        ({"minutes": 5, "jitter": 3}, {"jitter": None}, {"minutes": 5}),
        # Cron fields one by one.
        ({"hour": 2, "minute": 5}, {"minute": 30}, {"hour": 2, "minute": 30}),
        ({"hour": 2, "minute": 5}, {"minute": None}, {"hour": 2}),
        ({"hour": 2}, {"timezone": "Asia/Tokyo"}, {"hour": 2, "timezone": "Asia/Tokyo"}),
        ({"hour": 2}, {"crontab": "5 4 * * *"}, {"crontab": "5 4 * * *"}),
        ({"crontab": "5 4 * * *"}, {"jitter": 1}, {"crontab": "5 4 * * *", "jitter": 1}),
        ({"crontab": "5 4 * * *"}, {"crontab": None, "hour": 3}, {"hour": 3}),
        # Another kind starts from scratch.
        ({"hour": 2, "jitter": 9}, {"trigger": "interval", "seconds": 3}, {"seconds": 3}),
    ],
)
def test_merging(before, changes, after):
    def read(options: dict[str, object]) -> Trigger:
        names = set(options) - {"timezone", "jitter", "trigger"}
        kind = "interval" if names & {"seconds", "minutes"} else "cron"
        return make_trigger(kind, options, BERLIN).bound_to(NOW)

    merged = merge(read(before), changes, BERLIN)
    if isinstance(merged, IntervalTrigger) and "trigger" not in changes:
        same_span = "seconds" not in changes
        assert merged.start_date == (read(before).start_date if same_span else None)
        merged = merge(merged, {"start_date": None}, BERLIN)
    assert merged.bound_to(NOW) == read(after)


def test_merging_a_field_into_crontab_text_is_refused():
    trigger = CronTrigger.from_crontab("5 4 * * *", UTC)
    with pytest.raises(InvalidTriggerError, match="hour=3: expected crontab=, since the schedule"):
        merge(trigger, {"hour": 3}, UTC)


def test_dates_that_are_equal_by_wall_clock_stay_apart():
    """Two datetimes of one zone compare by wall clock: no cache may take one for the other."""
    first = datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN)
    second = first.replace(fold=1)
    assert first == second
    triggers = [make_trigger("date", {"run_date": moment}, UTC) for moment in (first, second)]
    assert triggers[1].next_us(0) - triggers[0].next_us(0) == 3600 * SECOND
    starts = [make_trigger("interval", {"hours": 1, "start_date": d}, UTC) for d in (first, second)]
    assert starts[0] != starts[1]


def test_equal_numbers_of_another_type_are_not_taken_for_each_other():
    assert make_trigger("cron", {"minute": 1}, UTC).to_dict()["minute"] == 1
    with pytest.raises(InvalidTriggerError):
        make_trigger("cron", {"minute": True}, UTC)


def test_a_zone_without_a_name_has_no_plain_data():
    class Nameless(tzinfo):
        def utcoffset(self, _: datetime | None) -> timedelta:
            return timedelta(hours=1)

        dst = utcoffset

    trigger = CronTrigger(hour=1, timezone=Nameless())
    assert trigger.next_after(datetime(2025, 1, 1, tzinfo=UTC)).hour == 1
    with pytest.raises(TypeError, match="has no name: use zoneinfo"):
        trigger.to_dict()


def test_option_names():
    assert option_names("date") == {"run_date", "timezone"}
    assert {"crontab", "hour", "jitter"} <= option_names("cron")


def test_a_trigger_of_the_users_own_needs_a_successor():
    with pytest.raises(TypeError, match="Idle has no successor: define next_after"):
        type("Idle", (Trigger,), {})


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "-03:30", "Asia/Tokyo"])
MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
SHARED = {"timezone": ZONES, "jitter": st.one_of(st.integers(0, 99), st.floats(0, 99))}
NUMBERS = st.one_of(st.integers(1, 10**6), st.floats(1e-6, 10**6))


def some(**options: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional=options)


SIMPLE = st.one_of(
    st.builds(lambda o: ("date", o), some(run_date=MOMENTS, timezone=ZONES)),
    st.builds(
        lambda unit, size, o: ("interval", {unit: size, **o}),
        st.sampled_from(["weeks", "days", "hours", "minutes", "seconds"]),
        st.integers(1, 5000) | st.floats(1e-6, 5000),
        some(seconds=NUMBERS, minutes=NUMBERS, start_date=MOMENTS, **SHARED),
    ),
    st.builds(
        lambda o: ("cron", o),
        some(
            month=st.sampled_from(["*/3", "jan-apr", 7]),
            day=st.sampled_from(["last", "1st mon,3rd fri", 5, "10-20/3"]),
            day_of_week=st.sampled_from(["mon-fri", 6, "0,2"]),
            hour=st.sampled_from(["*", 3, "1-5"]),
            second=st.sampled_from(["*/7", "59", 0]),
            end_date=MOMENTS,
            **SHARED,
        ),
    ),
    st.builds(
        lambda text, o: ("cron", {"crontab": text, **o}),
        st.sampled_from(["@daily", "0 9 * * mon-fri", "H H L * fri#2", "* * * * * */5 2030"]),
        some(start_date=MOMENTS, **SHARED),
    ),
    st.builds(
        lambda o: ("calendarinterval", {"months": 1, **o}),
        some(days=st.integers(0, 99), hour=st.integers(0, 23), start_date=st.dates(), **SHARED),
    ),
)


@settings(max_examples=examples(100), deadline=None)
@given(SIMPLE, SIMPLE, st.booleans())
def test_random_triggers_round_trip_exactly(one, other, combine):
    try:
        trigger = make_trigger(*one, BERLIN, "job").bound_to(NOW)
        if combine:
            members = [make_trigger(*each, BERLIN, "job") for each in (one, other)]
            trigger = OrTrigger([m for m in members if not m.jitter_us], jitter=2).bound_to(NOW)
    except InvalidTriggerError:  # no date that exists, or no member without jitter
        return
    data = json.loads(json.dumps(trigger.to_dict()))
    again = trigger_from_dict(data, UTC, "job")
    assert again == trigger
    assert again.to_dict() == trigger.to_dict()
    assert merge(trigger, data, UTC, "job") == trigger
    assert again.next_us(NOW) == trigger.next_us(NOW)
    assert again.jitter_us == trigger.jitter_us
    assert pickle.loads(pickle.dumps(trigger)) == trigger


def test_the_systems_zone_by_default():
    """Also where the system's zone has no name of its own, which tzlocal calls local."""
    assert CronTrigger(hour=1) == CronTrigger(hour=1, timezone=get_localzone())
    assert CronTrigger(hour=1, timezone="local") == CronTrigger(hour=1)


def test_threads_that_share_triggers_get_the_same_answers():
    """What a zone or a schedule keeps at hand is replaced whole, never half."""
    trigger = CronTrigger(day_of_week="mon-fri", hour="1-3", minute="*/20", timezone=BERLIN)
    asked = [NOW + n * 9_000_000 * SECOND for n in range(-100, 100)]
    expected = [trigger.next_us(after) for after in asked]
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: [trigger.next_us(after) for after in asked], range(80)):
            assert found == expected
