"""Previews for users: the next fire times, remarks where clocks change, warnings of traps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from schedcore.clock import SECOND, from_us, to_us
from schedcore.triggers.base import Trigger
from schedcore.triggers.calendarinterval import CalendarIntervalTrigger
from schedcore.triggers.combining import AndTrigger, OrTrigger, coming
from schedcore.triggers.cron import CronTrigger
from schedcore.triggers.daysets import MONTH_LENGTHS, MonthDays
from schedcore.triggers.interval import IntervalTrigger
from schedcore.triggers.zones import DAY_US, HORIZON_US, MIN_US, Span, Zone, zone_of

LOOK_AHEAD_US = 732 * DAY_US
"""How far ahead a change of clocks is worth a warning: two years."""

_CRONTAB_FIELDS = ("minute", "hour", "day", "month", "day_of_week", "second", "year")
_STEP = re.compile(r"\*/(\d+)")
_SIZES = {"month": 12, "day": 31, "hour": 24, "minute": 60, "second": 60}
_WHOLE = {
    "month": "year",
    "day": "month",
    "hour": "day",
    "minute": "hour",
    "second": "minute",
}


class FireTime(NamedTuple):
    """A future fire time, in the trigger's zone, with a remark."""

    moment: datetime
    remark: str


class FireTimes(list[FireTime]):
    """Fire times in order."""

    truncated = False
    """Whether the search was cut short: see :func:`~schedcore.triggers.combining.coming`."""


def look_ahead(trigger: Trigger, n: int, after: datetime) -> FireTimes:
    """Return up to *n* fire times strictly later than *after*, each with its remark, or ``""``.

    Values that depend on the moment of adding are set as if that were *after*.

    Raises:
        ValueError: if *after* has no time zone.
    """
    times = FireTimes()
    trigger = trigger.bound_to(to_us(after))
    instants, times.truncated = coming(trigger, to_us(after), n)
    times.extend(remarked(trigger, instants, to_us(after)))
    return times


def remarked(trigger: Trigger, instants: Iterable[int], after_us: int) -> Iterator[FireTime]:
    """Yield fire times of *trigger*, which follow *after_us*, each with its remark."""
    offset = from_us(after_us, trigger.timezone).utcoffset()
    for fire_us in instants:
        moment = from_us(fire_us, trigger.timezone)
        change, offset = (moment.utcoffset() or _ZERO) - (offset or _ZERO), moment.utcoffset()
        yield FireTime(moment, remark_of(trigger, fire_us) or _change_text(change))


def remark_of(trigger: Trigger, fire_us: int) -> str:
    """Return the effect of daylight saving on the fire time at *fire_us*, or ``""``."""
    if isinstance(trigger, (AndTrigger, OrTrigger)):
        members = [member for member in trigger.triggers if _fires_at(member, fire_us)]
        return next((remark for t in members if (remark := remark_of(t, fire_us))), "")
    if not isinstance(trigger, (CronTrigger, CalendarIntervalTrigger)):
        return ""
    if not MIN_US <= fire_us <= HORIZON_US:
        return ""
    zone = zone_of(trigger.timezone)
    span = zone.span_at(fire_us)
    shown_us = fire_us + span.offset_us
    if fire_us == span.begin_us and span.floor_us < shown_us:
        return _gap_remark(trigger, span)
    if shown_us < span.floor_us:
        return f"{_clock(shown_us)} for the second time: clocks went back"
    following = zone.span_at(min(span.end_us, HORIZON_US))
    if following.begin_us + following.offset_us <= shown_us < following.floor_us:
        both = isinstance(trigger, CronTrigger) and trigger.schedule.elapsed
        return f"{_clock(shown_us)} comes twice; {'this is' if both else 'runs'} the first time"
    return ""


def _fires_at(trigger: Trigger, fire_us: int) -> bool:
    """Return whether *fire_us* is a fire time; without a search, for a combination too."""
    if isinstance(trigger, AndTrigger):
        return all(_fires_at(member, fire_us) for member in trigger.triggers)
    if isinstance(trigger, OrTrigger):
        return any(_fires_at(member, fire_us) for member in trigger.triggers)
    return trigger.next_us(fire_us - 1) == fire_us


