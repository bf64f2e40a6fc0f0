"""Fire times at a constant spacing of elapsed time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from schedcore.clock import SECOND, from_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers.base import Trigger
from schedcore.triggers.options import (
    NEVER_US,
    Jitter,
    check_order,
    end_text,
    end_us,
    jitter_of,
    microseconds,
    moment_text,
    number,
    start_us,
)
from schedcore.triggers.values import ZonedTrigger, set_slot, setter_of
from schedcore.triggers.zones import DAY_US, HORIZON_US, Zone, zone_of

_UNITS_US = {
    "weeks": 7 * DAY_US,
    "days": DAY_US,
    "hours": 3600 * SECOND,
    "minutes": 60 * SECOND,
    "seconds": SECOND,
}
UNITS = tuple(_UNITS_US)


class Spacing(NamedTuple):
    """The given units, and their sum in microseconds."""

    given: tuple[tuple[str, float], ...]
    us: int


class _Beat:
    """Everything of an interval except its start: shared by jobs with the same interval."""

    __slots__ = ("end_us", "every_us", "given", "jitter", "jitter_us", "zone")

    def __init__(self, spacing: Spacing, end_us: int, zone: Zone, jitter: Jitter) -> None:
        self.given, self.every_us = spacing
        self.end_us = end_us
        self.zone = zone
        self.jitter = jitter
        self.jitter_us = jitter.us

    def _state(self) -> tuple[Any, ...]:
        return (Spacing(self.given, self.every_us), self.end_us, self.zone, self.jitter)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Beat) and self._state() == other._state()

    def __hash__(self) -> int:
        return hash(self._state())

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return _Beat, self._state()


class IntervalTrigger(ZonedTrigger):
    """Fires at ``start_date``, and then at the given interval.

    The interval is elapsed time: a day is 24 hours, also across a change of daylight saving.  Fire
    times never drift, since each is computed from the start and not from the last run.

    Args:
        weeks: Units of the interval, which add up; whole numbers or fractions, to the microsecond.
        days: See *weeks*; likewise *hours*, *minutes* and *seconds*.
        hours: See *weeks*.
        minutes: See *weeks*.
        seconds: See *weeks*.
        start_date: The first fire time: ISO 8601 text, a datetime or a date; a naive one is read in
            *timezone*.  Default: one interval after the job is added.
        end_date: The last instant at which it may fire; a date without a time: the last day.
        timezone: A zone's name or a tzinfo; left out, the system's zone.
        jitter: The longest random delay added to each fire time, in seconds.

    Raises:
        InvalidTriggerError: if the interval is not longer than zero, or another option is refused.
    """

    __slots__ = ("_anchor_us", "_beat", "_bound")

    kind: ClassVar[str] = "interval"
    elapsed = True
    reckons = True

    _anchor_us: int | None
    _beat: _Beat
    _bound: bool  # the start was set when the job was added, not by the user

    def __init__(
        self,
        weeks: object = 0,
        days: object = 0,
        hours: object = 0,
        minutes: object = 0,
        seconds: object = 0,
        start_date: object = None,
        end_date: object = None,
        timezone: object = None,
        jitter: object = None,
    ) -> None:
        zone = zone_of(timezone)
        anchor_us = start_us(start_date, zone)
        last_us = end_us(end_date, zone)
        check_order(anchor_us, last_us, end_date, zone)
        spacing = _spacing(weeks, days, hours, minutes, seconds)
        set_slot(self, "_anchor_us", anchor_us)
        set_slot(self, "_beat", _Beat(spacing, last_us, zone, jitter_of(jitter)))
        set_slot(self, "_bound", False)

    def _identity(self) -> tuple[object, ...]:
        return self._anchor_us, self._beat

    @property
    def _zone(self) -> Zone:  # type: ignore[override]  # no slot of its own, and never set
        return self._beat.zone

    @property
    def _jitter(self) -> Jitter:  # type: ignore[override]
        return self._beat.jitter

    @property
    def jitter_us(self) -> int:
        """The longest random delay, in microseconds, that the engine adds to each fire time."""
        return self._beat.jitter_us

    @property
    def interval(self) -> timedelta:
        """The span between two fire times."""
        return timedelta(microseconds=self._beat.every_us)

    @property
    def interval_us(self) -> int:
        """The span between two fire times, in microseconds."""
        return self._beat.every_us

    @property
    def start_date(self) -> datetime | None:
        """The first fire time, or None if it will be set when the job is added."""
        return None if self._anchor_us is None else from_us(self._anchor_us, self.timezone)

    @property
    def end_date(self) -> datetime | None:
        """The last instant at which it may fire, or None if there is no such limit."""
        end_us = self._beat.end_us
        return None if end_us == HORIZON_US else from_us(end_us, self.timezone)

    def next_us(self, after_us: int) -> int | None:
        """Return the first fire time strictly later than *after_us*, or None.

        Without an anchor: one span later, as if it were bound at that instant.
        """
        beat, anchor = self._beat, self._anchor_us
        every = beat.every_us
        if anchor is None:
            found = after_us + every
        elif after_us < anchor:
            found = anchor
        else:
            # One division: a year asleep costs what a second asleep costs.
            found = after_us - (after_us - anchor) % every + every
        return found if found <= beat.end_us else None

    def first_us(self, now_us: int) -> int | None:
        """Return the first fire time of a job that is added at *now_us*."""
        anchor = self._anchor_us
        if anchor is None:
            return self.next_us(now_us)
        # Mostly it was bound at this moment, and there is nothing to reckon.
        return anchor if now_us <= anchor <= self._beat.end_us else self.next_us(now_us - 1)

    def bound_to(self, now_us: int) -> IntervalTrigger:
        """Return this trigger with its start set: one interval after *now_us* if it has none.

        If it ends before that, it never fires, and its start is set to the end of time.
        """
        if self._anchor_us is not None:
            return self
        beat = self._beat
        anchor = now_us + beat.every_us
        return _anchored(beat, anchor if anchor <= beat.end_us else NEVER_US, bound=True)

    def unbound(self) -> IntervalTrigger:
        """Return this trigger without a start that the user did not set."""
        return _anchored(self._beat, None, bound=False) if self._bound else self

    @property
    def is_bound(self) -> bool:
        """Whether the anchor was set when the job was added, and not by a ``start_date``."""
        return self._bound

    def keeps_beat_of(self, old: Trigger) -> IntervalTrigger:
        """Return this trigger with the anchor of *old*, a bound one, if they have the same span."""
        if not isinstance(old, IntervalTrigger) or self._beat.every_us != old._beat.every_us:
            return self
        return _anchored(self._beat, old._anchor_us, bound=True)

    def first_at(self, first_us: int, now_us: int) -> IntervalTrigger:
        """Return this trigger counted from *first_us*, unless it was given a start."""
        if self._anchor_us is not None and not self._bound:
            return self
        beat = self._beat
        late_us = now_us - first_us
        if late_us > 0:
            first_us = now_us - late_us % beat.every_us + beat.every_us
        return _anchored(beat, first_us if first_us <= beat.end_us else NEVER_US, bound=True)

    def set_back_to(self, now_us: int) -> IntervalTrigger:
        """Return this trigger with its series extended back to *now_us*, before its start."""
        beat, anchor = self._beat, self._anchor_us
        if anchor is None or anchor <= now_us or anchor == NEVER_US:
            return self
        back_us = (anchor - now_us) // beat.every_us * beat.every_us
        return _anchored(beat, anchor - back_us, self._bound)

    def count_us(self, after_us: int, until_us: int, limit: int) -> int:
        """Return how many fire times lie in ``(after_us, until_us]``, up to *limit*."""
        every, anchor = self._beat.every_us, self._anchor_us
        if anchor is None:
            anchor = after_us + every
        until_us = min(until_us, self._beat.end_us)
        before = max(0, (after_us - anchor) // every + 1)
        return max(0, min(limit, max(0, (until_us - anchor) // every + 1) - before))

    def options(self) -> dict[str, object]:
        """Return the plain-data form, with the tzinfo itself where a zone has no name."""
        options: dict[str, object] = {"trigger": self.kind, **dict(self._beat.given)}
        if self._anchor_us is not None:
            options["start_date"] = moment_text(self._anchor_us, self._zone)
        if self._beat.end_us != HORIZON_US:
            options["end_date"] = end_text(self._beat.end_us, self._zone)
        return options | self.shared_options()


_set_anchor = setter_of(IntervalTrigger, "_anchor_us")
_set_beat = setter_of(IntervalTrigger, "_beat")
_set_bound = setter_of(IntervalTrigger, "_bound")


def _anchored(beat: _Beat, anchor_us: int | None, bound: bool) -> IntervalTrigger:
    """Return a trigger of these parts: each job added on an interval gets its own."""
    made = _new(IntervalTrigger)
    _set_anchor(made, anchor_us)
    _set_beat(made, beat)
    _set_bound(made, bound)
    return made


_new = object.__new__


def _spacing(*values: object) -> Spacing:
    try:
        return _spacing_seen(*values)
    except TypeError:  # a value without a hash, such as a list: refused below, by name
        return _read_spacing(*values)


def _read_spacing(*values: object) -> Spacing:
    given = []
    total = 0
    for (unit, unit_us), value in zip(_UNITS_US.items(), values, strict=True):
        if value is None:
            continue
        expected = f"a number of {unit}, zero or more"
        size = number(unit, value, expected)
        if not 0 <= size <= HORIZON_US:
            raise InvalidTriggerError(unit, value, expected)
        if size:
            given.append((unit, size))
            total += microseconds(size, unit_us)
    if not 0 < total <= HORIZON_US:
        unit, size = given[-1] if given else ("seconds", 0)
        raise InvalidTriggerError(
            unit,
            size,
            "weeks, days, hours, minutes and seconds that add up to one microsecond or more,"
            " and to less than 8000 years",
        )
    return Spacing(tuple(given), total)


# typed: True and 1 are equal, but only one of them is a number of seconds.
_spacing_seen = lru_cache(maxsize=1024, typed=True)(_read_spacing)
