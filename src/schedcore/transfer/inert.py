"""Pickles read without running them: classes and functions are stand-ins that do nothing.

What a pickle may name is a short list: plain types of Python, APScheduler's triggers, and the zones
of zoneinfo, pytz and dateutil.  Anything else is refused by its name, and nothing is imported for
it: a pickle that would run a command does not.
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
    """A pickle names something that is not taken over."""


class Inert:
    """Stands for an object of a class that is not imported; keeps what it would have been given.

    Args:
        args: What the class would have been called with.
    """

    path = ""
    """The class, as ``"module:name"``."""

    def __new__(cls, *args: object) -> Inert:
        """Keep the arguments, also of an object that is made without a call of its class."""
        made = super().__new__(cls)
        made.args, made.fields = args, {}
        return made

    args: tuple[Any, ...]
    fields: Mapping[str, Any]
    """What its attributes would have been."""

    def __setstate__(self, state: object) -> None:
        parts = state if isinstance(state, tuple) else (state,)  # with slots: a pair of dicts
        if not all(part is None or isinstance(part, dict) for part in parts):
            raise RefusedPickleError(f"the state of a {self.path} has an unknown form")
        self.fields = {name: value for part in parts if part for name, value in part.items()}

    def __repr__(self) -> str:
        return f"<{self.path}>"


class _Stand:
    """Stands for a function.  Sealed: a pickle that tries to write on it fails.

    Args:
        name: What it stands for.
        make: Returns what a call of it gives.
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
    """Return what a pickle holds, with :class:`Inert` objects for those of classes.

    Raises:
        RefusedPickleError: if it cannot be read, or names what is not taken over.
    """
    try:
        return _Careful(io.BytesIO(data)).load()
    except RefusedPickleError:
        raise
    except InvalidOptionError as error:  # a zone that is not known
        raise RefusedPickleError(str(error)) from None
    except Exception as error:
        raise RefusedPickleError(
            f"it is not a readable pickle: {type(error).__name__}: {error}"
        ) from error


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> object:
        """Return what stands for a global name; called for each one that a pickle has."""
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
    """Return the zone that a stand-in means, as one of zoneinfo or a fixed offset.

    Raises:
        InvalidOptionError: if there is none of that name here.
        RefusedPickleError: if it is no zone that can be told.
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
    """Return the zone that a file of the zone database holds, by its name."""
    return zone_of(path.rpartition("zoneinfo/")[2]).tz


class _PytzZone:
    """A zone of pytz, which at a given moment has one offset of the zone's.

    Args:
        name: Of the zone.
        offset: In seconds; None: the zone has but one.
    """

    __slots__ = ("name", "offset")

    def __init__(self, name: str, offset: float | None = None, *_: object) -> None:
        self.name = name
        self.offset = None if offset is None else timezone(timedelta(seconds=offset))


def _from_bytes(kind: Any, raw: bytes) -> Any:
    """Return a datetime or a time of the bytes that a pickle has of it."""
    return kind(raw)


def _moment(raw: object, zone: object = None) -> datetime:
    if not isinstance(raw, bytes):
        raise RefusedPickleError("a datetime in an unknown form")
    naive: datetime = _from_bytes(datetime, raw)
    if zone is None:
        return naive
    if isinstance(zone, _PytzZone) and zone.offset is not None:
        # Its wall clock may show a time twice: the offset tells which one is meant.
        return naive.replace(tzinfo=zone.offset).astimezone(zone_from(zone))
    return naive.replace(tzinfo=zone_from(zone))


def _time_of_day(raw: object, zone: object = None) -> time:
    if not isinstance(raw, bytes):
        raise RefusedPickleError("a time in an unknown form")
    found: time = _from_bytes(time, raw)
    return found if zone is None else found.replace(tzinfo=zone_from(zone))


_ZONEINFO: Final = _Stand("zoneinfo.ZoneInfo", lambda key: zone_of(key).tz)


def _attribute(owner: object, name: object) -> object:
    """Return the one attribute by which a ZoneInfo is pickled."""
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
    # tzlocal 3 and 4 wrapped what they gave to APScheduler.
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
