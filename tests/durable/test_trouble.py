"""Files that cannot be used, disks that are full, rows that cannot be read, others in the way."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest

from schedcore import (
    ConflictingIdError,
    Outcome,
    Scheduler,
    StoreError,
    StoreUnavailableError,
)
from schedcore.history.query import RunQuery
from schedcore.run import RunRecord
from schedcore.stores import sqlite_file
from schedcore.stores.base import Change, Declared, Entry
from schedcore.stores.sql_history import Retention
from schedcore.stores.sql_nodes import trim
from schedcore.stores.sqlite import SqliteStore
from tests.durable.processes import ROOT, until
from tests.stores.calls import (
    add,
    begun,
    changed,
    end,
    entry,
    ids,
    job,
    put_records,
    removed,
    run_now,
    settle,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture
def opened(path):
    """Return what opens the store, as another process would."""
    made = []

    def make(**options):
        made.append(SqliteStore(path, durable=False, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


@contextmanager
def raw(path):
    """Open the file behind the back of the store."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def running(path):
    """Return what starts a scheduler on the file."""
    made = []

    def start(*jobs, **options):
        scheduler = Scheduler(timezone="UTC", store=SqliteStore(path, durable=False), **options)
        for one in jobs:
            scheduler.add_job(**one)
        scheduler.start()
        made.append(scheduler)
        return scheduler

    yield start
    for scheduler in made:
        scheduler.shutdown(timeout=10)
        scheduler._engine.store.close()


# Files that cannot be used


