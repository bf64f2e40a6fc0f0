"""The only reader of time: a protocol, the system's clock, and a manual clock.

Instants are integer microseconds since the Unix epoch in UTC, here and in the whole engine; users
see aware datetimes.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Protocol

UTC = timezone.utc
SECOND = 1_000_000
"""Microseconds in a second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Waker:
    """Lets one thread sleep, and any thread wake it: before, during or after its sleep.

    A raw lock, held until a thread calls :meth:`wake`; an ``Event`` costs ten times as much.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """End the current sleep, or the next one at once; several calls count as one."""
        try:
            self._lock.release()
        except RuntimeError:
            return  # the lock was free: a wake is pending already

    def sleep(self, seconds: float = -1) -> bool:
        """Block until woken, or for *seconds* (-1: no limit); return whether it was woken."""
        return self._lock.acquire(timeout=seconds)


class Flag(Waker):
    """Becomes set once, for any number of threads that wait for that.

    Setting it never waits for a lock, as that of a ``threading.Event`` may: a Ctrl-C in a thread
    that begins to wait there can leave its lock held for ever.
    """

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake those who wait for that."""
        self._is_set = True
        self.wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set, or for *timeout* seconds; return whether it is set."""
        deadline = Deadline(timeout)
        while not self._is_set:
            left = deadline.left()
            if left == 0:
                return False
            # In slices: one who is woken may be interrupted before it wakes the next.
            self.sleep(_SLICE_S if left is None else min(left, _SLICE_S))
        self.wake()  # the next one
        return True


_SLICE_S = 1.0


class Clock(Protocol):
    """The engine's source of time."""

    def now_us(self) -> int:
        """Return the wall clock's instant, in microseconds since the Unix epoch."""
        ...

    def monotonic_us(self) -> int:
        """Return microseconds of a clock that never steps; only differences mean anything."""
        ...

    def wait(self, waker: Waker, until_us: int, cap_us: int) -> None:
        """Block until *waker* is woken, the wall clock shows *until_us*, or *cap_us* is over."""
        ...


