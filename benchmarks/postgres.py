"""Jobs in PostgreSQL: what a fire and an added job cost, several nodes on one database, idling.

Each process starts a server of its own, from the programs that Debian's package brings, in a
temporary folder; commits wait for the disk.  Server and nodes share this machine's processors.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import cache, partial
from typing import Any

import psycopg

from benchmarks.durable import (
    DUE,
    PROCESSOR,
    SIZES,
    many,
    row,
    scenarios_of_both,
    sizes,
    theirs,
)
from benchmarks.measuring import COST, OURS, Figures, Row, Scenario, Stopwatch
from schedcore import State
from schedcore.stores.postgres import PostgresStore
from tests.stores.postgres import Server

ONE = "one node"
NODES, BURST = 4, 20_000


@cache
def server() -> Server:
    """Start the server of this process; it ends with it."""
    import atexit

    started = Server("fsync = on\nautovacuum = on\n")
    atexit.register(started.end)
    return started


def ours(url: str | None = None) -> Any:
    """Return a scheduler on a schema of its own, or on this one."""
    from schedcore import Scheduler

    return Scheduler(timezone="UTC", store=url or server().url())


def peers() -> Any:
    """Return the peer's, on the same server."""
    return theirs(f"postgresql+psycopg://postgres@/postgres?host={server().folder}")


def bare() -> psycopg.Connection[Any]:
    """Return a connection to a table like that of jobs."""
    connection = psycopg.connect(f"host={server().folder} user=postgres", autocommit=True)
    connection.execute(
        "create table due (k bigint primary key, id text unique, due_us bigint, text text)"
    )
    connection.execute("create index due_at on due (due_us)")
    return connection


_INSERT = "insert into due values (%s, %s, %s, %s)"


def bare_due() -> Figures:
    """Move as many rows on in one transaction."""
    connection = bare()
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, map(row, range(DUE)))
        moves = [(number + DUE, number) for number in range(DUE)]
        with Stopwatch() as watch, connection.transaction():
            cursor.executemany("update due set due_us = %s where k = %s", moves)
    return {COST: watch.seconds / DUE}


def bare_each() -> Figures:
    """Insert rows in a transaction each."""
    connection = bare()
    with Stopwatch() as watch:
        for number in range(100):
            connection.execute(_INSERT, row(number))
    return {COST: watch.seconds / 100}


def sizes_in_postgres() -> Figures:
    """Return the bytes that a job takes, and an outcome."""
    url = server().url()
    watching = psycopg.connect(f"host={server().folder} user=postgres", autocommit=True)

    def size() -> int:
        tables = watching.execute(
            "select oid::regclass::text from pg_class where relkind = 'r'"
            " and relnamespace = %s::regnamespace",
            (url.rpartition("schema=")[2],),
        ).fetchall()
        for (table,) in tables:
            watching.execute(f"vacuum full {table}")  # type: ignore[arg-type]
        found = [
            watching.execute("select pg_total_relation_size(%s::regclass)", one).fetchone()
            for one in tables
        ]
        return sum(int(one[0]) for one in found if one is not None)

    return sizes(partial(ours, url), size)


# Several nodes


def node(url: str) -> None:
    """In another process: follow the others, until the standard input is closed."""
    scheduler = ours(url)
    scheduler.follow(autostart=False)
    print("ready", flush=True)
    sys.stdin.read()
    scheduler.shutdown()


def worked_off_by(nodes: int) -> Figures:
    """Have many jobs due, and so many processes that take them: how long until all have ended."""
    url = server().url()
    scheduler = ours(url)
    scheduler.start(paused=True)
    entries = [{**job, "next_run_time": "2020-01-01T00:00:00Z"} for job in many(BURST)]
    scheduler.add_jobs(entries)
    scheduler.shutdown()
    others = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.postgres", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(nodes)
    ]
    for other in others:
        assert other.stdout is not None
        other.stdout.readline()
    store = PostgresStore(url)
    with Stopwatch() as watch:
        store.cluster.set_shared_state(State.RUNNING)
        while sum(store.counts().values()) < BURST:
            time.sleep(0.02)
    store.close()
    for other in others:
        other.communicate()
    return {COST: watch.seconds / BURST}


# Idling


def idle(seconds: float) -> Figures:
    """Have many jobs, none of them due, for a while; return how many transactions that took."""
    scheduler = ours()
    scheduler.start()
    jobs = many(100_000)
    for begin in range(0, len(jobs), 10_000):
        scheduler.add_jobs(jobs[begin : begin + 10_000])
    watching = psycopg.connect(f"host={server().folder} user=postgres", autocommit=True)
    time.sleep(5)  # until all that follows from adding is over, and is counted

    def transactions() -> float:
        sql = "select xact_commit from pg_stat_database where datname = 'postgres'"
        return float((watching.execute(sql).fetchone() or (0,))[0])

    before = transactions()
    with Stopwatch() as watch:
        time.sleep(seconds)
    counted = transactions() - before - 1  # the reading itself
    scheduler.shutdown()
    return {COST: counted, PROCESSOR: watch.processor}


def scenarios(full: bool) -> list[Scenario]:
    """Return what is measured."""
    rounds = 5 if full else 3
    return [
        *scenarios_of_both("PostgreSQL", ours, peers, bare_due, bare_each, (40, 1 / 6), rounds),
        Scenario(
            f"PostgreSQL, {NODES} nodes, 20,000 due",
            {OURS: partial(worked_off_by, NODES), ONE: partial(worked_off_by, 1)},
            (Row(peer=ONE, times_peer=1.7),),
            rounds,
        ),
        Scenario(
            "PostgreSQL, 100,000 jobs, none due, 30 s",
            {OURS: partial(idle, 30.0)},
            (Row(label="transactions", unit="", at_most=30), Row(PROCESSOR, "processor")),
            1,
        ),
        Scenario("PostgreSQL, bytes", {OURS: sizes_in_postgres}, SIZES, 1),
    ]


if __name__ == "__main__":
    node(sys.argv[1])
