"""The time zone of this computer: from TZ, or else from the system's settings."""

from __future__ import annotations

import os
import re
import zoneinfo
from datetime import timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from schedcore.clock import UTC
from schedcore.errors import InvalidOptionError, did_you_mean

LOCAL = "local"
"""The name of a zone without a name, as in tzlocal: a zone file of unknown origin."""
NO_DATA = "time zone data, which this computer does not have: pip install tzdata"

# What POSIX lets stand in TZ without a change of clocks: CST-8, <+03>-3, IST-5:30.
_FIXED = re.compile(
    r"(?:[a-z]{3,}|<[a-z0-9+-]{3,}>)([+-]?)(\d{1,2})(?::(\d\d))?(?::(\d\d))?",
    re.ASCII | re.IGNORECASE,
)
_WAY_OUT = "or give timezone= (SCHEDULER_TIMEZONE in settings)"


def local_zone() -> tzinfo:
    """Return the zone that TZ names, or else the one that the system is set to.

    Raises:
        InvalidOptionError: if it cannot be read; names TZ or the system's setting, and the way out.
    """
    text = os.environ.get("TZ", "")
    name = text.removeprefix(":")
    try:
        if os.path.isabs(name):
            return _of_path(name)
    except (ValueError, OSError) as error:  # no such file; not a zone's
        raise InvalidOptionError(
            "TZ", text, f"a file of a time zone ({error}); {_WAY_OUT}"
        ) from None
    if name:
        return _of_name(text, name)
    from tzlocal import get_localzone  # costs a read of the system's settings: only when needed

    try:
        return get_localzone()
    except (LookupError, ValueError, OSError) as error:
        raise _unreadable(error) from None


def named(name: str) -> tzinfo | None:
    """Return the zone of that name, or None; UTC needs no time zone data."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; not a zone's name; a directory
        return None


def _of_path(path: str) -> tzinfo:
    """Return the zone of a file: by its name if it is one of the zones that Python knows."""
    real = os.path.realpath(path)
    for folder in zoneinfo.TZPATH:
        name = os.path.relpath(real, os.path.realpath(folder))
        zone = None if name.startswith(os.pardir) else named(name)
        if zone is not None:
            return zone
    with open(path, "rb") as file:
        return ZoneInfo.from_file(file, key=LOCAL)


def _of_name(text: str, name: str) -> tzinfo:
    """Return the zone of a TZ that is no path: a zone's name, or an offset as POSIX writes it."""
    zone = named(name)
    if zone is not None:
        return zone
    if (match := _FIXED.fullmatch(name)) and int(match[2]) <= 24:
        sign, hours, minutes, seconds = match.groups()
        west = timedelta(hours=int(hours), minutes=int(minutes or 0), seconds=int(seconds or 0))
        if west < timedelta(hours=24):
            return timezone(west if sign == "-" else -west)
    bare = name.strip("'\" ")
    if not available_timezones():
        expected = NO_DATA
    elif bare != name and named(bare) is not None:
        expected = f"a zone name without quotes (did you mean {bare!r}?)"
    else:
        hint = did_you_mean(name, sorted(available_timezones()))
        expected = (
            "a zone name such as 'Europe/Berlin', or a fixed offset such as 'CST-8', in this"
            f" environment variable{hint}"
        )
    raise InvalidOptionError("TZ", text, f"{expected}; {_WAY_OUT}")


def _unreadable(error: Exception) -> InvalidOptionError:
    reason = " ".join(str(error).strip("'\"").split())
    expected = f"the system's time zone, which cannot be read ({reason}): set TZ"
    if not available_timezones():
        expected = NO_DATA
    return InvalidOptionError("timezone", None, f"{expected}; {_WAY_OUT}")
