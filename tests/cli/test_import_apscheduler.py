"""Jobs of APScheduler 3 come over with their places; nothing in its pickles is run."""

# ruff: noqa: E501 — tables of triggers, each whole

from __future__ import annotations

import json
import os
import pickle
import sqlite3
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from schedcore import Scheduler, SqliteStore
from schedcore.clock import from_us
from schedcore.transfer.apscheduler import read_jobs
from schedcore.transfer.apscheduler_rows import JobRow
from tests.cli.conftest import stored_rows

UTC = timezone.utc


def read(rows=None, now_us=0):
    return read_jobs([JobRow(*row) for row in (rows or stored_rows())], now_us)


@pytest.fixture(scope="module")
def jobs():
    return {taken.entry.job.id: taken.entry for taken in read().importable}


@pytest.mark.parametrize(
    ("job_id", "trigger", "fire_time"),
    [
        ("beat", "IntervalTrigger(seconds=30, start_date='2030-01-01T12:00:00+01:00', timezone='Europe/Berlin')", "2030-01-01T11:00:00+00:00"),
        ("jittered", "IntervalTrigger(minutes=90, start_date='2030-01-01T12:00:00+01:00', end_date='2031-01-01T00:00:00+01:00', timezone='Europe/Berlin', jitter=20)", "2030-01-01T11:00:00+00:00"),
        ("moved", "IntervalTrigger(hours=2, start_date='2030-01-01T12:34:00+01:00', timezone='Europe/Berlin')", "2030-01-01T11:34:00+00:00"),
        # Zones of pytz and dateutil become those of zoneinfo.
        ("cron", "CronTrigger(day_of_week='mon-fri', hour='6,*/7', timezone='America/New_York')", "2026-11-26T12:00:00+00:00"),
        ("cron-days", "CronTrigger(month='jan-mar,7', day='2nd fri,last', second='*/10', end_date='2032-01-01T00:00:00+01:00', timezone='Europe/Paris')", "2027-01-07T23:00:00+00:00"),
        ("cron-steps", "CronTrigger(year='2030/2', day='last sun', week='1-20/3', hour='8/2', minute='5-20/5', timezone='UTC', jitter=30)", "2030-01-27T08:05:00+00:00"),
        ("crontab", "CronTrigger(month='*', day='1,15', day_of_week='*', hour=4, minute=30, timezone='UTC')", "2026-12-01T04:30:00+00:00"),
        ("each-second", "CronTrigger(second='*', start_date='2030-01-01T00:00:00+00:00', timezone='UTC')", "2030-01-01T00:00:00+00:00"),
        ("date", "DateTrigger(run_date='2030-01-01T00:00:00+01:00', timezone='Europe/Berlin')", "2029-12-31T23:00:00+00:00"),
        ("date-in-a-fold", "DateTrigger(run_date='2030-10-27T02:30:00+01:00', timezone='Europe/Berlin')", "2030-10-27T01:30:00+00:00"),
        ("calendar", "CalendarIntervalTrigger(months=1, hour=9, minute=0, second=0, start_date='2030-01-31', timezone='Europe/Berlin')", "2030-01-31T08:00:00+00:00"),
        ("or", "OrTrigger([CronTrigger(hour=2, timezone='UTC'), CronTrigger(month='*', day=1, day_of_week='*', hour=0, minute=0, timezone='UTC'), DateTrigger(run_date='2030-05-05T00:00:00+00:00', timezone='UTC')], jitter=5)", "2026-11-27T02:00:00+00:00"),
        ("and", "AndTrigger([CronTrigger(hour=2, timezone='UTC'), CronTrigger(day=13, hour='*', timezone='UTC')], jitter=9)", "2026-12-13T02:00:00+00:00"),
        ("paused", "IntervalTrigger(hours=1, start_date='2030-01-01T12:00:00+01:00', timezone='Europe/Berlin')", None),
    ],
)  # fmt: skip
def test_triggers_come_over_with_their_places(jobs, job_id, trigger, fire_time):
    entry = jobs[job_id]
    assert repr(entry.job.trigger) == trigger
    shown = None if entry.fire_us is None else from_us(entry.fire_us).isoformat()
    assert shown == fire_time


