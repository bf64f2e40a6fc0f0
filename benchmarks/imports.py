"""What an import costs: fresh interpreters, ours and the peers' in turns.

Each interpreter has its bytecode compiled before, as after an installation; what an interpreter
takes that imports nothing is subtracted.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 15
PAIRS = (
    ("import schedcore", "import apscheduler.schedulers.background"),
    ("import schedhttp", "import flask_apscheduler"),
    # All that the first request needs, and all that Flask's mount does.
    ("import schedhttp.app", "import flask_apscheduler"),
    ("import schedhttp.flask", "import flask_apscheduler"),
)
NOTHING = "pass"


def seconds(statement: str, environment: dict[str, str]) -> float:
    """Return the seconds that a new interpreter takes for *statement*."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    statements = list(dict.fromkeys([NOTHING, *(side for pair in PAIRS for side in pair)]))
    taken: dict[str, list[float]] = {statement: [] for statement in statements}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for statement in statements:
            seconds(statement, environment)
        for _ in range(ROUNDS):
            for statement in statements:
                taken[statement].append(seconds(statement, environment))
    ms = {statement: statistics.median(times) * 1e3 for statement, times in taken.items()}
    print(f"\nImports in fresh interpreters; ms more than the {ms[NOTHING]:.0f} of none, median")
    print(f"{'':<24}{'ours':>8}{'peer':>8}{'share':>8}")
    for ours, theirs in PAIRS:
        our, their = ms[ours] - ms[NOTHING], ms[theirs] - ms[NOTHING]
        print(f"{ours:<24}{our:>8.1f}{their:>8.1f}{our / their:>8.2f}  of {theirs}")


if __name__ == "__main__":
    main()
