"""The functions of the API's further examples."""

from __future__ import annotations

import csv
import json
import time
from collections import defaultdict
from pathlib import Path

from places import inside, var

_DAY = 86_400


def daily_cleanup(max_age_days: float = 7) -> str:
    """Delete the rotated logs and summaries that are older than *max_age_days*."""
    oldest = time.time() - max_age_days * _DAY
    old = [
        path
        for pattern in ("*.log.*", "summary-*")
        for path in var().glob(pattern)
        if path.stat().st_mtime < oldest
    ]
    for path in old:
        path.unlink()
    return f"{len(old)} file(s) deleted"


def process_data(path: str, format: str = "json") -> str:
    """Sum up the rain in *path* for each city, and write ``summary-<name>.<format>``.

    Args:
        path: A JSON file: in the folder the jobs write to, else the sample beside this module.
        format: ``json`` or ``csv``.

    Raises:
        ValueError: if *format* is anything else.
    """
    if format not in ("json", "csv"):
        raise ValueError(f"format={format!r}: expected 'json' or 'csv'")
    source = inside(path)
    if not source.exists():
        source = Path(__file__).with_name(source.name)
    rain: dict[str, float] = defaultdict(float)
    for day in json.loads(source.read_text("utf-8")):
        rain[day["city"]] = round(rain[day["city"]] + day["rain_mm"], 1)
    target = inside(f"summary-{source.stem}.{format}")
    with target.open("w", encoding="utf-8", newline="") as file:
        if format == "json":
            json.dump(rain, file, indent=2)
        else:
            csv.writer(file).writerows(rain.items())
    return f"{target.name}: {len(rain)} cities"
