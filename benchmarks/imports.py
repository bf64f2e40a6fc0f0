"""The cost of an import in a fresh interpreter.

The bytecode is compiled before, as after an installation.  The time of an interpreter that imports
nothing is subtracted.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial

from benchmarks.measuring import APSCHEDULER, COST, OURS, Figures, Row, Scenario, Subject

TIMES = 5
FLASK = "Flask-APScheduler"
STATEMENTS: Mapping[str, tuple[str, str, str, float | None]] = {
    "import schedcore": (
        "import schedcore", APSCHEDULER, "import apscheduler.schedulers.background", 3.5),
    "import schedhttp": ("import schedhttp", FLASK, "import flask_apscheduler", 2),
    # All that the first request needs, and all that Flask's mount does.
    "import schedhttp.app": ("import schedhttp.app", FLASK, "import flask_apscheduler", None),
    "import schedhttp.flask": ("import schedhttp.flask", FLASK, "import flask_apscheduler", None),
}  # fmt: skip
"""Ours, whose theirs is, theirs, and how many times less ours must take."""


def seconds(statement: str, environment: Mapping[str, str]) -> float:
    """Return the seconds that a new interpreter takes for *statement*."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    return time.perf_counter() - began


def cost(statement: str) -> Figures:
    """Return the seconds that *statement* takes, beyond those of nothing."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        seconds(statement, environment)
        taken = [
            seconds(statement, environment) - seconds("pass", environment) for _ in range(TIMES)
        ]
    return {COST: statistics.median(taken)}


def scenarios(full: bool) -> list[Scenario]:
    """Return the scenarios."""
    found = []
    for name, (statement, peer, theirs, bar) in STATEMENTS.items():
        subjects: dict[str, Subject] = {OURS: partial(cost, statement), peer: partial(cost, theirs)}
        found.append(Scenario(name, subjects, (Row(peer=peer, times_peer=bar),), 7 if full else 3))
    return found
