"""Jobs as plain data: what goes in comes out, of the same types, from any process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import zoneinfo
from collections import OrderedDict, namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from schedcore import (
    AndTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    InvalidOptionError,
    OrTrigger,
    Retry,
    Trigger,
    register_trigger,
)
from schedcore.basics.tagged_data import MAX_DEPTH, TAG, from_plain, to_plain
from schedcore.job import Job, Options
from schedcore.jobdata import (
    FIELDS,
    digest,
    fingerprint,
    job_from_dict,
    job_to_dict,
    shown,
    with_fields,
)
from schedcore.triggers import factory
from tests.naming import case

EVERY_HOUR = IntervalTrigger(hours=1, start_date="2026-01-05 12:00", timezone="UTC")


def made(ref="math:sqrt", args=(), kwargs=None, trigger=EVERY_HOUR, **more):
    job = Job("a", None, tuple(args), kwargs or {}, trigger, Options(), None, ref)
    return job._replace(**more)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    """Have one kind of trigger registered, for these tests alone."""
    monkeypatch.setattr(factory, "_registered", {})
    register_trigger(Moments)


def sent(data):
    """What another process gets."""
    return json.loads(json.dumps(data, allow_nan=False))


def carried(value):
    return from_plain(sent(to_plain(value, "args[0]")), "args[0]")


def same(one, other):
    """Whether two values are equal, and of the same types through and through."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float | Decimal):
        return repr(one) == repr(other)
    if isinstance(one, datetime | time):
        return (
            one.replace(tzinfo=None) == other.replace(tzinfo=None)
            and one.fold == other.fold
            and type(one.tzinfo) is type(other.tzinfo)
            and repr(one.tzinfo) == repr(other.tzinfo)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same([*one.items()], [*other.items()])
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(a, b) for b in other) for a in one)
    return one == other


# Round trips

zones = st.one_of(
    st.none(),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]).map(ZoneInfo),
    st.builds(
        timezone,
        st.timedeltas(timedelta(hours=-23), timedelta(hours=23)),
    ),
    st.builds(timezone, st.timedeltas(timedelta(0), timedelta(hours=3)), st.text(max_size=3)),
    st.just(timezone.utc),
)
texts = st.text(st.characters() | st.sampled_from('\ud83d\ude00\\\x00"$'), max_size=8) | st.just(
    TAG
)
hashable_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    texts,
    st.binary(max_size=5),
    st.decimals().filter(lambda number: not number.is_snan()),  # has no hash
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=st.none() | zones, allow_imaginary=True),
    st.times(timezones=zones),
    st.timedeltas(),
)
hashables = st.recursive(
    hashable_scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashables | texts, inner, max_size=4),
        st.dictionaries(st.just(TAG) | texts, inner, max_size=3),
        st.sets(hashables, max_size=3),
    ),
    max_leaves=12,
)


@given(values)
def test_a_value_comes_back_as_it_was_and_of_the_same_type(value):
    assert same(carried(value), value), (value, to_plain(value, ""))


@given(st.lists(values, max_size=3), st.dictionaries(texts, values, max_size=3))
def test_a_job_comes_back_with_its_arguments(args, kwargs):
    job = made(args=args, kwargs=kwargs)
    back = job_from_dict(sent(job_to_dict(job)))
    assert same(back.args, job.args)
    assert same(dict(back.kwargs), job.kwargs)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), float("inf"), -0.0, 1e300, 1.0, True, 2**63, -(2**63) - 1, 1 << 20_000,
        "\ud83d\ude00", "\ud800", "\x00", {TAG: "date", "value": "2026-01-01"}, {TAG: {TAG: 1}},
        {1: "a", "1": "b", None: 2, (1, 2): 3, frozenset({1}): 4}, {"\udfff": 1}, [], (), {}, set(),
        timedelta.max, timedelta.min, Decimal("-0"), Decimal("NaN123"), Decimal("1E+999999"),
        datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(microseconds=1), "odd\ud800")),
        datetime.max,  # noqa: DTZ901
 time(1, 2, 3, 4, ZoneInfo("Asia/Kolkata"), fold=1), b"\xff", UUID(int=0),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_easily_lost_is_not(value):
    assert same(carried(value), value)
    assert same(carried([(value,), {"x": value}]), [(value,), {"x": value}])


def test_plain_values_look_plain():
    plain = {"a": [1, 2.5, None, True, "é"], "b": {}}
    assert to_plain(plain, "") == plain


