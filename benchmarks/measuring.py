"""Take each figure in a process of its own, the subjects in turn, over several rounds.

A process of its own: what one library leaves behind (threads, garbage, a grown heap) would be
another's burden.  In turn: a shared machine is slow for seconds at a time, which then slows every
subject of a round alike, so that the round's ratios hold although its times do not.

``python -m benchmarks.measuring engine "add 1,000" schedcore`` takes one figure, and prints it.
"""

from __future__ import annotations

import importlib
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar

OURS = "schedcore"
APSCHEDULER = "APScheduler"
COST = "cost"
"""The figure of a scenario that has one: seconds for one operation."""

Figures = Mapping[str, float]
"""What one subject gave in one round; of each, less is better."""
Subject = Callable[[], Figures]


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure of a scenario, and what it should reach.

    Ratios are told as "times better than", for all figures: a bar of 2 on memory asks for half.
    """

    figure: str = COST
    label: str = ""
    unit: str = "s"
    peer: str = APSCHEDULER
    times_peer: float | None = None
    """Bar: how many times better than the peer it should be."""
    at_most: float | None = None
    """Bar: what it should not exceed, in its own unit."""


@dataclass(frozen=True)
class Scenario:
    """What is done, by whom, and which rows of the table it fills."""

    name: str
    subjects: Mapping[str, Subject]
    rows: tuple[Row, ...]
    rounds: int = 5
    repeats: int = 1
    """How often within each process, which gives the median: for what is over in milliseconds."""
    full_only: bool = False
    """Too long for a quick pass."""
    longest_s: float = 120
    """A process that takes longer is ended, and its subject not asked again."""


@dataclass
class Measured:
    """What all rounds of a scenario gave."""

    scenario: Scenario
    rounds: list[dict[str, Figures]] = field(default_factory=list)
    troubles: dict[str, str] = field(default_factory=dict)
    """Why a subject gave nothing."""

    def values(self, subject: str, figure: str) -> list[float]:
        """Return what *subject* gave for *figure*, round by round: nothing, if it has no such."""
        return [taken[subject][figure] for taken in self.rounds if figure in taken.get(subject, {})]


class Stopwatch:
    """Times a block; ``with Stopwatch() as watch: ...``, then ``watch.seconds``.

    Or ``watch.processor``, the processor time of all threads: on a machine that others use too, it
    tells more of what one thread did.

    What lies outside of it, as the adding of jobs that are to be changed, is not measured, and not
    profiled either.
    """

    profiler: ClassVar[AbstractContextManager[object]] = nullcontext()
    """Entered with each block; ``benchmarks.profiling`` sets it."""
    seconds = processor = 0.0

    def __enter__(self) -> Stopwatch:
        self.profiler.__enter__()
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._began[0]
        self.processor = time.process_time() - self._began[1]
        self.profiler.__exit__(kind, error, traceback)


def seeded() -> random.Random:
    """Return the source of all inputs: the same for every subject, round and day."""
    return random.Random(1337)


def scenarios_of(module: str, full: bool) -> list[Scenario]:
    """Return what ``benchmarks.<module>`` measures."""
    found: list[Scenario] = importlib.import_module(f"benchmarks.{module}").scenarios(full)
    return found


def measure(module: str, scenario: Scenario, full: bool, rounds: int | None = None) -> Measured:
    """Take every figure of *scenario*, *rounds* times (its own number of rounds, if None)."""
    measured = Measured(scenario)
    order = list(scenario.subjects)
    for _ in range(rounds or scenario.rounds):
        taken: dict[str, Figures] = {}
        for subject in order:
            if subject in measured.troubles:
                continue
            figures = _in_own_process(module, scenario, subject, full)
            if isinstance(figures, str):
                measured.troubles[subject] = figures
            else:
                taken[subject] = figures
        measured.rounds.append(taken)
        # Nobody always comes first, when the machine may still be busy with something else.
        order.reverse()
    return measured


def _in_own_process(module: str, scenario: Scenario, subject: str, full: bool) -> Figures | str:
    """Return what *subject* gives, or in words why it gives nothing."""
    command = [sys.executable, "-m", "benchmarks.measuring", module, scenario.name, subject]
    try:
        done = subprocess.run(
            [*command, *(["--full"] if full else [])],
            capture_output=True,
            check=False,
            text=True,
            timeout=scenario.longest_s,
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {scenario.longest_s:,.0f} s"
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return "failed: " + (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
    answer: Figures = json.loads(done.stdout.splitlines()[-1])
    return answer


def named(scenarios: Iterable[Scenario], name: str) -> Scenario:
    """Return the scenario called *name*."""
    return next(scenario for scenario in scenarios if scenario.name == name)


def main(module: str, name: str, subject: str, *flags: str) -> None:
    """Take one figure in this process, and print it as a line of JSON."""
    scenario = named(scenarios_of(module, "--full" in flags), name)
    taken = [scenario.subjects[subject]() for _ in range(scenario.repeats)]
    print(json.dumps({f: statistics.median(one[f] for one in taken) for f in taken[0]}))


if __name__ == "__main__":
    # By its own name: the Stopwatch of "__main__" is not the one that scenarios import.
    from benchmarks.measuring import main as main_by_name

    main_by_name(*sys.argv[1:])
