"""A job store of APScheduler 3, from rows that it wrote once; the command, and what it printed."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest

from schedcore.__main__ import main
from tests.cli.servers import Fake, real_server

ROWS = Path(__file__).parent / "apscheduler_rows.txt"
TABLE = """
create table {} (
    id varchar(191) not null, next_run_time float, job_state blob not null, primary key (id)
)
"""


class Ran(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys):
    def run(*arguments):
        status = main([str(each) for each in arguments])
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCHEDULER_STORE", raising=False)


@pytest.fixture
def fake():
    """Return a server that answers what the test says."""
    fake = Fake()
    yield fake
    fake.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a folder for the file of settings, which is not there."""
    for name in ("SCHEDCORE_URL", "SCHEDCORE_TOKEN", "SCHEDCORE_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "schedcore"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def listening(tmp_path_factory):
    """Return where a real server is, which all tests share."""
    with real_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def server(listening, home, monkeypatch, run):
    """Have commands ask the real server, in which no jobs are left."""
    monkeypatch.setenv("SCHEDCORE_URL", listening)
    yield listening
    run("rm", "--all", "--yes")


def stored_rows():
    """Yield what stands in ``apscheduler_rows.txt``: ids, next run times, and pickles."""
    text = "\n".join(
        line for line in ROWS.read_text("ascii").splitlines() if not line.startswith("#")
    )
    for part in text.replace("\n  ", " ").splitlines():
        job_id, at, *pieces = part.split(" ")
        yield job_id, None if at == "null" else float(at), base64.b64decode("".join(pieces))


@pytest.fixture
def aps_store(tmp_path):
    """Return a function that makes a job store of some rows (or of all), and returns its URL."""

    def make(rows=None, table="apscheduler_jobs"):
        path = tmp_path / "aps.sqlite"
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as database:
            database.execute(TABLE.format(table))
            database.executemany(
                f"insert into {table} values (?, ?, ?)", stored_rows() if rows is None else rows
            )
        database.close()
        return f"sqlite:///{path}"

    return make
