"""Crontab text to the same sets of allowed values; the only importer of croniter.

A field is a list, and a list is the union of its members, whatever they are: so each member is read
by itself.  croniter reads stars, numbers, names, steps and ``H``; ranges are walked here, since
croniter loses values of those that wrap round, and so are the days that are named in other ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from croniter import croniter

from schedcore.errors import InvalidTriggerError, did_you_mean
from schedcore.triggers.daysets import ALL_DAYS, EVERY_DAY, DayRule, MonthDays
from schedcore.triggers.options import MAX_TEXT, split_zone
from schedcore.triggers.schedule import Schedule

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY, _MONTH, _WEEKDAY = 2, 3, 4


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    allowed: str
    names: tuple[str, ...] = ()


# In crontab's own order; the last two are optional.
FIELDS: Final = (
    _Field("minute", 0, 59, "0 to 59"),
    _Field("hour", 0, 23, "0 to 23"),
    _Field("day of month", 1, 31, "1 to 31, L, L-3, LW, or 15W"),
    _Field("month", 1, 12, "1 to 12 or jan to dec", _MONTHS),
    _Field(
        "day of week",
        0,
        6,
        "0 to 7 or sun to sat, 5#2 for the second Friday, L5 for the last one",
        _WEEKDAYS,
    ),
    _Field("second", 0, 59, "0 to 59"),
    _Field("year", 1970, 2099, "1970 to 2099"),
)
_EVERY_YEAR = frozenset(range(FIELDS[6].low, FIELDS[6].high + 1))
_HASHED = re.compile(r"(?:^|[\s,])h(?:$|[\s,/(])", re.IGNORECASE)
_RANDOM = re.compile(r"(?:^|[\s,])r(?:$|[\s,/(])", re.IGNORECASE)


class _Part(NamedTuple):
    """What a field, or one member of its list, allows."""

    numbers: frozenset[int] = frozenset()
    """Values of the field; weekdays from Sunday, 0."""
    days: MonthDays = MonthDays()
    """Days that are named in other ways."""

    def union(self, other: _Part) -> _Part:
        return _Part(self.numbers | other.numbers, self.days.union(other.days))


class _Unreadable(Exception):
    """A member of a list cannot be read; says what would be, if that is not just the field."""


def read_crontab(text: object, job_id: str | None) -> tuple[str, str | None, Schedule]:
    """Read crontab text of five fields, six with seconds, or seven with seconds and year.

    Returns:
        The text with its white space made plain, *job_id* if there is an ``H`` in it, and the
        schedule; what stands before the fields for a zone is left to the caller.

    Raises:
        InvalidTriggerError: naming the field and what it allows; also for what croniter reads in
            a way of its own, and for dates that never come.
    """
    if not isinstance(text, str):
        raise InvalidTriggerError("crontab", text, "text of five fields, such as '0 9 * * mon-fri'")
    if len(text) > MAX_TEXT:
        raise InvalidTriggerError("crontab", text, f"text of up to {MAX_TEXT} letters")
    shown = " ".join(text.split())
    fields = _without_alias(shown).split(" ")
    _refuse_surprises(shown, fields, job_id)
    hash_id = None if job_id is None else job_id.encode()
    used_id = job_id if _HASHED.search(" ".join(fields)) else None
    schedule = _schedule(
        fields, [_read_field(place, field, shown, hash_id) for place, field in enumerate(fields)]
    )
    if not schedule.can_fire():
        raise InvalidTriggerError(
            "crontab", shown, "a date that exists: none from 1970 to 9999 matches"
        )
    return shown, used_id, schedule


def _without_alias(shown: str) -> str:
    text = split_zone(shown)[1]
    if not text.startswith("@"):
        return text
    if text.lower() in ALIASES:
        return ALIASES[text.lower()]
    if text.lower() == "@reboot":
        raise InvalidTriggerError(
            "crontab", shown, "a time; add the job as a date for one at start"
        )
    if text.lower().startswith("@every"):
        raise InvalidTriggerError(
            "crontab",
            shown,
            "times that a wall clock shows; elapsed time is the interval trigger's:"
            f" trigger='interval', {_interval_options(text.lower())}",
        )
    known = ", ".join(ALIASES)
    raise InvalidTriggerError("crontab", shown, f"one of {known}{did_you_mean(text, ALIASES)}")


_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(ms|h|m|s)", re.ASCII)
_UNITS = {"h": ("hours", 1), "m": ("minutes", 1), "s": ("seconds", 1), "ms": ("seconds", 1000)}


def _interval_options(text: str) -> str:
    """Return ``@every 1h30m``, which Go's cron knows, as options of an interval."""
    span = text.removeprefix("@every").strip()
    sizes: dict[str, float] = {}
    for size, unit in _SPAN.findall(span):
        name, parts = _UNITS[unit]
        sizes[name] = sizes.get(name, 0) + float(size) / parts
    if not any(sizes.values()) or _SPAN.sub("", span):
        return "minutes=5"
    return ", ".join(f"{name}={size:g}" for name, size in sizes.items() if size)


