"""How results are shown: one line each, and the cost against size as a plot in plain text."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.measuring import OURS
from benchmarks.results import EXPONENT, Curves, Result

COLUMNS = {
    "scenario": 47,
    "ours": 10,
    "spread": 7,
    "peer": 10,
    "limit": 10,
    "x peer": 8,
    "bar": 6,
    "x limit": 8,
    "bar ": 6,
    "at most": 9,
    "met": 5,
    "against": 0,
}
"""Headings and widths: numbers are set to the right of theirs, words to the left."""
WORDS = {"scenario", "against"}
SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")),
    "B": ((1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")),
}


def heading() -> str:
    """Return the line above the results."""
    return _line({column: column for column in COLUMNS})


def line(result: Result) -> str:
    """Return one result as a line of the table."""
    row = result.row
    against = [name for name in (row.peer, row.limit) if name in result.figures]
    return _line(
        {
            "scenario": result.name,
            "ours": amount(result.median(OURS), row.unit),
            "spread": "" if result.spread is None else f"{result.spread:.0%}",
            "peer": amount(result.median(row.peer), row.unit),
            "limit": amount(result.median(row.limit), row.unit),
            "x peer": times(result.times_peer),
            "bar": times(row.times_peer),
            "x limit": times(result.of_limit),
            "bar ": times(row.of_limit),
            "at most": amount(row.at_most, row.unit),
            "met": {True: "yes", False: "NO", None: ""}[result.met],
            "against": "; ".join([", ".join(against), *result.notes]).strip("; "),
        }
    )


def _line(cells: Mapping[str, str]) -> str:
    set_out = [
        f"{cells[name]:<{width}}" if name in WORDS else f"{cells[name]:>{width}}"
        for name, width in COLUMNS.items()
    ]
    return " ".join(set_out).rstrip()


def amount(value: float | None, unit: str) -> str:
    """Return a figure with three digits and the unit that suits its size."""
    if value is None:
        return ""
    if unit == EXPONENT:
        return f"{value:.2f}"
    if unit not in SCALES:
        return f"{value:,.0f}"
    scale, name = next((s for s in SCALES[unit] if value >= s[0]), SCALES[unit][-1])
    scaled = value / scale
    return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {name}"


def times(ratio: float | None) -> str:
    """Return a ratio with two digits or more."""
    if ratio is None:
        return ""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 2 else f"{ratio:.2f}"


def plots(curves: Curves) -> str:
    """Return each curve as a plot: microseconds for one operation against the number of jobs."""
    import plotext  # here: the table does without it

    drawn = []
    for name, lines in curves.items():
        plotext.clear_figure()
        for marker, (subject, points) in zip("o+.x", lines.items(), strict=False):
            sizes, costs = zip(*points, strict=True)
            plotext.plot(sizes, [cost * 1e6 for cost in costs], label=subject, marker=marker)
        ticks = [size for size, _ in lines[OURS]]
        plotext.xticks(ticks, [f"{size:,}" for size in ticks])
        all_costs = [cost * 1e6 for points in lines.values() for _, cost in points]
        decades = [ten * one for ten in (0.1, 1, 10, 100, 1000) for one in (1, 2, 5)]
        marks = [mark for mark in decades if min(all_costs) <= mark <= max(all_costs)]
        plotext.yticks(marks, [f"{mark:g}" for mark in marks])
        plotext.xscale("log")
        plotext.yscale("log")
        plotext.title(f"{name}: us each, against the number of jobs, both logarithmic")
        plotext.plotsize(80, 20)
        drawn.append("\n".join(map(str.rstrip, plotext.uncolorize(plotext.build()).splitlines())))
    return "\n\n".join(drawn)