def test_due_times_are_those_that_apscheduler_stored(jobs):
    """Also those that it had moved by jitter; without a due time a job is paused."""
    for job_id, next_run_time, _ in stored_rows():
        if job_id in jobs:
            expected = None if next_run_time is None else round(next_run_time * 10**6)
            assert jobs[job_id].due_us == expected, job_id
    jittered = jobs["jittered"]
    assert 0 < jittered.due_us - jittered.fire_us < 20 * 10**6


def test_options_come_over(jobs):
    cron = jobs["cron"].job
    assert (cron.func_ref, cron.name) == ("shop.tasks:report", "Morning report")
    assert (cron.misfire_grace_time, cron.coalesce, cron.max_instances) == (60, False, 3)
    assert jobs["date"].job.executor == "processpool"
    assert jobs["beat"].job.given_name is None, "APScheduler made it of the function's name"


def test_arguments_come_over_exactly(jobs):
    job = jobs["arguments"].job
    assert job.args == (10, "x", (1, 2), None, 1.5, b"raw")
    berlin = ZoneInfo("Europe/Berlin")
    assert job.kwargs == {
        "day": date(2026, 1, 1),
        "when": datetime(2026, 7, 1, 9, tzinfo=berlin),
        "old": datetime(2026, 7, 1, 9, tzinfo=berlin),
        "at": time(9, 30),
        "span": timedelta(minutes=5),
        "price": Decimal("9.90"),
        "key": UUID(int=7),
        "tags": {"a"},
        "nested": {"list": [{"deep": timedelta(0)}]},
    }


def test_what_cannot_come_over_is_told_with_the_reason():
    left = {each.where: each.reason for each in read().rejected}
    assert set(left) == {"foreign-class", "foreign-zone", "own-trigger", "own-member"}
    assert left["foreign-class"].startswith("it holds shop.Stock, which is not plain data")
    assert left["foreign-zone"].startswith("args[0]=")
    assert left["own-trigger"].startswith("it holds shop.Own")
    assert (
        left["own-member"] == "its trigger is a shop:Own, which is not one of APScheduler's kinds"
    )


def test_remarks_tell_what_nobody_asked_for():
    reading = read(now_us=1_900_000_000 * 10**6)
    assert [remark.split(",")[0] for remark in reading.remarks] == [
        "misfire_grace_time=1 of 16 jobs",
        "15 jobs were due before now: each runs",
    ]


def test_a_next_run_that_is_no_fire_time_is_kept_and_told():
    (row,) = [row for row in stored_rows() if row[0] == "crontab"]
    at = datetime(2026, 12, 3, 5, tzinfo=UTC)
    (taken,) = read([("crontab", at.timestamp(), row[2])]).importable
    assert from_us(taken.entry.due_us) == at
    assert taken.remarks == (
        "next run 2026-12-03T05:00:00+00:00 is kept, but is not a time of its trigger"
        " (2026-12-15T04:30:00+00:00)",
    )


def test_what_fires_otherwise_than_there_is_told():
    remarks = {taken.entry.job.id: taken.remarks for taken in read().importable if taken.remarks}
    assert set(remarks) == {"moved", "calendar-of-both", "or-interval"}
    assert remarks["calendar-of-both"][0].startswith("its months and its days are counted from its")
    assert remarks["or-interval"] == (
        "next run 2030-01-01T01:00:00+00:00 is kept, but is not a time of its trigger"
        " (2030-01-01T02:00:00+00:00)",
        "an interval in a combination keeps its own spacing, whatever other members do",
    )


@pytest.mark.parametrize("job_id", ["beat", "date"])
def test_a_job_that_was_moved_goes_on_from_there(job_id):
    (row,) = [row for row in stored_rows() if row[0] == job_id]
    at = datetime(2030, 1, 1, 7, 0, 11, tzinfo=UTC)
    (taken,) = read([(job_id, at.timestamp(), row[2])]).importable
    assert taken.entry.job.trigger.next_fire_times(1, at - timedelta(seconds=1)) == [at]
    assert taken.remarks == (
        "its next run was moved to 2030-01-01T07:00:11+00:00: it continues from there",
    )


