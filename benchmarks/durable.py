"""Jobs in a SQLite file: the cost of a fire, an added job and a write; taking over; idling.

Each commit waits for the disk (``synchronous=FULL``), in both libraries.  The time for that varies
from minute to minute, so only ratios are meaningful: to APScheduler with its SQLAlchemyJobStore on
SQLite, and to one bare transaction.
"""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

from benchmarks.measuring import APSCHEDULER, COST, OURS, Figures, Row, Scenario, Stopwatch
from benchmarks.subjects import THREADS, nothing

BARE = "bare transactions"
"""The same rows written with the database's driver alone: the cost of the disk and SQLite."""
P99, PROCESSOR, OUTCOME = "p99", "processor", "outcome"
DUE, WRITES, ADDED = 2_000, 100, 1_000
THEIRS_DUE = 300
"""The number of jobs for the peer, which takes 5 ms for each."""


def a_path() -> str:
    """Return the path of a new file."""
    return os.path.join(tempfile.mkdtemp(prefix="schedcore-bench-"), "jobs.db")


def ours(path: str | None = None) -> Any:
    """Return a scheduler on a file."""
    from schedcore import Scheduler

    return Scheduler(timezone="UTC", store=f"sqlite:///{path or a_path()}")


def theirs(url: str | None = None) -> Any:
    """Return the peer's scheduler on a file or another database, set to drop nothing."""
    from apscheduler.executors.pool import ThreadPoolExecutor as TheirPool
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler

    return BackgroundScheduler(
        timezone=timezone.utc,
        executors={"default": TheirPool(THREADS)},
        jobstores={"default": SQLAlchemyJobStore(url=url or f"sqlite:///{a_path()}")},
        job_defaults={"misfire_grace_time": None, "coalesce": True},
    )


