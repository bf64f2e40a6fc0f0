"""Where our side of one scenario spends its time, function by function, in all threads.

``make profile SCENARIO="add 10,000"``: by yappi, since cProfile sees one thread, and runs happen in
others.  Only what the scenario times is profiled.  A profiler makes small functions look dearer
than they are: it tells where to look, and ``make bench`` whether it helped.
"""

from __future__ import annotations

import argparse
import pstats
import sys
from pathlib import Path
from types import TracebackType

import yappi

from benchmarks.__main__ import chosen
from benchmarks.measuring import OURS, Stopwatch

LINES = 30


class Profiled:
    """A block that yappi watches."""

    def __enter__(self) -> None:
        yappi.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        yappi.stop()


def main(given: list[str]) -> int:
    """Profile one scenario, print the table, and keep all of it for pstats and its readers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling", description=__doc__)
    parser.add_argument("scenario", help="its name, or a part of it")
    parser.add_argument("--full", action="store_true", help="as in the full pass")
    parser.add_argument("--save", type=Path, default=Path("var/profile.pstat"), metavar="PATH")
    options = parser.parse_args(given)
    found = chosen([options.scenario], options.full)
    if not found:
        parser.error(f"nothing is called {options.scenario!r}; make bench ARGS=--list")
    scenario = found[0][1]
    # Processor time: of the wall clock, waiting threads would have the lion's share.
    yappi.set_clock_type("cpu")
    Stopwatch.profiler = Profiled()
    print(f"{scenario.name}: {dict(scenario.subjects[OURS]())}, slowed by the profiler")
    options.save.parent.mkdir(parents=True, exist_ok=True)
    yappi.get_func_stats().save(str(options.save), type="pstat")
    pstats.Stats(str(options.save)).strip_dirs().sort_stats("tottime").print_stats(LINES)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
