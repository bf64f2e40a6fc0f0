"""Celery workers and a Redis server for the tests alone, started when a test first asks for them.

Where there is none, the tests that need them are skipped, or fail where that is asked for.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from tests.stores.postgres import REQUIRED


def need_celery():
    """Skip the test where there is no Celery or no Redis; fail where there have to be."""
    lacks = ""
    if any(importlib.util.find_spec(name) is None for name in ("celery", "redis")):
        lacks = 'Celery, which pip install "celery[redis]" brings'
    elif shutil.which("redis-server") is None:
        lacks = "a Redis server, which apt-get install redis-server brings"
    if lacks and REQUIRED:
        pytest.fail(f"this test needs {lacks}")
    if lacks:
        pytest.skip(f"this test needs {lacks}")


@cache
def celery_workers():
    """Return two workers on a store of their own, for all tests of this process."""
    need_celery()
    broker = Broker()
    atexit.register(broker.close)
    workers = Workers(broker, f"sqlite:///{broker.folder}/jobs.db")
    atexit.register(workers.kill)
    return workers


class Tied:
    """A program, and all that it starts: killed at the latest when this process ends, however."""

    def __init__(self, *command, **options):
        script = '"$@" & cat >/dev/null; kill -9 0'
        self._popen = subprocess.Popen(
            ["sh", "-c", script, "sh", *command],
            stdin=subprocess.PIPE,
            start_new_session=True,
            **options,
        )

    def kill(self):
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.stdin.close()
        self._popen.wait()


class Broker:
    """A Redis server in a temporary folder, reached by a socket there."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="redis")
        self.url = f"redis+socket://{self.folder}/redis.sock"
        self.start()

    def start(self):
        options = {"port": "0", "unixsocket": "redis.sock", "save": "", "appendonly": "no"}
        given = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._tied = Tied("redis-server", *given, cwd=self.folder, stdout=subprocess.DEVNULL)

    def stop(self):
        """Kill it: what it had is gone."""
        self._tied.kill()
        with suppress(FileNotFoundError):
            Path(self.folder, "redis.sock").unlink()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Workers:
    """A Celery worker of two processes.

    Args:
        broker: Where it listens.
        store: The URL of the scheduler's.
        more: Variables of its environment.
        processes: How many it has.
    """

    def __init__(self, broker, store, processes=2, **more):
        self.broker, self.store = broker.url, store
        with open(Path(broker.folder, "worker.log"), "ab") as log:
            self._tied = Tied(
                *(sys.executable, "-m", "celery", "-A", "schedcore.celery_worker"),
                *("-b", broker.url, "worker", "-c", str(processes), "-l", "WARNING"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "SCHEDULER_STORE": store,
                    **more,
                },
                stdout=log,
                stderr=log,
            )

    def kill(self):
        """Kill it, with its processes."""
        self._tied.kill()
