"""What the other modules need of :mod:`typing`, without importing it.

Hints are for those who check them, and typing takes 5 ms (with re, which it needs up to Python
3.12): a third of what all of this package takes.  So where nothing is checked these names stand for
nothing.  Only a named tuple does something, and is made like one of :mod:`collections`: 0.04 ms for
each class, where typing takes 0.1 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, ClassVar, Final, Generic, NamedTuple, NoReturn, Protocol, TypeVar
else:
    from collections import namedtuple

    class Any:
        """Anything."""

    class Generic:
        """The base of a class whose hints have parameters, which are left out here."""

        __slots__ = ()

        def __class_getitem__(cls, parameters):
            return cls

    class Protocol:
        """The base of a class that tells what others have to be like."""

        __slots__ = ()

    class TypeVar:
        """A parameter."""

        __slots__ = ()

        def __init__(self, name, bound=None):
            pass

    class _Fields(type):
        """Makes a named tuple of a class body: its annotations are the fields, in their order."""

        def __new__(mcs, name, bases, body):
            if not bases:
                return super().__new__(mcs, name, bases, body)
            fields = body["__annotations__"]
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body.pop("__module__"))
            for key, value in body.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Fields):
        """The base of a class whose instances are tuples, their items named by its annotations."""

    ClassVar = Final = NoReturn = Any

__all__ = [
    "TYPE_CHECKING",
    "Any",
    "ClassVar",
    "Final",
    "Generic",
    "NamedTuple",
    "NoReturn",
    "Protocol",
    "TypeVar",
]