def bare() -> sqlite3.Connection:
    """Return a connection to a file with a table like those of jobs."""
    connection = sqlite3.connect(a_path(), isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table due (k integer primary key, id text unique, due_us, text)")
    connection.execute("create index due_at on due (due_us)")
    return connection


def row(number: int) -> tuple[int, str, int, str]:
    """Return a row of about the size of a job."""
    return number, f"job-{number}", number, "x" * 300


# Firing


_called = threading.Semaphore(0)


def call() -> None:
    """Do nothing: the function of jobs, found by reference."""
    _called.release()


def wait_for_calls(count: int) -> None:
    for _ in range(count):
        _called.acquire()


def ours_due(make: Callable[[], Any]) -> Figures:
    """Run jobs that are all due, until the last one's outcome is on disk."""
    scheduler = make()
    scheduler.start(paused=True)
    now = datetime.now(timezone.utc)
    scheduler.add_jobs(
        {"func": call, "trigger": "interval", "seconds": 3600, "next_run_time": now}
        for _ in range(DUE)
    )
    with Stopwatch() as watch:
        scheduler.resume()
        wait_for_calls(DUE)
        while sum(scheduler.counts().values()) < DUE:
            time.sleep(0.001)
    scheduler.shutdown()
    return {COST: watch.seconds / DUE, PROCESSOR: watch.processor / DUE}


def theirs_due(make: Callable[[], Any]) -> Figures:
    """The same; the peer stores no outcomes, only when each job is due next."""
    scheduler = make()
    scheduler.start(paused=True)
    now = datetime.now(timezone.utc)
    for _ in range(THEIRS_DUE):
        scheduler.add_job("benchmarks.durable:call", "interval", seconds=3600, next_run_time=now)
    with Stopwatch() as watch:
        scheduler.resume()
        wait_for_calls(THEIRS_DUE)
    scheduler.shutdown(wait=False)
    return {COST: watch.seconds / THEIRS_DUE, PROCESSOR: watch.processor / THEIRS_DUE}


def bare_due() -> Figures:
    """Update as many rows in one transaction."""
    connection = bare()
    connection.executemany("insert into due values (?, ?, ?, ?)", map(row, range(DUE)))
    with Stopwatch() as watch:
        connection.execute("begin immediate")
        moves = ((number + DUE, number) for number in range(DUE))
        connection.executemany("update due set due_us = ? where k = ?", moves)
        connection.execute("commit")
    return {COST: watch.seconds / DUE}


# Adding


def many(count: int) -> list[dict[str, Any]]:
    """Return so many jobs, none of which is due within the hour."""
    return [
        {"func": nothing, "trigger": "interval", "seconds": 3600, "id": str(number)}
        for number in range(count)
    ]


def add_in_bulk(make: Callable[[], Any], count: int) -> Figures:
    """Add jobs with one call, or one by one with the peer, which has no such call."""
    scheduler = make()
    scheduler.start(paused=True)
    jobs = many(count)
    with Stopwatch() as watch:
        if hasattr(scheduler, "add_jobs"):
            scheduler.add_jobs(jobs)
        else:
            for job in jobs:
                scheduler.add_job(**job)
    scheduler.shutdown()
    return {COST: watch.seconds / count}


def add_each(make: Callable[[], Any]) -> Figures:
    """Add jobs one by one, each on disk before the next."""
    scheduler = make()
    scheduler.start(paused=True)
    with Stopwatch() as watch:
        for job in many(WRITES):
            scheduler.add_job(**job)
    scheduler.shutdown()
    return {COST: watch.seconds / WRITES}


def bare_each() -> Figures:
    """Insert as many rows, each in its own transaction."""
    connection = bare()
    with Stopwatch() as watch:
        for number in range(WRITES):
            connection.execute("begin immediate")
            connection.execute("insert into due values (?, ?, ?, ?)", row(number))
            connection.execute("commit")
    return {COST: watch.seconds / WRITES}


# With another process


class Other:
    """A process of :func:`serve`, controlled by lines of text."""

    def __init__(self, what: str, path: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.durable", what, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hear()

    def hear(self) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self) -> None:
        """Let it continue."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()


BURST = 10_000


def burst(path: str) -> None:
    """In another process: run many due jobs, on request."""
    scheduler = ours(path)
    scheduler.start(paused=True)
    now = datetime.now(timezone.utc)
    scheduler.add_jobs({**job, "next_run_time": now} for job in many(BURST))
    print("ready", flush=True)
    sys.stdin.readline()
    scheduler.resume()
    while sum(scheduler.counts().values()) < BURST:
        time.sleep(0.01)
    print("done", flush=True)
    sys.stdin.readline()


def write_beside_a_burst() -> Figures:
    """Rename jobs while another process runs due jobs, as a request would."""
    path = a_path()
    other = Other("burst", path)
    scheduler = ours(path)
    names = [f"mine-{number}" for number in range(50)]
    scheduler.add_jobs({**job, "id": name} for job, name in zip(many(50), names, strict=True))
    scheduler.follow()
    taken: list[float] = []
    done = threading.Event()
    threading.Thread(target=lambda: (other.hear(), done.set()), daemon=True).start()
    source = random.Random(1337)
    other.tell()
    with Stopwatch() as watch:
        while not done.is_set():
            began = time.perf_counter()
            scheduler.modify_job(source.choice(names), name=f"{len(taken)}")
            taken.append(time.perf_counter() - began)
            time.sleep(source.uniform(0, 0.004))  # requests have pauses between them
    other.kill()
    scheduler.shutdown()
    return {
        COST: statistics.median(taken),
        P99: statistics.quantiles(taken, n=100)[98],
        "fire": watch.seconds / BURST,
    }


def tell_the_time() -> None:
    """Print the time: the function of a job."""
    print(time.time_ns(), flush=True)


def stand_by(path: str) -> None:
    """In another process: run a job every 10 ms, or stand by."""
    scheduler = ours(path)
    scheduler.add_job("benchmarks.durable:tell_the_time", "interval", seconds=0.01, id="tick")
    scheduler.follow()
    print("ready", flush=True)
    sys.stdin.readline()


def take_over() -> Figures:
    """Kill the process that takes due jobs; return when the next one calls a function."""
    path = a_path()
    first, second = Other("stand_by", path), Other("stand_by", path)
    first.hear()
    first.process.kill()
    killed = time.time_ns()
    took = (int(second.hear()) - killed) / 1e9
    first.kill()
    second.kill()
    return {COST: took}


OTHERS = {"burst": burst, "stand_by": stand_by}


# Idling


def idle(seconds: float) -> Figures:
    """Keep many jobs, none of them due, for a while; return the processor time."""
    scheduler = ours()
    scheduler.start()
    scheduler.add_jobs(many(100_000))
    time.sleep(2)  # until the consequences of adding are over
    with Stopwatch() as watch:
        time.sleep(seconds)
    return {COST: watch.processor}


# Size


STORED = 10_000


def size_of_file(path: str) -> int:
    """Return the size of a file after a checkpoint and a vacuum."""
    connection = sqlite3.connect(path)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.execute("vacuum")
    connection.close()
    return os.path.getsize(path)


def sizes(make: Callable[[], Any], size: Callable[[], int]) -> Figures:
    """Store jobs, then run each once: the bytes for a job and for an outcome."""
    scheduler = make()
    scheduler.start(paused=True)
    empty = size()
    now = datetime.now(timezone.utc)
    scheduler.add_jobs({**job, "func": call, "next_run_time": now} for job in many(STORED))
    with_jobs = size()
    scheduler.resume()
    while sum(scheduler.counts().values()) < STORED:
        time.sleep(0.01)
    scheduler.pause()
    with_outcomes = size()
    scheduler.shutdown()
    return {COST: (with_jobs - empty) / STORED, OUTCOME: (with_outcomes - with_jobs) / STORED}


def sizes_in_sqlite() -> Figures:
    """Return these for a file."""
    path = a_path()
    return sizes(partial(ours, path), partial(size_of_file, path))


# The table


SIZES = (Row(label="a job", unit="B"), Row(OUTCOME, "an outcome", unit="B"))


def scenarios_of_both(
    database: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    bare_due: Callable[[], Figures],
    bare_each: Callable[[], Figures],
    due: tuple[float, float],
    rounds: int,
) -> list[Scenario]:
    """Return the scenarios for a kind of database.

    Args:
        database: The database.
        ours: Creates our scheduler on it.
        theirs: Creates the peer's.
        bare_due: Updates as many rows as there are due jobs.
        bare_each: Inserts rows one by one.
        due: The bars for due jobs, against the peer and against the bare rows.
        rounds: How often each figure is measured.
    """
    bulk = {OURS: partial(add_in_bulk, ours, ADDED), APSCHEDULER: partial(add_in_bulk, theirs, 300)}
    each = {OURS: partial(add_each, ours), APSCHEDULER: partial(add_each, theirs), BARE: bare_each}
    fires = {
        OURS: partial(ours_due, ours),
        APSCHEDULER: partial(theirs_due, theirs),
        BARE: bare_due,
    }
    rows = (
        Row(times_peer=due[0]),
        Row(label="one transaction", peer=BARE, times_peer=due[1]),
        Row(PROCESSOR, "processor"),
    )
    adding = (Row(), Row(label="a transaction each", peer=BARE, times_peer=0.8))
    return [
        Scenario(f"{database}, 2,000 due at once", fires, rows, rounds),
        Scenario(f"{database}, add_jobs 1,000", bulk, (Row(times_peer=100),), rounds),
        Scenario(f"{database}, add_job", each, adding, rounds),
    ]


def scenarios(full: bool) -> list[Scenario]:
    """Return the scenarios."""
    rounds, seconds = (5, 30.0) if full else (3, 10.0)
    return [
        *scenarios_of_both("SQLite", ours, theirs, bare_due, bare_each, (200, 1 / 8), rounds),
        Scenario(
            "SQLite, a write beside 10,000 due",
            {OURS: write_beside_a_burst},
            (Row(label="median"), Row(P99, "p99", at_most=0.1), Row("fire", "a fire meanwhile")),
            rounds,
        ),
        Scenario(
            "SQLite, taking over after kill -9", {OURS: take_over}, (Row(at_most=0.5),), rounds
        ),
        Scenario(
            f"SQLite, 100,000 jobs, none due, {seconds:.0f} s",
            {OURS: partial(idle, seconds)},
            (Row(label="processor", at_most=0.001 * seconds),),
            rounds,
        ),
        Scenario("SQLite, bytes", {OURS: sizes_in_sqlite}, SIZES, 1),
    ]


def main(given: Sequence[str]) -> None:
    """Be the other process of a scenario."""
    OTHERS[given[0]](*given[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
