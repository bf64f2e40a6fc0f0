"""A million runs with failures and retries, and the slope of memory, which should be flat.

The engine uses virtual time, so that only its own work takes time; every run is real.
"""

from __future__ import annotations

import gc
import logging
import resource
import statistics
import time
import tracemalloc
from datetime import timedelta

from schedcore import History, ManualClock, Retry, Scheduler, simulate

RUNS = 1_000_000
STAGES = 20


def fails_sometimes(state: list[int]) -> object:
    state[0] += 1
    if state[0] % 10 == 0:
        raise ValueError(f"run {state[0]} fails")
    return state[0] if state[0] % 3 == 0 else None


def passes() -> None:
    """Do nothing.  (A builtin's signature is parsed as source, which grows the interpreter.)"""


def soak(runs: int = RUNS) -> list[tuple[int, int]]:
    """Return runs so far and bytes in use, stage by stage."""
    logging.disable()  # a tenth of the runs fail, and each would be logged with its traceback
    # The history is cut a tenth of its bound at a time: small, so that where in this cycle a stage
    # ends does not look like a slope.
    scheduler = Scheduler(clock=ManualClock(), timezone="UTC", history=History(overall=500))
    state = [0]
    for number in range(50):
        scheduler.add_job(
            fails_sometimes,
            "interval",
            seconds=1,
            args=[state],
            id=str(number),
            retry=Retry(count=1, delay=0.1) if number % 5 == 0 else None,
        )
    points = []
    for _ in range(STAGES):
        target = state[0] + runs // STAGES
        while state[0] < target:
            for number in range(10):  # jobs that come and go
                scheduler.add_job(passes, "date", run_date="2100-01-01", id=f"passing-{number}")
                scheduler.remove_job(f"passing-{number}")
            simulate(scheduler, timedelta(seconds=20))
        gc.collect()
        points.append((state[0], tracemalloc.get_traced_memory()[0]))
    return points


def main() -> None:
    """Print the memory in use at each stage, and its slope over the second half."""
    tracemalloc.start()
    began = time.perf_counter()
    points = soak()
    took = time.perf_counter() - began
    print(f"{'soak: runs':>12}{'in use':>12}")
    for runs, used in points:
        print(f"{runs:>12,}{used / 1024:>9,.0f} KiB")
    half = points[len(points) // 2 :]
    slope = statistics.linear_regression([r for r, _ in half], [u for _, u in half]).slope
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"slope over the second half: {slope:+.4f} bytes a run; peak {peak / 1024:,.0f} MiB")
    print(f"{points[-1][0]:,} runs in {took:.0f} s, traced")


if __name__ == "__main__":
    main()
