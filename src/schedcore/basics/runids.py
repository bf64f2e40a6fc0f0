"""Ids of runs: unique over schedulers, forks, restarts and workers, and growing with time."""

from __future__ import annotations

import os
from typing import Final

from schedcore.clock import Clock, ManualClock, SystemClock

_OWN: Final = 10**6


class RunIds:
    """Makes ids: the microsecond in which a run is created, then six digits of this object.

    One object never uses a microsecond twice, and two objects hardly ever have the same digits:
    they are random, and drawn again after a fork.  On a :class:`~schedcore.ManualClock` they are
    zeros, so a repeated simulation gets the same ids. An id has 22 digits, more than JavaScript's
    numbers can represent: in JSON it is text.

    Not thread-safe: its owner holds a lock.

    Args:
        clock: That of the scheduler.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_us = -1
        self._own = 0
        if not isinstance(clock, ManualClock):
            self.draw_anew()

    def draw_anew(self) -> None:
        """Draw other digits: in a forked child, those are the parent's."""
        self._own = int.from_bytes(os.urandom(8), "big") % _OWN

    def next(self) -> int:
        """Return the id of a run that is made now."""
        return self.many(1)[0]

    def many(self, count: int) -> range:
        """Return the ids of *count* runs that are made now: the clock is read once."""
        try:
            now_us = self._clock.now_us()
        except BaseException:  # noqa: BLE001 — whoever reads it next logs it
            now_us = SystemClock().now_us()
        first_us = max(now_us, self._last_us + 1)
        self._last_us = first_us + count - 1
        first = first_us * _OWN + self._own
        return range(first, first + count * _OWN, _OWN)
