"""The steps of docs/how-to/several-hosts.md, with two servers in place of two hosts."""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import ExitStack
from urllib.request import urlopen

import pytest

from tests.cli.servers import real_server, typed
from tests.deploy import guides
from tests.patience import SOON
from tests.stores.postgres import need_server, server

ADDRESS = "postgresql://scheduler@db.example.com/scheduler?sslmode=verify-full"


@pytest.fixture
def database():
    """Make what the guide has somebody make; return its address."""
    need_server()
    import psycopg

    place = server()
    with psycopg.connect(place.url("public").partition("&schema")[0], autocommit=True) as link:
        for statement in guides.files_of("several-hosts")["database.sql"].split(";\n"):
            if statement.strip():
                link.execute(statement)
        yield f"postgresql://scheduler@/scheduler?host={place.folder}"
        link.execute("drop database scheduler with (force)")
        link.execute("drop role scheduler")


def asked(url, path):
    with urlopen(f"{url}/scheduler{path}", timeout=SOON) as answer:
        return json.load(answer)


def test_two_hosts_see_one_another_and_the_same_jobs(database, tmp_path):
    with ExitStack() as hosts:
        urls = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            guides.write_files("several-hosts", folder)
            (folder / "mytasks.py").write_text("def cleanup(): pass\n")
            settings = folder / "schedcore.toml"
            assert ADDRESS in settings.read_text()
            settings.write_text(settings.read_text().replace(ADDRESS, database))
            run = real_server(folder, "--config", "schedcore.toml", "--port", "0")
            urls.append(hosts.enter_context(run))
        deadline = time.monotonic() + SOON
        while {len(asked(url, "")["nodes"]) for url in urls} != {2}:
            assert time.monotonic() < deadline, "the hosts do not see one another"
            threading.Event().wait(0.1)
        first, second = (asked(url, "/jobs") for url in urls)
        assert [job["id"] for job in first] == ["nightly"]
        assert first == second
        told = typed("db", "status", database)
        assert told.returncode == 0, told.stderr
        assert re.search(r"^processes +2$", told.stdout, re.M)