def test_what_is_made_while_time_is_frozen_comes_back():
    with freeze_time("2026-01-05 12:00", tz_offset=0):
        frozen = to_plain([datetime.now(timezone.utc), date.today()], "")  # noqa: DTZ011
    assert from_plain(frozen, "") == [
        datetime(2026, 1, 5, 12, tzinfo=timezone.utc),
        date(2026, 1, 5),
    ]


class Moments(Trigger):
    kind = "moments_of_tests"

    def __init__(self, moments=()):
        self.moments = tuple(moments)

    def next_us(self, after_us):
        return min((m for m in self.moments if m > after_us), default=None)

    def to_dict(self):
        return {"trigger": self.kind, "moments": self.moments}

    def __eq__(self, other):
        return type(other) is type(self) and other.moments == self.moments

    def __hash__(self):
        return hash(self.moments)


class Own(Trigger):
    """A trigger without a registered kind."""

    kind = "own"

    def next_us(self, after_us):
        return after_us + 1

    def to_dict(self):
        return {"trigger": "own"}


class Hourly(IntervalTrigger):
    """One that would come back as another."""


TRIGGERS = {
    "interval": EVERY_HOUR,
    "date": DateTrigger("2026-03-01 10:00", timezone="Europe/Berlin"),
    "cron": CronTrigger(hour="5-7", timezone="Asia/Kolkata", jitter=3),
    "crontab": CronTrigger.from_crontab("H 5 * * *", job_id="a"),
    "crontab of another id": CronTrigger.from_crontab("H H * * *", job_id="report"),
    "another id within": OrTrigger([CronTrigger.from_crontab("H H * * *", job_id="report")]),
    "combined": OrTrigger(
        [EVERY_HOUR, AndTrigger([CronTrigger(hour=5), CronTrigger(day=1, hour=5)])]
    ),
    "bound within": OrTrigger(
        [CronTrigger(hour=5), AndTrigger([IntervalTrigger(hours=7)]), IntervalTrigger(hours=2)], 5
    ).bound_to(10**15),
    "registered": Moments([5, 7]),
    "registered within": OrTrigger([EVERY_HOUR, Moments([5])]),
}


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
def test_a_trigger_comes_back(trigger):
    back = job_from_dict(sent(job_to_dict(made(trigger=trigger)))).trigger
    assert back == trigger
    assert back.unbound() == trigger.unbound()
    assert type(back) is type(trigger)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"given_name": "n é"},
        {"options": Options("pool", 5.5, False, 3, "queue", 7, Retry(2, on=("OSError", "a:B")))},
    ],
    ids=str,
)
def test_a_job_comes_back_equal(options):
    import math

    job = made(args=[4], func=math.sqrt, **options)
    back = job_from_dict(sent(job_to_dict(job)))
    assert back == job
    assert type(back.options) is Options
    assert back.options.retry is None or type(back.options.retry) is Retry
    assert tuple(job_to_dict(job)) == FIELDS


def test_a_function_that_is_not_there_is_looked_for_again_by_the_engine():
    back = job_from_dict(job_to_dict(made("no_such_module:f")))
    assert (back.func, back.func_ref) == (None, "no_such_module:f")


def test_only_some_fields():
    data = job_to_dict(made(args=[(1,)], trigger=Own()), ["args", "max_instances"])
    assert data == {"args": [{TAG: "tuple", "value": [1]}], "max_instances": 1}
    job = made(args=[5], given_name="b")
    assert with_fields(job, {**data, "max_instances": 3}) == job._replace(
        args=((1,),), options=Options(max_instances=3)
    )


# What cannot be carried


