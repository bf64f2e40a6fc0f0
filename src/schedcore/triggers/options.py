"""Reading the options that triggers share: dates, numbers, jitter."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import NamedTuple

from schedcore.clock import SECOND, UTC, from_us, to_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers.zones import DAY_US, HORIZON_US, MIN_US, Zone, zone_of

MAX_TEXT = 250
"""Maximum length of a text, in characters, that is parsed."""

_ISO = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)"
    r"(?:[Tt ](\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)? ?([Zz]|[+-]\d\d:?\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_IN_RANGE = "a date from 0001-01-02 to 9999-12-30 in UTC"
_EXPECTED = "a date such as 2026-03-29 or 2026-03-29T02:30:00+01:00, a datetime, or a date object"
# Not datetime(1970, 1, 1): this may be imported while freezegun puts another class in its place.
_NAIVE_EPOCH = from_us(0).replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """Return *day* as the number of days since 1 January 1970."""
    return day.toordinal() - _EPOCH_ORDINAL


def date_of(day: int) -> date:
    """Return the date of a day number."""
    return date.fromordinal(day + _EPOCH_ORDINAL)


NEVER_US = HORIZON_US + 1
"""The start of a trigger that ends before its first fire time: shown as 9999-12-31."""
NEVER_DAY = day_number(date(9999, 12, 31))
"""The same for a trigger whose dates are days."""


def moment_us(option: str, value: object, zone: Zone) -> int:
    """Return the instant that a date option means, in microseconds since the epoch.

    A naive time is read in *zone*; inside a fold it means the first of the two.
    A date without a time means the first instant of that day.

    Raises:
        InvalidTriggerError: if it is no date, lies outside the years 1 to 9999, or is a naive
            time that the zone's clocks skip.
    """
    moment = _read_moment(option, value)
    if isinstance(moment, datetime):
        return _instant(option, value, moment, zone, latest=HORIZON_US)
    instant = zone.instant_of_wall(day_number(moment) * DAY_US)
    if not MIN_US <= instant <= HORIZON_US:
        raise InvalidTriggerError(option, value, _IN_RANGE)
    return instant


def _read_moment(option: str, value: object) -> date:
    """Return a date, or a datetime if there is a time of day."""
    if isinstance(value, str):
        return _read_iso(option, value)
    if isinstance(value, date):
        return value
    raise InvalidTriggerError(option, value, _EXPECTED)


def _instant(option: str, value: object, moment: datetime, zone: Zone, latest: int | None) -> int:
    """Return the instant of a datetime, up to *latest*; None: the horizon stands for later ones."""
    aware = moment.utcoffset() is not None
    instant = to_us(moment) if aware else _naive_us(option, value, moment, zone)
    if latest is None:
        instant = min(instant, HORIZON_US)
    if not MIN_US <= instant <= HORIZON_US:
        raise InvalidTriggerError(option, value, _IN_RANGE)
    return instant


def start_us(value: object, zone: Zone) -> int | None:
    """Return the anchor that ``start_date`` means, or None; past the horizon: :data:`NEVER_US`.

    Raises:
        InvalidTriggerError: as :func:`moment_us` does.
    """
    if value is None:
        return None
    moment = _read_moment("start_date", value)
    if isinstance(moment, datetime) and _instant("start_date", value, moment, zone, None) == (
        HORIZON_US
    ):
        return NEVER_US
    return moment_us("start_date", value, zone)


def end_us(value: object, zone: Zone) -> int:
    """Return the last instant that ``end_date`` allows; None is no limit.

    A date without a time means all of that day, up to its last instant in *zone*.  What lies past
    the horizon, such as the 9999-12-31 that stands for "for ever", is no limit either.

    Raises:
        InvalidTriggerError: as :func:`moment_us` does.
    """
    if value is None:
        return HORIZON_US
    moment = _read_moment("end_date", value)
    if isinstance(moment, datetime):
        return _instant("end_date", value, moment, zone, latest=None)
    day = day_number(moment)
    if day < _MIN_DAY:
        raise InvalidTriggerError("end_date", value, _IN_RANGE)
    return HORIZON_US if day > _MAX_DAY else min(zone.last_of_day(day), HORIZON_US)


def end_text(instant_us: int, zone: Zone) -> str:
    """Return the plain-data form of an end: a date if it is the last instant of one."""
    day = day_number(from_us(instant_us, zone.tz))
    if _MIN_DAY <= day <= _MAX_DAY and zone.last_of_day(day) == instant_us:
        return date_of(day).isoformat()
    return moment_text(instant_us, zone)


def read_day(option: str, value: object) -> int:
    """Return the date that an option means, as a day number.

    Raises:
        InvalidTriggerError: if it is no date, or has a time of day.
    """
    found = _read_day(option, value)
    if not _MIN_DAY <= found <= _MAX_DAY:
        raise InvalidTriggerError(option, value, "a date from 0001-01-03 to 9999-12-29")
    return found


def read_first_day(value: object) -> int | None:
    """Return the date that ``start_date`` means, or None; 9999-12-31: :data:`NEVER_DAY`.

    Raises:
        InvalidTriggerError: as :func:`read_day` does.
    """
    if value is None:
        return None
    return (
        NEVER_DAY if _read_day("start_date", value) == NEVER_DAY else read_day("start_date", value)
    )


def read_last_day(value: object, missing: int) -> int:
    """Return the date that ``end_date`` means, or *missing* for None and for "for ever".

    Raises:
        InvalidTriggerError: as :func:`read_day` does.
    """
    if value is None or _read_day("end_date", value) > _MAX_DAY:
        return missing
    return read_day("end_date", value)


def _read_day(option: str, value: object) -> int:
    day = _read_iso(option, value) if isinstance(value, str) else value
    if isinstance(day, datetime) and not (day.hour or day.minute or day.second or day.microsecond):
        day = day.date()
    if isinstance(day, datetime) or not isinstance(day, date):
        expected = "a date such as 2026-03-29, without a time of day"
        raise InvalidTriggerError(option, value, expected)
    return day_number(day)


_MIN_DAY, _MAX_DAY = day_number(date(1, 1, 3)), day_number(date(9999, 12, 29))


def _naive_us(option: str, value: object, moment: datetime, zone: Zone) -> int:
    wall = (moment.replace(tzinfo=None) - _NAIVE_EPOCH) // _MICROSECOND
    span = zone.span_of_wall(wall)
    instant = wall - span.offset_us
    if instant < span.begin_us:
        # floor is what the clock showed when it was put forward, to begin + offset.
        left, resumed = (
            from_us(us).strftime("%H:%M:%S")
            for us in (span.floor_us, span.begin_us + span.offset_us)
        )
        raise InvalidTriggerError(
            option,
            value,
            f"a time that exists in {zone.name or zone.tz}, where clocks go from {left} to"
            f" {resumed} then; give {resumed} or later, or add the UTC offset",
        )
    if moment.fold and instant < HORIZON_US:
        following = zone.span_at(min(span.end_us, HORIZON_US))
        if following.begin_us + following.offset_us <= wall < following.floor_us:
            return wall - following.offset_us
    return instant


def _read_iso(option: str, text: str) -> date:
    """Return a date, or a datetime if the text has a time."""
    match = _ISO.fullmatch(text.strip()) if len(text) <= MAX_TEXT else None
    if match is None:
        raise InvalidTriggerError(option, text, _EXPECTED)
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        if hour is None:
            return date(int(year), int(month), int(day))
        micros = int((fraction or "0").ljust(6, "0"))
        naive = datetime(  # noqa: DTZ001 — the offset follows
            int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micros
        )
    except ValueError as error:
        raise InvalidTriggerError(option, text, f"a date that exists: {error}") from None
    if offset is None:
        return naive
    return naive.replace(tzinfo=UTC if offset in "Zz" else zone_of(offset, option).tz)


def moment_text(instant_us: int, zone: Zone) -> str:
    """Return an instant as ISO 8601 text with the zone's offset."""
    return from_us(instant_us, zone.tz).isoformat()