# Pickles that mean harm


class Calls:
    """Is pickled as a call."""

    def __init__(self, func, *args):
        self.call = func, args

    def __reduce__(self):
        return self.call


HOSTILE = {
    "a command": (Calls(os.system, "touch harmed"), "it holds posix.system"),
    "eval": (Calls(eval, "open('harmed', 'w')"), "it holds builtins.eval"),
    "getattr": (Calls(getattr, os, "system"), "it holds builtins.__import__"),
    "a method of a type": (Calls(getattr, set, "union"), "it looks for 'union' in an object"),
    "a zone's class": (Calls(getattr, ZoneInfo, "__init__"), "it looks for '__init__'"),
    "a class of its own": (Calls(type, "X", (), {}), "it holds builtins.type"),
}


class Names(pickle.Pickler):
    """Pickles modules, which Python does not."""

    def reducer_override(self, value):
        return (__import__, (value.__name__,)) if type(value) is type(os) else NotImplemented


def pickled(value):
    import io

    file = io.BytesIO()
    Names(file).dump(value)
    return file.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_means_harm_is_refused_by_name_and_runs_nothing(name, run, aps_store):
    value, reason = HOSTILE[name]
    state = pickled({"version": 1, "func": "os:getcwd", "args": (value,), "trigger": None})
    ran = run("import-apscheduler", aps_store([("evil", None, state)]), "--dry-run")
    assert ran.status == 1
    assert f"left: evil (?): {reason}" in ran.out
    assert not os.path.exists("harmed")


def test_a_pickle_cannot_change_what_reads_the_next_one():
    """An opcode sets attributes: of functions too, where they let it."""
    code = b"\x80\x04\x8c\x08datetime\x8c\x08datetime\x93N}\x8c\x01xK\x01s\x86b."
    reading = read([("evil", None, code), *stored_rows()])
    assert reading.rejected[0].reason == "it writes on datetime.datetime"
    assert len(reading.importable) == 17


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (b"", "it is not a readable pickle: EOFError"),
        (b"not a pickle", "it is not a readable pickle: UnpicklingError"),
        (pickle.dumps([1]), "it is a list where a job is a dict"),
        (pickle.dumps({"version": 2}), "its version is 2, and only version 1 is known"),
        (pickle.dumps({"version": 1}), "it names no function"),
        (pickle.dumps({"func": "nonsense"}), "func='nonsense': expected a reference"),
        (
            pickle.dumps({"func": "os:getcwd", "trigger": 7}),
            "its trigger is a int, which is not one of",
        ),
    ],
)
def test_a_row_that_is_none_of_apschedulers_is_told(state, reason):
    (left,) = read([("odd", 1.0, state)]).rejected
    assert left.reason.startswith(reason)


# The command


def test_the_command_brings_jobs_into_a_store_once(run, aps_store, tmp_path):
    url = aps_store()
    first = run("import-apscheduler", url, "--into", "sqlite:///jobs.db")
    assert first.status == 1, "some were left"
    assert first.out.splitlines()[-1] == "17 jobs added; 4 left, for the reasons above"
    again = run("import-apscheduler", url, "--into", "sqlite:///jobs.db")
    assert again.out.splitlines()[-1] == (
        "0 jobs added; 17 there already; 4 left, for the reasons above"
    )
    store = SqliteStore(tmp_path / "jobs.db")
    there = {entry.job.id: entry for entry in store.entries()}
    store.close()
    for taken in read().importable:
        entry = taken.entry
        assert there[entry.job.id].job.trigger == entry.job.trigger
        assert there[entry.job.id][1:3] == entry[1:3]


def test_code_that_declares_the_same_job_takes_it_over_in_its_place(
    run, aps_store, tmp_path, monkeypatch
):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tasks.py").write_text("def restock():\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    rows = [row for row in stored_rows() if row[0] == "beat"]
    assert run("import-apscheduler", aps_store(rows), "--into", "sqlite:///jobs.db").status == 0
    scheduler = Scheduler(store="sqlite:///jobs.db", timezone="Europe/Berlin")
    job = scheduler.add_job(
        "shop.tasks:restock", "interval", seconds=30, id="beat", misfire_grace_time=1
    )
    assert job.next_run_time == datetime(2030, 1, 1, 11, tzinfo=UTC)
    scheduler.start(paused=True)
    scheduler.shutdown()


