"""How many runs of an executor will be active at once, and how many can be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from markupsafe import Markup

from schedcore.clock import SECOND
from schedhttp.dashboard.pictures.scale import Scale, grid, moment, names
from schedhttp.dashboard.pictures.svg import bar, element, picture

_TOP, _FLOOR = 18, 118
HEIGHT: Final = 138


class Part(NamedTuple):
    """A part of the shown period."""

    begin_us: int
    end_us: int
    runs: float
    """The number of runs that are due in it."""
    most: float
    """The number of runs that would be active at once."""


def load(scale: Scale, zone: tzinfo, parts: Sequence[Part], workers: int | None) -> Markup:
    """Return the picture.

    Args:
        scale: The shown period.
        zone: The time zone of the labels.
        parts: The forecast.
        workers: How many runs can be active at once; None: any number.
    """
    highest = max(1.25 * (workers or 0), 1.0, *(each.most for each in parts))
    drawn = grid(scale, zone, _FLOOR)
    for each in parts:
        if not each.most:
            continue
        height = max(2.0, each.most / highest * (_FLOOR - _TOP))
        kind = "bad" if workers is not None and each.most > workers else "open"
        title = f"{moment(each.begin_us, zone)}: {number(each.most)} at once, {each.runs:.0f} due"
        begin, end = scale.at(each.begin_us), scale.at(each.end_us)
        drawn.append(bar(begin, end - 0.001, _FLOOR - height, height, kind, title))
    if workers is not None:
        level = _FLOOR - workers / highest * (_FLOOR - _TOP)
        drawn.append(element("line", x1="0%", x2="100%", y1=level, y2=level, class_="limit"))
        drawn.append(element("text", f"{workers} workers", x="0%", y=level - 4, class_="name"))
    drawn += names(scale, zone, HEIGHT - 6)
    return picture("load", HEIGHT, peak(parts, workers, zone), *drawn)


def number(value: float) -> str:
    """Return a count, which may be a mean, as text."""
    return f"{value:.0f}" if value == round(value) or value >= 10 else f"{value:.1f}"


def peak(parts: Sequence[Part], workers: int | None, zone: tzinfo) -> str:
    """Return when the most runs will be active at once, in words."""
    can = "any number" if workers is None else workers
    most = max(parts, key=lambda each: each.most, default=None)
    if most is None or not most.most:
        return f"nothing is to come; {can} can run at once"
    begin = moment(most.begin_us // SECOND * SECOND, zone)
    return f"at most {number(most.most)} runs at once, about {begin}; {can} can"
