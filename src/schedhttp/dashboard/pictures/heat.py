"""Due times and failures of a job in the week: hours by weekdays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Final, NamedTuple

from markupsafe import Markup

from schedcore.clock import from_us
from schedhttp.dashboard.pictures.svg import bar, element, part, picture

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LEFT: Final = 0.09
_CELL: Final = 16
HEIGHT: Final = 7 * _CELL + 18
_LEVELS: Final = 4


class Cell(NamedTuple):
    """An hour of a weekday."""

    runs: int = 0
    bad: int = 0


def by_hour(due: Iterable[tuple[int, bool]], zone: tzinfo) -> dict[tuple[int, int], Cell]:
    """Return how many runs were due in each hour of the week, and how many of them failed.

    Args:
        due: Of each run, its due time and whether it failed.
        zone: The time zone of the hours.
    """
    cells: dict[tuple[int, int], Cell] = {}
    for us, is_bad in due:
        local = from_us(us, zone)
        place = local.weekday(), local.hour
        runs, bad = cells.get(place, Cell())
        cells[place] = Cell(runs + 1, bad + is_bad)
    return cells


def heat(cells: Mapping[tuple[int, int], Cell]) -> Markup:
    """Return the picture: darker where more runs were due, with a mark where some failed."""
    most = max((cell.runs for cell in cells.values()), default=0)
    width = (1 - _LEFT) / 24
    drawn = [
        element("text", name, x="0%", y=n * _CELL + 12, class_="name")
        for n, name in enumerate(DAYS)
    ]
    for day in range(7):
        for hour in range(24):
            cell = cells.get((day, hour), Cell())
            level = -(-cell.runs * _LEVELS // most) if most else 0
            text = f"{cell.runs} due" + (f", {cell.bad} went wrong" if cell.bad else "")
            title = f"{DAYS[day]} {hour:02}:00: {text}"
            left, top = _LEFT + hour * width, day * _CELL
            drawn.append(bar(left, left + width * 0.92, top, _CELL - 2, f"level{level}", title))
            if cell.bad:
                middle = part(left + width * 0.46)
                dot = element("title", title)
                drawn.append(element("circle", dot, cx=middle, cy=top + 7, r=4, class_="bad"))
    for hour in range(0, 24, 6):
        at = part(_LEFT + hour * width)
        drawn.append(element("text", f"{hour:02}:00", x=at, y=HEIGHT - 4, class_="name"))
    return picture("heat", HEIGHT, _label(cells), *drawn)


def _label(cells: Mapping[tuple[int, int], Cell]) -> str:
    if not cells:
        return "nothing was due yet"
    (day, hour), cell = max(cells.items(), key=lambda each: (each[1].runs, each[0]))
    bad = sum(each.bad for each in cells.values())
    busiest = f"most was due {DAYS[day]} at {hour:02}:00, {cell.runs} time{'s' * (cell.runs != 1)}"
    if not bad:
        return f"{busiest}; nothing went wrong"
    (day, hour), cell = max(cells.items(), key=lambda each: (each[1].bad, each[0]))
    return f"{busiest}; {bad} went wrong, {cell.bad} of them {DAYS[day]} at {hour:02}:00"
