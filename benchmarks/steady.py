"""Steady state: thousands of jobs a second for a while, one job after idling, and none at all.

What counts here is not how fast a run is but what it costs (processor time), how late it is, and
that it is there.
"""

from __future__ import annotations

import resource
import statistics
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from benchmarks.engine import Make, filled
from benchmarks.measuring import APSCHEDULER, COST, OURS, Figures, Row, Scenario, Stopwatch, seeded
from benchmarks.subjects import ours, theirs, theirs_losing_nothing

LOST, MEDIAN_LATE, P99_LATE, WAKE_UPS = "lost", "median late", "p99 late", "wake-ups"
SECOND = 1_000_000
"""In microseconds, as all times here."""
BEFORE_BEAT_S = 0.02
"""How long before a beat the processor time is read, so that no beat is cut in two."""
CATCH_UP_S = 10.0
"""How long a library may take to run what it is behind with, before it counts as lost."""


def now_us() -> int:
    return time.time_ns() // 1000


def sleep_until(moment_us: float) -> None:
    time.sleep(max(0.0, (moment_us - now_us()) / SECOND))


# Jobs of every second


class Beats:
    """Jobs that are due once a second, each at its own offset; and how late every run was.

    Lateness is told by the wall clock within the second, since a job's offset is known: so it costs
    all libraries the same, and asks none of them.  (More than a second would count as less: to the
    advantage of who is late.)
    """

    def __init__(self, count: int, spread: bool, seconds: int) -> None:
        source = seeded()
        self.offsets = [source.randrange(SECOND) if spread else 0 for _ in range(count)]
        self.seconds = seconds
        self.late: list[int] = []
        # Time for the slowest to add its jobs, on a busy machine.
        self.first_us = (now_us() // SECOND + 2 + count // 3_000) * SECOND

    def ran(self, offset: int) -> None:
        """Be what every job does."""
        self.late.append((now_us() - offset) % SECOND)

    def watch(self) -> Figures:
        """Return what the beats cost and how late they were; called before the first."""
        sleep_until(self.first_us - BEFORE_BEAT_S * SECOND)
        assert now_us() < self.first_us, "the jobs were added too late"
        before = time.process_time()
        with Stopwatch():
            # All but the last beat, with which the jobs end, and are removed.
            sleep_until(self.first_us + (self.seconds - 1 - BEFORE_BEAT_S) * SECOND)
        cost = (time.process_time() - before) / max(len(self.late), 1)
        expected = len(self.offsets) * self.seconds
        give_up = self.first_us + (self.seconds + CATCH_UP_S) * SECOND
        while len(self.late) < expected and now_us() < give_up:
            time.sleep(0.05)
        percentiles = statistics.quantiles(self.late, n=100)
        return {
            COST: cost,
            LOST: expected - len(self.late),
            MEDIAN_LATE: percentiles[49] / SECOND,
            P99_LATE: percentiles[98] / SECOND,
        }


def beat(make: Make, count: int, spread: bool, seconds: int) -> Figures:
    """Have a scheduler run the beats."""
    beats = Beats(count, spread, seconds)
    scheduler = make()
    first = datetime.fromtimestamp(beats.first_us // SECOND, timezone.utc)
    for offset in beats.offsets:
        start = first + timedelta(microseconds=offset)
        scheduler.add_job(
            beats.ran,
            "interval",
            seconds=1,
            start_date=start,
            end_date=start + timedelta(seconds=seconds - 1),
            args=[offset],
        )
    scheduler.start()
    return beats.watch()


# One job after idling


IDLE_S = 0.02
"""How far ahead a job is due: long enough for every thread to have gone to sleep."""
TIMES = 100


def late_after_idle(make: Make) -> Figures:
    """Add one job that is soon due to an idle scheduler, time and again."""
    scheduler = make()
    scheduler.start()

    def ask(due_us: int, job: Callable[[int], None]) -> None:
        due = datetime.fromtimestamp(due_us / SECOND, timezone.utc)
        scheduler.add_job(job, "date", run_date=due, args=[due_us])

    return _lateness(ask)


def _lateness(ask: Callable[[int, Callable[[int], None]], None]) -> Figures:
    late: list[int] = []
    done = threading.Semaphore(0)

    def job(due_us: int) -> None:
        late.append(now_us() - due_us)
        done.release()

    with Stopwatch():
        for _ in range(TIMES):
            ask(now_us() + int(IDLE_S * SECOND), job)
            done.acquire()
    return {COST: statistics.median(late) / SECOND}


# None due


def idle(make: Make, count: int, seconds: int) -> Figures:
    """Have many jobs, none of them due, and count how often the process wakes and works."""
    scheduler = filled(make, count)
    scheduler.start()
    time.sleep(1)  # what starting costs is over
    before, worked = _switches(), time.process_time()
    with Stopwatch():
        time.sleep(seconds)
    return {COST: time.process_time() - worked, WAKE_UPS: _switches() - before}


def _switches() -> int:
    """Return how many times a thread of this process gave up its processor to wait."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


# The table


def scenarios(full: bool) -> list[Scenario]:
    """Return what is measured; a quick pass watches for a shorter time, and once."""
    seconds = 15 if full else 4
    return [
        Scenario(
            f"10,000 every second at once, {seconds} s",
            _beating(10_000, False, seconds),
            (
                Row(LOST, "runs lost", "runs", at_most=0),
                Row(COST, "processor a run", times_peer=10),
                Row(P99_LATE, "p99 late", times_peer=6),
            ),
            rounds=3 if full else 1,
        ),
        *(_spread(size, seconds, full) for size in (1_000, 10_000)),
        Scenario(
            "one due, idle before: median late",
            {OURS: partial(late_after_idle, ours), APSCHEDULER: partial(late_after_idle, theirs)},
            (Row(),),
            rounds=7 if full else 3,
        ),
        _none_due(full),
    ]


def _beating(size: int, spread: bool, seconds: int) -> dict[str, Callable[[], Figures]]:
    return {
        OURS: partial(beat, ours, size, spread, seconds),
        APSCHEDULER: partial(beat, theirs_losing_nothing, size, spread, seconds),
    }


def _spread(size: int, seconds: int, full: bool) -> Scenario:
    return Scenario(
        f"{size:,} a second, spread, {seconds} s",
        _beating(size, True, seconds),
        (
            Row(LOST, "runs lost", "runs", at_most=0),
            Row(COST, "processor a run"),
            Row(MEDIAN_LATE, "median late"),
        ),
        rounds=3 if full else 1,
    )


def _none_due(full: bool) -> Scenario:
    # A bar for 30 seconds, and in a quick pass its third for 10.
    seconds = 30 if full else 10
    subjects: dict[str, Callable[[], Any]] = {
        OURS: partial(idle, ours, 100_000, seconds),
        APSCHEDULER: partial(idle, theirs, 100_000, seconds),
    }
    return Scenario(
        f"100,000 jobs, none due, {seconds} s",
        subjects,
        (
            Row(WAKE_UPS, "wake-ups", "times", at_most=seconds),
            Row(COST, "processor", at_most=seconds / 30 * 5e-3),
        ),
        rounds=3 if full else 1,
    )