def test_the_source_is_only_read(run, aps_store, tmp_path):
    url = aps_store()
    before = (tmp_path / "aps.sqlite").read_bytes()
    run("import-apscheduler", url, "--into", "sqlite:///jobs.db")
    assert (tmp_path / "aps.sqlite").read_bytes() == before


def test_a_dry_run_writes_nothing(run, aps_store, tmp_path):
    rows = [row for row in stored_rows() if row[0] in ("beat", "paused")]
    ran = run("import-apscheduler", aps_store(rows), "--into", "sqlite:///jobs.db", "--dry-run")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[0].split()[:4] == ["beat", "shop.tasks:restock", "2030-01-01", "11:00:00+00:00"]
    assert lines[1].split()[:3] == ["paused", "shop.tasks:restock", "paused"]
    assert lines[-1] == "2 jobs would be added"
    assert not (tmp_path / "jobs.db").exists()


def test_json_tells_all(run, aps_store):
    ran = run("import-apscheduler", aps_store(), "--dry-run", "--json")
    told = json.loads(ran.out)
    assert len(told["added"]) == 17
    assert {each["where"] for each in told["left"]} >= {"foreign-class", "own-trigger"}
    beat = next(job for job in told["added"] if job["id"] == "beat")
    assert beat["next_fire_time"] == "2030-01-01T11:00:00+00:00"


def test_another_job_with_the_same_id_stays_as_it_is(run, aps_store, tmp_path):
    another = {"id": "beat", "func": "os:getcwd", "trigger": {"trigger": "date"}, "paused": True}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(another))
    assert run("import", "--into", "sqlite:///jobs.db", "jobs.jsonl").status == 0
    rows = [row for row in stored_rows() if row[0] == "beat"]
    ran = run("import-apscheduler", aps_store(rows), "--into", "sqlite:///jobs.db")
    assert ran.status == 1
    assert "left: beat: a job with this id and another definition exists" in ran.out


def test_the_store_may_be_named_by_the_environment(run, aps_store, tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDULER_STORE", "sqlite:///named.db")
    run("import-apscheduler", aps_store())
    assert (tmp_path / "named.db").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sqlite:///none.sqlite", "--dry-run"], "there is no such file"),
        (["aps.sqlite", "--dry-run"], "or postgresql://user:password@host/database; for a file, sqlite:///aps.sqlite"),
        (["mysql://me:secret@db/x", "--dry-run"], "url='mysql://me:***@db/x': expected sqlite:///"),
        (["sqlite:///aps.sqlite", "--dry-run", "--table", "x; drop table y"], "table='x; drop table y': expected the name of a table"),
        (["sqlite:///aps.sqlite", "--dry-run", "--table", "apscheduler_job"], "it has no table 'apscheduler_job' (did you mean 'apscheduler_jobs'?)"),
        (["sqlite:///aps.sqlite"], "into=None: expected a store on disk"),
        (["sqlite:///aps.sqlite", "--into", "memory"], "into='memory': expected a store on disk"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(arguments, told, run, aps_store):
    aps_store([])
    ran = run("import-apscheduler", *arguments)
    assert ran.status == 2
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_table_of_another_name_is_read(run, aps_store):
    rows = [row for row in stored_rows() if row[0] == "beat"]
    url = aps_store(rows, table="my_jobs")
    ran = run("import-apscheduler", url, "--table", "my_jobs", "--dry-run")
    assert ran.out.splitlines()[-1] == "1 job would be added"


def test_a_file_of_apscheduler_4_is_told(run, tmp_path):
    with sqlite3.connect(tmp_path / "aps4.sqlite") as database:
        database.execute("create table schedules (id text)")
    database.close()
    ran = run("import-apscheduler", "sqlite:///aps4.sqlite", "--dry-run")
    assert "it is a data store of APScheduler 4" in ran.err