@pytest.mark.parametrize("start", [b"no database at all", b"SQLite format 3\0"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(opened, path, start):
    content = start + b"noise" * 999
    path.write_bytes(content)
    with pytest.raises(StoreError, match="no SQLite database") as caught:
        opened().entries()
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"No such file or directory.*name a file in a folder"):
        SqliteStore(tmp_path / "missing" / "jobs.db").entries()


def set_schema(path, schema, oldest_code):
    with raw(path) as connection:
        sql = "update schedcore_meta set value = ? where name = ?"
        connection.execute(sql, (str(schema), "schema"))
        connection.execute(sql, (str(oldest_code), "oldest_code"))


def test_a_newer_schema_is_refused_unless_it_is_made_to_be_shared(opened, path):
    with closing(opened()) as store:
        add(store, entry("a"))
    set_schema(path, 99, oldest_code=99)
    with pytest.raises(StoreError, match=r"its schema is 99.*update"):
        opened().entries()
    set_schema(path, 99, oldest_code=1)
    newer = opened()
    assert ids(newer.entries()) == ["a"]
    assert newer.cluster.info().schema == 99


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_is_named_with_the_way_out(what):
    """In a process that gives up being root, once all is imported."""
    folder = tempfile.mkdtemp()
    try:
        os.chmod(folder, 0o777)
        path = os.path.join(folder, "jobs.db")
        if what == "file":
            SqliteStore(path).close()
            with raw(path):
                os.chmod(path, 0o444)
        else:
            os.chmod(folder, 0o555)
        program = f"""
            import os
            from schedcore import StoreError
            from schedcore.stores.sqlite import SqliteStore
            if not os.geteuid():
                os.seteuid(65534)
            try:
                SqliteStore({path!r}).entries()
            except StoreError as error:
                print(error)
        """
        told = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    finally:
        os.chmod(folder, 0o777)
        shutil.rmtree(folder)
    assert path in told
    assert "let this user" in told or "that this user may write" in told


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_store_that_is_opened_by_a_link_is_the_same(opened, path, tmp_path, linked):
    link = tmp_path / "link"
    link.symlink_to(path if linked == "file" else tmp_path)  # before there is a file
    other = SqliteStore(link if linked == "file" else link / path.name, durable=False)
    one = opened()
    for store in (one, other):
        store.cluster.join("app", ["default"])
        store.cluster.poll()
    assert (one.cluster.takes, other.cluster.takes) == (True, False)
    assert [node.state for node in one.cluster.nodes()] == ["alive", "alive"]
    assert one.cluster.info().url == other.cluster.info().url == f"sqlite:///{path}"
    assert path.stat().st_mode & 0o777 == 0o600
    other.close()


def test_what_follows_the_last_end_of_one_that_leaves_does_not_fail_with_its_leaving(
    opened, monkeypatch, caplog
):
    store = opened()
    store.cluster.join("app", ["default"])
    add(store, entry("a", 5))
    run = run_now(store, store.get("a").job, 5)
    store.cluster.leave()

    def fail():
        raise StoreUnavailableError("it", "the disk is full")

    monkeypatch.setattr(store.cluster, "leave", fail)
    assert [each.run for each in end(store, run).recorded] == [run]
    assert "could not leave" in caplog.text


def test_a_store_of_two_names_is_refused(opened, path, tmp_path):
    store = opened()
    add(store, entry("a"))
    os.link(path, tmp_path / "another.db")
    store.close()
    assert ids(store.entries()) == ["a"], "it is not checked again while it is in use"
    with pytest.raises(StoreError, match="another name"):
        opened().entries()


def test_network_file_systems_are_refused(opened, path, tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(sqlite_file, "MOUNTS", mounts)
    monkeypatch.setattr(sys, "platform", "linux")
    root = "/dev/sda1 / ext4 rw 0 0"
    for kind in ("nfs4", "cifs", "fuse.sshfs"):
        mounts.write_text(f"{root}\nserver:/x {tmp_path} {kind} rw 0 0\n")
        with pytest.raises(StoreError, match=f"network file system .{kind}.*postgresql"):
            opened().entries()
    mounts.write_text(f"{root}\nserver:/x {tmp_path}-other nfs rw 0 0\n")
    assert opened().entries() == []


# Others in the way


def test_a_second_store_on_the_file_takes_no_lock_away_from_the_first(opened, path):
    """Closing any other handle of the file would: SQLite's locks belong to the whole process."""
    add(opened(), entry("a"))
    assert ids(opened().entries()) == ["a"]
    program = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('vacuum'); c.close()"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert path.with_name("jobs.db-wal").exists(), "it was not the last one that had the file open"


def test_who_is_locked_out_for_too_long_is_told_so_and_goes_on_afterwards(
    opened, path, monkeypatch
):
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.05)
    store = opened()
    add(store, entry("a", 5))
    with raw(path) as other:
        other.execute("begin immediate")
        for write in (
            lambda: store.write([entry("b")], 0),
            lambda: run_now(store, store.get("a").job, 5),
            lambda: store.cluster.join("app", ["default"]),
            lambda: settle(store, 5),
        ):
            with pytest.raises(StoreUnavailableError, match="another process has been writing"):
                write()
        assert ids(store.entries()) == ["a"], "reading goes on"
        other.execute("commit")
    store.cluster.join("app", ["default"])
    assert [node.id for node in store.cluster.nodes()] == [1]
    add(store, entry("b"))
    assert [run.job_id for run in settle(store, 5, next_us=15).runs] == ["a"]


def test_many_threads_that_are_locked_out_do_not_wait_one_after_the_other(
    opened, path, monkeypatch
):
    """Each waits for its turn no longer than for other processes."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.2)
    store = opened()
    add(store, entry("a", 5))
    told = []

    def write(n):
        try:
            store.write([entry(f"{n}")], 0)
        except StoreUnavailableError as error:
            told.append(str(error))

    with raw(path) as other:
        other.execute("begin immediate")
        threads = [threading.Thread(target=write, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        other.execute("commit")
    assert len(told) == 20
    assert any("other threads" in text for text in told)


def test_a_scheduler_that_is_locked_out_loses_no_end_and_goes_on(path, running, monkeypatch):
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.05)
    scheduler = running({"func": "tests.durable.work:say", "trigger": "date", "id": "first"})
    until(lambda: scheduler.history("first"), "the first run")
    scheduler.add_job("tests.durable.work:say", "interval", seconds=0.05, id="tick")
    until(lambda: scheduler.history("tick"), "a run")
    with raw(path) as other:
        other.execute("begin immediate")
        until(lambda: scheduler.health().loop_failing, "that its loop fails")
        assert not scheduler.health().ok
        other.execute("commit")
    before = len(scheduler.history("tick"))
    until(lambda: len(scheduler.history("tick")) > before, "its going on")
    until(lambda: scheduler.health().ok, "that it is well")
    assert {record.outcome for record in scheduler.history("tick")} <= {
        Outcome.EXECUTED,
        Outcome.COALESCED,
        Outcome.SKIPPED,
    }


# Full disks


def full(store, is_full=True):
    """Let the file grow no more, or as it likes."""
    with store.file.read() as tx:
        ((pages,),) = tx.all("pragma page_count")
        tx.all(f"pragma max_page_count = {pages if is_full else 10**9}")


def test_a_disk_that_is_full_while_runs_end_loses_nothing(path, running, caplog):
    scheduler = running()
    store = scheduler._engine.store
    names = [str(n) for n in range(200)]
    scheduler.pause()
    for name in names:
        scheduler.add_job("tests.durable.work:say", "date", args=[900], id=name)
    until(lambda: len(scheduler.get_jobs()) == 200, "the jobs")
    full(store)
    scheduler.resume()
    until(lambda: scheduler.health().loop_failing, "that the disk is full")
    assert "disk is full" in scheduler.health().reason
    told = until(
        lambda: [each for each in caplog.records if "loop failed" in each.message], "the log of it"
    )
    assert "disk is full" in told[0].message
    assert told[0].exc_info is None
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        scheduler.add_job("tests.durable.work:say", "date", args=[10**6 * "x"], id="more")
    full(store, False)
    until(lambda: len(scheduler.history()) == 200, "all ends")
    assert scheduler.counts() == {Outcome.EXECUTED: 200}
    assert sorted(record.job_id for record in scheduler.history()) == sorted(names)
    until(lambda: scheduler.health().ok, "that it is well")
    assert scheduler.health().reason is None


def test_what_a_transaction_defined_that_failed_is_not_known_afterwards(opened):
    """Another process uses the key, or the version, for another definition."""
    one, other = opened(), opened()
    add(one, entry("a", 5))
    taken = Declared(Entry(job("a"), 5, 5), "another")
    with pytest.raises(ConflictingIdError):
        one.declare(None, [Declared(entry("new", max_instances=7), "new"), taken], 0, "refuse")
    full(one)
    with pytest.raises(StoreUnavailableError):
        one.write([entry(f"{n}" * 200, max_instances=7) for n in range(500)], 0)
    old = one.get("a")
    options = old.job.options._replace(max_instances=7)
    larger = old._replace(job=old.job._replace(options=options, kwargs={"x": "y" * 10**6}))
    with pytest.raises(StoreUnavailableError):
        one.write([Change(old, larger)], 0)
    add(other, *(entry(f"{n}", 6, max_instances=3) for n in range(9)))
    changed(other, "a", max_instances=3)
    assert {e.job.max_instances for e in one.entries()} == {3}
    assert {slot.job.max_instances for slot in one.take(10, 100).slots} == {3}


# Rows that cannot be read


EVERY_SECOND = {"trigger": "interval", "seconds": 1, "start_date": "2026-01-01T00:00:00+00:00"}
GOOD = {"id": "bad", "func": "tests.durable.work:say", "trigger": EVERY_SECOND}
UNREADABLE = {
    "no JSON": "{",
    "no job": json.dumps({"id": "bad"}),
    "a trigger nobody knows": json.dumps(GOOD | {"trigger": {"trigger": "moon"}}),
    "an option nobody knows": json.dumps(GOOD | {"colour": "red"}),
    "a module that is gone": json.dumps(GOOD | {"func": "nowhere.at_all:f"}),
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_is_parked_and_all_others_run(path, running, opened, text):
    with closing(opened()) as store:
        add(store, entry("bad", 5), entry("good", 6))
    with raw(path) as connection:
        sql = "update schedcore_jobs set definition = ?, ver = ver + 1 where id = 'bad'"
        connection.execute(sql, (text,))
    say = {"func": "tests.durable.work:say", "trigger": "interval", "seconds": 0.05, "id": "tick"}
    scheduler = running(say)
    until(lambda: scheduler.history("tick"), "a run of another")
    reason = until(lambda: scheduler.entry("bad").broken, "that it is parked")
    assert "cannot be read" in reason or "nowhere.at_all" in reason
    assert scheduler.history("bad") == []
    (bad,) = [handle for handle in scheduler.get_jobs() if handle.id == "bad"]
    assert "bad" in repr(bad)
    assert "bad" in str(bad)
    scheduler.pause_job("bad")
    assert scheduler.entry("bad").due_us is None
    scheduler.remove_job("bad")
    assert scheduler.get_job("bad") is None


def test_a_run_of_a_job_that_cannot_be_read_any_more_is_not_in_the_way(path, opened):
    store = opened()
    add(store, entry("a", 5), entry("b", 6))
    runs = begun(*settle(store, 10, next_us=100).runs)
    with raw(path) as connection:
        connection.execute("update schedcore_jobs set definition = '{', ver = ver + 1")
    other = opened()
    assert [run.job_id for run in other.runs()] == ["a", "b"]
    assert len(end(store, *runs).recorded) == 2
    removed(other, "a")
    assert ids(store.entries()) == ["b"]


# How much is kept


def record(job_id, n, outcome=Outcome.EXECUTED):
    return RunRecord(None, job_id, outcome, n)


DAY_US = 86_400 * 10**6


def test_the_history_is_cut_by_job_by_age_and_overall_and_the_totals_never_forget(opened):
    store = opened(keep=Retention(per_job=10, days=2, overall=25))
    for n in range(30):
        put_records(store, [record("a", n)], 10 * DAY_US)
    put_records(store, [record("b", n) for n in range(2_500)], 10 * DAY_US)
    put_records(store, [record("old", 1)], 7 * DAY_US)
    put_records(store, [record("seldom", 1)], 10 * DAY_US)
    trim(store, 10 * DAY_US)
    assert [r.scheduled_us for r in store.records(RunQuery("b"))] == list(range(2_499, 2_489, -1))
    assert [r.scheduled_us for r in store.records(RunQuery("a"))] == list(range(29, 19, -1))
    assert store.records(RunQuery("old")) == []
    put_records(store, [record("c", n) for n in range(9)], 10 * DAY_US)
    trim(store, 10 * DAY_US)
    kept = [r.job_id for r in store.records()]
    assert kept == ["c"] * 9 + ["seldom"] + ["b"] * 10 + ["a"] * 5
    counts = {
        job_id or "all": store.counts(job_id)[Outcome.EXECUTED]
        for job_id in ("a", "b", "old", None)
    }
    assert counts == {"a": 30, "b": 2_500, "old": 1, "all": 2_541}


def test_the_last_troubles_of_a_job_are_kept_beyond_its_last_outcomes(opened):
    store = opened(keep=Retention(per_job=10, days=2))
    told = [record("a", n, Outcome.FAILED) for n in range(8)]
    told += [record("a", n) for n in range(8, 40)]
    told += [record("b", n, Outcome.FAILED) for n in range(30)]
    put_records(store, told, 10 * DAY_US)
    for _ in range(2):  # the second time there is nothing to cut
        trim(store, 10 * DAY_US)
        kept = {job_id: store.records(RunQuery(job_id)) for job_id in "ab"}
        assert [r.scheduled_us for r in kept["a"]] == [*range(39, 29, -1), *range(7, 2, -1)]
        assert [r.scheduled_us for r in kept["b"]] == list(range(29, 19, -1))
    trim(store, 13 * DAY_US)  # they are too old
    assert store.records() == []


def test_after_many_changes_all_jobs_are_to_be_read_anew(opened):
    one, other = opened(), opened()
    add(one, *(entry(f"{n:03}", 5) for n in range(150)))
    version, _ = other.changes(None)
    for n in range(10):
        changed(one, f"{n:03}", due_us=7)
    removed(one, "020")
    later, found = other.changes(version)
    assert set(found) == {*(f"{n:03}" for n in range(10)), "020"}
    for n in range(150):
        if n != 20:
            changed(one, f"{n:03}", due_us=8)
    assert other.changes(version)[1] is None
    assert other.changes(later)[1] is None
    last, _ = other.changes(None)
    assert other.changes(last)[1] == ()


def test_who_asks_after_removed_ids_were_forgotten_reads_all_anew(opened):
    store = opened()
    add(store, entry("a"))
    version, _ = store.changes(None)
    names = [f"{n:05}" for n in range(1_200)]
    add(store, *map(entry, names))
    assert not store.write([Change(store.get(name), None) for name in names], 0).conflicts
    assert store.changes(version)[1] is None
    trim(store, round(timedelta(days=1).total_seconds() * 1e6))
    assert store.changes(version)[1] is None
    version, _ = store.changes(None)
    removed(store, "a")
    assert store.changes(version)[1] == ["a"]
