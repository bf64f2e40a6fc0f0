"""From figures to rows: medians, spread, ratios, and whether the bars are met.

Medians and deviations are the standard library's.  pyperf's refuse a figure of zero, which is the
best that can be said of lost runs.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from benchmarks.measuring import OURS, Measured, Row, Scenario

LIBRARIES = (
    "schedcore-engine",
    "APScheduler",
    "SQLAlchemy",
    "croniter",
    "cronsim",
    "Flask-APScheduler",
    "Werkzeug",
)
"""Whose versions a result tells."""


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    row: Row
    figures: Mapping[str, list[float]]
    """What each subject gave, round by round."""
    times_peer: float | None = None
    notes: list[str] = field(default_factory=list)

    def median(self, subject: str) -> float | None:
        """Return the median of what *subject* gave, if it gave anything."""
        values = self.figures.get(subject)
        return statistics.median(values) if values else None

    @property
    def spread(self) -> float | None:
        """Return the standard deviation of our figures, as a part of their median."""
        values, median = self.figures.get(OURS, []), self.median(OURS)
        return statistics.stdev(values) / median if median and len(values) > 1 else None

    @property
    def met(self) -> bool | None:
        """Whether every bar is met; None if there is none, or nothing to hold against one."""
        row, ours = self.row, self.median(OURS)
        held: list[bool | None] = []
        if row.times_peer is not None:
            held.append(None if self.times_peer is None else self.times_peer >= row.times_peer)
        if row.at_most is not None:
            held.append(None if ours is None else ours <= row.at_most)
        # A bar that is missed is missed, whatever cannot be told of another.
        if False in held:
            return False
        return None if not held or None in held else True


def results_of(measured: Measured) -> list[Result]:
    """Return the rows that a scenario fills."""
    scenario = measured.scenario
    notes = [f"{subject}: {why}" for subject, why in measured.troubles.items()]
    return [
        Result(
            f"{scenario.name}: {row.label}" if row.label else scenario.name,
            row,
            {s: values for s in scenario.subjects if (values := measured.values(s, row.figure))},
            _times_better(measured, row.peer, row.figure),
            notes,
        )
        for row in scenario.rows
    ]


def _times_better(measured: Measured, other: str, figure: str) -> float | None:
    """Return how many times less we need than *other*: the median of the rounds' ratios.

    Not the ratio of the medians: what slows the machine lasts for seconds, so that the figures of
    one round fit together better than figures of different rounds.
    """
    ratios = [
        taken[other][figure] / taken[OURS][figure]
        for taken in measured.rounds
        if figure in taken.get(other, {}) and taken.get(OURS, {}).get(figure, 0) > 0
    ]
    return statistics.median(ratios) if ratios else None


def not_run(scenario: Scenario, why: str) -> list[Result]:
    """Return a scenario's rows without figures, so that the table shows what was left out."""
    return results_of(Measured(scenario, troubles={"not run": why}))


def save(path: Path, results: Iterable[Result], command: str) -> None:
    """Write the results as JSON: every figure of every round, and where they were taken."""
    document = {
        "command": command,
        "taken": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in LIBRARIES},
        "results": [
            {
                "name": result.name,
                **asdict(result.row),
                "figures": result.figures,
                "ratio_to_peer": result.times_peer,
                "spread": result.spread,
                "met": result.met,
                "notes": result.notes,
            }
            for result in results
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
