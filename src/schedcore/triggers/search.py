"""The one search for the next match of a schedule, on the wall clock.

A :class:`Schedule` knows nothing of zones: it answers in *wall seconds*, the seconds that a wall
clock shows since 1 January 1970 00:00, and :mod:`~schedcore.triggers.zones` maps them to instants.
Every answer costs a few table look-ups, whatever the distance.
"""

from __future__ import annotations

from functools import lru_cache

from schedcore.triggers.yeardays import DayRule, Days

DAY_SECONDS = 86_400


class Schedule:
    """A set of wall-clock seconds: some days, at some times of day.

    Args:
        rule: The days.
        hours: Hours of the day, ascending; likewise *minutes* and *seconds*; none is empty.
        elapsed: Whether it runs by elapsed time, as a schedule with ``*`` in the hour or minute
            does, so that both passes of a repeated hour count and a skipped one does not.
    """

    __slots__ = (
        "_first",
        "_first_minute",
        "_first_second",
        "_next_hour",
        "_next_minute",
        "_next_second",
        "days",
        "elapsed",
        "every_day",
        "hours",
        "minutes",
        "rule",
        "seconds",
    )

    def __init__(
        self,
        rule: DayRule,
        hours: tuple[int, ...],
        minutes: tuple[int, ...],
        seconds: tuple[int, ...],
        elapsed: bool,
    ) -> None:
        self.rule, self.elapsed = rule, elapsed
        self.hours, self.minutes, self.seconds = hours, minutes, seconds
        self.every_day = rule.is_every_day()
        self.days = Days(rule)
        self._next_hour = _successors(hours, 24)
        self._next_minute = _successors(minutes, 60)
        self._next_second = _successors(seconds, 60)
        self._first_minute, self._first_second = minutes[0] * 60, seconds[0]
        self._first = hours[0] * 3600 + minutes[0] * 60 + seconds[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        return (self.rule, self.hours, self.minutes, self.seconds, self.elapsed)

    def can_fire(self) -> bool:
        """Return whether there is any match from 1970 to 9999."""
        return self.every_day or self.days.any()

    def next_from(self, wall: int) -> int | None:
        """Return the first match that is *wall* or later, in wall seconds from 1970 on."""
        day, rest = divmod(wall if wall > 0 else 0, DAY_SECONDS)
        time = self._time_from(rest)
        if time is None:
            day += 1
            time = self._first
        if not self.every_day:
            found = self.days.next_from(day)
            if found is None:
                return None
            if found != day:
                day, time = found, self._first
        return day * DAY_SECONDS + time

    def _time_from(self, rest: int) -> int | None:
        """Return the first time of day that is *rest* or later, in seconds, or None."""
        hour, rest = divmod(rest, 3600)
        found = self._next_hour[hour]
        if found == hour:
            minute, second = divmod(rest, 60)
            at = self._next_minute[minute]
            if at == minute:
                second = self._next_second[second]
                if second < 60:
                    return hour * 3600 + minute * 60 + second
                at = self._next_minute[minute + 1]
            if at < 60:
                return hour * 3600 + at * 60 + self._first_second
            found = self._next_hour[hour + 1]
        if found < 24:
            return found * 3600 + self._first_minute + self._first_second
        return None


@lru_cache(maxsize=1024)
def _successors(values: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return, for each number up to *size*, the first of *values* not below it, else *size*."""
    table = [size] * (size + 1)
    for value in reversed(values):
        table[value] = value
    for number in range(size - 1, -1, -1):
        if table[number] == size:
            table[number] = table[number + 1]
    return tuple(table)
