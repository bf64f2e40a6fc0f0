"""The keyword-field language of cron triggers: expressions to sets of allowed values."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from schedcore.errors import InvalidTriggerError, did_you_mean
from schedcore.triggers.daysets import (
    ALL_DAYS,
    ALL_MONTHS,
    EVERY_DAY,
    FIRST_YEAR,
    LAST_YEAR,
    DayRule,
    MonthDays,
)
from schedcore.triggers.options import MAX_TEXT
from schedcore.triggers.schedule import Schedule

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ORDINALS = ("1st", "2nd", "3rd", "4th", "5th")


class Field(NamedTuple):
    """One field: its name, its bounds, what it is when left out, and names for its numbers."""

    name: str
    low: int
    high: int
    minimum: str
    names: tuple[str, ...] = ()
    example: str = ""

    @property
    def expected(self) -> str:
        """What the field accepts, in words."""
        return f"{self.low} to {self.high}, {self.example}"


# From the most to the least significant: the order decides what a field left out means.
FIELDS = (
    Field(
        "year", FIRST_YEAR, LAST_YEAR, "*", (), "a range such as 2026-2030, a step such as */4, *"
    ),
    Field("month", 1, 12, "1", MONTHS, "a name such as jan, a range such as jun-aug, */3 or *"),
    Field("day", 1, 31, "1", (), "a range such as 1-15, */2, *, '2nd fri', 'last fri' or 'last'"),
    Field("week", 1, 53, "*", (), "a range such as 10-20, a step such as */2, *"),
    Field("day_of_week", 0, 6, "*", WEEKDAYS, "a name such as mon, a range such as mon-fri or *"),
    Field("hour", 0, 23, "0", (), "a range such as 9-17, a step such as */2, *"),
    Field("minute", 0, 59, "0", (), "a range such as 10-20, a step such as */5, *"),
    Field("second", 0, 59, "0", (), "a range such as 10-20, a step such as */5, *"),
)
FIELD_NAMES = tuple(field.name for field in FIELDS)


class Parsed(NamedTuple):
    """An expression that was read.

    Args:
        values: The numbers allowed, ascending.
        text: The expression as it was given, white space made plain.
        special: For the day field: the days named by weekday, or as the last.
        everything: Whether it allows every value.
    """

    values: tuple[int, ...]
    text: str
    special: MonthDays
    everything: bool

    @property
    def starred(self) -> bool:
        """Whether it begins with ``*``, which makes hours and minutes run by elapsed time."""
        return self.text.startswith("*")


def parse_field(field: Field, value: object) -> Parsed:
    """Read one expression: a number, or text such as ``*/5``, ``mon-fri`` or ``2nd fri``.

    Raises:
        InvalidTriggerError: naming the field, the value, and what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InvalidTriggerError(field.name, value, f"{field.expected}, or a list such as '1,3'")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise InvalidTriggerError(field.name, value, f"an expression of up to {MAX_TEXT} letters")
    if isinstance(value, int) and not -9 <= value <= 9999:
        # Beyond any field, and maybe of more digits than Python would write out.
        raise InvalidTriggerError(field.name, value, f"{field.expected}, or a list such as '1,3'")
    # Few expressions make most schedules; a minute's takes 8 us to read, the years' 300 us.
    return _parse(field, value)


@lru_cache(maxsize=1024)
def _parse(field: Field, value: int | str) -> Parsed:
    text = " ".join(str(value).split())
    numbers: set[int] = set()
    special = MonthDays(0)
    for part in text.lower().split(","):
        words = " ".join(part.split())
        ordinal = _ORDINAL.fullmatch(words) if field.name == "day" else None
        if ordinal:
            special = _add_weekday(special, ordinal)
        elif words == "last" and field.name == "day":
            special = special._replace(from_end=frozenset({0}))
        else:
            low, high, step = _read_part(field, value, words)
            numbers.update(range(low, high + 1, step))
    values = tuple(sorted(numbers))
    return Parsed(values, text, special, len(values) == field.high - field.low + 1)


_ORDINAL = re.compile(rf"({'|'.join(ORDINALS)}|last) ({'|'.join(WEEKDAYS)})")
_PART = re.compile(r"(\*|[a-z]+|\d{1,9})(?:-([a-z]+|\d{1,9}))?(?:/(\d{1,9}))?", re.ASCII)


def _add_weekday(special: MonthDays, match: re.Match[str]) -> MonthDays:
    which, weekday = match[1], WEEKDAYS.index(match[2])
    if which == "last":
        return special._replace(last_weekdays=special.last_weekdays | {weekday})
    return special._replace(nth=special.nth | {(ORDINALS.index(which) + 1, weekday)})