class Number(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


Pair = namedtuple("Pair", "a b")
_OBJECT = object()


def within_itself():
    values = []
    values += [values] * 10
    return values


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("kwargs", "path"),
    [
        ({"x": [1, 2, _OBJECT]}, "kwargs['x'][2]"),
        ({"x": {"y": (1, [_OBJECT])}}, "kwargs['x']['y'][1][0]"),
        ({"x": {5: _OBJECT}}, "kwargs['x'][5]"),
        ({"x": {_OBJECT: 5}}, "kwargs['x'] (a key of it)"),
        ({"x": {_OBJECT}}, "kwargs['x'] (a member of it)"),
        ({"x": Number.ONE}, "kwargs['x']"),
        ({"x": Text("y")}, "kwargs['x']"),
        ({"x": {Text("y"): 1}}, "kwargs['x'] (a key of it)"),
        ({"x": Pair(1, 2)}, "kwargs['x']"),
        ({"x": OrderedDict(y=1)}, "kwargs['x']"),
        ({"x": len}, "kwargs['x']"),
        ({"x": bytearray(b"y")}, "kwargs['x']"),
        ({"x": 1j}, "kwargs['x']"),
        ({"x": within_itself()}, "kwargs['x']" + "[0]" * 20),
        ({"x": nested(MAX_DEPTH + 1)}, "kwargs['x']" + "[0]" * 20),
    ],
    ids=case,
)
def test_what_cannot_be_carried_is_refused_with_the_path_and_the_way_out(kwargs, path):
    with pytest.raises(InvalidOptionError) as caught:
        job_to_dict(made(kwargs=kwargs))
    assert caught.value.option.startswith(path[:60])
    assert "expected" in str(caught.value)
    if "[0][0]" not in path:
        assert caught.value.option == path
        assert "give text or a number by which the function finds it" in str(caught.value)


def test_as_deep_as_allowed():
    value = nested(MAX_DEPTH - 2)
    assert carried(value) == value


def test_other_parts_that_cannot_be_carried():
    zone_of_file = make_zone_of_file()
    for job, option in [
        (made(None, func=lambda: 1), "func"),
        (made(trigger=Own()), "trigger"),
        (made(trigger=Hourly(hours=1)), "trigger"),
        (made(trigger=OrTrigger([EVERY_HOUR, Own()])), "trigger"),
        (made(trigger=IntervalTrigger(hours=1, timezone=zone_of_file)), "trigger"),
        (made(trigger=Moments([_OBJECT])), "trigger['moments'][0]"),
        (made(args=[datetime(2026, 1, 1, tzinfo=zone_of_file)]), "args[0]"),
        (made(args=[time(1, tzinfo=zone_of_file)]), "args[0]"),
    ]:
        with pytest.raises(InvalidOptionError) as caught:
            job_to_dict(job)
        assert caught.value.option == option


def make_zone_of_file():
    """A zone that another process could not find."""
    import importlib.resources

    for name in zoneinfo.TZPATH:
        try:
            with open(f"{name}/Europe/Berlin", "rb") as file:
                return ZoneInfo.from_file(file)
        except OSError:
            continue
    with importlib.resources.files("tzdata.zoneinfo.Europe").joinpath("Berlin").open("rb") as file:
        return ZoneInfo.from_file(file)


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"func": None}, "func"),
        ({"func": "nonsense"}, "func"),
        ({"func": 5}, "func"),
        ({"trigger": "interval"}, "trigger"),
        ({"trigger": {"trigger": "sometimes"}}, "trigger"),
        ({"args": 5}, "args"),
        ({"args": {TAG: "sometype", "value": 1}}, "args['$type']"),
        ({"args": [1, {TAG: "date", "value": "tomorrow"}]}, "args[1]"),
        ({"args": [{TAG: "date"}]}, "args[0]"),
        ({"args": [{TAG: "date", "value": 5}]}, "args[0]"),
        ({"args": [{TAG: "tuple", "value": "abc"}]}, "args[0]"),
        ({"args": [{TAG: "set", "value": [[1]]}]}, "args[0]"),
        ({"args": [{TAG: "dict", "value": [[[1], 2]]}]}, "args[0]"),
        ({"args": [{TAG: "dict", "value": [5]}]}, "args[0]"),
        ({"args": [{TAG: "decimal", "value": "x"}]}, "args[0]"),
        ({"args": [{TAG: "bytes", "value": "é"}]}, "args[0]"),
        ({"args": [{TAG: "int", "value": "x"}]}, "args[0]"),
        ({"args": [{TAG: "timedelta", "value": [10**10, 0, 0]}]}, "args[0]"),
        ({"args": [{TAG: "datetime", "value": "2026-01-01", "zone": "No/Where"}]}, "args[0]"),
        ({"args": [{TAG: "datetime", "value": "2026-01-01", "zone": "../x"}]}, "args[0]"),
        ({"args": [{TAG: "datetime", "value": "2026-01-01", "zone": "America"}]}, "args[0]"),
        ({"args": [{TAG: ["date"], "value": 1}]}, "args[0]['$type']"),
        ({"kwargs": [1]}, "kwargs"),
        ({"kwargs": {TAG: "dict", "value": [[1, 2]]}}, "kwargs"),
        ({"name": 5}, "name"),
        ({"max_instances": 0}, "max_instances"),
        ({"retry": {"count": "x"}}, "retry.count"),
        ({"next_run_time": None}, "next_run_time"),
        ({"max_instance": 1}, "max_instance"),
    ],
    ids=str,
)
def test_bad_data_is_refused_by_name(changes, option):
    data = {**job_to_dict(made()), **changes}
    with pytest.raises(InvalidOptionError) as caught:
        job_from_dict(data)
    assert caught.value.option == option


