"""Formats times, durations, schedules and texts for pages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, Final
from urllib.parse import urlencode

from markupsafe import Markup, escape

from schedcore.clock import from_us
from schedcore.triggers import option_names, zone_of

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_KINDS: Final = ("date", "interval", "cron", "calendarinterval", "and", "or")
_CRON: Final = ("second", "minute", "hour", "day", "month", "day_of_week", "week", "year")
_UNITS: Final = ("weeks", "days", "hours", "minutes", "seconds")

MARKS: Final = {
    "executed": ("✓", "good"),
    "failed": ("✗", "bad"),
    "timed_out": ("⧗", "bad"),
    "lost": ("!", "bad"),
    "missed": ("−", "warn"),
    "shed": ("≡", "warn"),
    "skipped": ("»", "dull"),
    "coalesced": ("∪", "dull"),
    "paused": ("‖", "dull"),
    "cancelled": ("⊘", "dull"),
    "waiting": ("…", "open"),
    "running": ("▸", "open"),
}
"""A symbol for each outcome and for open runs, and the class of its colour."""


def visible(value: object) -> object:
    """Return text with invisible characters made visible: otherwise two names could look equal."""
    if type(value) is not str:  # Markup is our own
        return value
    return _CONTROLS.sub(_sign, value)


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


def field(value: object) -> Markup:
    """Return text unchanged, for the value of a form's field."""
    return escape("" if value is None else value)


def form_fields(values: Mapping[str, object]) -> Markup:
    """Return the hidden fields of a form: one for each item of a list; empty ones are left out."""
    one = Markup('<input type="hidden" name="{}" value="{}">')
    return Markup("").join(
        one.format(name, field(each))
        for name, value in values.items()
        for each in (value if isinstance(value, list) else [value])
        if each not in (None, "")
    )


def address(path: str, parameters: Mapping[str, object]) -> str:
    """Return the address of a page with its parameters; None and empty ones are left out."""
    given = {k: v for k, v in parameters.items() if v not in (None, "", [], False)}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def duration(seconds: float | None) -> str:
    """Return a duration as text, in two units at most."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {name}" if rest else f"{whole // size} {unit}"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole} s"


def millis(moment: str) -> int:
    """Return a time of the API in milliseconds since the Unix epoch."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def iso(us: int) -> str:
    """Return a time in microseconds since the Unix epoch in the API's format."""
    return from_us(us).isoformat()


def zone_name(zone: tzinfo) -> str:
    """Return the name of a zone."""
    return zone_of(zone).name or str(zone)


def clock_text(moment: str, zone: tzinfo) -> str:
    """Return a time of the API in a zone, with the zone's name."""
    local = datetime.fromisoformat(moment).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


def time_tag(moment: str | None, zone: tzinfo, relative: bool = False) -> Markup:
    """Return the element that shows a time; if *relative*, the script adds the time until it."""
    if moment is None:
        return Markup("–")
    attribute = Markup(' data-at="{}"').format(millis(moment)) if relative else ""
    return Markup('<time datetime="{}"{}>{}</time>').format(
        moment, attribute, clock_text(moment, zone)
    )


def elapsed_tag(since: str, now_ms: int) -> Markup:
    """Return the element that shows the elapsed time, which the script counts up."""
    seconds = (now_ms - millis(since)) / 1000
    return Markup('<span data-since="{}">{}</span>').format(millis(since), duration(seconds))


def in_zone(text: str, zone: tzinfo) -> str:
    """Return a typed time in the API's format; a time without a zone is in *zone*."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return text  # the API reports what is wrong with it
    return text if moment.tzinfo is not None else moment.replace(tzinfo=zone).isoformat()


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the singular or plural."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def schedule(job: Mapping[str, Any]) -> str:
    """Return the schedule of a job in a few words."""
    kind = job["trigger"]
    if isinstance(kind, Mapping):
        kind, job = kind.get("type", ""), kind
    if kind == "interval":
        units = [f"{_number(job[u])} {u}" for u in _UNITS if job.get(u)]
        return "every " + (" ".join(units) or "interval")
    if kind == "date":
        return "once"
    if kind == "cron":
        return _cron_in_words(job)
    return " ".join([str(kind), *(f"{k}={v}" for k, v in options_of(job).items())])


def _cron_in_words(job: Mapping[str, Any]) -> str:
    if job.get("crontab"):
        return f"crontab {job['crontab']}"
    given = {name: str(job[name]) for name in _CRON if job.get(name) not in (None, "*")}
    minute, hour = given.get("minute", ""), given.get("hour", "")
    days = given.keys() - {"hour", "minute"}
    if minute.isdigit() and hour.isdigit() and days <= {"day_of_week"}:
        return f"{given.get('day_of_week', 'each day')} at {int(hour):02}:{int(minute):02}"
    if given.keys() == {"minute"} and (every := _EVERY.fullmatch(minute)):
        return f"minutes 0, {every[1]}, … of each hour"
    fields = [f"{name.replace('_', ' ')} {value}" for name, value in given.items()]
    return "when " + ", ".join(fields) if fields else "cron: * in each field"


_EVERY: Final = re.compile(r"\*/(\d+)")


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def options_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a job's trigger that are set."""
    kind = job["trigger"]
    if isinstance(kind, Mapping):
        return {k: v for k, v in kind.items() if k != "type" and v is not None}
    names = option_names(kind) if kind in _KINDS else ()
    return {k: job[k] for k in sorted(names, key=_rank) if job.get(k) is not None}


def _rank(option: str) -> tuple[int, str]:
    """Return the sort key of an option: the most important first, the zone last."""
    first = (*_CRON, *_UNITS, "crontab", "run_date")
    if option in first:
        return first.index(option), option
    return len(first) + (option == "timezone"), option


def why(run: Mapping[str, Any]) -> str:
    """Return the reason of a run's outcome, without the outcome, which a symbol shows."""
    text: str = run["why"]
    return text.partition(": ")[2] or text


def as_json(value: object, indent: int | None = None) -> str:
    """Return JSON for people, with letters beyond ASCII unescaped."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def percentile(values: list[float], part: float) -> float | None:
    """Return the value below which this part of the values is; None if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None