def _read_part(field: Field, value: object, part: str) -> tuple[int, int, int]:
    """Return the first, the last and the step of one part of a list."""
    match = _PART.fullmatch(part)
    if match is None or (match[1] == "*" and match[2]):
        raise _refused(field, value, part, _slip(field, part))
    first, last, step = match.groups()
    low = field.low if first == "*" else _read_number(field, value, part, first)
    if last is not None:
        high = _read_number(field, value, part, last)
    else:
        high = field.high if first == "*" or step else low
    if high < low:
        split = _split_range(field, low, high, int(step or 1))
        raise _refused(field, value, part, f" (a range goes up: did you mean {split!r}?)")
    if step is not None and not 1 <= int(step) <= field.high - field.low:
        most = field.high - field.low
        raise _refused(field, value, part, f" (a step is from 1 to {most}, and starts anew)")
    return low, high, int(step or 1)


def _read_number(field: Field, value: object, part: str, word: str) -> int:
    if word in field.names:
        return field.names.index(word) + field.low
    if word.isdigit() and field.low <= int(word) <= field.high:
        return int(word)
    raise _refused(field, value, part, _slip(field, word))


def _show(field: Field, number: int) -> str:
    # 0 is Monday here and Sunday in crontab text: names leave no doubt.
    return WEEKDAYS[number] if field.name == "day_of_week" else str(number)


def _split_range(field: Field, low: int, high: int, step: int) -> str:
    """Return a range that wraps round as one that goes up, or as two."""
    size = field.high - field.low + 1
    # Where the walk goes on after the field's end.
    again = low + ((field.high - low) // max(step, 1) + 1) * max(step, 1) - size
    ranges = [(low, field.high), (again, high)]
    return ",".join(_span(field, first, last, step) for first, last in ranges if first <= last)


def _span(field: Field, low: int, high: int, step: int) -> str:
    if low + step > high:
        return _show(field, low)
    return f"{_show(field, low)}-{_show(field, high)}" + (f"/{step}" if step > 1 else "")


def _slip(field: Field, word: str) -> str:
    """Return a hint at what was probably meant, or nothing."""
    if field.name == "day_of_week" and word == "7":
        return " (0 is Monday and 6 is Sunday; 7 is Sunday in crontab text only)"
    if "#" in word or word[:3] in ORDINALS or word.startswith("last "):
        return " (a weekday of the month is day='2nd fri' or day='last fri')"
    if field.name == "day" and (word == "l" or word == "last day"):
        return " (did you mean 'last'?)"
    known = next((name for name in field.names if len(word) > 3 and word.startswith(name)), None)
    return f" (did you mean {known!r}?)" if known else did_you_mean(word, field.names)


def _refused(field: Field, value: object, part: str, hint: str) -> InvalidTriggerError:
    culprit = "" if part == str(value).lower() else f", not {part!r}"
    expected = f"{field.expected}, or a list such as '1,3'{culprit}{hint}"
    return InvalidTriggerError(field.name, value, expected)


def read_fields(values: tuple[object, ...]) -> tuple[tuple[tuple[str, int | str], ...], Schedule]:
    """Read the expressions of the eight fields, None where one is left out.

    A field left out is ``*`` if a less significant one is given, else its minimum.

    Returns:
        What was given, as pairs of a field and its expression (a number if it is one), and the
        schedule.

    Raises:
        InvalidTriggerError: if there is no field, one is refused, or no date can ever match.
    """
    given_at = [place for place, value in enumerate(values) if value is not None]
    if not given_at:
        raise InvalidTriggerError(
            "second",
            None,
            "a cron field such as hour=9, or crontab='0 9 * * *'; second='*' is each second",
        )
    least = given_at[-1]
    given: list[tuple[str, int | str]] = []
    parsed = []
    for place, (field, value) in enumerate(zip(FIELDS, values, strict=True)):
        left_out = "*" if place < least else field.minimum
        parsed.append(parse_field(field, left_out if value is None else value))
        if value is not None:
            text = parsed[-1].text
            plain = text.isdecimal() and text == str(int(text))
            given.append((field.name, int(text) if plain else text))
    schedule = _schedule(parsed)
    if not schedule.can_fire():
        shown = " ".join(f"{name}={text}" for name, text in given)
        name, culprit = next(pair for pair in reversed(given) if pair[0] in FIELD_NAMES[:5])
        raise InvalidTriggerError(
            name, culprit, f"a date that exists: none from 1970 to 9999 matches {shown}"
        )
    return tuple(given), schedule


def _schedule(parsed: list[Parsed]) -> Schedule:
    year, month, day, week, day_of_week, hour, minute, second = parsed
    by_date = day.special._replace(days=sum(1 << (number - 1) for number in day.values))
    rule = DayRule(
        years=None if year.everything else year.values,
        months=ALL_MONTHS if month.everything else month.values,
        by_date=EVERY_DAY if by_date.days == ALL_DAYS else by_date,
        by_weekday=EVERY_DAY
        if day_of_week.everything
        else MonthDays(weekdays=frozenset(day_of_week.values)),
        weeks=None if week.everything else frozenset(week.values),
    )
    elapsed = hour.starred or minute.starred
    return Schedule(rule, hour.values, minute.values, second.values, elapsed)