def warnings_of(trigger: Trigger, after_us: int | None = None) -> list[str]:
    """Return warnings about likely surprises, one sentence each.

    Args:
        trigger: Any trigger; only the built-in ones have warnings.
        after_us: The instant from which to look for clock changes, up to two years ahead; None: do
            not look for any.
    """
    found = [warning for leaf in _leaves(trigger) for warning in _own_warnings(leaf, after_us)]
    if after_us is not None and _is_over(trigger, after_us):
        found.append(_OVER)
    return list(dict.fromkeys(found))


_OVER = "it does not fire any more"


def _is_over(trigger: Trigger, after_us: int) -> bool:
    return coming(trigger.bound_to(after_us), after_us, 1) == ([], False)


def _leaves(trigger: Trigger) -> Iterator[Trigger]:
    if isinstance(trigger, (AndTrigger, OrTrigger)):
        for member in trigger.triggers:
            yield from _leaves(member)
    else:
        yield trigger


def _own_warnings(trigger: Trigger, after_us: int | None) -> Iterator[str]:
    """Yield the warnings of a trigger that is no combination."""
    if isinstance(trigger, CronTrigger):
        yield from _field_warnings(trigger)
    elif isinstance(trigger, CalendarIntervalTrigger):
        yield from _calendar_warnings(trigger)
    elif isinstance(trigger, IntervalTrigger):
        yield from _interval_warnings(trigger, after_us)
    if after_us is not None:
        if _is_over(trigger, after_us):
            yield _OVER
        if isinstance(trigger, CronTrigger):
            yield from _clock_warnings(trigger, after_us)


def _field_warnings(trigger: CronTrigger) -> Iterator[str]:
    fields = _fields_of(trigger)
    for name, text in fields.items():
        yield from _step_warning(name, text)
    yield from _minute_warning(fields)
    if trigger.crontab is not None:
        yield from _crontab_warnings(fields)
    rule = trigger.schedule.rule
    days = rule.by_date.days
    least = (days & -days).bit_length()
    only = rule.by_date == MonthDays(days)
    if only and least > min(MONTH_LENGTHS[month - 1] for month in rule.months):
        last = "L" if trigger.crontab is not None else "'last'"
        yield f"months without a day {least} are left out; the last day of any month is {last}"


def _fields_of(trigger: CronTrigger) -> Mapping[str, str]:
    """Return the expressions by field, for crontab text too."""
    if trigger.crontab is not None:
        return dict(zip(_CRONTAB_FIELDS, trigger.expanded_crontab.split(" "), strict=False))
    shared = ("trigger", "start_date", "end_date", "timezone", "jitter")
    return {name: str(text) for name, text in trigger.options().items() if name not in shared}


def _step_warning(name: str, text: str) -> Iterator[str]:
    match = _STEP.fullmatch(text)
    size = _SIZES.get(name, 0)
    if match is None or not size or (size % int(match[1]) == 0 and name != "day"):
        return
    step = int(match[1])
    if step == 1:
        return
    low = 0 if size in (24, 60) else 1
    last = low + (size - 1) // step * step
    span = (
        f": between {name} {last} and {low} it is shorter" if last > low else f": only {name} {low}"
    )
    yield (
        f"{name} {text} starts anew each {_WHOLE[name]}{span};"
        f" for every {step} {name}s use an interval"
    )


def _minute_warning(fields: Mapping[str, str]) -> Iterator[str]:
    hour, minute = fields.get("hour", "*"), fields.get("minute", "0")
    if minute == "*" and not hour.startswith("*"):
        yield f"minute * fires every minute of hour {hour}; once an hour is minute 0"


def _crontab_warnings(fields: Mapping[str, str]) -> Iterator[str]:
    day, weekday = fields["day"], fields["day_of_week"]
    starred = [text for text in (day, weekday) if text.startswith(("*", "?"))]
    if not starred:
        yield (
            f"day of month {day} OR day of week {weekday}: one that matches is enough; to require"
            " both, use the fields day= and day_of_week="
        )
    elif any(text not in "*?" for text in starred) and (day not in "*?" and weekday not in "*?"):
        yield (
            f"day of month {day} AND day of week {weekday}: both must match, since one of them"
            " begins with *"
        )
    if fields.get("second", "0") == "*" and not fields["minute"].startswith("*"):
        yield "the sixth field is the second: * there fires 60 times a minute"


