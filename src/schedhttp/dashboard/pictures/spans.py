"""Durations over time: how long runs took, or how late they began."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from markupsafe import Markup

from schedhttp.dashboard import texts
from schedhttp.dashboard.pictures.scale import Scale, grid, moment, names
from schedhttp.dashboard.pictures.svg import element, part, picture

MOST: Final = 500
"""Maximum number of dots: the latest."""
HEIGHT: Final = 138
_TOP, _FLOOR = 18, 116


class Span(NamedTuple):
    """One duration."""

    at_us: int
    seconds: float
    kind: str
    """The outcome."""


def spans(what: str, found: Sequence[Span], zone: tzinfo) -> Markup:
    """Return the picture.

    Args:
        what: What the picture shows, in words.
        found: The durations to show.
        zone: The time zone of the labels.
    """
    latest = sorted(found)[-MOST:]
    if not latest:
        return picture("spans", HEIGHT, f"{what}: no data yet")
    scale = _scale(latest)
    highest = max(0.001, *(each.seconds for each in latest))
    drawn = grid(scale, zone, _FLOOR)
    for level in (highest, highest / 2):
        y = _height(level, highest)
        drawn.append(element("line", x1="0%", x2="100%", y1=y, y2=y, class_="grid"))
        drawn.append(element("text", texts.duration(level), x="0%", y=y - 3, class_="name"))
    for at_us, seconds, kind in latest:
        title = f"{moment(at_us, zone)}: {texts.duration(seconds)}, {kind.replace('_', ' ')}"
        drawn.append(
            element(
                "circle",
                element("title", title),
                cx=part(scale.at(at_us)),
                cy=_height(seconds, highest),
                r=3 if kind == "executed" else 5,  # to be distinguishable without colours
                class_=texts.MARKS[kind][1],
            )
        )
    drawn += names(scale, zone, HEIGHT - 6)
    return picture("spans", HEIGHT, _label(what, latest), *drawn)


def _scale(latest: Sequence[Span]) -> Scale:
    first, last = latest[0].at_us, latest[-1].at_us
    room = max(last - first, 60_000_000) // 40  # so that no dot is cut at an edge
    return Scale(first - room, last + room)


def _height(seconds: float, highest: float) -> float:
    return _FLOOR - max(0.0, seconds) / highest * (_FLOOR - _TOP)


def _label(what: str, latest: Sequence[Span]) -> str:
    seconds = [each.seconds for each in latest]
    half, longest = texts.percentile(seconds, 0.5), max(seconds)
    return (
        f"{what} of the last {len(latest)}: half up to {texts.duration(half)},"
        f" the longest {texts.duration(longest)}"
    )
