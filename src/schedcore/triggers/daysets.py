"""Which days of a year a rule allows, as a bit set over the days of that year.

A year's weekdays and lengths follow from its *kind*: the weekday of 1 January, whether it is a
leap year, and whether the year before was one (ISO weeks reach back across New Year).
There are 21 kinds, so a rule needs 21 bit sets at most to know its days for ever.
Days are counted from 1 January 1970; weekdays from Monday, 0.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import date
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

FIRST_YEAR, LAST_YEAR = 1970, 9999
ALL_MONTHS = tuple(range(1, 13))
ALL_DAYS = (1 << 31) - 1

_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
_LEAP_KIND, _AFTER_LEAP_KIND = 7, 14


def is_leap(year: int) -> bool:
    """Return whether *year* has a 29 February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


# 400 years are a whole number of weeks, so one cycle of 400 tells them all.
_LENGTHS = [366 if is_leap(y) else 365 for y in range(FIRST_YEAR, FIRST_YEAR + _CYCLE_YEARS)]
_YEARS = LAST_YEAR - FIRST_YEAR + 1
YEAR_START = tuple(accumulate((_LENGTHS * 21)[:_YEARS], initial=0))
"""The day number of 1 January of each year from 1970; the last entry is that of the year 10000."""


def _kind_of(year: int) -> int:
    weekday = date(year, 1, 1).weekday()
    return weekday + _LEAP_KIND * is_leap(year) + _AFTER_LEAP_KIND * is_leap(year - 1)


YEAR_KIND = bytes(map(_kind_of, range(FIRST_YEAR, FIRST_YEAR + _CYCLE_YEARS))) * 21
"""The kind of each year from 1970."""

ALL_KINDS = tuple(sorted(set(YEAR_KIND)))


def year_index(day: int) -> int:
    """Return the number of years since 1970 at the start of the year that holds *day*."""
    index = day * _CYCLE_YEARS // _CYCLE_DAYS
    # The guess is off by one year at most, around New Year.
    if day < YEAR_START[index]:
        return index - 1
    if day >= YEAR_START[index + 1]:
        return index + 1
    return index


class MonthDays(NamedTuple):
    """Days of a month, named in several ways; a day that any of them names is in.

    Args:
        days: Bit set of days of the month, bit 0 for the first.
        from_end: Days counted back from the last one, which is 0; a month too short has none.
        weekdays: Every such weekday.
        nth: Pairs of an ordinal (1 to 5) and a weekday: ``(2, 4)`` is the second Friday.
        last_weekdays: The last such weekday of the month.
        nearest: Days of the month, each standing for the Monday-to-Friday day nearest to it
            within the month; the last day stands for those that a month lacks.
        nearest_from_end: The same for days counted back from the last one.
    """

    days: int = 0
    from_end: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()
    last_weekdays: frozenset[int] = frozenset()
    nearest: frozenset[int] = frozenset()
    nearest_from_end: frozenset[int] = frozenset()

    def union(self, other: MonthDays) -> MonthDays:
        """Return the days that either of the two names."""
        return MonthDays(
            self.days | other.days,
            self.from_end | other.from_end,
            self.weekdays | other.weekdays,
            self.nth | other.nth,
            self.last_weekdays | other.last_weekdays,
            self.nearest | other.nearest,
            self.nearest_from_end | other.nearest_from_end,
        )

    def bits(self, length: int, first: int) -> int:
        """Return the days as bits, for a month of *length* days that begins on weekday *first*."""
        found = self.days
        for back in self.from_end:
            found |= 1 << (length - 1 - back) if back < length else 0
        for weekday in self.weekdays:
            found |= _EVERY_SEVENTH << (weekday - first) % 7
        for ordinal, weekday in self.nth:
            found |= 1 << ((weekday - first) % 7 + 7 * (ordinal - 1))
        for weekday in self.last_weekdays:
            found |= 1 << (length - 1 - (first + length - 1 - weekday) % 7)
        for day in self.nearest:
            found |= 1 << _nearest_working_day(min(day, length) - 1, length, first)
        for back in self.nearest_from_end:
            if back < length:
                found |= 1 << _nearest_working_day(length - 1 - back, length, first)
        return found & ((1 << length) - 1)


_EVERY_SEVENTH = sum(1 << day for day in range(0, 31, 7))
EVERY_DAY = MonthDays(days=ALL_DAYS)


def _nearest_working_day(index: int, length: int, first: int) -> int:
    weekday = (first + index) % 7
    if weekday == 5:
        return index - 1 if index > 0 else index + 2
    if weekday == 6:
        return index + 1 if index < length - 1 else index - 2
    return index


class DayRule(NamedTuple):
    """Which days of which years: everything of a schedule but the time of day.

    Args:
        years: The years allowed, ascending; None: every year from 1970 to 9999.
        months: The months allowed, ascending.
        by_date: The days of the month allowed by the day-of-month field.
        by_weekday: The days of the month allowed by the day-of-week field.
        either: Whether one of the two is enough (crontab's rule), instead of both.
        weeks: ISO weeks allowed; None: every week.
    """

    years: tuple[int, ...] | None = None
    months: tuple[int, ...] = ALL_MONTHS
    by_date: MonthDays = EVERY_DAY
    by_weekday: MonthDays = EVERY_DAY
    either: bool = False
    weeks: frozenset[int] | None = None

    def is_every_day(self) -> bool:
        """Return whether no day is left out, without a look at any year."""
        by_date, by_weekday = self.by_date == EVERY_DAY, self.by_weekday == EVERY_DAY
        days = (by_date or by_weekday) if self.either else (by_date and by_weekday)
        return days and self.years is None and self.weeks is None and self.months == ALL_MONTHS

    def year_bits(self, kind: int) -> int:
        """Return the days allowed in a year of *kind*, bit 0 for 1 January, whatever the year."""
        new_year, leap = kind % 7, _LEAP_KIND <= kind < _AFTER_LEAP_KIND
        found = start = 0
        for month, usual_length in enumerate(MONTH_LENGTHS, 1):
            length = 29 if month == 2 and leap else usual_length
            if month in self.months:
                found |= self._month_bits(length, (new_year + start) % 7) << start
            start += length
        return found if self.weeks is None else found & _week_bits(kind, self.weeks)

    def _month_bits(self, length: int, first: int) -> int:
        by_date, by_weekday = self.by_date.bits(length, first), self.by_weekday.bits(length, first)
        return by_date | by_weekday if self.either else by_date & by_weekday


MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of the months of a common year."""


def _week_bits(kind: int, weeks: Iterable[int]) -> int:
    """Return the days of a year of *kind* that lie in one of the ISO *weeks*."""
    new_year, leap, after_leap = kind % 7, 7 <= kind < 14, kind >= 14
    length = 366 if leap else 365
    # Week 1 is the one with the year's first Thursday; its Monday may lie in the year before.
    monday = -new_year if new_year <= 3 else 7 - new_year
    number = 1
    if monday > 0:
        year_before = (new_year - (366 if after_leap else 365)) % 7
        number, monday = 52 + _has_week_53(year_before, after_leap), monday - 7
    in_year = 52 + _has_week_53(new_year, leap)
    found = 0
    while monday < length:
        if number in weeks:
            found |= 0b1111111 << monday if monday >= 0 else 0b1111111 >> -monday
        number = 1 if number >= in_year or (number >= 52 and monday <= 0) else number + 1
        monday += 7
    return found & ((1 << length) - 1)


def _has_week_53(new_year: int, leap: bool) -> bool:
    return new_year == 3 or (leap and new_year == 2)


class Days:
    """The days that a rule allows, in order: the next one from any day, in bounded time.

    The bit set of a kind of year is made when it is first needed, and that of the year last asked
    for is kept at hand.  Thread-safe: what is kept is computed alike by any thread.
    """

    __slots__ = ("__dict__", "_bits", "_recent", "rule")

    def __init__(self, rule: DayRule) -> None:
        self.rule = rule
        self._bits: dict[int, int] = {}
        self._recent = (0, 0, 0)  # a year's first day, the first after it, and its bits

    def bits_of_kind(self, kind: int) -> int:
        """Return the days allowed in a year of *kind*, bit 0 for 1 January."""
        found = self._bits.get(kind)
        if found is None:
            found = self._bits[kind] = self.rule.year_bits(kind)
        return found

    @cached_property
    def years(self) -> tuple[int, ...]:
        """The years with at least one day, ascending.

        With 21 kinds of year this looks at no more than 8,030 bytes; it takes under 2 ms, once,
        and after it a gap of any length between two matches costs one bisection.
        """
        allowed = self.rule.years or range(FIRST_YEAR, LAST_YEAR + 1)
        kinds = bytes(bool(self.bits_of_kind(k)) if k in ALL_KINDS else 0 for k in range(28))
        return tuple(y for y in allowed if kinds[YEAR_KIND[y - FIRST_YEAR]])

    def any(self) -> bool:
        """Return whether there is a day at all."""
        if self.rule.years is None:
            return any(self.bits_of_kind(kind) for kind in ALL_KINDS)
        return bool(self.years)

    def next_from(self, day: int) -> int | None:
        """Return the first day allowed that is *day* or later, or None up to the year 9999."""
        start, stop, bits = self._recent
        if not start <= day < stop:
            if day >= YEAR_START[-1]:
                return None
            index = year_index(day)
            start, stop, bits = YEAR_START[index], YEAR_START[index + 1], self._bits_of_year(index)
            self._recent = start, stop, bits
        rest = bits >> (day - start)
        if rest:
            return day + (rest & -rest).bit_length() - 1
        return self._first_from_day(stop)

    def count(self, first: int, end: int) -> int:
        """Return how many days allowed lie in ``[first, end)``; up to 1 ms for 8,030 years."""
        count = 0
        end = min(end, YEAR_START[-1])
        while first < end:
            index = year_index(first)
            start, stop = YEAR_START[index], min(end, YEAR_START[index + 1])
            bits = self._bits_of_year(index) >> (first - start)
            count += (bits & ((1 << (stop - first)) - 1)).bit_count()
            first = stop
        return count

    def _bits_of_year(self, index: int) -> int:
        """Return the days allowed in the year that is *index* years after 1970."""
        years = self.rule.years
        if years is not None:
            place = bisect_left(years, index + FIRST_YEAR)
            if place == len(years) or years[place] != index + FIRST_YEAR:
                return 0
        return self.bits_of_kind(YEAR_KIND[index])

    def _first_from_day(self, new_year: int) -> int | None:
        """Return the first day allowed from *new_year*, a 1 January, on."""
        if new_year == YEAR_START[-1]:
            return None
        index = year_index(new_year)
        # Most rules have a day in every year: spare them the list of years.
        bits = self._bits_of_year(index)
        if not bits:
            place = bisect_left(self.years, index + FIRST_YEAR)
            if place == len(self.years):
                return None
            index = self.years[place] - FIRST_YEAR
            bits = self._bits_of_year(index)
        return YEAR_START[index] + (bits & -bits).bit_length() - 1
