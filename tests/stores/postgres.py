"""A PostgreSQL server for the tests alone: in a folder of its own, gone with the tests.

Where there is none, the tests that need it are skipped, or fail where that is asked for: with
``CI=true`` or ``SCHEDCORE_REQUIRE_SERVERS=1``.
"""

from __future__ import annotations

import atexit
import functools
import glob
import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import pytest

REQUIRED = bool(os.environ.get("SCHEDCORE_REQUIRE_SERVERS")) or os.environ.get("CI") == "true"
_SETTINGS = """
listen_addresses = ''
fsync = off
autovacuum = off
max_connections = 200
log_min_messages = fatal
"""
_numbers = itertools.count(1)


def _programs():
    """Return the folder of the newest server there is, or None."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    newest = max(found, key=lambda path: int(Path(path).parts[4]), default=shutil.which("initdb"))
    return newest and str(Path(newest).parent)


def missing():
    """Return what the tests lack; "": nothing."""
    if importlib.util.find_spec("psycopg_pool") is None:
        return 'psycopg, which pip install "psycopg[binary,pool]" brings'
    if _programs() is None:
        return "a PostgreSQL server, which apt-get install postgresql brings"
    return ""


def need_server():
    """Skip the test where there is no PostgreSQL; fail where there has to be one."""
    lacks = missing()
    if lacks and REQUIRED:
        pytest.fail(f"this test needs {lacks}")
    if lacks:
        pytest.skip(f"this test needs {lacks}")


class Server:
    """A server in a temporary folder, reached by a socket there.

    Args:
        more: Lines for its configuration.
    """

    def __init__(self, more=""):
        self.folder = tempfile.mkdtemp(prefix="pg")
        self.user = _other_user()
        self._programs = _programs()
        if self.user is not None:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-N", "--locale=C.UTF-8")
        settings = Path(self.folder, "data", "postgresql.conf")
        settings.write_text(f"{settings.read_text()}{_SETTINGS}{more}")
        self.start()

    def _run(self, program, *args):
        # The environment of its user: PGHOST and the like are nothing to it.
        clean = {name: v for name, v in os.environ.items() if not name.startswith("PG")}
        subprocess.run(
            [f"{self._programs}/{program}", *args],
            cwd=self.folder,
            user=self.user,
            env=clean,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self):
        options = f"-k {self.folder}"
        self._run("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self, how="fast"):
        self._run("pg_ctl", "stop", "-w", "-D", "data", "-m", how)

    def end(self):
        """Stop it for good."""
        subprocess.run(
            [f"{self._programs}/pg_ctl", "stop", "-D", "data", "-m", "immediate"],
            check=False,
            cwd=self.folder,
            user=self.user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, schema=None):
        """Return the URL of a schema of its own, or of this one."""
        schema = f"t{next(_numbers)}" if schema is None else schema
        return f"postgresql:///postgres?host={self.folder}&user=postgres&schema={schema}"


def _other_user():
    """Return who runs the server: it refuses to be run by root."""
    if os.getuid() != 0:
        return None
    names = [entry.pw_name for entry in pwd.getpwall()]
    return "postgres" if "postgres" in names else "nobody"


@functools.cache
def server():
    """Start the server that all tests share, and return it."""
    started = Server()
    pid = os.getpid()
    atexit.register(lambda: started.end() if os.getpid() == pid else None)
    return started


HASTY = {"idle": 0.5, "lock": 2.0, "statement": 10.0}
"""Time limits of the server for tests in which somebody stops for good."""


_opened = Counter()
"""How many stores were opened, by URL."""
_left = []
"""URLs of schemas that one store had to itself."""
_EMPTY = """
set session_replication_role = replica;  -- whatever refers to what
do $$ declare each record; begin
    for each in select tablename from pg_tables where schemaname = current_schema loop
        execute format('delete from %I', each.tablename);
    end loop;
    for each in select seqrelid from pg_sequence join pg_class on pg_class.oid = seqrelid
            where relnamespace = current_schema::regnamespace loop
        perform setval(each.seqrelid, 1, false);
    end loop;
end $$;
insert into schedcore_cluster values (1, 'running', 0, 0, 0);
"""
_META = "select * from schedcore_meta where name <> 'id'"


def recycle(store):
    """Leave the schema of a store that is closed to the next store, if no other one was on it.

    To make its tables anew takes four times as long as to empty them.
    """
    if _opened[store.url] == 1:
        _left.append(store.url)


def _url():
    """Return the URL of a schema that is as if it had just been made."""
    if not _left:
        return server().url()
    from psycopg import connect

    url = _left.pop()
    options = f"-c search_path={url.rpartition('=')[2]}"
    with connect(host=server().folder, user="postgres", dbname="postgres", options=options) as one:
        kept = one.execute(_META).fetchall()
        one.execute(_EMPTY)
        one.cursor().executemany("insert into schedcore_meta values (%s, %s)", kept)
    del _opened[url]
    return url


def postgres_store(url=None, limits=None, **options):
    """Return a store in a schema of its own, or under *url*."""
    need_server()
    from schedcore.stores.postgres import PostgresStore
    from schedcore.stores.postgres_pool import TimeLimits

    limits = TimeLimits(**limits) if limits else None
    url = url or _url()
    store = PostgresStore(url, limits=limits, **options)
    store.url = url
    _opened[url] += 1
    return store


def beside(store, **options):
    """Return another store on the same tables: what another process has."""
    return postgres_store(store.url, **options)
