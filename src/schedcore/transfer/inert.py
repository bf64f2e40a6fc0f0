"""Reads pickles without executing them: classes and functions are replaced by inert objects.

A pickle may name only plain Python types, APScheduler's triggers, and the zones of zoneinfo, pytz
and dateutil.  Anything else is refused by its name, without importing it: so a pickle cannot run
a command.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from schedcore.errors import InvalidOptionError
from schedcore.triggers.zones import zone_of


class RefusedPickleError(Exception):
    """A pickle names something that is not allowed."""


class Inert:
    """Represents an object of a class that is not imported, with its arguments and state.

    Args:
        args: The arguments for the class.
    """

    path = ""
    """The class, as ``"module:name"``."""

    def __new__(cls, *args: object) -> Inert:
        """Store the arguments, also of an object that is created without calling its class."""
        made = super().__new__(cls)
        made.args, made.fields = args, {}
        return made

    args: tuple[Any, ...]
    fields: Mapping[str, Any]
    """The attributes that it would have."""

    def __setstate__(self, state: object) -> None:
        parts = state if isinstance(state, tuple) else (state,)  # with slots: a pair of dicts
        if not all(part is None or isinstance(part, dict) for part in parts):
            raise RefusedPickleError(f"the state of a {self.path} has an unknown form")
        self.fields = {name: value for part in parts if part for name, value in part.items()}

    def __repr__(self) -> str:
        return f"<{self.path}>"


class _Stand:
    """Represents a function.  Immutable: a pickle that tries to set its attributes fails.

    Args:
        name: The name of the function.
        make: Returns the result of a call.
    """

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[..., object]) -> None:
        self._name, self._make = name, make

    def __call__(self, *args: object) -> object:
        try:
            return self._make(*args)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise RefusedPickleError(f"{self._name} is called in an unknown way: {error}") from None

    def __setstate__(self, state: object) -> None:
        raise RefusedPickleError(f"it writes on {self._name}")


def load(data: bytes) -> Any:
    """Return the contents of a pickle, with :class:`Inert` objects in place of instances.

    Raises:
        RefusedPickleError: if it cannot be read, or names something that is not allowed.
    """
    try:
        return _Careful(io.BytesIO(data)).load()
    except RefusedPickleError:
        raise
    except InvalidOptionError as error:  # an unknown zone
        raise RefusedPickleError(str(error)) from None
    except Exception as error:
        raise RefusedPickleError(
            f"it is not a readable pickle: {type(error).__name__}: {error}"
        ) from error


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> object:
        """Return the replacement of a global name; called for each one in a pickle."""
        known = _KNOWN.get((module, name))
        if known is not None:
            return known
        if module.startswith("apscheduler.triggers.") or (module, name) in _ZONE_CLASSES:
            return type(name, (Inert,), {"path": f"{module}:{name}"})
        raise RefusedPickleError(
            f"it holds {module}.{name}, which is not plain data, and was not touched"
        )


# Zones and moments


def zone_from(value: object) -> tzinfo:
    """Return the zone that an inert object represents, as a ZoneInfo or a fixed offset.

    Raises:
        InvalidOptionError: if there is no zone of that name here.
        RefusedPickleError: if it is not a known kind of zone.
    """
    if isinstance(value, tzinfo):
        return value
    if isinstance(value, str):
        return zone_of(value).tz
    if isinstance(value, _PytzZone):
        return zone_of(value.name).tz
    path = value.path if isinstance(value, Inert) else ""
    name = path.rpartition(":")[2]
    if name == "tzutc":
        return timezone.utc
    if name == "tzlocal":
        return zone_of(None).tz
    if name == "tzoffset" and isinstance(value, Inert):
        for offset in (*value.args, value.fields.get("_offset")):
            if isinstance(offset, timedelta):
                return timezone(offset)
    if name == "tzfile" and isinstance(value, Inert):
        return _zone_of_file(next((each for each in value.args if isinstance(each, str)), ""))
    raise RefusedPickleError(f"{path or type(value).__name__} is a time zone without a known name")


def _zone_of_file(path: str) -> tzinfo:
    """Return the zone of a file of the zone database, by its name."""
    return zone_of(path.rpartition("zoneinfo/")[2]).tz


class _PytzZone:
    """A zone of pytz, which has one of the zone's offsets.

    Args:
        name: The name of the zone.
        offset: The offset in seconds; None: the zone has only one.
    """

    __slots__ = ("name", "offset")

    def __init__(self, name: str, offset: float | None = None, *_: object) -> None:
        self.name = name
        self.offset = None if offset is None else timezone(timedelta(seconds=offset))


def _from_bytes(kind: Any, raw: bytes) -> Any:
    """Return a datetime or a time from its bytes in a pickle."""
    return kind(raw)


def _moment(raw: object, zone: object = None) -> datetime:
    if not isinstance(raw, bytes):
        raise RefusedPickleError("a datetime in an unknown form")
    naive: datetime = _from_bytes(datetime, raw)
    if zone is None:
        return naive
    if isinstance(zone, _PytzZone) and zone.offset is not None:
        # A wall-clock time may occur twice: the offset says which one is meant.
        return naive.replace(tzinfo=zone.offset).astimezone(zone_from(zone))
    return naive.replace(tzinfo=zone_from(zone))


def _time_of_day(raw: object, zone: object = None) -> time:
    if not isinstance(raw, bytes):
        raise RefusedPickleError("a time in an unknown form")
    found: time = _from_bytes(time, raw)
    return found if zone is None else found.replace(tzinfo=zone_from(zone))


_ZONEINFO: Final = _Stand("zoneinfo.ZoneInfo", lambda key: zone_of(key).tz)


def _attribute(owner: object, name: object) -> object:
    """Return the only attribute by which a ZoneInfo is pickled."""
    if owner is _ZONEINFO and name == "_unpickle":
        return _Stand("zoneinfo.ZoneInfo", lambda key, _: zone_of(key).tz)
    raise RefusedPickleError(f"it looks for {name!r} in an object, which plain data never does")


_KNOWN: Final[Mapping[tuple[str, str], object]] = {
    **{("datetime", kind.__name__): kind for kind in (date, timedelta, timezone)},
    ("datetime", "datetime"): _Stand("datetime.datetime", _moment),
    ("datetime", "time"): _Stand("datetime.time", _time_of_day),
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "getattr"): _Stand("builtins.getattr", _attribute),
    ("decimal", "Decimal"): _Stand("decimal.Decimal", Decimal),
    ("uuid", "UUID"): UUID,
    ("zoneinfo", "ZoneInfo"): _ZONEINFO,
    ("backports.zoneinfo", "ZoneInfo"): _ZONEINFO,
    ("pytz", "_UTC"): _Stand("pytz.UTC", lambda: timezone.utc),
    ("pytz", "_p"): _Stand("pytz", _PytzZone),
    ("pytz", "FixedOffset"): _Stand("pytz", lambda minutes: timezone(timedelta(minutes=minutes))),
    # tzlocal 3 and 4 wrapped the zones that they passed to APScheduler.
    ("pytz_deprecation_shim._impl", "wrap_zone"): _Stand("tzlocal", lambda zone, *_: zone),
    ("dateutil.zoneinfo", "gettz"): _Stand("dateutil.tz", _zone_of_file),
    ("dateutil.tz._tzfile", "_unpickle"): _Stand(
        "dateutil.tz", lambda _, key, file, *__: _zone_of_file(key or file)
    ),
}
_ZONE_CLASSES: Final = frozenset(
    [("dateutil.tz._tzfile", "tzfile")]
    + [("dateutil.tz.tz", name) for name in ("tzutc", "tzlocal", "tzoffset", "tzfile", "_ttinfo")]
)
