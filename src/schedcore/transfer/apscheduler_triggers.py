"""Converts APScheduler 3's triggers from their pickled form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from schedcore.transfer.inert import Inert, RefusedPickleError, zone_from
from schedcore.triggers.base import Trigger
from schedcore.triggers.calendarinterval import CalendarIntervalTrigger
from schedcore.triggers.combining import AndTrigger, OrTrigger
from schedcore.triggers.cron import CronTrigger
from schedcore.triggers.cronfields import MONTHS, ORDINALS, WEEKDAYS
from schedcore.triggers.date import DateTrigger
from schedcore.triggers.interval import IntervalTrigger

_UNITS: Final[tuple[tuple[str, int], ...]] = (
    ("days", 86_400),
    ("hours", 3600),
    ("minutes", 60),
    ("seconds", 1),
)
State = Mapping[str, Any]


def read_trigger(value: object) -> Trigger:
    """Return the trigger that an object in a pickle represents.

    Raises:
        RefusedPickleError: if it is not of one of APScheduler's own classes.
        InvalidTriggerError: if there is no such trigger here.
    """
    if isinstance(value, Inert):
        trigger = _read(value.path, value.fields, value.fields.get("jitter"))
        if isinstance(trigger, IntervalTrigger):
            # Whether its start was given is unknown: usually it is the time at which it was added.
            return trigger.keeps_beat_of(trigger)
        return trigger
    raise RefusedPickleError(
        f"its trigger is a {type(value).__name__}, which is not one of APScheduler's"
    )


def _read(path: str, state: State, jitter: object) -> Trigger:
    read = _READERS.get(path)
    if read is None:
        raise RefusedPickleError(
            f"its trigger is a {path}, which is not one of APScheduler's kinds"
        )
    try:
        return read(state, jitter or None)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise RefusedPickleError(
            f"its {path} has an unknown form: {type(error).__name__}: {error}"
        ) from None


def _date(state: State, jitter: object) -> Trigger:  # noqa: ARG001 — a date has no jitter
    run_date = state["run_date"]
    return DateTrigger(run_date, run_date.tzinfo)


def _interval(state: State, jitter: object) -> Trigger:
    interval: timedelta = state["interval"]
    unit, size = next(pair for pair in _UNITS if pair[1] == 1 or not interval % _seconds(pair[1]))
    seconds = interval / _seconds(size)
    return IntervalTrigger(
        **{unit: int(seconds) if seconds.is_integer() else seconds},
        start_date=state["start_date"],
        end_date=state["end_date"],
        timezone=zone_from(state["timezone"]),
        jitter=jitter,
    )


def _seconds(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def _cron(state: State, jitter: object) -> Trigger:
    fields = {
        field.fields["name"]: ",".join(map(_expression, field.fields["expressions"]))
        for field in state["fields"]
        if not field.fields["is_default"]
    }
    return CronTrigger(
        **(fields or {"second": "*"}),  # without a field, it fires every second there
        start_date=state["start_date"],
        end_date=state["end_date"],
        timezone=zone_from(state["timezone"]),
        jitter=jitter,
    )


def _expression(expression: Inert) -> str:
    """Return one expression of a cron field as text, which both libraries parse in the same way."""
    kind, parts = expression.path.rpartition(":")[2], expression.fields
    step = f"/{parts['step']}" if parts.get("step") else ""
    if kind == "AllExpression":
        return f"*{step}"
    if kind == "LastDayOfMonthExpression":
        return "last"
    if kind == "WeekdayPositionExpression":
        ordinal = (*ORDINALS, "last")[parts["option_num"]]
        return f"{ordinal} {WEEKDAYS[parts['weekday']]}"
    named: Callable[[int], str] = _NAMES[kind]
    first, last = parts["first"], parts["last"]
    return named(first) + ("" if last in (None, first) else f"-{named(last)}") + step


_NAMES: Final[Mapping[str, Callable[[int], str]]] = {
    "RangeExpression": str,
    "MonthRangeExpression": lambda number: MONTHS[number - 1],
    "WeekdayRangeExpression": lambda number: WEEKDAYS[number],
}


def _calendar_interval(state: State, jitter: object) -> Trigger:
    years, months, weeks, days = state["interval"]
    hour, minute, second = state["time"]
    return CalendarIntervalTrigger(
        years,
        months,
        weeks,
        days,
        hour,
        minute,
        second,
        start_date=state["start_date"],
        end_date=state["end_date"],
        timezone=zone_from(state["timezone"]),
        jitter=jitter,
    )


def _combination(kind: type[AndTrigger] | type[OrTrigger]) -> Callable[[State, object], Trigger]:
    def read(state: State, jitter: object) -> Trigger:
        # Here a combination has one jitter, and its members have none.
        members = [(path, dict(inner)) for path, inner in state["triggers"]]
        jitters = [jitter, *(inner.pop("jitter", None) for _, inner in members)]
        longest = max((each for each in jitters if isinstance(each, int | float)), default=None)
        return kind([_read(path, inner, None) for path, inner in members], longest or None)

    return read


_READERS: Final[Mapping[str, Callable[[State, object], Trigger]]] = {
    "apscheduler.triggers.date:DateTrigger": _date,
    "apscheduler.triggers.interval:IntervalTrigger": _interval,
    "apscheduler.triggers.cron:CronTrigger": _cron,
    "apscheduler.triggers.calendarinterval:CalendarIntervalTrigger": _calendar_interval,
    "apscheduler.triggers.combining:AndTrigger": _combination(AndTrigger),
    "apscheduler.triggers.combining:OrTrigger": _combination(OrTrigger),
}
