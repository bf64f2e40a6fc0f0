"""When jobs are due, as the end of their JSON: many at a time.

It is the same as :func:`schedhttp.codec.place_to_dict` in JSON, in 0.1 us a job and not in 4.
Jobs in the order of their due times share the minute with their neighbours, so what stands before
the seconds is found once for all of a minute.  What stands from the seconds on is nearly always
known already: most jobs come back at the same point of a minute, since their span is a number of
minutes.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from schedcore.clock import SECOND, from_us

PAUSED: Final = b',"next_run_time":null,"state":"paused"}'
"""The end of a paused job's JSON."""
_BEGIN: Final = b',"next_run_time":"'
_END: Final = b'","state":"scheduled"}'
_MINUTE_US: Final = 60 * SECOND
_HOUR_US: Final = 60 * _MINUTE_US
_MINUTE: Final = timedelta(minutes=1)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_MINUTES: Final = 24 * 60
_MINUTES: Final = [f"T{m // 60:02}:{m % 60:02}:".encode("ascii") for m in range(_DAY_MINUTES)]
_MOST_HOURS: Final = 4096
_MOST_SECONDS: Final = 32_768
"""Points of a minute that are kept: 5 MB."""


class Tails(NamedTuple):
    """What follows the fixed part of each job's JSON, in two pieces: they are joined anyway."""

    befores: list[bytes]
    """Up to the minute, which many jobs share."""
    afters: list[bytes]
    """From the seconds on."""


class _Seconds(dict[int, bytes]):
    """What stands from the seconds on, by microseconds since the minute began.

    Args:
        offset: How the due times of these minutes end.
    """

    __slots__ = ("_end",)

    def __init__(self, offset: str) -> None:
        self._end = offset.encode("ascii") + _END

    def __missing__(self, at_us: int) -> bytes:
        if len(self) >= _MOST_SECONDS:
            self.clear()
        seconds, micros = divmod(at_us, SECOND)
        text = f"{seconds:02}.{micros:06}" if micros else f"{seconds:02}"
        found = self[at_us] = text.encode("ascii") + self._end
        return found


class _Hour(NamedTuple):
    """An hour of UTC in which the clocks of a zone do not change."""

    offset: int
    """How many minutes they are ahead of UTC."""
    seconds: _Seconds


