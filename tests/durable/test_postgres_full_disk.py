"""A PostgreSQL server whose disk is full: nothing is lost meanwhile, and it heals by itself."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from schedcore import Scheduler, StoreUnavailableError
from tests.durable.processes import until
from tests.stores.postgres import need_server, postgres_store, server

RUNS = 300
gate = threading.Event()


def held():
    gate.wait(60)


class SmallDisk:
    """A disk of some megabytes, with a tablespace of the server on it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="small")
        options = ["-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", self.folder]
        mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
        if mounted.returncode:
            os.rmdir(self.folder)
            pytest.skip("no tmpfs can be mounted here")
        self.ballast = Path(self.folder, "ballast")
        tables = Path(self.folder, "tables")
        tables.mkdir(mode=0o700)
        if server().user is not None:
            os.chown(tables, pwd.getpwnam(server().user).pw_uid, -1)
        self.connection = postgres_store().database.connect()
        self.connection.execute(f"create tablespace small location '{tables}'")
        self.url = f"{server().url()}&options=-c%20default_tablespace%3Dsmall"

    def fill(self):
        command = ["dd", "if=/dev/zero", f"of={self.ballast}", "bs=4096"]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
        assert os.statvfs(self.folder).f_bavail == 0

    def make_room(self):
        self.ballast.unlink()

    def end(self):
        for (schema,) in self.connection.execute(
            "select distinct schemaname from pg_tables where tablespace = 'small'"
        ):
            self.connection.execute(f"drop schema {schema} cascade")
        self.connection.execute("drop tablespace small")
        self.connection.close()
        subprocess.run(["umount", "-l", self.folder], check=True)
        shutil.rmtree(self.folder)


@pytest.fixture
def small():
    need_server()
    if shutil.which("mount") is None or os.getuid():
        pytest.skip("no tmpfs can be mounted here")
    disk = SmallDisk()
    yield disk
    disk.end()


def test_ends_wait_until_there_is_room_again(small):
    gate.clear()
    scheduler = Scheduler(store=small.url, name="full", timezone="UTC")
    names = [f"j{n}" for n in range(RUNS)]
    scheduler.start()
    try:
        scheduler.add_jobs(
            {"func": held, "trigger": "cron", "year": 2999, "id": name} for name in names
        )
        runs = scheduler.run_jobs(names)
        small.fill()
        gate.set()
        until(lambda: not scheduler.health().ok, "that the scheduler is in trouble")
        with pytest.raises(StoreUnavailableError, match=r"its disk is full.*make room"):
            scheduler.history()
        with pytest.raises(StoreUnavailableError, match="its disk is full"):
            scheduler.add_jobs(
                {"func": held, "trigger": "date", "run_date": "2999-01-01", "name": "n" * 200}
                for _ in range(1_000)
            )
        small.make_room()
        until(lambda: scheduler.health().ok, "that it heals")
        until(lambda: not scheduler.runs(), "the last end")
        assert sorted(record.run_id for record in scheduler.history()) == sorted(
            run.id for run in runs.values()
        )
        assert {record.outcome.value for record in scheduler.history()} == {"executed"}
        assert len(scheduler.get_jobs()) == RUNS
    finally:
        gate.set()
        scheduler.shutdown(timeout=30)
        scheduler._engine.store.close()
