"""Converts times to positions in a picture, and draws the time axis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import cycle
from typing import Final, NamedTuple

from markupsafe import Markup

from schedcore.clock import SECOND, from_us, to_us
from schedhttp.dashboard.pictures.svg import element, line, part, picture

_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)
_DAYS: Final = (1, 2, 7, 14, 28, 91, 365)
_MOST_TICKS: Final = 9
_MOST_DAYS: Final = 4_000


class Scale(NamedTuple):
    """The period that a picture shows, from its left to its right edge."""

    begin_us: int
    end_us: int

    def at(self, us: int) -> float:
        """Return the position of a time, from 0 to 1; times outside are at the edge."""
        span_us = max(1, self.end_us - self.begin_us)
        return min(1.0, max(0.0, (us - self.begin_us) / span_us))

    def ticks(self, zone: tzinfo) -> list[tuple[int, str]]:
        """Return times that are round in a zone, with their labels."""
        span = timedelta(microseconds=self.end_us - self.begin_us)
        for minutes in _MINUTES:
            if span <= timedelta(minutes=minutes) * _MOST_TICKS:
                return list(self._ticks(zone, 1, minutes))
        days = next((d for d in _DAYS if span <= timedelta(days=d) * _MOST_TICKS), _MOST_DAYS)
        return list(self._ticks(zone, days, 1440))

    def _ticks(self, zone: tzinfo, days: int, minutes: int) -> Iterator[tuple[int, str]]:
        first = from_us(self.begin_us, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        last = from_us(self.end_us, zone).date()
        day = first.replace(tzinfo=None)
        while day.date() <= last:
            for minute in range(0, 1440, minutes):
                us = _instant(day + timedelta(minutes=minute), zone)
                if us is not None and self.begin_us <= us < self.end_us:
                    yield us, _name(from_us(us, zone), days)
            day += timedelta(days=days)


def _instant(wall: datetime, zone: tzinfo) -> int | None:
    """Return when clocks first show *wall*; None: they skip it."""
    us = to_us(wall.replace(tzinfo=zone))
    return us if from_us(us, zone).replace(tzinfo=None) == wall else None


def _name(local: datetime, days: int) -> str:
    if days > 300:
        return f"{local:%b %Y}"
    if days > 1 or (local.hour, local.minute) == (0, 0):
        return f"{local.day} {local:%b}"
    return f"{local:%H:%M}"


def grid(scale: Scale, zone: tzinfo, height: float, now_us: int | None = None) -> list[Markup]:
    """Return the lines of the labelled times, and of the present."""
    lines = [line(scale.at(us), 0, height, "grid") for us, _ in scale.ticks(zone)]
    if now_us is not None and scale.begin_us <= now_us <= scale.end_us:
        lines.append(line(scale.at(now_us), 0, height, "now"))
    return lines


def names(scale: Scale, zone: tzinfo, baseline: float) -> list[Markup]:
    """Return the labels of the times, except at the right edge.

    Narrow windows show every second one.
    """
    kinds = cycle(("name", "name second"))
    return [
        element("text", name, x=part(scale.at(us)), y=baseline, class_=kind)
        for (us, name), kind in zip(scale.ticks(zone), kinds, strict=False)
        if scale.at(us) < 0.95
    ]


def axis(scale: Scale, zone: tzinfo, now_us: int | None = None) -> Markup:
    """Return a picture of the time axis alone, for above or below others."""
    begin, end = (moment(us, zone) for us in scale)
    label = f"from {begin} to {end}"
    return picture("axis", 20, label, *grid(scale, zone, 20, now_us), *names(scale, zone, 14))


def moment(us: int, zone: tzinfo) -> str:
    """Return a time in the pages' format, to the second."""
    local = from_us(us // SECOND * SECOND, zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"