def number(option: str, value: object, expected: str) -> int | float:
    """Return a number given as a number or as its text.

    Raises:
        InvalidTriggerError: if it is none, or not finite.
    """
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                raise InvalidTriggerError(option, value, expected) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value != 0:
        raise InvalidTriggerError(option, value, expected)
    return value


def microseconds(value: float, unit_us: int) -> int:
    """Return *value* units in whole microseconds: 0.1 seconds are 100,000."""
    return round(value * unit_us)


class Jitter(NamedTuple):
    """A maximum random delay: in seconds as given, and in microseconds."""

    given: float | None = None
    us: int = 0


NO_JITTER = Jitter()
_MAX_JITTER = 31_622_400


def jitter_of(value: object) -> Jitter:
    """Return the jitter that an option means; None is none.

    Raises:
        InvalidTriggerError: if it is not a number of seconds from 0 to a year's.
    """
    if value is None:
        return NO_JITTER
    expected = f"a number of seconds from 0 to {_MAX_JITTER} (a year)"
    given = number("jitter", value, expected)
    if not 0 <= given <= _MAX_JITTER:
        raise InvalidTriggerError("jitter", value, expected)
    return Jitter(given, microseconds(given, SECOND))


_ZONE_BEFORE = re.compile(r"\s*(?:CRON_)?TZ=(\S*)\s*", re.IGNORECASE)


def split_zone(crontab: str) -> tuple[str | None, str]:
    """Return the zone that crontab text names before its fields, or None, and the fields.

    It is written as cronie and Go's cron have it: ``CRON_TZ=Europe/Berlin 0 6 * * *``, or ``TZ=``.
    """
    match = _ZONE_BEFORE.match(crontab)
    return (match[1], crontab[match.end() :]) if match else (None, crontab)


def check_order(start_us: int | None, end_us: int, end_date: object, zone: Zone) -> None:
    """Refuse an end that lies before the start.

    Raises:
        InvalidTriggerError: naming ``end_date``.
    """
    if start_us is not None and end_us < start_us != NEVER_US:
        start = moment_text(start_us, zone)
        raise InvalidTriggerError("end_date", end_date, f"no earlier than start_date, {start}")