def _refuse_surprises(shown: str, fields: list[str], job_id: str | None) -> None:
    """Refuse what croniter accepts, but what would not be what the text says."""
    if not 5 <= len(fields) <= 7:
        raise InvalidTriggerError(
            "crontab",
            shown,
            "five fields (minute, hour, day of month, month, day of week), a sixth for seconds,"
            " a seventh for years",
        )
    if _RANDOM.search(" ".join(fields)):
        raise InvalidTriggerError(
            "crontab", shown, "no R, which differs in each process; H picks a time by the job's id"
        )
    if _HASHED.search(" ".join(fields)) and job_id is None:
        raise InvalidTriggerError(
            "crontab", shown, "a job_id beside it, from which H takes its time"
        )


def _read_field(place: int, text: str, shown: str, hash_id: bytes | None) -> _Part:
    """Return the union of what the members of a list allow."""
    part = _Part()
    for member in text.split(","):
        word = member.lower()
        try:
            part = part.union(_read_member(place, word, hash_id if word[:1] == "h" else None))
        except _Unreadable as error:
            name, allowed = FIELDS[place].name, FIELDS[place].allowed
            expected = str(error) or f"a {name} of {allowed}, a range, a step or a list"
            hint = "" if str(error) else _hint(place, member)
            raise InvalidTriggerError(
                "crontab", shown, f"{expected}, not {member or text!r}{hint}"
            ) from None
    return part


_RANGE = re.compile(r"(\w+)-(\w+)(?:/(\d+))?", re.ASCII)
_FROM_END = re.compile(r"l(?:-(\d{1,2}))?(w?)", re.ASCII)
_NEAREST = re.compile(r"(?:(\d{1,2})w|w(\d{1,2}))", re.ASCII)
_NTH = re.compile(r"(\w+(?:-\w+)?)#([1-5])", re.ASCII)
_LAST = re.compile(r"l(\w+)", re.ASCII)


@lru_cache(maxsize=4096)
def _read_member(place: int, word: str, hash_id: bytes | None) -> _Part:
    """Return what one member of a list allows, written in small letters.

    Raises:
        _Unreadable: if it cannot be read.
    """
    if place == _DAY and (match := _FROM_END.fullmatch(word)):
        return _from_end(int(match[1] or 0), match[2])
    if place == _DAY and (match := _NEAREST.fullmatch(word)):
        return _Part(days=MonthDays(nearest=frozenset({_number(place, match[1] or match[2])})))
    if place == _WEEKDAY and (match := _NTH.fullmatch(word)):
        weekdays = _read_member(place, match[1], None).numbers
        nth = frozenset((int(match[2]), _monday0(day)) for day in weekdays)
        return _Part(days=MonthDays(nth=nth))
    if place == _WEEKDAY and (match := _LAST.fullmatch(word)):
        day = _monday0(_number(place, match[1]))
        return _Part(days=MonthDays(last_weekdays=frozenset({day})))
    if match := _RANGE.fullmatch(word):
        return _Part(_walk(place, *match.groups()))
    return _Part(_by_croniter(place, word, hash_id))


def _from_end(back: int, nearest: str) -> _Part:
    if back > 30:
        raise _Unreadable
    days = frozenset({back})
    return _Part(days=MonthDays(nearest_from_end=days) if nearest else MonthDays(from_end=days))


