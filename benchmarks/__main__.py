"""Run benchmarks by name: ``python -m benchmarks triggers``; without a name, all of them."""

from __future__ import annotations

import importlib
import sys

SCENARIOS = {
    "engine": "adding, changing and firing jobs, against APScheduler",
    "soak": "a million runs, and the slope of memory (some minutes)",
    "triggers": "next fire times, and making triggers, against APScheduler, croniter and cronsim",
    "imports": "what an import costs, against APScheduler and Flask-APScheduler",
    "http": "the REST API, against Flask-APScheduler, and under gunicorn against a constant",
}
"""Each is a module of this package, with a function ``main()`` that prints its tables."""
LONG = {"soak"}
"""Those that are only run by name."""


def main(names: list[str]) -> int:
    """Run the scenarios named, or all; return the exit status."""
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown or "--help" in names or "-h" in names:
        for name, about in SCENARIOS.items():
            print(f"{name:<12} {about}")
        return 2 if unknown and not {"--help", "-h"} & set(unknown) else 0
    for name in names or [name for name in SCENARIOS if name not in LONG]:
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
