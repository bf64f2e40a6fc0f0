"""Adding, looking at, changing and firing jobs: ours beside APScheduler.

Each figure is taken in a process of its own; the libraries take turns within a round, so that a
busy machine slows both alike.  What counts is the ratio of the medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

ROUNDS = 5
LONGEST_S = 120
"""A process that takes longer has failed."""


def nothing() -> None:
    """What every job does."""


class Ours:
    """schedcore, with its ledger on."""

    def __init__(self) -> None:
        from schedcore import EVENT_JOB_EXECUTED, Scheduler

        self.executed = EVENT_JOB_EXECUTED
        self.scheduler: Any = Scheduler(timezone="UTC")


class Theirs:
    """APScheduler, told to drop nothing, as ours does not."""

    def __init__(self) -> None:
        from apscheduler.events import EVENT_JOB_EXECUTED
        from apscheduler.schedulers.background import BackgroundScheduler

        self.executed = EVENT_JOB_EXECUTED
        self.scheduler: Any = BackgroundScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True}
        )


LIBRARIES: dict[str, Callable[[], Ours | Theirs]] = {"schedcore": Ours, "APScheduler": Theirs}


def filled(library: Ours | Theirs, count: int, **options: Any) -> Any:
    scheduler = library.scheduler
    for number in range(count):
        scheduler.add_job(nothing, "interval", seconds=3600, id=str(number), **options)
    return scheduler


def add(library: Ours | Theirs, count: int) -> float:
    """Seconds to add one of *count* jobs to a scheduler that is started and paused."""
    scheduler = library.scheduler
    scheduler.start(paused=True)
    began = time.perf_counter()
    for _ in range(count):
        scheduler.add_job(nothing, "interval", seconds=60)
    return (time.perf_counter() - began) / count


def each_job(act: Callable[[Any, str], object]) -> Callable[[Ours | Theirs, int], float]:
    """Return a measurement of *act* on each of *count* jobs, in seconds for one."""

    def measure(library: Ours | Theirs, count: int) -> float:
        library.scheduler.start(paused=True)
        scheduler = filled(library, count)
        began = time.perf_counter()
        for number in range(count):
            act(scheduler, str(number))
        return (time.perf_counter() - began) / count

    return measure


def burst(library: Ours | Theirs, count: int) -> float:
    """Seconds for one of *count* runs that are due at once, until the last has ended."""
    scheduler = filled(library, count, next_run_time=datetime.now(timezone.utc))
    left = threading.Semaphore(0)
    scheduler.add_listener(lambda _event: left.release(), library.executed)
    began = time.perf_counter()
    scheduler.start()
    for _ in range(count):
        left.acquire()
    return (time.perf_counter() - began) / count


def idle_to_run(library: Ours | Theirs, count: int) -> float:
    """Median seconds by which a job runs after its time, in a scheduler that was idle."""
    ran: list[float] = []
    done = threading.Semaphore(0)

    def job(due: float) -> None:
        ran.append(time.time() - due)
        done.release()

    library.scheduler.start()
    for _ in range(count):
        due = datetime.now(timezone.utc) + timedelta(milliseconds=20)
        library.scheduler.add_job(job, "date", run_date=due, args=[due.timestamp()])
        done.acquire()
    return statistics.median(ran)


SCENARIOS: dict[str, tuple[Callable[[Ours | Theirs, int], float], int]] = {
    "add 1,000": (add, 1_000),
    "add 10,000": (add, 10_000),
    "reschedule, 1,000 jobs": (
        each_job(lambda s, i: s.reschedule_job(i, trigger="interval", seconds=1800)),
        1_000,
    ),
    "modify, 1,000 jobs": (each_job(lambda s, i: s.modify_job(i, name="new")), 1_000),
    "pause and resume, 1,000 jobs": (
        each_job(lambda s, i: (s.pause_job(i), s.resume_job(i))),
        1_000,
    ),
    "get_job, 1,000 jobs": (each_job(lambda s, i: s.get_job(i)), 1_000),
    "remove, 1,000 jobs": (each_job(lambda s, i: s.remove_job(i)), 1_000),
    "10,000 due at once, each run": (burst, 10_000),
    "late after idle": (idle_to_run, 50),
}


def measured(scenario: str, library: str) -> float:
    """Take one figure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.engine", scenario, library]
    return float(
        json.loads(
            subprocess.run(command, capture_output=True, check=True, timeout=LONGEST_S).stdout
        )
    )


def main() -> None:
    """Print the table."""
    print(f"{'engine':<32}{'schedcore':>12}{'APScheduler':>14}{'times faster':>14}{'spread':>9}")
    for scenario in SCENARIOS:
        figures: dict[str, list[float]] = {library: [] for library in LIBRARIES}
        for _ in range(ROUNDS):
            for library in LIBRARIES:
                figures[library].append(measured(scenario, library))
        ours, theirs = (statistics.median(figures[library]) for library in LIBRARIES)
        spread = statistics.stdev(figures["schedcore"]) / ours
        print(
            f"{scenario:<32}{ours * 1e6:>9.1f} us{theirs * 1e6:>11.1f} us"
            f"{theirs / ours:>14.1f}{spread:>8.0%}"
        )


if __name__ == "__main__":
    function, size = SCENARIOS[sys.argv[1]]
    print(json.dumps(function(LIBRARIES[sys.argv[2]](), size)))
