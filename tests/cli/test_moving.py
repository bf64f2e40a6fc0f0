"""Jobs written as JSON lines come back as they were, all or none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcore import AndTrigger, CronTrigger, DateTrigger, IntervalTrigger, OrTrigger, SqliteStore
from schedcore.cli.stores import opened
from schedcore.job import Job, Options
from schedcore.retry import Retry
from schedcore.stores.base import make_entry
from schedcore.transfer.job_lines import entry_of, line_of
from schedcore.triggers import CalendarIntervalTrigger

UTC = timezone.utc
CRON = CronTrigger(hour=3, timezone="Europe/Berlin")

leaves = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False) | st.dates()
    | st.datetimes() | st.datetimes(timezones=st.just(ZoneInfo("Europe/Berlin")))
    | st.just("\udc80") | st.timedeltas() | st.uuids() | st.decimals(allow_nan=False)
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
instants = st.integers(-(10**15), 10**16)
triggers = st.sampled_from(
    [
        CRON,
        CronTrigger.from_crontab("5 * * * mon", timezone="UTC", jitter=4),
        DateTrigger("2030-01-01", timezone="Asia/Tokyo"),
        IntervalTrigger(minutes=7, start_date="2026-01-01", timezone="UTC"),
        IntervalTrigger(seconds=0.25, timezone="UTC").bound_to(1_700_000_000_123_456),
        CalendarIntervalTrigger(months=1, start_date="2026-01-31", timezone="UTC"),
        OrTrigger([CRON, DateTrigger("2030-01-01", timezone="UTC")], jitter=2.5),
        AndTrigger([CRON, CronTrigger(day="2nd fri", hour=3, timezone="Europe/Berlin")]),
    ]
)
options = st.builds(
    Options,
    executor=st.sampled_from(["default", "processes"]),
    misfire_grace_time=st.none() | st.floats(0.1, 1e6),
    coalesce=st.booleans(),
    max_instances=st.integers(1, 9),
    overlap=st.sampled_from(["skip", "queue", "cancel"]),
    timeout=st.none() | st.integers(1, 100),
    retry=st.none() | st.just(Retry(3, delay=2.5)),
    on_lost=st.sampled_from(["record", "rerun"]),
    tags=st.sampled_from([(), ("billing", "nightly")]),
    on_failure=st.sampled_from([(), ("mail", "ops")]),
    on_recovery=st.sampled_from([(), ("mail",)]),
    on_missed=st.sampled_from([(), ("ops",)]),
    on_run=st.sampled_from([(), ("ops",)]),
)
jobs = st.builds(
    Job,
    id=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
    ),
    func=st.none(),
    args=st.lists(values, max_size=3).map(tuple),
    kwargs=st.dictionaries(st.text(max_size=4), values, max_size=3),
    trigger=triggers,
    options=options,
    given_name=st.none() | st.just("Namensänderung"),
    given_ref=st.just("no_such_package.tasks:work"),
)
places = st.one_of(
    st.tuples(st.none() | instants, st.none()),
    st.tuples(instants, instants),
    instants.map(lambda fire_us: (fire_us, fire_us)),
)
entries = st.builds(
    lambda job, place, backlog_us, broken: make_entry(job, *place, backlog_us, broken),
    jobs,
    places,
    st.none() | instants,
    st.none() | st.text(max_size=9),
)


@given(entries)
def test_an_entry_comes_back_as_it_was(entry):
    line = line_of(entry)
    assert "\n" not in line
    found = entry_of(line)
    assert found == entry
    assert repr(found.job.args) == repr(entry.job.args), "and of the same types"
    assert found.job.trigger.is_bound == entry.job.trigger.is_bound


def fill(path, *found):
    store = SqliteStore(path)
    assert not store.write(found, 0).conflicts
    store.close()


def content(path):
    store = opened(f"sqlite:///{path}")
    found = {entry.job.id: entry._replace(version=None) for entry in store.entries()}
    store.close()
    return found


def job(job_id="a", trigger=CRON, **more):
    return Job(job_id, None, (), {}, trigger, Options(), given_ref="os:getcwd", **more)


def some_entries():
    args = (1, date(2026, 1, 5), Decimal("1.10"), UUID(int=3), timedelta(1), b"\x00", {"$type": 1})
    yield make_entry(job("plain"), 2 * 10**15, 2 * 10**15)
    yield make_entry(job("jittered", CronTrigger(hour=1, jitter=9)), 2 * 10**15, 2 * 10**15 + 7)
    yield make_entry(job("paused")._replace(args=args), 2 * 10**15, None)
    yield make_entry(job("new, and paused", given_name="Ünïcode"), None, None)
    yield make_entry(job("parked"), 2 * 10**15, None, None, "'app' no longer declares it")
    yield make_entry(job("backlog"), 10**15, 10**15, 11 * 10**14)


def test_a_store_is_moved_to_another_one(run, tmp_path):
    fill("old.db", *some_entries())
    assert run("export", "--from", "sqlite:///old.db", "jobs.jsonl").out == "6 jobs written\n"
    ran = run("import", "--into", "sqlite:///new.db", "jobs.jsonl")
    assert ran == (0, "6 jobs added\n", "")
    assert content("new.db") == content("old.db")
    again = run("import", "--into", "sqlite:///new.db", "jobs.jsonl")
    assert again == (0, "0 jobs added; 6 there already\n", "")


def test_without_a_file_lines_are_printed_and_read(run, tmp_path, monkeypatch):
    fill("old.db", *some_entries())
    monkeypatch.setenv("SCHEDULER_STORE", "sqlite:///old.db")
    lines = run("export").out
    assert lines.isascii(), "JSON for an output of any encoding"
    assert [json.loads(line)["id"] for line in lines.splitlines()] == sorted(
        entry.job.id for entry in some_entries()
    )
    (tmp_path / "lines").write_text(lines, "utf-8")
    with open("lines", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert run("import", "--into", "sqlite:///new.db").out == "6 jobs added\n"


def test_no_module_of_a_job_is_imported(run, tmp_path, monkeypatch):
    (tmp_path / "costly.py").write_text("open('imported', 'w').close()\ndef work(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    fill("old.db", make_entry(job()._replace(given_ref="costly:work"), 10**15, 10**15))
    run("export", "--from", "sqlite:///old.db", "jobs.jsonl")
    run("import", "--into", "sqlite:///new.db", "jobs.jsonl")
    assert not os.path.exists("imported")
    assert "costly" not in sys.modules


GOOD = line_of(make_entry(job("good"), 10**15, 10**15))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: job='{': expected JSON: "),
        ("[1]", "line 2: job=[1]: expected an object with a job's fields"),
        (GOOD, "line 2: the id 'good' is that of line 1 as well"),
        (GOOD.replace('"good"', '""'), "line 2: id='': expected text of 1 to 255 characters"),
        (GOOD.replace("os:getcwd", "os"), "line 2: func='os': expected a reference"),
        (GOOD.replace('"coalesce"', '"coalesc"'), "line 2: coalesc=True: expected one of"),
        (GOOD.replace('"cron"', '"corn"'), "(did you mean 'cron'?)"),
        (GOOD.replace("2001-", "soon"), "line 2: next_fire_time='soon"),
        (GOOD.replace('"paused": false', '"paused": 0'), "line 2: paused=0: expected true or"),
        (json.dumps(json.loads(GOOD) | {"next_fire_time": None}), "line 2: next_fire_time=None"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_nothing_is_written(line, told, run, tmp_path):
    (tmp_path / "jobs.jsonl").write_text(f"{GOOD}\n{line}\n", "utf-8")
    ran = run("import", "--into", "sqlite:///new.db", "jobs.jsonl")
    assert ran.status == 2
    assert told in ran.err
    assert ran.err.endswith("; nothing was written\n")
    assert not (tmp_path / "new.db").exists()


def test_another_job_with_the_same_id_is_replaced_only_if_told(run, tmp_path):
    fill("new.db", make_entry(job("good", CronTrigger(hour=9)), 3 * 10**15, 3 * 10**15))
    before = content("new.db")
    (tmp_path / "jobs.jsonl").write_text(f"{line_of(next(some_entries()))}\n{GOOD}\n", "utf-8")
    ran = run("import", "--into", "sqlite:///new.db", "jobs.jsonl")
    assert ran.status == 2
    assert "line 2: a job with the id 'good' and another definition exists" in ran.err
    assert content("new.db") == before
    dry = run("import", "--into", "sqlite:///new.db", "jobs.jsonl", "--replace", "--dry-run")
    assert [line.split()[:2] for line in dry.out.splitlines()] == [
        ["add", "plain"],
        ["replace", "good"],
        ["1", "job"],
    ]
    assert content("new.db") == before
    ran = run("import", "--into", "sqlite:///new.db", "jobs.jsonl", "--replace")
    assert ran == (0, "1 job added; 1 replaced\n", "")
    assert content("new.db")["good"] == entry_of(GOOD)


def test_replace_gives_a_job_its_place_back(run, tmp_path):
    fill("new.db", make_entry(job("good"), 3 * 10**15, None))
    (tmp_path / "jobs.jsonl").write_text(GOOD, "utf-8")
    assert run("import", "--into", "sqlite:///new.db", "jobs.jsonl", "--replace").status == 0
    assert content("new.db")["good"] == entry_of(GOOD)


def test_a_definition_that_cannot_be_read_is_left_and_told(run, tmp_path):
    import sqlite3

    fill("old.db", *some_entries())
    with sqlite3.connect("old.db") as database:
        database.execute("update schedcore_jobs set definition = '{}' where id = 'plain'")
    database.close()
    ran = run("export", "--from", "sqlite:///old.db")
    assert ran.status == 1
    assert len(ran.out.splitlines()) == 5
    assert "left: plain: " in ran.err


OWN = """
from schedcore import Trigger, register_trigger

