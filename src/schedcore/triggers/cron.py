"""Wall-clock schedules, from keyword fields or from crontab text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import ClassVar

from schedcore.clock import SECOND, from_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers.cronfields import read_fields
from schedcore.triggers.options import (
    NO_JITTER,
    check_order,
    end_text,
    end_us,
    jitter_of,
    moment_text,
    moment_us,
    split_zone,
)
from schedcore.triggers.schedule import Schedule
from schedcore.triggers.values import ZonedTrigger, set_slot
from schedcore.triggers.zones import DAY_US, HORIZON_US, Span, zone_of


class CronSpec:
    """A schedule with the expressions it was read from; shared by all triggers that have them."""

    __slots__ = ("given", "job_id", "schedule")

    def __init__(
        self, given: tuple[tuple[str, int | str], ...], job_id: str | None, schedule: Schedule
    ) -> None:
        self.given, self.job_id, self.schedule = given, job_id, schedule

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CronSpec)
            and self.given == other.given
            and self.schedule == other.schedule
        )

    def __hash__(self) -> int:
        return hash(self.given)

    def __reduce__(self) -> tuple[Callable[..., CronSpec], tuple[object, ...]]:
        options = dict(self.given)
        if "crontab" in options:
            return _crontab_spec, (options["crontab"], self.job_id)
        return _same_fields, tuple(options.get(name) for name in _FIELD_NAMES)


_FIELD_NAMES = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")


def _read_fields_spec(*values: object) -> CronSpec:
    given, schedule = read_fields(values)
    return CronSpec(given, None, schedule)


# typed: True and 1 are equal, but only one of them is an hour.
_fields_seen = lru_cache(maxsize=4096, typed=True)(_read_fields_spec)


def _same_fields(*values: object) -> CronSpec:
    """Return the shared spec when a trigger is unpickled; a cache has no name to pickle it by."""
    return _fields_seen(*values)


def _crontab_spec(text: object, job_id: str | None) -> CronSpec:
    return (
        _crontab_seen(text, job_id) if isinstance(text, str) else _read_crontab_spec(text, job_id)
    )


def _read_crontab_spec(text: object, job_id: str | None) -> CronSpec:
    # Importing croniter costs 20 ms or more: only those who write crontab text pay.
    from schedcore.triggers.crontab import read_crontab

    shown, used_id, schedule = read_crontab(text, job_id)
    return CronSpec((("crontab", shown),), used_id, schedule)


_crontab_seen = lru_cache(maxsize=4096)(_read_crontab_spec)


class CronTrigger(ZonedTrigger):
    """Fires when the wall clock matches every field.

    Fields are numbers or text: ``*``, ``*/a``, ``a``, ``a/b``, ``a-b``, ``a-b/c``, lists of these,
    names (``jan``, ``mon-fri``), and for the day ``2nd fri``, ``last fri`` and ``last``. A field
    that is not set is ``*`` if a less significant one is set, else its minimum.

    A time that the clocks skip runs at the first instant after the gap; one that they show twice
    runs the first time.  Schedules whose hour or minute begins with ``*`` fire whenever the clock
    shows a match: skipped hours are left out, and repeated ones run twice.

    Args:
        year: 1970 to 9999.
        month: 1 to 12, or names.
        day: Day of the month, 1 to 31.
        week: ISO week, 1 to 53.
        day_of_week: 0 (Monday) to 6, or names.
        hour: 0 to 23.
        minute: 0 to 59.
        second: 0 to 59.
        start_date: The first instant at which it may fire: ISO 8601 text, a datetime or a date;
            a naive one is read in *timezone*.
        end_date: The last instant at which it may fire; a date without a time: the last day.
        timezone: A zone's name or a tzinfo; left out, the system's zone.
        jitter: The longest random delay added to each fire time, in seconds.

    Raises:
        InvalidTriggerError: if an option is refused, or no date can ever match.
    """

    __slots__ = ("_before_us", "_end_us", "_jitter", "_spec", "_zone")

    kind: ClassVar[str] = "cron"
    reckons = True

    _spec: CronSpec
    _before_us: int
    _end_us: int

    def __init__(
        self,
        year: object = None,
        month: object = None,
        day: object = None,
        week: object = None,
        day_of_week: object = None,
        hour: object = None,
        minute: object = None,
        second: object = None,
        start_date: object = None,
        end_date: object = None,
        timezone: object = None,
        jitter: object = None,
    ) -> None:
        try:  # straight to the cache: this is most of what a seen expression costs
            spec = _fields_seen(year, month, day, week, day_of_week, hour, minute, second)
        except TypeError:  # a value without a hash, such as a list: refused by name
            spec = _read_fields_spec(year, month, day, week, day_of_week, hour, minute, second)
        self._set(spec, start_date, end_date, timezone, jitter)

    @classmethod
    def from_crontab(
        cls,
        text: str,
        timezone: object = None,
        *,
        start_date: object = None,
        end_date: object = None,
        jitter: object = None,
        job_id: str | None = None,
    ) -> CronTrigger:
        """Make a trigger from crontab text, such as ``0 9 * * mon-fri`` or ``@daily``.

        As in crontab(5), 0 and 7 are Sunday, and if both day fields are restricted, one that
        matches is enough.

        Args:
            text: Five fields; a sixth for seconds; a seventh for years.  ``CRON_TZ=`` and a zone
                may precede them.
            timezone: A zone's name or a tzinfo; default: the text's own, or else the system's.
            start_date: The first instant at which it may fire.
            end_date: The last instant at which it may fire; a date without a time: the last day.
            jitter: The longest random delay added to each fire time, in seconds.
            job_id: What ``H`` takes its values from.

        Raises:
            InvalidTriggerError: if the text is refused, or no date can ever match.
        """
        named = split_zone(text)[0] if isinstance(text, str) else None
        if named is not None:
            timezone = _agreed_zone(named, timezone, text)
        made = cls.__new__(cls)
        made._set(_crontab_spec(text, job_id), start_date, end_date, timezone, jitter)
        return made

    def _set(
        self, spec: CronSpec, start_date: object, end_date: object, timezone: object, jitter: object
    ) -> None:
        zone = zone_of(timezone)
        before_us, last_us = zone.before_1970_us, HORIZON_US
        if start_date is not None:
            before_us = max(before_us, moment_us("start_date", start_date, zone) - 1)
        if end_date is not None:
            last_us = end_us(end_date, zone)
            check_order(None if start_date is None else before_us + 1, last_us, end_date, zone)
        set_slot(self, "_spec", spec)
        set_slot(self, "_zone", zone)
        set_slot(self, "_before_us", before_us)
        set_slot(self, "_end_us", last_us)
        set_slot(self, "_jitter", NO_JITTER if jitter is None else jitter_of(jitter))

    @property
    def schedule(self) -> Schedule:
        """The sets of days and times that the expressions mean."""
        return self._spec.schedule

    @property
    def crontab(self) -> str | None:
        """The crontab text, or None if the trigger was given by keyword fields."""
        name, text = self._spec.given[0] if self._spec.given else ("", None)
        return str(text) if name == "crontab" else None

    @property
    def hash_id(self) -> str | None:
        """The id from which ``H`` in the crontab text takes its values; None: there is no ``H``."""
        return self._spec.job_id

    @property
    def expanded_crontab(self) -> str:
        """The crontab text's fields, an alias such as ``@daily`` written out, or ``""``."""
        if self.crontab is None:
            return ""
        from schedcore.triggers.crontab import ALIASES

        text = split_zone(self.crontab)[1]
        return ALIASES.get(text.lower(), text)

    @property
    def start_date(self) -> datetime | None:
        """The first instant at which it may fire, or None if there is no such limit."""
        if self._before_us == self._zone.before_1970_us:
            return None
        return from_us(self._before_us + 1, self.timezone)

    @property
    def end_date(self) -> datetime | None:
        """The last instant at which it may fire, or None if there is no such limit."""
        return None if self._end_us == HORIZON_US else from_us(self._end_us, self.timezone)

    def next_us(self, after_us: int) -> int | None:
        """Return the first fire time strictly later than *after_us*, or None up to the year 9999.

        About 1 us; 0.1 ms when it reaches a year of the zone that was never asked for.
        """
        zone, schedule, end_us = self._zone, self._spec.schedule, self._end_us
        if after_us < self._before_us:
            after_us = self._before_us
        if after_us >= end_us:
            return None
        begin, end, offset, floor = zone.recent_bounds
        if not begin <= after_us < end:
            begin, end, offset, floor_us = zone.span_at(after_us)
            floor = -(-floor_us // SECOND)
        # Whole seconds of the wall clock, strictly later than what it shows.
        wall = (after_us + offset) // SECOND + 1
        if wall < floor and not schedule.elapsed:
            # The second pass of a fold: what it shows was shown, and run, before.
            wall = floor
        match = schedule.next_from(wall)
        if match is None:
            return None
        found = match * SECOND - offset
        if found >= end:
            later = self._next_past(zone.span_at(after_us), match)
            if later is None:
                return None
            found = later
        return found if found <= end_us else None

    def _next_past(self, span: Span, match: int) -> int | None:
        """Return the fire time of *match*, which the clock would show after the end of *span*."""
        if self._spec.schedule.elapsed:
            return self._next_elapsed(span, match)
        return self._zone.instant_of_wall(match * SECOND, span)

    def _next_elapsed(self, span: Span, match: int) -> int | None:
        """Return the first instant after *span* at which the clock shows any match.

        *match* is the first one that the clock would show if it went on as in *span*.
        """
        zone, schedule = self._zone, self._spec.schedule
        searched = False
        while span.end_us <= HORIZON_US:
            ahead = span.end_us
            if searched and ahead - span.begin_us > 2 * DAY_US:
                # Years without a match are crossed at once.  The two days stand for any offset:
                # nothing that the clock shows before them can be a match, repeated or not.
                ahead = max(ahead, match * SECOND - 2 * DAY_US)
            span = zone.span_at(ahead)
            again = schedule.next_from(-(-(span.begin_us + span.offset_us) // SECOND))
            if again is None:
                return None
            match, searched = again, True
            found = match * SECOND - span.offset_us
            if found < span.end_us:
                return found
        return None

    def count_us(self, after_us: int, until_us: int, limit: int) -> int:
        """Return how many fire times lie in ``(after_us, until_us]``, counting up to *limit*.

        By arithmetic: about 5 us for each change of clocks in between, however many fire times.
        """
        count, zone = 0, self._zone
        instant = max(after_us, self._before_us) + 1
        end = min(until_us, self._end_us) + 1
        while instant < end and count < limit:
            span = zone.span_at(instant)
            count += self._count_in(span, instant, min(end, span.end_us))
            instant = span.end_us
        return max(0, min(count, limit))

    def _count_in(self, span: Span, first_us: int, end_us: int) -> int:
        """Return how many fire times lie in ``[first_us, end_us)``, a part of *span*."""
        begin_us, _, offset_us, floor_us = span
        schedule = self._spec.schedule
        shown_us = first_us + offset_us
        end_wall = -(-(end_us + offset_us) // SECOND)
        if schedule.elapsed:
            return schedule.count(-(-shown_us // SECOND), end_wall)
        count = schedule.count(-(-max(shown_us, floor_us) // SECOND), end_wall)
        if first_us == begin_us and floor_us < shown_us:
            # All that falls into the gap runs as the clock shows its end, with what runs there.
            gap_end = -(-shown_us // SECOND)
            at_its_end = shown_us % SECOND == 0 and schedule.count(gap_end, gap_end + 1)
            if not at_its_end and schedule.count(-(-floor_us // SECOND), gap_end):
                count += 1
        return count

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.options().items() if name != "trigger"}
        text = shown.pop("crontab", None)
        options = [f"{name}={value!r}" for name, value in shown.items()]
        if text is None:
            return f"CronTrigger({', '.join(options)})"
        return f"CronTrigger.from_crontab({', '.join([repr(text), *options])})"

    def options(self) -> dict[str, object]:
        """Return the plain-data form, with the tzinfo itself where a zone has no name."""
        options: dict[str, object] = {"trigger": self.kind, **dict(self._spec.given)}
        if self._before_us != self._zone.before_1970_us:
            options["start_date"] = moment_text(self._before_us + 1, self._zone)
        if self._end_us != HORIZON_US:
            options["end_date"] = end_text(self._end_us, self._zone)
        return options | self.shared_options()


def _agreed_zone(name: str, timezone: object, text: str) -> tzinfo:
    """Return the zone that crontab text names, if it is known and *timezone* names no other one."""
    try:
        zone = zone_of(name)
    except InvalidTriggerError as error:
        raise InvalidTriggerError("crontab", text, f"{error.expected}, not {name!r}") from None
    if timezone is not None and zone_of(timezone) != zone:
        raise InvalidTriggerError(
            "timezone", timezone, f"no zone beside crontab={text!r}, which names one"
        )
    return zone.tz
