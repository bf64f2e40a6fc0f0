"""The one search for the next match of a schedule, on the wall clock.

A :class:`Schedule` knows nothing of zones: it answers in *wall seconds*, the seconds that a wall
clock shows since 1 January 1970 00:00, and :mod:`~schedcore.triggers.zones` maps them to instants.
Every answer costs a few table look-ups, whatever the distance.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

from schedcore.triggers.daysets import DayRule, Days

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
        "_only_second",
        "_starts",
        "_waits",
        "days",
        "elapsed",
        "every_day",
        "every_minute",
        "rule",
        "times",
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
        self.times = hours, minutes, seconds
        self.every_day = rule.is_every_day()
        self.days = Days(rule)
        self._starts = _minute_starts(hours, minutes)
        self._first = self._starts[0] + seconds[0]
        self._waits = _waits(seconds)
        self._only_second = seconds[0] if len(seconds) == 1 else None
        self.every_minute = self.every_day and len(self._starts) == len(_STARTS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        return (self.rule, self.times, self.elapsed)

    def can_fire(self) -> bool:
        """Return whether there is any match from 1970 to 9999."""
        return self.every_day or self.days.any()

    def next_from(self, wall: int) -> int | None:
        """Return the first match that is *wall* or later; *wall* is 0 (1970) or more."""
        if self.every_minute:
            return wall + self._waits[wall % 60]
        day = wall // DAY_SECONDS
        rest = wall - day * DAY_SECONDS
        second = self._only_second
        if second is None:
            time = self._time_from(rest)
        else:
            place = bisect_left(self._starts, rest - second)
            time = self._starts[place] + second if place < len(self._starts) else DAY_SECONDS
        if time >= DAY_SECONDS:
            day += 1
            time = self._first
        if self.every_day:
            return day * DAY_SECONDS + time
        found = self.days.next_from(day)
        if found is None:
            return None
        return found * DAY_SECONDS + (time if found == day else self._first)

    def _time_from(self, rest: int) -> int:
        """Return the first time of day that is *rest* or later; past the day's end if none is."""
        time = rest + self._waits[rest % 60]
        place = bisect_left(self._starts, time - time % 60)
        if place == len(self._starts):
            return DAY_SECONDS
        # In a minute that is not allowed, no second of it is: on to the next one's first.
        start = self._starts[place]
        return time if start == time - time % 60 else start + self.times[2][0]

    def count(self, first: int, end: int) -> int:
        """Return how many matches lie in ``[first, end)``, in wall seconds of 0 (1970) or more."""
        if end <= first:
            return 0
        first_day, end_day = first // DAY_SECONDS, end // DAY_SECONDS
        hours, minutes, seconds = self.times
        count = self._count_days(first_day, end_day) * len(hours) * len(minutes) * len(seconds)
        # Of the last day, what comes before the end; of the first, not what came before.
        if self._count_days(end_day, end_day + 1):
            count += self._count_before(end % DAY_SECONDS)
        if self._count_days(first_day, first_day + 1):
            count -= self._count_before(first % DAY_SECONDS)
        return count

    def _count_days(self, first: int, end: int) -> int:
        return end - first if self.every_day else self.days.count(first, end)

    def _count_before(self, rest: int) -> int:
        """Return how many times of day lie before *rest*."""
        minute, seconds = rest - rest % 60, self.times[2]
        place = bisect_left(self._starts, minute)
        count = place * len(seconds)
        if place < len(self._starts) and self._starts[place] == minute:
            count += bisect_left(seconds, rest % 60)
        return count


# Shared by all schedules: a tuple of 1440 costs 11 KB then, and not 50.
_STARTS = tuple(range(0, DAY_SECONDS, 60))


@lru_cache(maxsize=256)
def _minute_starts(hours: tuple[int, ...], minutes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the seconds of the day at which a minute allowed begins, ascending."""
    return tuple([_STARTS[hour * 60 + minute] for hour in hours for minute in minutes])


@lru_cache(maxsize=256)
def _waits(seconds: tuple[int, ...]) -> tuple[int, ...]:
    """Return how long it takes from each second of a minute to the first of *seconds*."""
    again = seconds[0] + 60
    return tuple([next((s for s in seconds if s >= now), again) - now for now in range(60)])
