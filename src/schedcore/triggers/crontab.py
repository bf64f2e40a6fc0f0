"""Crontab text to the same sets of allowed values; the only importer of croniter.

croniter parses, and no more: its instance attributes are read, since its ``expand()`` drops ``W``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from croniter import croniter

from schedcore.errors import InvalidTriggerError, did_you_mean
from schedcore.triggers.moments import MAX_TEXT
from schedcore.triggers.search import Schedule
from schedcore.triggers.yeardays import (
    ALL_MONTHS,
    EVERY_DAY,
    FIRST_YEAR,
    LAST_YEAR,
    DayRule,
    MonthDays,
)

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# In crontab's own order; the last two are optional.
FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, L, or 15W"),
    ("month", "1 to 12 or jan to dec"),
    ("day of week", "0 to 7 or sun to sat, 5#2 for the second Friday, L5 for the last one"),
    ("second", "0 to 59"),
    ("year", "1970 to 2099"),
)
_HASHED = re.compile(r"(?:^|[\s,])h(?:$|[\s,/(])", re.IGNORECASE)
_RANDOM = re.compile(r"(?:^|[\s,])r(?:$|[\s,/(])", re.IGNORECASE)
_EQUAL_RANGE = re.compile(r"(?:^|[\s,])(\w+)-\1(?=$|[\s,/])", re.IGNORECASE)


def read_crontab(text: object, job_id: str | None) -> tuple[str, Schedule]:
    """Read crontab text of five fields, six with seconds, or seven with seconds and year.

    Returns:
        The text with its white space made plain, and the schedule.

    Raises:
        InvalidTriggerError: naming the field and what it allows; also for what croniter reads in
            a way of its own, and for dates that never come.
    """
    if not isinstance(text, str):
        raise InvalidTriggerError("crontab", text, "text of five fields, such as '0 9 * * mon-fri'")
    if len(text) > MAX_TEXT:
        raise InvalidTriggerError("crontab", text, f"text of up to {MAX_TEXT} letters")
    shown = " ".join(text.split())
    expanded = _without_alias(shown)
    _refuse_surprises(shown, expanded, job_id)
    schedule = _schedule(expanded.split(" "), _parse(shown, expanded, job_id))
    if not schedule.can_fire():
        raise InvalidTriggerError(
            "crontab", shown, "a date that exists: none from 1970 to 9999 matches"
        )
    return shown, schedule


def _without_alias(text: str) -> str:
    if not text.startswith("@"):
        return text
    if text.lower() in ALIASES:
        return ALIASES[text.lower()]
    if text.lower() == "@reboot":
        raise InvalidTriggerError("crontab", text, "a time; add the job as a date for one at start")
    known = ", ".join(ALIASES)
    raise InvalidTriggerError("crontab", text, f"one of {known}{did_you_mean(text, ALIASES)}")


def _refuse_surprises(shown: str, expanded: str, job_id: str | None) -> None:
    """Refuse what croniter accepts, but what would not be what the text says."""
    if not 5 <= expanded.count(" ") + 1 <= 7:
        raise InvalidTriggerError(
            "crontab",
            shown,
            "five fields (minute, hour, day of month, month, day of week), a sixth for seconds,"
            " a seventh for years",
        )
    if _RANDOM.search(expanded):
        raise InvalidTriggerError(
            "crontab", shown, "no R, which differs in each process; H picks a time by the job's id"
        )
    if _HASHED.search(expanded) and job_id is None:
        raise InvalidTriggerError(
            "crontab", shown, "a job_id beside it, from which H takes its time"
        )
    equal = _EQUAL_RANGE.search(expanded)
    if equal:
        raise InvalidTriggerError(
            "crontab",
            shown,
            f"{equal[1]!r} for one value, or '*' for all, not {equal[0].strip()!r}",
        )


def _parse(shown: str, expanded: str, job_id: str | None) -> croniter:
    hash_id = job_id.encode() if job_id is not None and _HASHED.search(expanded) else None
    try:
        return croniter(expanded, 0.0, hash_id=hash_id)
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError, IndexError):
        culprit = _culprit(expanded, hash_id)
    raise InvalidTriggerError("crontab", shown, culprit) from None


def _culprit(expanded: str, hash_id: bytes | None) -> str:
    """Return what is expected of the first field that croniter refuses by itself."""
    texts = expanded.split(" ")
    for place, ((name, allowed), text) in enumerate(zip(FIELDS, texts, strict=False)):
        alone = ["*"] * len(texts)
        alone[place] = text
        try:
            croniter(" ".join(alone), 0.0, hash_id=hash_id)
        except (ValueError, KeyError, TypeError, OverflowError, AttributeError, IndexError):
            return f"a {name} of {allowed}, a range, a step or a list, not {text!r}{_slip(text)}"
    return "fields that fit together"


def _slip(text: str) -> str:
    match = re.fullmatch(r"(\w+)l", text, re.IGNORECASE)
    return f" (did you mean {'L' + match[1]!r}?)" if match else ""


def _schedule(texts: list[str], parsed: croniter) -> Schedule:
    fields: list[list[object]] = [list(field) for field in parsed.expanded]
    left_out: list[list[object]] = [[0], ["*"]]
    minute, hour, day, month, weekday, second, year = fields + left_out[len(fields) - 5 :]
    rule = DayRule(
        years=None if year == ["*"] else _numbers(year, FIRST_YEAR, LAST_YEAR),
        months=_numbers(month, 1, 12) or ALL_MONTHS,
        by_date=_by_date(day, getattr(parsed, "nearest_weekday", None) or set()),
        by_weekday=_by_weekday(weekday, parsed.nth_weekday_of_month),
        either=_restricted(texts[2]) and _restricted(texts[4]),
    )
    elapsed = texts[0].startswith("*") or texts[1].startswith("*")
    return Schedule(
        rule, _numbers(hour, 0, 23), _numbers(minute, 0, 59), _numbers(second, 0, 59), elapsed
    )


def _restricted(text: str) -> bool:
    # crontab(5): a day field that begins with * restricts nothing, */2 included; then both must
    # match, and not just one of them.
    return not text.startswith(("*", "?"))


def _numbers(values: list[object], low: int, high: int) -> tuple[int, ...]:
    if values == ["*"]:
        return tuple(range(low, high + 1))
    return tuple(sorted(value for value in values if isinstance(value, int)))


def _by_date(values: list[object], nearest: set[int]) -> MonthDays:
    if nearest:
        return MonthDays(nearest=frozenset(nearest))
    days = sum(1 << (number - 1) for number in _numbers(values, 1, 31))
    return MonthDays(days=days, last="l" in values)


def _by_weekday(values: list[object], nth: Mapping[Any, Iterable[Any]]) -> MonthDays:
    """Return the weekdays, which crontab counts from Sunday, 0, and we from Monday."""
    if not nth:
        plain = _numbers(values, 0, 6)
        return EVERY_DAY if len(plain) == 7 else MonthDays(weekdays=frozenset(map(_monday0, plain)))
    each = [(_monday0(day), n) for day, which in nth.items() for n in which]
    return MonthDays(
        nth=frozenset((n, day) for day, n in each if isinstance(n, int)),
        last_weekdays=frozenset(day for day, n in each if n == "l"),
    )


def _monday0(sunday0: int) -> int:
    return (sunday0 + 6) % 7
