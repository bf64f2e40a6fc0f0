"""Python values as plain data, and back: JSON, and tagged objects for what JSON does not know.

A value comes back equal and of the same type, from any process::

    (1, date(2026, 1, 5))
    {"$type": "tuple", "value": [1, {"$type": "date", "value": "2026-01-05"}]}

None, true and false, text, lists, dicts with text as keys, whole numbers of up to 64 bits and
finite fractions are what they are in JSON.  A dict that has a key ``$type`` of its own, or keys
that are no text, is a tagged list of pairs, so nothing that a user writes is taken for a tag.

Keep it as text: JSON types of databases may change numbers (``1e300`` to 301 digits).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from schedcore.errors import InvalidOptionError, short

TAG: Final = "$type"
MAX_DEPTH: Final = 64
"""How deeply values may be nested."""
CARRIED: Final = (
    "None, bool, int, float, str, bytes, Decimal, UUID, date, datetime, time, timedelta,"
    " list, tuple, dict, set or frozenset"
)
"""The types of values that have a plain-data form; subclasses have none."""
_LEAST, _MOST = -(2**63), 2**63 - 1
_MICROSECOND = timedelta(microseconds=1)

Otherwise = Callable[[object, str], Any]
"""Called with a value without a plain-data form and its path; returns what to put in its place."""


def refuse(value: object, path: str) -> Any:
    """Raise the error for a value that has no plain-data form.

    Raises:
        InvalidOptionError: always; its option is *path*.
    """
    kind = _real(type(value))
    if kind in (_real(datetime), time):
        expected = "a time zone of datetime.timezone, or a zoneinfo.ZoneInfo with a name"
    elif kind in _CONTAINERS:
        expected = f"values that are nested at most {MAX_DEPTH} deep"
    else:
        expected = (
            f"a value that can be kept as plain data: {CARRIED}, and not"
            f" {type(value).__name__}; give text or a number by which the function finds it"
        )
    raise InvalidOptionError(path, value, expected)


def to_plain(value: object, path: str, otherwise: Otherwise = refuse) -> Any:
    """Return *value* as plain data, ready for ``json.dumps()``.

    Args:
        value: Stays as it is.
        path: Its path, for errors: ``kwargs['x']``.
        otherwise: Is asked for what has no such form.

    Raises:
        InvalidOptionError: unless *otherwise* returns something else, if the value or one within it
            has no such form; the error names the path to it.
    """
    return _Writer(otherwise).write(value, path, 0)


def from_plain(data: object, path: str) -> Any:
    """Return the value that :func:`to_plain` made *data* of, or that JSON means.

    It makes values of the types of :data:`CARRIED`, and calls nothing of the user's.

    Args:
        data: What ``json.loads()`` returned.
        path: Its path, for errors.

    Raises:
        InvalidOptionError: naming the path, if a tag is unknown or what it marks cannot be read.
    """
    try:
        return _read(data, path)
    except RecursionError:
        raise InvalidOptionError(path, "...", f"data nested at most {MAX_DEPTH} deep") from None


def as_text(data: object) -> str:
    """Return plain data as JSON in which the order of names does not count."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


# Writing


class _Writer:
    """Writes values as plain data.

    Args:
        otherwise: Is asked for what has no plain-data form.
    """

    def __init__(self, otherwise: Otherwise) -> None:
        self._otherwise = otherwise

    def write(self, value: object, path: str, depth: int) -> Any:
        """Return *value* as plain data; *depth* levels are around it."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        kind = _real(kind)
        if kind in _SCALARS:
            data = _SCALARS[kind](value)
            return self._otherwise(value, path) if data is _NO_FORM else data
        if kind not in _CONTAINERS or depth == MAX_DEPTH:
            return self._otherwise(value, path)
        return _CONTAINERS[kind](self, value, path, depth + 1)

    def sequence(self, values: Iterable[object], path: str, depth: int) -> list[Any]:
        """Return a list as plain data, or what is within a tuple."""
        return [self.write(each, f"{path}[{n}]", depth) for n, each in enumerate(values)]

    def members(self, values: Iterable[object], path: str, depth: int) -> list[Any]:
        """Return what is within a set, in an order that is the same in each process."""
        written = [self.write(each, f"{path} (a member of it)", depth) for each in values]
        return sorted(written, key=as_text)

    def mapping(self, values: Mapping[Any, object], path: str, depth: int) -> Any:
        """Return a dict as plain data."""
        if TAG not in values and all(type(key) is str and _is_unicode(key) for key in values):
            return {
                key: self.write(value, f"{path}[{_shown(key)}]", depth)
                for key, value in values.items()
            }
        return _tagged(
            "dict",
            [
                [
                    self.write(key, f"{path} (a key of it)", depth),
                    self.write(value, f"{path}[{_shown(key)}]", depth),
                ]
                for key, value in values.items()
            ],
        )


_NO_FORM: Final = object()


def _tagged(kind: str, value: object, **more: object) -> dict[str, object]:
    return {TAG: kind, "value": value, **more}


def _shown(key: object) -> str:
    if type(key) is str and len(key) < 30 and key.isidentifier():  # nearly all, and 2 us quicker
        return f"'{key}'"
    return short(key)[:40]


def _is_unicode(text: str) -> bool:
    """Return whether *text* has no surrogates, of which JSON would make other characters."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: str) -> object:
    if _is_unicode(value):
        return value
    return _tagged("str", value.encode("unicode_escape").decode("ascii"))


