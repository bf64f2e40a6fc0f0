"""Adding, looking at and changing jobs, and firing many at once.

Every scheduler is started and paused, so that nothing runs beside what is measured, except where
runs are what is measured.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import psutil

from benchmarks.measuring import (
    APSCHEDULER,
    COST,
    OURS,
    Figures,
    NotThere,
    Row,
    Scenario,
    Stopwatch,
    seeded,
)
from benchmarks.subjects import (
    HEAP,
    POOL,
    QUEUE,
    BareHeap,
    nothing,
    ours,
    theirs,
    through_pool,
    through_queue,
)

Make = Callable[[], Any]
MEMORY = "memory"
CHANGED = 1_000
"""How many jobs are changed, drawn from all: enough to time, also where each takes 100 us."""
REPEATS = {1_000: 7, 10_000: 3}
"""How often a scenario is repeated in a process: a thousand operations are over in 2 ms, which a
neighbour on the machine may take away."""
LISTED = 20
"""How many times all jobs are listed."""
PLAIN, RANDOM = "add", "add at random times"
"""The curves."""


def resident() -> int:
    """Return the bytes of memory in use, garbage apart."""
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
    return {COST: watch.seconds / count, MEMORY: (resident() - before) / count}


def add_at_random(make: Make, count: int) -> Figures:
    """Add jobs that are due in any order within a day, as after a restart."""
    scheduler = make()
    scheduler.start(paused=True)
    source, now = seeded(), datetime.now(timezone.utc)
    dues = [now + timedelta(seconds=source.uniform(60, 86_400)) for _ in range(count)]
    before = resident()
    with Stopwatch() as watch:
        for due in dues:
            scheduler.add_job(nothing, "interval", seconds=60, next_run_time=due)
    return {COST: watch.seconds / count, MEMORY: (resident() - before) / count}


def add_bare(count: int, ordered: bool) -> Figures:
    """Read the clock, name a job, push its due time on a heap and keep it in a dict."""
    source = seeded()
    spans = [60 * 10**9 if ordered else source.randrange(86_400 * 10**9) for _ in range(count)]
    heap: list[tuple[int, str]] = []
    jobs: dict[str, tuple[int, object]] = {}
    before = resident()
    with Stopwatch() as watch:
        for number, span in enumerate(spans):
            due, job_id = time.time_ns() + span, f"{number:x}"
            heapq.heappush(heap, (due, job_id))
            jobs[job_id] = (due, nothing)
    return {COST: watch.seconds / count, MEMORY: (resident() - before) / count}


def many(count: int) -> list[dict[str, Any]]:
    return [
        {"func": nothing, "trigger": "interval", "seconds": 60, "id": str(number)}
        for number in range(count)
    ]


def add_in_bulk(count: int) -> Figures:
    """Add all jobs with one call."""
    scheduler = ours()
    if not hasattr(scheduler, "add_jobs"):
        raise NotThere("has no add_jobs yet")
    scheduler.start(paused=True)
    jobs = many(count)
    with Stopwatch() as watch:
        scheduler.add_jobs(jobs)
    return {COST: watch.seconds / count}


def add_in_a_loop(count: int) -> Figures:
    """Add the same jobs as well as the peer can: one by one."""
    scheduler = theirs()
    scheduler.start(paused=True)
    jobs = many(count)
    with Stopwatch() as watch:
        for job in jobs:
            scheduler.add_job(**job)
    return {COST: watch.seconds / count}


def add_bare_in_bulk(count: int) -> Figures:
    """Make a heap and a dict of all jobs at once."""
    jobs = many(count)
    with Stopwatch() as watch:
        due = time.time_ns() + 60 * 10**9
        heap = [(due, job["id"]) for job in jobs]
        heapq.heapify(heap)
        kept = {job["id"]: (due, job["func"]) for job in jobs}
    assert len(kept) == len(heap) == count
    return {COST: watch.seconds / count}


# Changing and looking


def pause_and_resume(scheduler: Any, job_id: str) -> None:
    scheduler.pause_job(job_id)
    scheduler.resume_job(job_id)


CHANGES: dict[str, tuple[Callable[[Any, str], object], float]] = {
    "reschedule": (lambda s, i: s.reschedule_job(i, trigger="interval", seconds=1800), 9),
    "modify": (lambda s, i: s.modify_job(i, name="new"), 8),
    "pause and resume": (pause_and_resume, 7),
    "remove": (lambda s, i: s.remove_job(i), 4),
    "get_job": (lambda s, i: s.get_job(i), 2.5),
}
"""What is done with one of many jobs, and how many times faster than the peer it must be."""


def change(act: Callable[[Any, str], object], make: Make, count: int) -> Figures:
    """Do *act* with some of the jobs, drawn at random."""
    scheduler = filled(make, count)
    scheduler.start(paused=True)
    chosen = [str(number) for number in seeded().sample(range(count), min(count, CHANGED))]
    with Stopwatch() as watch:
        for job_id in chosen:
            act(scheduler, job_id)
    return {COST: watch.seconds / len(chosen)}


def list_jobs(make: Make, count: int, changing: bool) -> Figures:
    """List all jobs, each time after one has been changed if *changing*, which is not counted."""
    scheduler = filled(make, count)
    scheduler.start(paused=True)
    scheduler.get_jobs()
    seconds = 0.0
    for turn, number in enumerate(seeded().sample(range(count), LISTED)):
        if changing and turn % 2:
            scheduler.pause_job(str(number))
        elif changing:
            scheduler.reschedule_job(str(number), trigger="interval", seconds=1800)
        with Stopwatch() as watch:
            found = scheduler.get_jobs()
        seconds += watch.seconds
        assert len(found) == count
    return {COST: seconds / LISTED}


# Firing


class Countdown:
    """Called so many times, from any thread, it says that all is done."""

    def __init__(self, count: int) -> None:
        self.numbers = itertools.count(1)
        self.last = count
        self.done = threading.Event()

    def __call__(self, *_: object) -> None:
        # next() on a count is one step for the interpreter: no lock, as that would be measured.
        if next(self.numbers) == self.last:
            self.done.set()


def burst(make: Make, count: int, listening: bool) -> Figures:
    """Run jobs that are all due at once, until the last has ended (or has been told of)."""
    countdown = Countdown(count)
    # Due now and not long ago, which would have the peer walk through every fire time since.
    now = datetime.now(timezone.utc)
    scheduler = filled(make, count, nothing if listening else _called(countdown), next_run_time=now)
    if listening:
        scheduler.add_listener(countdown, _executed(make))
    with Stopwatch() as watch:
        scheduler.start()
        countdown.done.wait()
    return {COST: watch.seconds / count}


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


def burst_bare(through: Callable[[Callable[[], object], int], None], count: int) -> Figures:
    """Hand the same jobs to threads, without a scheduler."""
    countdown = Countdown(count)
    job = _called(countdown)
    with Stopwatch() as watch:
        through(job, count)
        countdown.done.wait()
    return {COST: watch.seconds / count}


# The table


MEMORY_ROW = Row(MEMORY, "memory a job", "B", limit=HEAP, times_peer=1 / 0.55)


def scenarios(full: bool) -> list[Scenario]:
    """Return what is measured; a quick pass takes fewer rounds, and leaves out the million."""
    return [
        *_adding(full),
        *_adding_at_random(full),
        _adding_in_bulk(full),
        *_changing(full),
        *_looking(full),
        *_firing(full),
    ]


def _adding(full: bool) -> list[Scenario]:
    rounds = 7 if full else 5
    few = (Row(limit=HEAP, times_peer=15, of_limit=0.3),)
    million = (Row(limit=HEAP, times_peer=12), MEMORY_ROW)
    return [
        Scenario(
            f"add {size:,}",
            {
                OURS: partial(add, ours, size),
                APSCHEDULER: partial(add, theirs, size),
                HEAP: partial(add_bare, size, ordered=True),
            },
            million if size == 1_000_000 else few,
            rounds=2 if size == 1_000_000 else rounds,
            repeats=REPEATS.get(size, 1),
            curve=PLAIN,
            size=size,
            full_only=size == 1_000_000,
            longest_s=900,
        )
        for size in (1_000, 10_000, 1_000_000)
    ]


def _adding_at_random(full: bool) -> list[Scenario]:
    rows = {100_000: (Row(limit=HEAP, times_peer=12), MEMORY_ROW)}
    return [
        Scenario(
            f"add {size:,} at random times",
            {
                OURS: partial(add_at_random, ours, size),
                APSCHEDULER: partial(add_at_random, theirs, size),
                HEAP: partial(add_bare, size, ordered=False),
            },
            rows.get(size, (Row(limit=HEAP),)),
            rounds=5 if full else 3,
            repeats=REPEATS.get(size, 1),
            curve=RANDOM,
            size=size,
        )
        for size in (1_000, 10_000, 100_000)
    ]


def _adding_in_bulk(full: bool) -> Scenario:
    size = 10_000
    return Scenario(
        f"add_jobs {size:,}",
        {
            OURS: partial(add_in_bulk, size),
            APSCHEDULER: partial(add_in_a_loop, size),
            HEAP: partial(add_bare_in_bulk, size),
        },
        (Row(limit=HEAP, times_peer=25),),
        rounds=5 if full else 3,
        repeats=REPEATS[size],
    )


def _changing(full: bool) -> list[Scenario]:
    return [
        Scenario(
            f"{name}, {size:,} jobs",
            {
                OURS: partial(change, act, ours, size),
                APSCHEDULER: partial(change, act, theirs, size),
                HEAP: partial(change, act, BareHeap, size),
            },
            (Row(limit=HEAP, times_peer=bar),),
            rounds=5 if full else 3 if size == 1_000 else 1,
            repeats=REPEATS.get(size, 1),
        )
        for size in ((1_000, 10_000, 100_000) if full else (1_000, 100_000))
        for name, (act, bar) in CHANGES.items()
    ]


def _looking(full: bool) -> list[Scenario]:
    return [
        Scenario(
            f"get_jobs, {size:,} jobs, {'one just changed' if changing else 'unchanged'}",
            {
                OURS: partial(list_jobs, ours, size, changing),
                APSCHEDULER: partial(list_jobs, theirs, size, changing),
                HEAP: partial(list_jobs, BareHeap, size, changing),
            },
            (Row(limit=HEAP, times_peer=3),),
            rounds=5 if full else 3,
            repeats=REPEATS[size],
        )
        for size in (1_000, 10_000)
        for changing in (False, True)
    ]


def _firing(full: bool) -> list[Scenario]:
    return [
        Scenario(
            f"{size:,} due at once{', with a listener' if listening else ''}",
            {
                OURS: partial(burst, ours, size, listening),
                APSCHEDULER: partial(burst, theirs, size, listening),
                name: partial(burst_bare, limit, size),
            },
            (Row(limit=name) if listening else Row(limit=name, times_peer=30, of_limit=8),),
            rounds=5 if full else 3 if size == 10_000 else 2,
        )
        for size in (10_000, 50_000)
        for listening, name, limit in (
            (False, POOL, through_pool),
            (True, QUEUE, through_queue),
        )
    ]