def test_data_nested_without_end_is_refused():
    with pytest.raises(InvalidOptionError):
        job_from_dict({**job_to_dict(made()), "args": nested(100_000)})


# Fingerprints


def by_name():
    """A function."""


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import definitions
print(*definitions.prints())
"""
DEFINITIONS = """
from datetime import date
from functools import partial
from schedcore import IntervalTrigger, CronTrigger, OrTrigger, Trigger
from schedcore.job import Job, Options
from schedcore.jobdata import fingerprint

def f(*args, **kwargs): pass
class C:
    def method(self): pass
class Own(Trigger):
    def next_us(self, after_us): return None

def prints():
    trigger = IntervalTrigger(hours=1)
    jobs = [
        Job("a", f, (frozenset({"b", "c", "d"}), {"x", "y", "z", "u"}), {}, trigger, Options()),
        Job("a", f, (object(), C(), lambda: 1, C().method), {"a": {3: 1}}, trigger, Options()),
        Job("a", partial(f, C(), 1), (), {}, OrTrigger([trigger, CronTrigger(hour=5)]), Options()),
        Job("a", lambda: 1, (date(2026, 1, 1),), {}, Own(), Options()),
    ]
    return [fingerprint(job) for job in jobs]
"""


def test_equal_definitions_have_equal_prints_in_every_process(tmp_path):
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    found = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT.format(folder=str(tmp_path)))],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    (prints,) = found
    assert len(set(prints.split())) == 4


def test_what_is_spelled_otherwise_and_means_the_same_has_the_same_print():
    base = made(__name__ + ":by_name", kwargs={"a": 1, "b": {1: 2, 3: 4}})
    for other in [
        base._replace(id="b"),
        base._replace(kwargs={"b": {3: 4, 1: 2}, "a": 1}),
        base._replace(func=by_name, given_ref=None),
        base._replace(
            trigger=IntervalTrigger(hours=1, start_date="2026-01-05T12:00Z", timezone="UTC")
        ),
    ]:
        assert fingerprint(other) == fingerprint(base)
    unbound = IntervalTrigger(hours=1, timezone="UTC")
    assert len({fingerprint(made(trigger=unbound.bound_to(n)), unbound) for n in (1, 2)}) == 1


def test_other_definitions_have_other_prints():
    unlike = [
        made(),
        made("math:cos"),
        made(args=[1]),
        made(args=[1.0]),
        made(args=[True]),
        made(args=[(1,)]),
        made(args=[[1]]),
        made(args=["1"]),
        made(kwargs={"x": 1}),
        made(kwargs={"x": date(2026, 1, 1)}),
        made(kwargs={"x": "2026-01-01"}),
        made(given_name="sqrt"),
        made(options=Options(max_instances=2)),
        made(options=Options(retry=Retry())),
        made(trigger=IntervalTrigger(hours=2)),
        made(trigger=OrTrigger([IntervalTrigger(hours=2)])),
        made(None, func=partial(by_name, 1)),
        made(None, func=partial(by_name, 2)),
        made(None, func=[].append),
        made(None, func=[1].append),
    ]
    assert len({fingerprint(job) for job in unlike}) == len(unlike)


class Awkward:
    def __repr__(self):
        raise RuntimeError("no repr")

    def __getattr__(self, name):
        raise RuntimeError(name)


def test_a_print_can_be_had_of_anything():
    assert digest(Awkward(), within_itself(), nested(5000), Own()) == digest(
        Awkward(), within_itself(), nested(5000), Own()
    )


# Shown


def test_what_json_cannot_carry_is_shown_as_its_repr():
    job = made(args=[1, (2,), {3}, float("nan"), {TAG: "date"}], kwargs={"x": _OBJECT, "y": {1: 2}})
    data = shown(job)
    assert data["args"] == [1, (2,), "{3}", "nan", {TAG: "date"}]
    assert data["shown_as_repr"] == ["args[2]", "args[3]", "kwargs.x"]
    assert data["trigger"] == "interval"
    assert data["hours"] == 1
    json.dumps(data, allow_nan=False)