def _calendar_warnings(trigger: CalendarIntervalTrigger) -> Iterator[str]:
    start, options = trigger.start_date, trigger.options()
    if start is not None and start.day > 28 and ("months" in options or "years" in options):
        yield f"months without a day {start.day} are left out, counting on from {start}"


def _interval_warnings(trigger: IntervalTrigger, after_us: int | None) -> Iterator[str]:
    if trigger.interval_us % DAY_US or after_us is None:
        return
    change = next(_changes(zone_of(trigger.timezone), after_us), None)
    if change is not None:
        yield (
            "days and weeks of an interval are 24 hours of elapsed time each: the time of day"
            f" moves when clocks change on {_date(change.begin_us, trigger)}; to keep it, use"
            " cron or calendarinterval"
        )


def _clock_warnings(trigger: CronTrigger, after_us: int) -> Iterator[str]:
    """Yield what the next gap and the next fold do to the schedule."""
    warned = set()
    for span in _changes(zone_of(trigger.timezone), after_us):
        shown = span.begin_us + span.offset_us
        forward = span.floor_us < shown
        low, high = sorted((span.floor_us, shown))
        if forward in warned or not _matches_in(trigger, low, high):
            continue
        warned.add(forward)
        day, hours = _date(span.begin_us - 1, trigger), f"{_clock(low)} to {_clock(high)}"
        if forward and trigger.schedule.elapsed:
            yield f"{hours} does not exist on {day}: what falls into it does not run"
        elif forward:
            offset = from_us(span.begin_us, trigger.timezone).isoformat()[-6:]
            at = f"{_clock(shown)}{offset}"
            yield f"{hours} does not exist on {day}: what falls into it runs at {at}"
        elif not trigger.schedule.elapsed:
            yield f"{hours} comes twice on {day}: what falls into it runs the first time"
        else:
            yield f"{hours} comes twice on {day}: what falls into it runs both times"


def _matches_in(trigger: CronTrigger, low_us: int, high_us: int) -> bool:
    # A schedule of all hours loses or repeats an hour as clocks do: that surprises nobody.
    if len(trigger.schedule.times[0]) == 24:
        return False
    low = max(0, -(-low_us // SECOND))
    return trigger.schedule.count(low, -(-high_us // SECOND)) > 0


def _changes(zone: Zone, after_us: int) -> Iterator[Span]:
    """Yield the spans that begin with a change of clocks, up to LOOK_AHEAD_US after *after_us*."""
    end_us = min(after_us + LOOK_AHEAD_US, HORIZON_US)
    span = zone.span_at(min(max(after_us, MIN_US), HORIZON_US))
    while span.end_us < end_us:
        span = zone.span_at(span.end_us)
        if span.floor_us != span.begin_us + span.offset_us:
            yield span


def _gap_remark(trigger: CronTrigger | CalendarIntervalTrigger, span: Span) -> str:
    low_us, high_us = span.floor_us, span.begin_us + span.offset_us
    if isinstance(trigger, CronTrigger):
        schedule = trigger.schedule
        first = schedule.next_from(max(0, -(-low_us // SECOND)))
        if schedule.elapsed or first is None or first * SECOND >= high_us:
            return ""
        skipped_us = first * SECOND
    else:
        skipped_us = low_us // DAY_US * DAY_US + trigger.time_us
        if skipped_us < low_us:
            skipped_us += DAY_US
        if skipped_us >= high_us:
            return ""
    return f"{_clock(skipped_us)} does not exist on this day: runs when the gap ends"


def _change_text(change: timedelta) -> str:
    if not change:
        return ""
    hours, minutes = divmod(abs(change) // timedelta(minutes=1), 60)
    return f"clocks went {'forward' if change > _ZERO else 'back'} by {hours}:{minutes:02}"


_ZERO = timedelta(0)


def _clock(wall_us: int) -> str:
    text = from_us(wall_us).strftime("%H:%M:%S")
    return text[:5] if text.endswith(":00") else text


def _date(instant_us: int, trigger: Trigger) -> str:
    return from_us(instant_us, trigger.timezone).date().isoformat()
