"""Triggers of the user's own, named in plain data."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from schedcore import InvalidOptionError, InvalidTriggerError, ManualClock, Scheduler
from schedcore.changes.job_changes import CHANGEABLE
from schedcore.clock import SECOND
from schedcore.job import OPTION_NAMES
from schedcore.triggers import (
    Trigger,
    factory,
    make_trigger,
    merge,
    option_names,
    register_trigger,
    trigger_from_dict,
)

UTC = timezone.utc


@pytest.fixture(autouse=True)
def _no_kind_is_left_behind(monkeypatch):
    monkeypatch.setattr(factory, "_registered", {})


class Sunrise(Trigger):
    """Every so many seconds after the epoch, shifted; what it is called is what counts here."""

    kind = "sunrise"

    def __init__(self, every: int, *, shift: int = 0, timezone: object = None) -> None:
        if every < 1:
            raise ValueError("every: one second or more")
        self.every, self.shift, self.zone = every, shift, timezone

    def next_us(self, after_us: int) -> int:
        step, shift = self.every * SECOND, self.shift * SECOND
        return after_us - (after_us - shift) % step + step

    def to_dict(self) -> dict[str, object]:
        return {"trigger": self.kind, "every": self.every, "shift": self.shift}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sunrise) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.every, self.shift))


def test_it_comes_back_from_plain_data():
    assert register_trigger(Sunrise) is Sunrise
    trigger = make_trigger("sunrise", {"every": 60, "shift": 5}, UTC)
    data = json.loads(json.dumps(trigger.to_dict()))
    again = trigger_from_dict(data, UTC)
    assert (again, again.next_us(0)) == (Sunrise(60, shift=5), 5 * SECOND)
    assert again.zone is UTC
    assert option_names("sunrise") == {"every", "shift", "timezone"}
    for nested in (
        {"trigger": "or", "triggers": [data]},
        {"type": "and", "triggers": [data, data]},
    ):
        both = trigger_from_dict(nested, UTC)
        assert trigger_from_dict(both.to_dict(), UTC) == both


def test_it_is_changed_like_any():
    register_trigger(Sunrise)
    trigger = Sunrise(60, shift=5)
    assert merge(trigger, {"every": 30}, UTC) == Sunrise(30, shift=5)
    assert merge(trigger, {"shift": None}, UTC) == Sunrise(60)
    assert merge(trigger, trigger.to_dict(), UTC) == trigger
    assert merge(trigger, {"trigger": "interval", "seconds": 5}, UTC).kind == "interval"


def test_each_job_has_one_of_its_own():
    """It need not be immutable, so none is shared."""
    register_trigger(Sunrise)
    one, other = (make_trigger("sunrise", {"every": 60}, UTC) for _ in range(2))
    assert one == other
    assert one is not other


def test_a_job_on_it():
    register_trigger(Sunrise)
    clock = ManualClock(datetime(2026, 1, 5, 12, tzinfo=UTC))
    scheduler = Scheduler(timezone="UTC", clock=clock)
    job = scheduler.add_job(print, "sunrise", every=3600, shift=60, id="j")
    assert job.next_run_time == datetime(2026, 1, 5, 12, 1, tzinfo=UTC)
    scheduler.modify_job("j", trigger={"trigger": "sunrise", "every": 86_400})
    assert scheduler.get_job("j").next_run_time == datetime(2026, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every: one second or more"),
        ({}, "missing 1 required positional argument: 'every'"),
        ({"every": "x"}, "not supported between instances"),
        ({"evry": 1}, "evry=1: expected an option of the sunrise trigger: every, shift, timezone"),
    ],
)
def test_what_it_refuses(options, message):
    register_trigger(Sunrise)
    with pytest.raises(InvalidTriggerError) as caught:
        make_trigger("sunrise", options, UTC)
    assert message in str(caught.value)


def test_a_kind_that_nobody_registered():
    with pytest.raises(InvalidTriggerError, match="trigger='sunrise': expected one of date"):
        trigger_from_dict(Sunrise(60).to_dict(), UTC)
    register_trigger(Sunrise)
    with pytest.raises(InvalidTriggerError, match=r"or, sunrise \(did you mean 'sunrise'\?\)"):
        make_trigger("sunrize", {}, UTC)


def test_a_class_that_is_defined_anew_takes_its_place():
    register_trigger(Sunrise)
    anew = type("Sunrise", (Sunrise,), {"kind": "sunrise", "__qualname__": "Sunrise"})
    register_trigger(anew)
    assert type(make_trigger("sunrise", {"every": 1}, UTC)) is anew


def other(**members: object) -> type[Trigger]:
    return type("Other", (Sunrise,), {"kind": "other", **members})


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (lambda: 5, "cls=5: expected a subclass of schedcore.Trigger"),
        (lambda: dict, "expected a subclass of schedcore.Trigger"),
        (lambda: other(kind=None), "kind=None: expected a name such as 'sunrise'"),
        (lambda: other(kind="Sun rise"), "kind='Sun rise': expected a name"),
        (lambda: other(kind="x" * 41), "expected a name such as 'sunrise'"),
        (lambda: type("Other", (Sunrise,), {}), "kind=None: expected a name such as 'sunrise'"),
        (lambda: other(kind="cron"), "kind='cron': expected a name that no other kind"),
        (lambda: other(kind="sunrise"), "kind='sunrise': expected a name that no other kind"),
        (lambda: other(to_dict=Trigger.to_dict), "expected Other.to_dict(), the plain-data form"),
        (lambda: other(__init__=lambda self, name: None), "an option whose name is not"),
    ],
)  # fmt: skip
def test_what_cannot_be_registered(cls, message):
    register_trigger(Sunrise)
    with pytest.raises(InvalidOptionError) as caught:
        register_trigger(cls())
    assert message in str(caught.value)
    assert option_names("sunrise") == {"every", "shift", "timezone"}


@pytest.mark.parametrize("name", sorted(OPTION_NAMES | CHANGEABLE | {"id", "type"}))
def test_no_option_is_called_like_a_jobs(name):
    scope: dict[str, type[Trigger]] = {}
    exec(f"def init(self, {name}): pass", scope)
    with pytest.raises(InvalidOptionError, match=f"{name}=.*expected an option whose name is not"):
        register_trigger(other(__init__=scope["init"]))
