"""A folder with a store in it, processes that share it, and what they wrote."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import NamedTuple

import pytest

from schedcore.history.query import RunQuery
from schedcore.stores.sqlite import SqliteStore
from tests.durable.processes import Process, environment, until


class Start(NamedTuple):
    """One call of a function, as it wrote it down itself."""

    job_id: str
    run_id: int
    attempt: int
    pid: int


class Shared:
    """A store on disk, seen from outside, and the processes on it."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "jobs.db"
        self.processes = []
        self.programs = []
        self.store = SqliteStore(self.path)

    def process(self, **given):
        self.processes.append(Process(self.folder, **given))
        return self.processes[-1]

    def started(self, *lines, **given):
        """Return a process that has done *lines* and then started."""
        process = self.process(**given)
        process.tell(*lines, "scheduler.start()")
        for _ in range(len(lines) + 1):
            process.hear()
        return process

    def program(self, text):
        """Start a program of its own, in a file; it is given the URL of the store."""
        path = self.folder / "program.py"
        path.write_text(textwrap.dedent(text))
        with open(self.folder / "log", "ab") as log:
            command = [sys.executable, "-W", "error", str(path), f"sqlite:///{self.path}"]
            program = subprocess.Popen(command, stderr=log, env=environment(self.folder))
        self.programs.append(program)
        return program

    def starts(self, job_id=None):
        """Return all starts that were written down, in their order."""
        path = self.folder / "starts"
        lines = path.read_text().splitlines() if path.exists() else ()
        found = [
            Start(of, int(run), int(no), int(pid)) for of, run, no, pid in map(str.split, lines)
        ]
        return [start for start in found if job_id in (None, start.job_id)]

    def until_started(self, job_id, times=1):
        """Wait for so many starts of a job, and return them."""
        return until(
            lambda: len(found := self.starts(job_id)) >= times and found, f"a start of {job_id}"
        )

    def outcomes(self, job_id):
        """Return the outcomes of a job, the first one first."""
        return [record.outcome.value for record in reversed(self.store.records(RunQuery(job_id)))]

    def until_ended(self, job_id, times=1):
        """Wait for so many outcomes of a job, and return them."""
        return until(
            lambda: len(found := self.outcomes(job_id)) >= times and found, f"an end of {job_id}"
        )

    def states(self):
        """Return the states of all nodes by their process."""
        return {node.pid: node.state for node in self.store.cluster.nodes()}

    def holder(self):
        """Return the process that takes due jobs, or None."""
        return next((node.pid for node in self.store.cluster.nodes() if node.takes), None)

    def end(self):
        for process in self.processes:
            process.kill()
        for program in self.programs:
            program.kill()
            program.wait()
        self.store.close()


@pytest.fixture
def shared(tmp_path):
    one = Shared(tmp_path)
    yield one
    one.end()
