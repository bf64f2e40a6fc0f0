"""Adding, reading and changing jobs, and firing many at once.

Each scheduler is started and paused, so that nothing else runs, except if runs are measured.
"""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import psutil

from benchmarks.measuring import APSCHEDULER, COST, OURS, Figures, Row, Scenario, Stopwatch, seeded
from benchmarks.subjects import capturing, nothing, ours, theirs

Make = Callable[[], Any]
MEMORY, PROCESSOR = "memory", "processor"
OFF = "without capture"
"""The peer of a scheduler that keeps what runs print, of which these print nothing."""
CHANGED = 1_000
"""How many jobs are changed, drawn from all: enough to time, also where each takes 100 us."""
REPEATS = {1_000: 7, 10_000: 3}
"""How often a scenario is repeated in a process: a thousand operations are over in 2 ms, which a
neighbour on the machine may take away."""
LISTED = 20
"""How often all jobs are listed."""


def resident() -> int:
    """Return the bytes of memory in use, without garbage."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def filled(make: Make, count: int, func: Callable[[], object] = nothing, **options: Any) -> Any:
    """Return a scheduler with jobs whose ids are "0", "1"..., none due within the hour."""
    scheduler = make()
    for number in range(count):
        scheduler.add_job(func, "interval", seconds=3600, id=str(number), **options)
    return scheduler


# Adding


def add(make: Make, count: int) -> Figures:
    """Add jobs that are all due in a minute, one by one: each goes to the end of the queue."""
    scheduler = make()
    scheduler.start(paused=True)
    before = resident()
    with Stopwatch() as watch:
        for _ in range(count):
            scheduler.add_job(nothing, "interval", seconds=60)
    return {COST: watch.processor / count, MEMORY: (resident() - before) / count}


def add_at_random(make: Make, count: int) -> Figures:
    """Add jobs that are due in random order within a day, as after a restart."""
    scheduler = make()
    scheduler.start(paused=True)
    source, now = seeded(), datetime.now(timezone.utc)
    dues = [now + timedelta(seconds=source.uniform(60, 86_400)) for _ in range(count)]
    before = resident()
    with Stopwatch() as watch:
        for due in dues:
            scheduler.add_job(nothing, "interval", seconds=60, next_run_time=due)
    return {COST: watch.processor / count, MEMORY: (resident() - before) / count}


def many(count: int) -> list[dict[str, Any]]:
    return [
        {"func": nothing, "trigger": "interval", "seconds": 60, "id": str(number)}
        for number in range(count)
    ]


def add_in_bulk(make: Make, count: int) -> Figures:
    """Add all jobs with one call, or one by one with the peer, which has no such call."""
    scheduler = make()
    scheduler.start(paused=True)
    jobs = many(count)
    with Stopwatch() as watch:
        if make is ours:
            scheduler.add_jobs(jobs)
        else:
            for job in jobs:
                scheduler.add_job(**job)
    return {COST: watch.processor / count}


# Changing and looking


def pause_and_resume(scheduler: Any, job_id: str) -> None:
    scheduler.pause_job(job_id)
    scheduler.resume_job(job_id)


CHANGES: dict[str, tuple[Callable[[Any, str], object], float | None]] = {
    "reschedule": (lambda s, i: s.reschedule_job(i, trigger="interval", seconds=1800), 4),
    "modify": (lambda s, i: s.modify_job(i, name="new"), 3),
    "pause and resume": (pause_and_resume, 5),
    "remove, after a listing": (lambda s, i: s.remove_job(i), 2),
    "get_job": (lambda s, i: s.get_job(i), None),
}
"""The operations on one of many jobs, and the bar of each: times faster than the peer."""


def change(name: str, make: Make, count: int) -> Figures:
    """Do the same with some of the jobs, drawn at random."""
    act = CHANGES[name][0]
    scheduler = filled(make, count)
    scheduler.start(paused=True)
    if "listing" in name:
        scheduler.get_jobs()
    chosen = [str(number) for number in seeded().sample(range(count), min(count, CHANGED))]
    with Stopwatch() as watch:
        for job_id in chosen:
            act(scheduler, job_id)
    return {COST: watch.processor / len(chosen)}


LISTINGS: dict[str, float | None] = {"first": 0.5, "unchanged": None, "one just changed": None}
"""The operations before all jobs are listed, and the bar of each: times faster than the peer."""


def list_jobs(before: str, make: Make, count: int) -> Figures:
    """List all jobs: once, or each time after one has been changed, which is not counted."""
    scheduler = filled(make, count)
    scheduler.start(paused=True)
    with Stopwatch() as first:
        scheduler.get_jobs()
    if before == "first":
        return {COST: first.processor}
    seconds = 0.0
    for turn, number in enumerate(seeded().sample(range(count), LISTED)):
        if before != "unchanged" and turn % 2:
            scheduler.pause_job(str(number))
        elif before != "unchanged":
            scheduler.reschedule_job(str(number), trigger="interval", seconds=1800)
        with Stopwatch() as watch:
            found = scheduler.get_jobs()
        seconds += watch.processor
        assert len(found) == count
    return {COST: seconds / LISTED}


# Firing


class Countdown:
    """Counts calls from any thread, and signals when all are done."""

    def __init__(self, count: int) -> None:
        self.numbers = itertools.count(1)
        self.last = count
        self.done = threading.Event()

    def __call__(self, *_: object) -> None:
        # next() on a count is one step for the interpreter: no lock, as that would be measured.
        if next(self.numbers) == self.last:
            self.done.set()


def burst(make: Make, count: int, kind: str, listening: bool = False) -> Figures:
    """Run jobs that are all due at once, until the last has ended (or has been told of)."""
    countdown = Countdown(count)
    job = nothing if listening else _called(countdown)
    scheduler = make()
    # Due now and not long ago, which would have the peer walk through every fire time since.
    now = datetime.now(timezone.utc)
    for _ in range(count):
        if kind == "date":
            scheduler.add_job(job, "date", run_date=now)
        else:
            scheduler.add_job(job, "interval", seconds=3600, next_run_time=now)
    if listening:
        scheduler.add_listener(countdown, _executed(make))
    with Stopwatch() as watch:
        scheduler.start()
        countdown.done.wait()
    return {COST: watch.seconds / count, PROCESSOR: watch.processor / count}


def _called(countdown: Countdown) -> Callable[[], object]:
    """Return a plain function for jobs: the libraries check what it takes."""

    def job() -> None:
        countdown()

    return job


def _executed(make: Make) -> int:
    if make is ours:
        from schedcore import EVENT_JOB_EXECUTED

        return EVENT_JOB_EXECUTED
    from apscheduler.events import EVENT_JOB_EXECUTED as THEIRS

    return int(THEIRS)


# The table


def scenarios(full: bool) -> list[Scenario]:
    """Return the scenarios; a quick pass has fewer rounds, and no million."""
    return [*_adding(full), *_changing(full), *_looking(full), *_firing(full)]


def _pair(act: Callable[..., Figures], *given: object) -> dict[str, Callable[[], Figures]]:
    """Return *act* for both libraries."""
    return {OURS: partial(act, ours, *given), APSCHEDULER: partial(act, theirs, *given)}


def _adding(full: bool) -> list[Scenario]:
    rounds = 7 if full else 5
    memory = Row(MEMORY, "memory a job", "B", times_peer=1 / 0.55)
    return [
        Scenario("add 1,000", _pair(add, 1_000), (Row(),), rounds, repeats=7),
        Scenario("add 10,000", _pair(add, 10_000), (Row(times_peer=12),), rounds, repeats=3),
        Scenario("add 100,000 at random times", _pair(add_at_random, 100_000), (Row(), memory), 3),
        Scenario(
            "add 1,000,000",
            _pair(add, 1_000_000),
            (Row(), Row(MEMORY, "memory a job", "B")),
            rounds=2,
            full_only=True,
            longest_s=900,
        ),
        Scenario(
            "add_jobs 10,000", _pair(add_in_bulk, 10_000), (Row(times_peer=15),), rounds, repeats=3
        ),
    ]


def _changing(full: bool) -> list[Scenario]:
    return [
        Scenario(
            f"{name}, {size:,} jobs",
            _pair(partial(change, name), size),
            (Row(times_peer=bar if size == 10_000 else None),),
            rounds=5 if full else 3,
            repeats=REPEATS.get(size, 1),
        )
        for size in ((10_000, 100_000) if full else (10_000,))
        for name, (_, bar) in CHANGES.items()
    ]


def _looking(full: bool) -> list[Scenario]:
    return [
        Scenario(
            f"get_jobs, 10,000 jobs, {before}",
            _pair(partial(list_jobs, before), 10_000),
            (Row(times_peer=bar),),
            rounds=5 if full else 3,
            repeats=3,
        )
        for before, bar in LISTINGS.items()
    ]


def _firing(full: bool) -> list[Scenario]:
    rows = (Row(times_peer=15), Row(PROCESSOR, "processor"))
    return [
        *(
            Scenario(
                f"{size:,} due at once, {kind} jobs",
                _pair(burst, size, kind),
                rows,
                rounds=5 if full else 3 if size == 10_000 else 2,
            )
            for size in (10_000, 50_000)
            for kind in ("interval", "date")
        ),
        Scenario(
            "10,000 due at once, with a listener",
            _pair(burst, 10_000, "interval", True),
            (Row(), Row(PROCESSOR, "processor")),
            rounds=5 if full else 3,
        ),
        Scenario(
            "10,000 due at once, capture off and on",
            {
                OURS: partial(burst, partial(capturing, True), 10_000, "interval"),
                OFF: partial(burst, partial(capturing, False), 10_000, "interval"),
            },
            (Row(PROCESSOR, "processor", peer=OFF, times_peer=1 / 1.05),),
            rounds=9 if full else 5,
        ),
    ]
