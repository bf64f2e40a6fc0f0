"""Formats results: one line each."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.measuring import OURS
from benchmarks.results import Result

COLUMNS = {
    "scenario": 47,
    "ours": 10,
    "peer": 10,
    "x": 7,
    "bar": 10,
    "met": 4,
    "notes": 0,
}
"""Headings and widths: numbers are aligned to the right, words to the left."""
WORDS = {"scenario", "notes"}
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
    bar = times(row.times_peer) if row.at_most is None else f"<= {amount(row.at_most, row.unit)}"
    return _line(
        {
            "scenario": result.name,
            "ours": amount(result.median(OURS), row.unit),
            "peer": amount(result.median(row.peer), row.unit),
            "x": times(result.times_peer),
            "bar": bar,
            "met": {True: "yes", False: "NO", None: ""}[result.met],
            "notes": "; ".join(result.notes),
        }
    )


def _line(cells: Mapping[str, str]) -> str:
    set_out = [
        f"{cells[name]:<{width}}" if name in WORDS else f"{cells[name]:>{width}}"
        for name, width in COLUMNS.items()
    ]
    return " ".join(set_out).rstrip()


def amount(value: float | None, unit: str) -> str:
    """Return a figure with three digits and a suitable unit."""
    if value is None:
        return ""
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