@register_trigger
class Fortnight(Trigger):
    kind = "fortnight"
    def next_us(self, after_us):
        return after_us + 14 * 86_400 * 10**6
    def to_dict(self):
        return {"trigger": "fortnight"}
    def __eq__(self, other):
        return isinstance(other, Fortnight)
    __hash__ = Trigger.__hash__
"""


def test_a_trigger_of_the_programs_own_is_known_once_its_module_is_loaded(run, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    data = {**json.loads(GOOD), "trigger": {"trigger": "fortnight"}}
    (tmp_path / "jobs.jsonl").write_text(f"{json.dumps(data)}\n")
    program = [sys.executable, "-m", "schedcore"]  # a process of its own: the name stays taken

    def typed(*arguments):
        return subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)

    imported = ["import", "--into", "sqlite:///new.db", "jobs.jsonl"]
    assert "trigger='fortnight': expected one of" in typed(*imported).stderr
    assert typed(*imported, "--load", "own").stdout == "1 job added\n"
    exported = typed("export", "--from", "sqlite:///new.db", "--load", "own")
    assert json.loads(exported.stdout) == data
    assert typed("export", "--from", "sqlite:///new.db").returncode == 1, "left, without it"
    told = typed(*imported, "--load", "owm").stderr
    assert told.startswith("schedcore: load='owm': expected a module that can be imported")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["export"], "from=None: expected a store on disk, such as sqlite:///jobs.db; or set"),
        (["export", "--from", "sqlite:///none.db"], "there is no such file"),
        (["export", "--from", "none.db"], "store='none.db': expected memory, sqlite:///"),
        (["import", "--into", "sqlite:///new.db", "none.jsonl"], "No such file or directory"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, told, run, tmp_path):
    ran = run(*arguments)
    assert ran.status == 2
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [], "and nothing is made"


def test_a_moment_may_be_written_in_any_zone():
    line = GOOD.replace("2001-09-09T01:46:40+00:00", "2001-09-09T03:46:40+02:00")
    assert entry_of(line) == entry_of(GOOD)
    assert datetime.fromtimestamp(entry_of(GOOD).due_us / 10**6, UTC).year == 2001
