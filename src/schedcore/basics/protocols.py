"""Users' objects beside the protocol that they follow: what they lack, and what they return."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints


def missing(part: object, protocol: type) -> str | None:
    """Return the name of the first method or property of *protocol* that *part* lacks, or None."""
    for name, is_method in _members(protocol):
        found = getattr(part, name, None) if is_method else hasattr(part, name)
        if not (callable(found) if is_method else found):
            return f"{name}()" if is_method else name
    return None


def results(protocol: type) -> Mapping[str, Any]:
    """Return the type of the result of each method of *protocol*, by name."""
    return {
        name: get_type_hints(getattr(protocol, name))["return"]
        for name, is_method in _members(protocol)
        if is_method
    }


def fits(value: object, kind: Any, deep: bool = True) -> bool:
    """Return whether a value is of a type as annotations write it, its parts included.

    Args:
        value: The value.
        kind: The type; what this cannot judge, such as a type variable, fits.
        deep: Whether to look at the fields of named tuples; not at those of these again.
    """
    if kind is Any or kind is object:
        return True
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(value, each, deep) for each in args)
    if origin is Literal:
        return value in args
    if not isinstance(origin or kind, type):
        return True
    if getattr(kind, "_is_protocol", False):
        return missing(value, kind) is None
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if not isinstance(value, (int, float) if kind is float else origin or kind):
        return False
    if origin is None:
        fields = _fields(kind) if deep else ()
        return all(fits(getattr(value, name), each, False) for name, each in fields)
    return all(fits(part, each, deep) for part, each in _parts(value, origin, args))


def _parts(value: Any, origin: type, args: tuple[Any, ...]) -> Iterable[tuple[object, Any]]:
    """Yield the parts of a collection, and the type of each."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield key, args[0]
            yield each, args[1]
    elif origin is tuple and Ellipsis not in args:
        yield len(value), Literal[len(args)]
        yield from zip(value, args, strict=False)
    elif issubclass(origin, Collection):
        yield from ((each, args[0]) for each in value)


@lru_cache
def _fields(kind: type) -> Sequence[tuple[str, Any]]:
    """Return the fields of a named tuple, and the type of each; of other types, none."""
    names: Sequence[str] = getattr(kind, "_fields", ()) if issubclass(kind, tuple) else ()
    if not names:
        return ()
    hints = get_type_hints(kind)
    return [(name, hints[name]) for name in names]


@lru_cache
def _members(protocol: type) -> Sequence[tuple[str, bool]]:
    """Return the public members of a protocol, and of those that it extends; are they methods?"""
    found: dict[str, bool] = {}
    for base in protocol.__mro__:
        if base not in (object, Protocol) and getattr(base, "_is_protocol", False):
            for name, member in vars(base).items():
                if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                    found.setdefault(name, callable(member))
    return tuple(found.items())
