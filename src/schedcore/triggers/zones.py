"""Time zones as the triggers need them: spans of constant offset, and wall clock to instant.

Python gives a zone's offset at an instant, but not the moments at which it changes.
They are found by looking every few days and bisecting, one year at a time, and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from schedcore.clock import SECOND, UTC, from_us, to_us
from schedcore.errors import InvalidTriggerError, did_you_mean
from schedcore.triggers.localzone import LOCAL, NO_DATA, local_zone, named

DAY_US = 86_400 * SECOND
MIN_US = to_us(datetime(1, 1, 2, tzinfo=UTC))
"""The earliest instant that has a wall clock in every zone."""
HORIZON_US = to_us(datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC))
"""The latest one; every search ends there."""

# The shortest stretch between two changes of a zone in tzdata, from 1970 on, is 6.96 days (Boa
# Vista in 2000, Gaza in years to come); so looking every 5 days finds them all.
_LOOK_US = 5 * DAY_US
_CYCLE_YEARS, _CYCLE_US = 400, 146_097 * DAY_US
# Tables of changes end in 2087 at the latest (Morocco); then rules repeat with the calendar.  What
# comes later is looked up up to 400 years before this.
_RULES_ONLY_FROM = 2500
_MAX_NAME = 100


class Span(NamedTuple):
    """A stretch of time during which a zone keeps one offset.

    Args:
        begin_us: Its first instant.
        end_us: The first instant after it.
        offset_us: What to add to an instant to get what the wall clock shows.
        floor_us: What the wall clock would show at ``begin_us`` without the change; below it,
            readings were shown before (a fold) or never (a gap).
    """

    begin_us: int
    end_us: int
    offset_us: int
    floor_us: int


class Zone:
    """A tzinfo, with its spans of constant offset.

    Thread-safe: what is kept is computed alike by any thread, and replaced whole.
    """

    __slots__ = ("_ruled", "_years", "before_1970_us", "name", "recent", "recent_bounds", "tz")

    def __init__(self, tz: tzinfo) -> None:
        self.tz = tz
        self.name = _name_of(tz)
        self._years: dict[int, tuple[Span, ...]] = {}
        self._ruled = isinstance(tz, ZoneInfo)
        self._keep(self._fixed_span() or self._find(0))
        # The last instant of 1969: no cron field allows an earlier year.
        self.before_1970_us = self.instant_of_wall(0) - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Zone):
            return NotImplemented
        return self.tz == other.tz if self.name is None else self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Callable[[object], Zone], tuple[object]]:
        # By name if it has one: a ZoneInfo read from a file, as that of the system may be, cannot
        # be pickled, and means there what it is called.
        return zone_of, (self.name or self.tz,)

    def span_at(self, instant_us: int) -> Span:
        """Return the span that holds an instant from ``MIN_US`` to ``HORIZON_US``."""
        span = self.recent
        if span.begin_us <= instant_us < span.end_us:
            return span
        return self._keep(self._find(instant_us))

    def _keep(self, span: Span) -> Span:
        self.recent = span
        begin, end, offset, floor = span
        # A plain tuple unpacks in a fifth of the time that a named one takes (20 ns, not 100).
        self.recent_bounds = begin, end, offset, -(-floor // SECOND)
        return span

    def span_of_wall(self, wall_us: int, near: Span | None = None) -> Span:
        """Return the first span, from *near* on, whose clock comes to show *wall_us* or later."""
        guess = max(MIN_US, wall_us - DAY_US)
        span = near if near is not None and guess < near.end_us else self.span_at(guess)
        while wall_us >= span.end_us + span.offset_us and span.end_us <= HORIZON_US:
            span = self.span_at(span.end_us)
        return span

    def instant_of_wall(self, wall_us: int, near: Span | None = None) -> int:
        """Return the first instant at which the wall clock shows *wall_us*.

        For a time inside a gap: the first instant after the gap.
        """
        span = self.span_of_wall(wall_us, near)
        return max(span.begin_us, wall_us - span.offset_us)

    def last_of_day(self, day: int) -> int:
        """Return the last instant, in microseconds, at which the clock shows the day *day*.

        Args:
            day: Days since 1 January 1970; the clock need not show it at all (Apia left one out).
        """
        midnight = (day + 1) * DAY_US
        span = self.span_at(self.instant_of_wall(midnight))
        following = self.span_at(min(span.end_us, HORIZON_US))
        if following.begin_us == span.end_us and (
            following.begin_us + following.offset_us < midnight <= following.floor_us
        ):
            return midnight - following.offset_us - 1  # back across midnight: the second showing
        return self.instant_of_wall(midnight) - 1

    def wall_after(self, after_us: int) -> int:
        """Return the earliest that the clock shows, in microseconds, after *after_us*.

        What is shown for the second time, in a fold, does not count.
        """
        span = self.span_at(after_us)
        return max(after_us + 1 + span.offset_us, span.floor_us)

    def _fixed_span(self) -> Span | None:
        if self.tz is not UTC and not isinstance(self.tz, timezone) and self.name != "UTC":
            return None
        offset = self._offset(0)
        return Span(MIN_US - DAY_US, HORIZON_US + DAY_US, offset, MIN_US - DAY_US + offset)

    def _find(self, instant_us: int) -> Span:
        year = from_us(max(MIN_US, min(instant_us, HORIZON_US))).year
        shift = 0
        if self._ruled and year >= _RULES_ONLY_FROM:
            cycles = (year - _RULES_ONLY_FROM) // _CYCLE_YEARS + 1
            year, shift = year - cycles * _CYCLE_YEARS, cycles * _CYCLE_US
        for span in self._spans_of_year(year):
            if instant_us - shift < span.end_us:
                break
        if not shift:
            return span
        begin_us, end_us, offset_us, floor_us = span
        return Span(begin_us + shift, end_us + shift, offset_us, floor_us + shift)

    def _spans_of_year(self, year: int) -> tuple[Span, ...]:
        """Return the year's spans; New Year in UTC ends one, whether the offset changes or not."""
        spans = self._years.get(year)
        if spans is None:
            spans = self._years[year] = tuple(self._find_spans(year))
        return spans

    def _find_spans(self, year: int) -> list[Span]:
        begin = max(MIN_US, to_us(datetime(year, 1, 1, tzinfo=UTC))) if year > 1 else MIN_US
        end = to_us(datetime(year + 1, 1, 1, tzinfo=UTC)) if year < 9999 else HORIZON_US + 1
        before, offset = self._offset(max(MIN_US, begin - 1)), self._offset(begin)
        spans, seen = [], begin
        while seen < end:
            look = min(seen + _LOOK_US, end - 1)
            while self._offset(look) != offset:
                change = self._bisect(seen, look, offset)
                spans.append(Span(begin, change, offset, begin + before))
                begin, before, offset = change, offset, self._offset(change)
                seen = change
            seen = look + 1 if look == end - 1 else look
        spans.append(Span(begin, end, offset, begin + before))
        return spans

    def _bisect(self, low: int, high: int, offset: int) -> int:
        """Return the first instant in ``(low, high]``, whole seconds, with another offset."""
        while high - low > SECOND or high % SECOND:
            middle = (low + high) // 2 // SECOND * SECOND
            if middle <= low:
                middle = low // SECOND * SECOND + SECOND
                if middle >= high:
                    return high
            if self._offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high

    def _offset(self, instant_us: int) -> int:
        offset = from_us(instant_us).astimezone(self.tz).utcoffset()
        return 0 if offset is None else offset // _MICROSECOND


