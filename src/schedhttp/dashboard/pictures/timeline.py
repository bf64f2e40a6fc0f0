"""The lane of one job on the timeline: its past and coming runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

from markupsafe import Markup

from schedcore.clock import SECOND
from schedhttp.dashboard import texts
from schedhttp.dashboard.pictures.scale import Scale, grid, moment
from schedhttp.dashboard.pictures.svg import bar, picture

COLUMNS: Final = 200
"""Number of columns of a lane.  Runs that begin in the same column are one bar."""
HEIGHT: Final = 26
_PLACES: Final = {
    "bad": (0, HEIGHT),
    "warn": (16, 10),
    "open": (3, 20),
    "dull": (19, 7),
    "good": (6, 14),
}
"""Upper edge and height by kind, since not everybody can distinguish the colours: failures are
tall, and occurrences that did not run are at the bottom."""
_WORST: Final = ("bad", "warn", "open", "dull", "good", "coming")


class Happening(NamedTuple):
    """A due time with its outcome or its open run."""

    due_us: int
    begin_us: int
    """When it began; if it did not begin, when that was decided."""
    end_us: int
    """When it ended; now, if it is open."""
    kind: str
    """Its outcome, or ``waiting`` or ``running``."""
    why: str


class _Bar(NamedTuple):
    begin_us: int
    end_us: int
    late_us: int
    kind: str
    title: str


def lane(
    scale: Scale,
    zone: tzinfo,
    now_us: int,
    happenings: Iterable[Happening],
    coming_us: Sequence[int],
    took_us: int | None = None,
    further: int = 0,
) -> Markup:
    """Return the picture.

    Args:
        scale: The shown period.
        zone: The time zone of the labels.
        now_us: The present.
        happenings: The past due times.
        coming_us: Due times to come.
        took_us: How long a run takes; None: unknown.
        further: How many others follow these, spread over the rest of the period.
    """
    in_view = [
        each for each in happenings if scale.begin_us <= each.end_us and each.due_us < scale.end_us
    ]
    coming = [us for us in coming_us if scale.begin_us <= us < scale.end_us]
    parts = grid(scale, zone, HEIGHT, now_us)
    for us in _by_column(scale, [(us, us) for us in coming]):
        parts.append(_coming(scale, zone, us, took_us or 0))
    if further and coming:
        title = f"{further:,} more, as often"
        parts.append(bar(scale.at(coming[-1]), 1.0, 11, 4, "coming", title))
    for group in _by_column(scale, [(each.begin_us, each) for each in in_view]):
        found = _merged(group, zone)
        if found.late_us:
            late_us = found.begin_us - found.late_us
            title = f"late by {texts.duration(found.late_us / SECOND)}"
            parts.append(bar(scale.at(late_us), scale.at(found.begin_us), 11, 4, "late", title, 0))
        begin, end = scale.at(found.begin_us), scale.at(found.end_us)
        parts.append(bar(begin, end, *_PLACES[found.kind], found.kind, found.title))
    return picture("lane", HEIGHT, _label(in_view, len(coming) + further), *parts)


def _by_column(scale: Scale, placed: Iterable[tuple[int, object]]) -> list[list]:  # type: ignore[type-arg]
    """Group items by their column."""
    columns: dict[int, list[object]] = {}
    for us, each in placed:
        columns.setdefault(int(scale.at(us) * COLUMNS), []).append(each)
    return list(columns.values())


def _coming(scale: Scale, zone: tzinfo, group: list[int], took_us: int) -> Markup:
    first, last = min(group), max(group)
    title = f"due {moment(first, zone)}"
    if len(group) > 1:
        title = f"{len(group)} runs due from {moment(first, zone)} to {moment(last, zone)}"
    return bar(scale.at(first), scale.at(last + took_us), 8, 10, "coming", title)


def _merged(group: list[Happening], zone: tzinfo) -> _Bar:
    """Return one bar for all items of a column, in the colour of the worst outcome."""
    kinds = [texts.MARKS[each.kind][1] for each in group]
    worst = min(kinds, key=_WORST.index)
    first = group[kinds.index(worst)]
    began = min(each.begin_us for each in group)
    late_us = max(each.begin_us - each.due_us for each in group)
    if len(group) == 1:
        title = f"due {moment(first.due_us, zone)}: {first.why}"
    else:
        title = f"{counted(each.kind for each in group)} from {moment(began, zone)} on: {first.why}"
    end_us = max(each.end_us for each in group)
    return _Bar(began, end_us, late_us if late_us >= SECOND else 0, worst, title)


def counted(kinds: Iterable[str]) -> str:
    """Return the number of items of each kind, in words."""
    counts = Counter(kinds)
    ordered = sorted(counts, key=lambda kind: _WORST.index(texts.MARKS[kind][1]))
    return ", ".join(f"{counts[kind]} {kind.replace('_', ' ')}" for kind in ordered)


def _label(in_view: Sequence[Happening], coming: int) -> str:
    past = counted(each.kind for each in in_view) or "nothing was due"
    return f"{past}; {f'{coming:,}' if coming else 'nothing'} to come"
