"""The same commands with a PostgreSQL server at either end."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import stored_rows
from tests.stores.postgres import need_server, server

TABLE = """
create table app.apscheduler_jobs (
    id varchar(191) primary key, next_run_time double precision, job_state bytea not null
)
"""


@pytest.fixture(scope="module")
def psycopg():
    need_server()
    return pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def aps_url(psycopg):
    url = server().url("none").partition("&schema=")[0]
    with psycopg.connect(url) as connection:
        connection.execute("create schema app")
        connection.execute(TABLE)
        connection.cursor().executemany(
            "insert into app.apscheduler_jobs values (%s, %s, %s)", list(stored_rows())
        )
    return url


def test_jobs_of_apscheduler_come_over(run, aps_url):
    into = server().url()
    url = aps_url.replace("postgresql:", "postgresql+psycopg2:")
    arguments = ["import-apscheduler", url, "--table", "app.apscheduler_jobs", "--into", into]
    assert run(*arguments).out.endswith("17 jobs added; 4 left, for the reasons above\n")
    assert "17 there already" in run(*arguments).out


def test_a_table_or_a_server_that_is_not_there_is_told(run, aps_url):
    ran = run("import-apscheduler", aps_url, "--dry-run")
    assert ran.status == 2
    assert ran.err.endswith(": it has no such table: name it by --table\n")
    ran = run("import-apscheduler", "postgresql://me:secret@/x?host=/nowhere", "--dry-run")
    assert ran.status == 2
    assert "secret" not in ran.err
    assert len(ran.err.splitlines()) == 1
    ran = run("import-apscheduler", "postgresql://me:secret%zz@host/x", "--dry-run")
    assert "url='postgresql://me:***@host/x': expected a URL" in ran.err
    assert "secret" not in ran.err


def test_jobs_move_from_a_file_to_a_server_and_back(run, aps_store):
    run("import-apscheduler", aps_store(), "--into", "sqlite:///jobs.db")
    into = server().url()
    lines = run("export", "--from", "sqlite:///jobs.db").out
    with open("jobs.jsonl", "w", encoding="utf-8") as file:
        file.write(lines)
    assert run("import", "--into", into, "jobs.jsonl") == (0, "17 jobs added\n", "")
    assert run("export", "--from", into).out == lines
    assert run("import", "--into", into, "jobs.jsonl", "--replace").out == (
        "0 jobs added; 17 replaced\n"
    )
    assert run("export", "--from", into).out == lines


def test_a_store_on_a_server_is_looked_after(run, psycopg):
    url = server().url()
    assert run("db", "upgrade", url).status == 0
    assert run("db", "check", url) == (0, "all adds up\n", "")
    told = json.loads(run("db", "status", url, "--json").out)
    assert told["jobs"] == {"scheduled": 0, "paused": 0, "parked": 0}
    assert run("db", "trim", url).out == "0 outcomes deleted; all counts stay\n"