def _walk(place: int, first: str, last: str, step: str | None) -> frozenset[int]:
    """Return each *step*-th value of a range in its own order, which may wrap round."""
    field = FIELDS[place]
    low = _number(place, first)
    high = field.high if place == _DAY and last == "l" else _number(place, last)
    if place == _WEEKDAY and low == 0 and last == "7" and first != "7":
        high = 7  # a whole week, both Sundays included
    if low == high:
        raise _Unreadable(f"{first!r} for one value, or '*' for all")
    if step is not None and not int(step):
        raise _Unreadable
    size = field.high - field.low + 1
    span = high - low if high > low else high - low + size
    walked = range(low - field.low, low - field.low + span + 1, int(step or 1))
    return frozenset(value % size + field.low for value in walked)


def _number(place: int, word: str) -> int:
    """Return the one value that a number or a name means."""
    numbers = _by_croniter(place, word, None)
    if len(numbers) != 1:
        raise _Unreadable
    return next(iter(numbers))


def _by_croniter(place: int, word: str, hash_id: bytes | None) -> frozenset[int]:
    """Return the values of a member that croniter reads by itself."""
    alone = ["*"] * max(5, place + 1)
    alone[place] = word
    try:
        values: list[object] = list(croniter(" ".join(alone), 0.0, hash_id=hash_id).expanded[place])
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError, IndexError):
        raise _Unreadable from None
    if values == ["*"]:
        return frozenset(range(FIELDS[place].low, FIELDS[place].high + 1))
    numbers = frozenset(value for value in values if isinstance(value, int))
    if len(numbers) != len(values):  # an L where there is no last day
        raise _Unreadable
    return numbers


def _hint(place: int, member: str) -> str:
    """Return what was probably meant, if that can be read, or ``""``."""
    for meant in _guesses(FIELDS[place], member):
        try:
            _read_member(place, meant.lower(), None)
        except _Unreadable:
            continue
        return f" (did you mean {meant!r}?)"
    return ""


def _guesses(field: _Field, member: str) -> Iterator[str]:
    if match := re.fullmatch(r"(\w+)l", member, re.IGNORECASE):
        yield f"L{match[1]}"
    if member.lower() in ("wl", "last"):
        yield {"wl": "LW", "last": "L"}[member.lower()]
    if field.names:
        yield re.sub(r"[a-z]{4,}", lambda word: word[0][:3], member, flags=re.IGNORECASE)
        yield did_you_mean(member, field.names).removeprefix(" (did you mean '")[:3]


def _schedule(texts: list[str], parts: list[_Part]) -> Schedule:
    minute, hour, day, month, weekday = parts[:5]
    second = parts[5].numbers if len(parts) > 5 else frozenset({0})
    years = parts[6].numbers if len(parts) > 6 else _EVERY_YEAR
    rule = DayRule(
        years=None if years == _EVERY_YEAR else tuple(sorted(years)),
        months=tuple(sorted(month.numbers)),
        by_date=_by_date(day),
        by_weekday=_by_weekday(weekday),
        either=_restricted(texts[2]) and _restricted(texts[4]),
    )
    elapsed = texts[0].startswith("*") or texts[1].startswith("*")
    hours, minutes = tuple(sorted(hour.numbers)), tuple(sorted(minute.numbers))
    return Schedule(rule, hours, minutes, tuple(sorted(second)), elapsed)


def _restricted(text: str) -> bool:
    # crontab(5): a day field that begins with * restricts nothing, */2 included; then both must
    # match, and not just one of them.
    return not text.startswith(("*", "?"))


def _by_date(part: _Part) -> MonthDays:
    days = sum(1 << (number - 1) for number in part.numbers)
    return EVERY_DAY if days == ALL_DAYS else part.days._replace(days=days)


def _by_weekday(part: _Part) -> MonthDays:
    """Return the weekdays, which crontab counts from Sunday, 0, and we from Monday."""
    if len(part.numbers) == 7:
        return EVERY_DAY
    return part.days._replace(weekdays=frozenset(map(_monday0, part.numbers)))


def _monday0(sunday0: int) -> int:
    return (sunday0 + 6) % 7