_MICROSECOND = timedelta(microseconds=1)


def zone_of(value: object, option: str = "timezone") -> Zone:
    """Return the zone that a name, an offset such as ``+02:00`` or a tzinfo means.

    None is the system's zone, and so is ``local``: tzlocal's name for one that has none.

    Raises:
        InvalidTriggerError: if there is no such zone.
        InvalidOptionError: if the system's own zone cannot be read.
    """
    if isinstance(value, tzinfo):
        try:
            return _of_tzinfo(value)
        except TypeError:  # some tzinfo classes have no hash
            return Zone(value)
    if value is None or value == LOCAL:
        return _local()
    if isinstance(value, str):
        return _named(value, option)
    raise InvalidTriggerError(option, value, "a zone name such as 'Europe/Berlin', or a tzinfo")


@lru_cache(maxsize=1024)
def _of_tzinfo(tz: tzinfo) -> Zone:
    # pytz's zones carry their name as `zone`, and give wrong offsets to datetimes built plainly.
    pytz_name = getattr(tz, "zone", None)
    return _named(pytz_name, "timezone") if isinstance(pytz_name, str) else Zone(tz)


@lru_cache(maxsize=1)
def _local() -> Zone:
    return zone_of(local_zone())


@lru_cache(maxsize=1024)
def _named(name: str, option: str) -> Zone:
    offset = _fixed_offset(name)
    if offset is not None:
        return _of_tzinfo(offset)
    zone = named(name) if len(name) <= _MAX_NAME else None
    if zone is not None:
        return _of_tzinfo(zone)
    if not available_timezones():
        raise InvalidTriggerError(option, name, NO_DATA)
    raise InvalidTriggerError(
        option, name, f"a zone name such as 'Europe/Berlin'{_similar_zone(name)}"
    )


def _similar_zone(name: str) -> str:
    zones = {zone.lower(): zone for zone in available_timezones()}
    known = zones.get(name.lower())
    return f" (did you mean {known!r}?)" if known else did_you_mean(name, sorted(zones.values()))


def _fixed_offset(name: str) -> timezone | None:
    if name[:1] not in ("+", "-") or len(name) > _MAX_NAME:
        return None
    try:
        offset = datetime.strptime(name, "%z").utcoffset()
    except ValueError:
        return None
    return None if offset is None else timezone(offset)


def _name_of(tz: tzinfo) -> str | None:
    """Return the text that names the zone in the plain-data form, or None if it has none."""
    if isinstance(tz, ZoneInfo):
        return tz.key
    if isinstance(tz, timezone):
        offset = tz.utcoffset(None)
        return "UTC" if not offset else datetime(2000, 1, 1, tzinfo=tz).isoformat()[19:]
    return None
