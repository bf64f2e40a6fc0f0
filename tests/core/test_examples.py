"""The examples that are programs of their own do what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.core.celery_workers import need_celery
from tests.durable.processes import environment, until
from tests.patience import SOON

ROOT = Path(__file__).parents[2]


def started(name, *arguments, **options):
    """Start an example, in which a warning is an error."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments],
        env=environment(ROOT / "examples"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_program_of_asyncio_shares_its_loop_with_jobs():
    with started("asyncio_program.py", "0") as process:
        url = process.stdout.readline().strip()

        def answer():
            with urllib.request.urlopen(url, timeout=SOON) as response:
                return response.read().decode("ascii")

        until(lambda: not answer().startswith("0 so far"), "a count")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SOON) == ("", "")
        assert process.returncode == 0


def test_jobs_run_celery_workers_workers():
    need_celery()
    with started("celery_workers.py") as process:
        found = next(line for line in process.stdout if "returned" in line)
        assert found.endswith("returned 333283335000\n")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SOON)
        assert process.returncode == 0


def test_jobs_run_on_a_dask_cluster():
    pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
    with started("dask_cluster.py", start_new_session=True) as process:
        lines = [process.stdout.readline() for _ in range(2)]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=SOON)
    assert (process.returncode, err) == (0, "")
    for line in lines:
        found, _, worker = line.partition(", counted by process ")
        assert found in ("below 100,000: 9592 primes", "below 1,000,000: 78498 primes")
        assert int(worker) != process.pid