class SystemClock:
    """The computer's clock; or the time that freezegun has frozen, in every thread.

    Only the instant can be frozen: waits, timeouts and delays still use real time.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "SystemClock()"

    def now_us(self) -> int:
        """Return the wall clock's instant, in microseconds since the Unix epoch."""
        # Asked first here, and not through two calls: each run reads the clock twice.  Nobody can
        # have frozen time without freezegun: 0.11 us where that is not loaded, in place of 0.27.
        if _FREEZER in _modules:
            frozen_us = frozen_now_us()
            if frozen_us is not None:
                return frozen_us
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Return microseconds of a clock that never steps; only differences mean anything."""
        return passing_us()

    def wait(self, waker: Waker, until_us: int, cap_us: int) -> None:
        """Block until *waker* is woken, the wall clock shows *until_us*, or *cap_us* is over."""
        wait_us = min(until_us - self.now_us(), cap_us)
        if wait_us > 0:
            # Frozen just before that instant, the clock would have the loop look without a pause.
            waker.sleep(max(wait_us, _FROZEN_WAIT_US if is_frozen() else 0) / SECOND)


class ManualClock:
    """A clock that only its methods move, for tests and simulations.

    A started scheduler on this clock sleeps until :meth:`set` or :meth:`advance` reaches its next
    due time.  Thread-safe.

    Args:
        start: First instant, timezone-aware.

    Raises:
        ValueError: if *start* has no time zone.
    """

    def __init__(self, start: datetime = datetime(2000, 1, 1, tzinfo=UTC)) -> None:
        self._zone = start.tzinfo
        self._now_us = self._elapsed_us = to_us(start)
        self._mutex = threading.RLock()  # a signal handler may move it as well
        self._waiting: list[Waker] = []

    def __repr__(self) -> str:
        return f"<ManualClock at {self.now().isoformat()}>"

    def now(self) -> datetime:
        """Return the clock's instant, in the zone of the datetime it was started with."""
        return from_us(self._now_us).astimezone(self._zone)

    def now_us(self) -> int:
        """Return the clock's instant, in microseconds since the Unix epoch."""
        return self._now_us

    def monotonic_us(self) -> int:
        """Return the microseconds advanced so far; :meth:`set` counts as a step of the wall clock
        only where it goes back.
        """
        return self._elapsed_us

    def set(self, now: datetime) -> None:
        """Set the clock to *now*, timezone-aware; an earlier time sets the clock back."""
        self.set_us(to_us(now))

    def set_us(self, now_us: int) -> None:
        """Set the clock to *now_us*, in microseconds since the Unix epoch."""
        with self._mutex:
            self._move(now_us)

    def advance(self, by: timedelta | float) -> None:
        """Advance the clock by a timedelta or a number of seconds."""
        span = by if isinstance(by, timedelta) else timedelta(seconds=by)
        with self._mutex:
            self._move(self._now_us + span // _MICROSECOND)

    def jump(self, by: timedelta | float) -> None:
        """Step the wall clock while no time passes, like an operator who sets the clock."""
        span = by if isinstance(by, timedelta) else timedelta(seconds=by)
        with self._mutex:
            self._now_us += span // _MICROSECOND
            self._wake()

    def wait(self, waker: Waker, until_us: int, cap_us: int) -> None:
        """Block until *waker* is woken, the clock is moved, or *cap_us* of real time is over."""
        with self._mutex:
            if self._now_us >= until_us:
                return
            self._waiting.append(waker)
        # The cap is for a clock that was set back just before: nobody would wake this thread.
        waker.sleep(cap_us / SECOND)
        with self._mutex:
            if waker in self._waiting:
                self._waiting.remove(waker)

    def _move(self, now_us: int) -> None:
        """Set the clock; called with the mutex held."""
        self._elapsed_us += max(0, now_us - self._now_us)
        self._now_us = now_us
        self._wake()

    def _wake(self) -> None:
        """Let every waiting thread look again; called with the mutex held."""
        waiting, self._waiting = self._waiting, []
        for waker in waiting:
            waker.wake()


class Deadline:
    """A timeout that several waits share: each gets what the previous ones have left.

    It uses real time, also while freezegun has stopped the clock.

    Args:
        seconds: For all of them together; None: no limit.
    """

    __slots__ = ("_until_us",)

    def __init__(self, seconds: float | None) -> None:
        # No lock can wait for longer than TIMEOUT_MAX, 292 years.
        limited = seconds is not None and seconds < threading.TIMEOUT_MAX
        self._until_us = passing_us() + round((seconds or 0) * SECOND) if limited else None

    def left(self) -> float | None:
        """Return how many seconds are left, at least 0; None: no limit."""
        if self._until_us is None:
            return None
        return max(0, self._until_us - passing_us()) / SECOND


_FREEZER = "freezegun.api"
_modules = sys.modules
_FROZEN_WAIT_US = 10_000
# The real one, also where this module is first imported while time is frozen; and in a tuple,
# where freezegun does not find and replace it.
_REAL = (getattr(sys.modules.get(_FREEZER), "real_monotonic_ns", time.monotonic_ns),)


def passing_us() -> int:
    """Return microseconds of real time, from no particular start, whatever clocks are stopped."""
    return _REAL[0]() // 1000


# Linux has one that goes on while the machine sleeps.
_BOOT = getattr(time, "CLOCK_BOOTTIME", None)
_READ = (getattr(time, "clock_gettime_ns", None),)


def lasting_us() -> int:
    """Return microseconds of real time, from no particular start, with those of a sleep if known.

    That is what passes for others while this machine sleeps.
    """
    read = _READ[0]
    return passing_us() if read is None or _BOOT is None else int(read(_BOOT)) // 1000


def is_frozen() -> bool:
    """Return whether freezegun has frozen the time."""
    return _frozen() is not None


def frozen_now_us() -> int | None:
    """Return the instant at which freezegun has frozen the time; None: it has not.

    Its replacement of :func:`time.time` answers callers that have ``threading`` among the next
    five frames with real time, and so the loop and the workers.  What it holds is asked here, and
    not moved: with ``auto_tick_seconds`` it goes on each time that it is called.
    """
    frozen = _frozen()
    if frozen is None:
        return None
    moment = frozen.time_to_freeze if hasattr(frozen, "step_width") else frozen()
    return to_us(moment.replace(tzinfo=UTC))


def _frozen() -> Any:
    """Return what holds the frozen time: the factory of the innermost freeze, or None."""
    freezer = _modules.get(_FREEZER)
    if freezer is None or not getattr(freezer, "freeze_factories", ()):
        return None
    try:
        # If this package is ignored, real time is wanted here.
        if __name__.startswith(freezer.ignore_lists[-1] or ("-",)):
            return None
        return freezer.freeze_factories[-1]
    except IndexError:  # unfrozen in between
        return None


def earlier(one_us: int | None, other_us: int | None) -> int | None:
    """Return the earlier of two times, where None is never."""
    if one_us is None or other_us is None:
        return other_us if one_us is None else one_us
    return min(one_us, other_us)


def to_us(moment: datetime) -> int:
    """Return an aware datetime as microseconds since the Unix epoch, exactly.

    Raises:
        ValueError: if *moment* has no time zone: which instant it means cannot be known.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"{moment!r} has no time zone: expected an aware datetime")
    return (moment - _EPOCH) // _MICROSECOND


def from_us(instant_us: int, zone: tzinfo = UTC) -> datetime:
    """Return microseconds since the Unix epoch as an aware datetime in *zone*."""
    # Not timedelta(microseconds=...): that divides by itself, in twice the time.
    moment = _EPOCH + timedelta(0, *divmod(instant_us, SECOND))
    return moment if zone is UTC else moment.astimezone(zone)
