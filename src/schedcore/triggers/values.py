"""Base classes of the built-in triggers: immutable values, most of them with a zone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from functools import cache
from operator import attrgetter
from typing import Any, NoReturn

from schedcore.triggers.base import Trigger
from schedcore.triggers.options import Jitter
from schedcore.triggers.zones import Zone

set_slot = object.__setattr__
"""Sets a slot in a trigger's own constructor; all other assignments are refused."""


def setter_of(cls: type, slot: str) -> Callable[[object, object], None]:
    """Return what sets one slot of a class, as :data:`set_slot` does, in half the time."""
    setter: Callable[[object, object], None] = getattr(cls, slot).__set__
    return setter


class ValueTrigger(Trigger, abstract=True):
    """A trigger that is an immutable value: comparable, hashable and picklable.

    Its state is in slots, set once.  (A frozen dataclass with slots would do the same for five
    times the price, and adding a job makes a trigger.)
    """

    __slots__ = ()

    def options(self) -> dict[str, object]:
        """Return the plain-data form, with the tzinfo itself where a zone has no name."""
        raise TypeError(f"{type(self).__name__} defines no options()")

    def _identity(self) -> tuple[object, ...]:
        """Return what makes two triggers of this class equal."""
        return _state_of(self)

    def to_dict(self) -> Mapping[str, object]:
        """Return the plain-data form: flat, JSON-ready, with the user's own units.

        Raises:
            TypeError: if the zone has no name by which another process could find it.
        """
        options = self.options()
        zone = options.get("timezone", "")
        if not isinstance(zone, str):
            raise TypeError(f"{zone!r} has no name: use zoneinfo.ZoneInfo('...') for the timezone")
        return options

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ValueTrigger) or type(other) is not type(self):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), self._identity()))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one")

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.options().items() if k != "trigger")
        return f"{type(self).__name__}({options})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return rebuild, (type(self), _state_of(self))


class JitteredTrigger(ValueTrigger, abstract=True):
    """A trigger with a jitter that the engine adds to each fire time.

    Each class decides where to store it, and likewise the zone of a :class:`ZonedTrigger`.
    """

    __slots__ = ()

    _jitter: Jitter

    @property
    def jitter_us(self) -> int:
        """The longest random delay, in microseconds, that the engine adds to each fire time."""
        return self._jitter.us

    @property
    def jitter(self) -> float | None:
        """The jitter in seconds, as it was given, or None."""
        return self._jitter.given


class ZonedTrigger(JitteredTrigger, abstract=True):
    """A jittered trigger with a zone."""

    __slots__ = ()

    _zone: Zone

    @property
    def timezone(self) -> tzinfo:
        """The zone in which the trigger reads wall clocks and shows its fire times."""
        return self._zone.tz

    def shared_options(self) -> dict[str, object]:
        """Return the zone and the jitter, as the plain-data form has them."""
        options: dict[str, object] = {"timezone": self._zone.name or self._zone.tz}
        if self._jitter.given is not None:
            options["jitter"] = self._jitter.given
        return options


def rebuild(cls: type[Trigger], state: tuple[object, ...]) -> Trigger:
    """Make a trigger of *cls* with *state* in its slots; for pickle, and for changed copies."""
    made = cls.__new__(cls)
    for name, value in zip(_slots_of(cls), state, strict=True):
        set_slot(made, name, value)
    return made


def _state_of(trigger: Trigger) -> tuple[object, ...]:
    state = _getter_of(type(trigger))(trigger)  # type: ignore[arg-type]  # a class has a hash
    return state if isinstance(state, tuple) else (state,)


@cache
def _getter_of(cls: type) -> Callable[[object], object]:
    """Return what reads all slots at once: 0.4 us for a comparison, and 6 us slot by slot."""
    return attrgetter(*_slots_of(cls))


def _slots_of(cls: type) -> tuple[str, ...]:
    return tuple(name for base in cls.__mro__ for name in base.__dict__.get("__slots__", ()))
