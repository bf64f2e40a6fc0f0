"""Looking after a store on disk: what it holds, whether it adds up, its tables, its history."""

from __future__ import annotations

import json
import sqlite3

import pytest

from schedcore import CronTrigger, Outcome, RunRecord, SqliteStore
from schedcore.job import Job, Options
from schedcore.stores.base import make_entry
from schedcore.stores.schema import SCHEMA
from tests.stores.calls import put_records, run_now

URL = "sqlite:///jobs.db"
DAY = 86_400 * 10**6


def job(job_id):
    trigger = CronTrigger(hour=3, timezone="UTC")
    return Job(job_id, None, (), {}, trigger, Options(), given_ref="os:getcwd")


@pytest.fixture
def filled():
    store = SqliteStore("jobs.db")
    store.write([make_entry(job("a"), 2 * 10**15, 2 * 10**15)], 0)
    store.write([make_entry(job("b"), 3 * 10**15, None)], 0)
    run_now(store, job("a"), 10**15)
    old = [RunRecord(None, "a", Outcome.EXECUTED, n, occurrences=2) for n in range(5)]
    put_records(store, old, DAY)
    store.close()


def change(*statements):
    with sqlite3.connect("jobs.db") as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def test_status_tells_what_a_store_holds(run, filled, tmp_path):
    told = json.loads(run("db", "status", URL, "--json").out)
    assert told == {
        "store": f"sqlite:///{tmp_path}/jobs.db",
        "schema": SCHEMA,
        "state": "running",
        "jobs": {"scheduled": 1, "paused": 1, "parked": 0},
        "next_due": "2033-05-18T03:33:20+00:00",
        "open_runs": {"active": 1, "waiting": 0, "retrying": 0},
        "outcomes_kept": 5,
        "outcomes_ever": {"executed": 10},
        "processes": 0,
    }
    lines = run("db", "status", URL).out.splitlines()
    assert lines[3].split() == ["jobs", "1", "scheduled,", "1", "paused,", "0", "parked"]
    assert [line.split()[0] for line in lines][:4] == ["store", "schema", "state", "jobs"]


def test_the_store_may_be_named_by_the_environment(run, filled, monkeypatch):
    monkeypatch.setenv("SCHEDULER_STORE", URL)
    assert run("db", "check") == (0, "all adds up\n", "")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("delete from schedcore_due where fire_us = 2000000000000000",
         "jobs without a place in the schedule: 'a' (1)"),
        ("update schedcore_jobs set id = null where id = 'b'",
         "places of jobs that are not there: 2 (1)"),
        ("update schedcore_claims set k = 77",
         "open runs of which the definition is not there: 1 (1)"),
        ("update schedcore_ledger set run_id = 1 where seq = 1",
         "runs that are open and have ended: 1 (1)"),
        ("update schedcore_ledger set run_id = 9",
         "runs that ended twice: 9 (1)"),
        ("update schedcore_claims set node = 4",
         "open runs of processes that are gone: 1 (1)"),
        ("delete from schedcore_totals where job_id = 'a'",
         "more outcomes kept than counted, of 'a'"),
        ("update schedcore_due set k = 9 where k = 2",
         "1 rows of schedcore_due refer to nothing"),
    ],
)  # fmt: skip
def test_check_tells_what_does_not_add_up(statement, told, run, filled):
    assert run("db", "check", URL).status == 0
    change(statement)
    ran = run("db", "check", URL)
    assert ran.status == 1
    assert f"wrong: {told}\n" in ran.out


def test_check_remarks_a_definition_that_cannot_be_read_here(run, filled):
    change("update schedcore_jobs set definition = '{}' where id = 'a'")
    ran = run("db", "check", URL)
    assert ran.status == 0, "it may be of a trigger that only the program knows"
    assert ran.out.startswith("note: a: the stored definition cannot be read")


def test_a_file_that_is_no_database_is_told(run, tmp_path):
    (tmp_path / "jobs.db").write_bytes(b"no database, but text" * 99)
    for what in ("status", "check", "upgrade", "trim"):
        ran = run("db", what, URL)
        assert ran.status == 2
        assert "file is not a database" in ran.err


def test_looking_changes_no_schema(run, tmp_path):
    sqlite3.connect("jobs.db").execute("create table mine (x)").connection.close()
    ran = run("db", "status", URL)
    assert ran.status == 2
    assert f"its schema is 0, and the current one is {SCHEMA}: run 'db upgrade'" in ran.err
    assert run("db", "upgrade", URL) == (0, f"the schema is {SCHEMA}\n", "")
    assert run("db", "upgrade", URL) == (0, f"the schema is {SCHEMA}, as it was\n", "")
    assert run("db", "status", URL).status == 0


def test_the_printed_statements_make_a_store(run, tmp_path):
    script = run("db", "sql", URL).out
    with sqlite3.connect("jobs.db") as database:
        database.executescript(script)
    database.close()
    assert run("db", "upgrade", URL) == (0, f"the schema is {SCHEMA}, as it was\n", "")
    assert run("db", "check", URL) == (0, "all adds up\n", "")
    assert "bigint" in run("db", "sql", "postgresql://me:secret@host/jobs").out


def test_trim_cuts_the_history_and_keeps_the_counts(run, filled):
    assert run("db", "trim", URL, "--days", "999999", "--per-job", "3").out == (
        "2 outcomes deleted; all counts stay\n"
    )
    assert run("db", "trim", URL).out == "3 outcomes deleted; all counts stay\n"
    told = json.loads(run("db", "status", URL, "--json").out)
    assert (told["outcomes_kept"], told["outcomes_ever"]) == (0, {"executed": 10})
    ran = run("db", "trim", URL, "--days", "0")
    assert (ran.status, ran.err) == (2, "schedcore: days=0: expected a whole number of 1 or more\n")


@pytest.mark.parametrize("what", ["status", "check", "trim"])
def test_a_store_that_is_not_there_is_not_made(what, run, tmp_path):
    assert "there is no such file" in run("db", what, URL).err
    assert "store=None: expected a store on disk" in run("db", what).err
    assert list(tmp_path.iterdir()) == []