def _whole(value: int) -> object:
    return value if _LEAST <= value <= _MOST else _tagged("int", hex(value))


def _fraction(value: float) -> object:
    return value if value - value == 0 else _tagged("float", repr(value))


def _moment(value: datetime) -> object:
    return _with_zone("datetime", value, value.tzinfo, value.fold)


def _time(value: time) -> object:
    return _with_zone("time", value, value.tzinfo, value.fold)


def _with_zone(kind: str, value: datetime | time, zone: tzinfo | None, fold: int) -> object:
    """Return a time with its zone beside it.

    The offset is no part of the text: ``fromisoformat()`` takes one of less than a second for none.
    """
    more: dict[str, object] = {"fold": 1} if fold else {}
    if type(zone) is ZoneInfo:
        if not zone.key:  # made of a file
            return _NO_FORM
        more["zone"] = zone.key
    elif type(zone) is timezone:
        offset = zone.utcoffset(None)
        more["offset_us"] = offset // _MICROSECOND
        if (name := zone.tzname(None)) != timezone(offset).tzname(None):
            more["name"] = _text(name)
    elif zone is not None:
        return _NO_FORM
    return _tagged(kind, value.replace(tzinfo=None).isoformat(), **more)


def _real(kind: type) -> type:
    """Return *kind*, or what freezegun has put it in the place of."""
    return kind.__base__ or kind if kind.__module__ == "freezegun.api" else kind


_SCALARS: Final[Mapping[type, Callable[[Any], object]]] = {
    str: _text,
    int: _whole,
    float: _fraction,
    bytes: lambda value: _tagged("bytes", b64encode(value).decode("ascii")),
    Decimal: lambda value: _tagged("decimal", str(value)),
    UUID: lambda value: _tagged("uuid", str(value)),
    _real(date): lambda value: _tagged("date", value.isoformat()),
    _real(datetime): _moment,
    time: _time,
    # Not in microseconds: the longest span has more of them than 64 bits hold.
    timedelta: lambda v: _tagged("timedelta", [v.days, v.seconds, v.microseconds]),
}
_CONTAINERS: Final[Mapping[type, Callable[[_Writer, Any, str, int], Any]]] = {
    list: _Writer.sequence,
    dict: _Writer.mapping,
    tuple: lambda writer, *where: _tagged("tuple", writer.sequence(*where)),
    set: lambda writer, *where: _tagged("set", writer.members(*where)),
    frozenset: lambda writer, *where: _tagged("frozenset", writer.members(*where)),
}


# Reading


def _read(data: object, path: str) -> Any:
    if isinstance(data, list):
        return [_read(each, f"{path}[{n}]") for n, each in enumerate(data)]
    if not isinstance(data, dict):
        return data
    if TAG not in data:
        return {name: _read(value, f"{path}[{name[:40]!r}]") for name, value in data.items()}
    kind = data[TAG]
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        known = ", ".join(_READERS)
        raise InvalidOptionError(f"{path}[{TAG!r}]", kind, f"one of {known}")
    try:
        return reader(data, path)
    except InvalidOptionError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,  # a zone's name that is a folder of zones, or too long for a file
        TypeError,
        ValueError,
    ) as error:
        raise InvalidOptionError(
            path, data, f"the plain-data form of a {kind}: {type(error).__name__}: {error}"
        ) from error


def _items(data: Mapping[str, Any], path: str) -> list[Any]:
    """Return what is within a tuple or a set."""
    if not isinstance(data["value"], list):
        raise TypeError("value is no list")
    return [_read(each, f"{path}[{n}]") for n, each in enumerate(data["value"])]


def _read_pairs(data: Mapping[str, Any], path: str) -> dict[Any, Any]:
    return {
        _read(key, f"{path} (a key of it)"): _read(value, f"{path}[...]")
        for key, value in data["value"]
    }


def _read_moment(data: Mapping[str, Any], path: str) -> datetime:
    moment = datetime.fromisoformat(data["value"])
    return moment.replace(tzinfo=_zone(data, path), fold=data.get("fold", 0))


def _read_time(data: Mapping[str, Any], path: str) -> time:
    read = time.fromisoformat(data["value"])
    return read.replace(tzinfo=_zone(data, path), fold=data.get("fold", 0))


def _zone(data: Mapping[str, Any], path: str) -> tzinfo | None:
    if "zone" in data:
        return ZoneInfo(data["zone"])
    if "offset_us" not in data:
        return None
    offset = data["offset_us"] * _MICROSECOND
    return timezone(offset, _read(data["name"], path)) if "name" in data else timezone(offset)


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Any]]] = {
    "tuple": lambda data, path: tuple(_items(data, path)),
    "set": lambda data, path: set(_items(data, path)),
    "frozenset": lambda data, path: frozenset(_items(data, path)),
    "dict": _read_pairs,
    "str": lambda data, _: data["value"].encode("ascii").decode("unicode_escape"),
    "int": lambda data, _: int(data["value"], 16),
    "float": lambda data, _: float(data["value"]),
    "bytes": lambda data, _: b64decode(data["value"], validate=True),
    "decimal": lambda data, _: Decimal(data["value"]),
    "uuid": lambda data, _: UUID(data["value"]),
    "date": lambda data, _: date.fromisoformat(data["value"]),
    "datetime": _read_moment,
    "time": _read_time,
    "timedelta": lambda data, _: timedelta(*data["value"]),
}