class DueTimes:
    """Due times as JSON.  Thread-safe: what is kept is the same whoever writes it."""

    def __init__(self) -> None:
        self._hours: dict[tuple[tzinfo, int], _Hour] = {}
        self._seconds: dict[str, _Seconds] = {}

    def tail(self, due_us: int | None, zone: tzinfo) -> bytes:
        """Return the end of the JSON of one job that is neither broken nor under way."""
        if due_us is None:
            return PAUSED
        hour = self._hour(due_us - due_us % _HOUR_US, zone)
        if hour is None:
            return _whole(due_us, zone)
        before = _up_to_minute(due_us // _MINUTE_US + hour.offset)
        return before + hour.seconds[due_us % _MINUTE_US]

    def tails(self, dues: list[int | None], zones: list[tzinfo]) -> Tails:
        """Return the end of the JSON of jobs that are neither broken nor under way.

        Quickest in the order of a list of all jobs; what it says does not depend on the order.

        Args:
            dues: When each is due, in microseconds since the epoch; None: paused.
            zones: Where the time of each is shown.
        """
        end = len(dues)
        while end and dues[end - 1] is None:  # paused, and last in a list of all jobs
            end -= 1
        paused = len(dues) - end
        if end and _is_one_series(dues[:end], zones[:end]):
            befores, afters = self._in_order(dues[:end], zones[0])  # type: ignore[arg-type]
            return Tails(befores + [PAUSED] * paused, afters + [b""] * paused)
        befores, afters = [PAUSED] * len(dues), [b""] * len(dues)
        for zone, places in _series(dues, zones).items():
            written = self._in_order([dues[place] for place in places], zone)  # type: ignore[misc]
            for place, before, after in zip(places, *written, strict=True):
                befores[place], afters[place] = before, after
        return Tails(befores, afters)

    def _in_order(self, dues: list[int], zone: tzinfo) -> Tails:
        """Return the same for due times that only grow, all shown in one zone."""
        befores: list[bytes] = []
        afters: list[bytes] = []
        begin = 0
        while begin < len(dues):
            hour_us = dues[begin] - dues[begin] % _HOUR_US
            end = bisect_left(dues, hour_us + _HOUR_US, begin)
            hour = self._hour(hour_us, zone)
            if hour is None:
                befores += [_whole(due_us, zone) for due_us in dues[begin:end]]
                afters += [b""] * (end - begin)
            else:
                befores += _up_to_minutes(dues, begin, end, hour.offset)
                seconds = hour.seconds
                afters += [seconds[due_us % _MINUTE_US] for due_us in dues[begin:end]]
            begin = end
        return Tails(befores, afters)

    def _hour(self, begin_us: int, zone: tzinfo) -> _Hour | None:
        """Return how far wall clocks are ahead all through this hour of UTC.

        None where that changes, or where their minutes are not those of UTC: before 1972, offsets
        had seconds.
        """
        hour = self._hours.get((zone, begin_us))
        if hour is None:
            first, last = from_us(begin_us, zone), from_us(begin_us + _HOUR_US - SECOND, zone)
            offset = first.utcoffset()
            if offset is None or offset != last.utcoffset() or offset % _MINUTE:
                return None
            if (
                len(self._hours) >= _MOST_HOURS
                or sum(map(len, list(self._seconds.values()))) > _MOST_SECONDS
            ):
                self._hours, self._seconds = {}, {}
            text = first.isoformat()[19:]
            seconds = self._seconds.get(text)
            if seconds is None:
                seconds = self._seconds[text] = _Seconds(text)
            hour = self._hours[zone, begin_us] = _Hour(offset // _MINUTE, seconds)
        return hour


def _up_to_minutes(dues: list[int], begin: int, end: int, offset: int) -> list[bytes]:
    """Return what stands before the seconds, while clocks are *offset* minutes ahead."""
    befores: list[bytes] = []
    while begin < end:
        minute = dues[begin] // _MINUTE_US
        same_until = bisect_left(dues, (minute + 1) * _MINUTE_US, begin, end)
        befores += [_up_to_minute(minute + offset)] * (same_until - begin)
        begin = same_until
    return befores


def _up_to_minute(minute: int) -> bytes:
    """Return what stands before the seconds; *minute* counts those of the wall clock from 1970."""
    day, of_day = divmod(minute, _DAY_MINUTES)
    return _up_to_day(day) + _MINUTES[of_day]


@lru_cache(maxsize=256)
def _up_to_day(day: int) -> bytes:
    return _BEGIN + date.fromordinal(_EPOCH_DAY + day).isoformat().encode("ascii")


def _is_one_series(dues: list[int | None], zones: list[tzinfo]) -> bool:
    """Tell whether these are due times that only grow, all shown in one zone.

    It takes 0.02 us a job; to part them into series that surely are takes 0.3.
    """
    if not all(dues) or zones.count(zones[0]) < len(zones):
        return False
    ordered = sorted(dues)  # type: ignore[type-var]  # there is no None among them
    return dues == ordered


def _series(dues: list[int | None], zones: list[tzinfo]) -> dict[tzinfo, list[int]]:
    """Return for each zone the places of the due times shown in it, so that they only grow."""
    found: dict[tzinfo, list[int]] = {}
    for place, (due_us, zone) in enumerate(zip(dues, zones, strict=True)):
        if due_us is not None:
            found.setdefault(zone, []).append(place)
    for places in found.values():
        places.sort(key=dues.__getitem__)  # type: ignore[arg-type]
    return found


def _whole(due_us: int, zone: tzinfo) -> bytes:
    return _BEGIN + from_us(due_us, zone).isoformat().encode("ascii") + _END
