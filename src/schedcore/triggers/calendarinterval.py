"""Fire times at intervals of calendar dates, at one time of day on the wall clock."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import ClassVar, NamedTuple

from schedcore.clock import SECOND, from_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers.daysets import is_leap
from schedcore.triggers.options import (
    NEVER_DAY,
    date_of,
    day_number,
    jitter_of,
    number,
    read_first_day,
    read_last_day,
)
from schedcore.triggers.values import ZonedTrigger, set_slot
from schedcore.triggers.zones import DAY_US, HORIZON_US, MIN_US, zone_of

UNITS = ("years", "months", "weeks", "days")
_MAX_UNITS = {"years": 8000, "months": 96_000, "weeks": 420_000, "days": 2_930_000}
_MONTH_DAYS = 30.436875  # the mean of the Gregorian calendar
_LAST_DAY = day_number(date(9999, 12, 30))


class DateSpacing(NamedTuple):
    """The given units, and their sums in months and in days."""

    given: tuple[tuple[str, int], ...]
    months: int
    days: int


class CalendarIntervalTrigger(ZonedTrigger):
    """Fires at one time of day, on ``start_date`` and then every so many months and days.

    The dates are ``start_date + n * (years, months) + n * (weeks, days)``.  A date that does not
    exist (31 April) is skipped; the following ones are still counted from ``start_date``.  A time
    that the clocks skip or show twice is treated as in
    :class:`~schedcore.triggers.cron.CronTrigger`.

    Args:
        years: Units of the spacing, whole numbers; likewise *months*, *weeks* and *days*.
        months: See *years*.
        weeks: See *years*.
        days: See *years*.
        hour: Time of day, 0 to 23.
        minute: 0 to 59.
        second: 0 to 59.
        start_date: The first date, as ISO 8601 text or a date.  Default: the date in *timezone* on
            which the job is added.
        end_date: The last date on which it may fire; 9999-12-31 is no limit.
        timezone: A zone's name or a tzinfo; left out, the system's zone.
        jitter: The longest random delay added to each fire time, in seconds.

    Raises:
        InvalidTriggerError: if no unit is set, or another option is refused.
    """

    __slots__ = ("_anchor_day", "_end_day", "_jitter", "_spacing", "_time", "_zone")

    kind: ClassVar[str] = "calendarinterval"

    _spacing: DateSpacing
    _time: tuple[int, int, int]
    _anchor_day: int | None
    _end_day: int

    def __init__(
        self,
        years: object = 0,
        months: object = 0,
        weeks: object = 0,
        days: object = 0,
        hour: object = 0,
        minute: object = 0,
        second: object = 0,
        start_date: object = None,
        end_date: object = None,
        timezone: object = None,
        jitter: object = None,
    ) -> None:
        anchor = read_first_day(start_date)
        end = read_last_day(end_date, _LAST_DAY)
        if anchor is not None and end < anchor != NEVER_DAY:
            raise InvalidTriggerError("end_date", end_date, f"no earlier than {date_of(anchor)}")
        set_slot(self, "_spacing", _spacing(years, months, weeks, days))
        set_slot(self, "_time", _time_of_day(hour, minute, second))
        set_slot(self, "_anchor_day", anchor)
        set_slot(self, "_end_day", end)
        set_slot(self, "_zone", zone_of(timezone))
        set_slot(self, "_jitter", jitter_of(jitter))

    @property
    def time_us(self) -> int:
        """The time of day, in microseconds since midnight."""
        hour, minute, second = self._time
        return (hour * 3600 + minute * 60 + second) * SECOND

    @property
    def start_date(self) -> date | None:
        """The first date, or None if it will be set when the job is added."""
        return None if self._anchor_day is None else date_of(self._anchor_day)

    @property
    def end_date(self) -> date | None:
        """The last date on which it may fire, or None if there is no such limit."""
        return None if self._end_day == _LAST_DAY else date_of(self._end_day)

    def next_us(self, after_us: int) -> int | None:
        """Return the first fire time strictly later than *after_us*, or None.

        Without a start date: as if it were bound at that instant.
        """
        if after_us >= HORIZON_US:
            return None
        after_us = max(after_us, MIN_US)
        if self._anchor_day is None:
            return self.bound_to(after_us).next_us(after_us)
        wall_us = self._zone.wall_after(after_us)
        time_us = self.time_us
        # Rounded up: a day whose time of day lies before the wall clock is over.
        found = self._day_from(-((time_us - wall_us) // DAY_US))
        if found is None:
            return None
        return self._zone.instant_of_wall(found * DAY_US + time_us)

    def bound_to(self, now_us: int) -> CalendarIntervalTrigger:
        """Return this trigger with its first date set: to the date at *now_us* if it has none.

        If it ended before that, it never fires, and its start is set to the end of time.
        """
        if self._anchor_day is not None:
            return self
        today = day_number(from_us(now_us, self.timezone))
        return self._anchored(today if today <= self._end_day else NEVER_DAY)

    def first_at(self, first_us: int, now_us: int) -> CalendarIntervalTrigger:
        """Return this trigger counting on from the date at *first_us* if it has no first date."""
        made = self.bound_to(first_us)
        if made is self or made._anchor_day is None:
            return self
        # The run at first_us is that day's, also where the time of day is yet to come.
        today = day_number(from_us(now_us, self.timezone))
        following = made._day_from(max(made._anchor_day + 1, today))
        return made._anchored(NEVER_DAY if following is None else following)

    def _anchored(self, day: int) -> CalendarIntervalTrigger:
        made = CalendarIntervalTrigger.__new__(CalendarIntervalTrigger)
        set_slot(made, "_spacing", self._spacing)
        set_slot(made, "_time", self._time)
        set_slot(made, "_anchor_day", day)
        set_slot(made, "_end_day", self._end_day)
        set_slot(made, "_zone", self._zone)
        set_slot(made, "_jitter", self._jitter)
        return made

    def _day_from(self, day: int) -> int | None:
        """Return the first date of the series that is *day* or later, as a day number."""
        anchor, (_, months, days) = self._anchor_day, self._spacing
        assert anchor is not None, "unbound: next_us() binds it"
        # n steps come to within a few days of n times their mean, less than one month's step.
        n = max(0, int((day - anchor) / (months * _MONTH_DAYS + days)) - 1)
        start = date_of(anchor)
        # No more than 16 steps lack a date: every 25th year, 29 February comes back after 16.
        while True:
            found = _day_of_step(start, n * months, n * days)
            if found is not None and found > self._end_day:
                return None
            if found is not None and found >= day:
                return found
            n += 1

    def options(self) -> dict[str, object]:
        """Return the plain-data form, with the tzinfo itself where a zone has no name."""
        options: dict[str, object] = {"trigger": self.kind, **dict(self._spacing.given)}
        options |= zip(("hour", "minute", "second"), self._time, strict=True)
        if self._anchor_day is not None:
            options["start_date"] = date_of(self._anchor_day).isoformat()
        if self._end_day != _LAST_DAY:
            options["end_date"] = date_of(self._end_day).isoformat()
        return options | self.shared_options()


def _day_of_step(start: date, months: int, days: int) -> int | None:
    """Return *start* plus *months* plus *days* as a day number, or None if there is no such date.

    A year past 9999 answers with a day past the last one.
    """
    year, month0 = divmod(start.year * 12 + start.month - 1 + months, 12)
    if year > 9999:
        return _LAST_DAY + 1
    if start.day > 28 and start.day > _length_of_month(year, month0):
        return None
    return day_number(date(year, month0 + 1, start.day)) + days


def _length_of_month(year: int, month0: int) -> int:
    if month0 == 1:
        return 29 if is_leap(year) else 28
    return 30 if month0 in (3, 5, 8, 10) else 31


def whole_number(option: str, value: object, low: int, high: int) -> int:
    """Return a whole number from *low* to *high*, given as a number or its text.

    Raises:
        InvalidTriggerError: if it is none.
    """
    expected = f"a whole number from {low} to {high}"
    size = number(option, value, expected)
    if not low <= size <= high or size != int(size):
        raise InvalidTriggerError(option, value, expected)
    return int(size)


@lru_cache(maxsize=1024, typed=True)
def _spacing_seen(*values: object) -> DateSpacing:
    return _read_spacing(*values)


def _spacing(*values: object) -> DateSpacing:
    try:
        return _spacing_seen(*values)
    except TypeError:  # a value without a hash: refused below, by name
        return _read_spacing(*values)


def _read_spacing(*values: object) -> DateSpacing:
    sizes = {
        unit: 0 if value is None else whole_number(unit, value, 0, _MAX_UNITS[unit])
        for unit, value in zip(UNITS, values, strict=True)
    }
    given = tuple((unit, size) for unit, size in sizes.items() if size)
    if not given:
        raise InvalidTriggerError("days", 0, "years, months, weeks or days of one or more")
    months, days = sizes["years"] * 12 + sizes["months"], sizes["weeks"] * 7 + sizes["days"]
    return DateSpacing(given, months, days)


def _time_of_day(hour: object, minute: object, second: object) -> tuple[int, int, int]:
    return (
        whole_number("hour", hour or 0, 0, 23),
        whole_number("minute", minute or 0, 0, 59),
        whole_number("second", second or 0, 0, 59),
    )
