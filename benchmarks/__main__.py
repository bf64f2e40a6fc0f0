"""Run benchmarks by name: ``python -m benchmarks engine`` or ``... "add 10,000"``; else, all."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks import results, table
from benchmarks.measuring import Scenario, measure, scenarios_of

TABLED = {
    "engine": "adding, changing, looking at and firing jobs",
    "executors": "round trips on each executor, against the pools of others",
    "steady": "thousands of runs a second, one after idling, and none due",
    "durable": "jobs on disk, against APScheduler with SQLAlchemy, and bare transactions",
    "postgres": "jobs in PostgreSQL, and several nodes on it (it starts a server of its own)",
    "triggers": "next fire times, and making triggers",
    "http": "the REST API, against Flask-APScheduler, and under gunicorn against a constant",
    "imports": "what an import costs, against APScheduler and Flask-APScheduler",
}
"""Modules whose scenarios fill the common table."""
APART = {
    "soak": "a million runs, and the slope of memory (some minutes)",
}
"""Modules that print their own tables, by a function ``main()``."""
LONG = {"soak"}
"""Modules that run only by name."""

Chosen = list[tuple[str, Scenario]]


def chosen(names: list[str], full: bool) -> Chosen:
    """Return the named scenarios with their modules: by module, full name, or a part of it."""
    every = [(module, scenario) for module in TABLED for scenario in scenarios_of(module, full)]
    if not names:
        return every
    found: Chosen = []
    for name in names:
        exact = [pair for pair in every if name in (pair[0], pair[1].name)]
        found += exact or [pair for pair in every if meant(pair[1], [name])]
    return found


def meant(scenario: Scenario, names: list[str]) -> bool:
    """Return whether the scenario is requested by its name, or a part of it."""
    return any(name.lower() in scenario.name.lower() for name in names)


def unknown(names: list[str]) -> list[str]:
    """Return the names that are neither a module nor a part of a scenario's name."""
    return [name for name in names if name not in APART and not chosen([name], full=True)]


def run(pairs: Chosen, options: argparse.Namespace) -> None:
    """Measure, and print and store each row as soon as it is known."""
    rows: list[results.Result] = []
    command = " ".join(["benchmarks", *sys.argv[1:]])

    def show(found: list[results.Result]) -> None:
        rows.extend(found)
        for result in found:
            print(table.line(result), flush=True)
        results.save(options.json, rows, command)

    print(table.heading())
    for module, scenario in pairs:
        if scenario.full_only and not options.full and not meant(scenario, options.names):
            show(results.not_run(scenario, "--full, or by name"))
            continue
        show(results.results_of(measure(module, scenario, options.full, options.rounds)))
    print(f"\nevery figure of every round: {options.json}")


def list_all(full: bool) -> None:
    """Print all names, and the measured libraries."""
    for module, about in (TABLED | APART).items():
        print(f"{module:<12} {about}")
        for scenario in scenarios_of(module, full) if module in TABLED else ():
            print(f"    {scenario.name:<44} {', '.join(scenario.subjects)}")


def arguments(given: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="a module, a scenario, or a part of its name")
    parser.add_argument(
        "--full", action="store_true", help="all sizes, longer and more rounds (an hour)"
    )
    parser.add_argument("--rounds", type=int, help="how often to take each figure")
    parser.add_argument("--json", type=Path, default=Path("var/benchmarks.json"), metavar="PATH")
    parser.add_argument("--list", action="store_true", help="print what there is, and stop")
    options = parser.parse_args(given)
    if missing := unknown(options.names):
        parser.error(f"nothing is called {missing[0]!r}; --list tells what there is")
    return options


def main(given: list[str]) -> int:
    """Run the requested benchmarks; return the exit status."""
    options = arguments(given)
    if options.list:
        list_all(options.full)
        return 0
    tabled = [name for name in options.names if name not in APART]
    if tabled or not options.names:
        run(chosen(tabled, options.full), options)
    for name in options.names or [name for name in APART if name not in LONG]:
        if name in APART:
            importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
