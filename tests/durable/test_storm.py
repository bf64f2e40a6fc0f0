"""Processes on one store are killed and stopped at random: no due time is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from schedcore import Outcome, Scheduler
from schedcore.clock import Patience
from schedcore.stores.sqlite import SqliteStore
from tests.durable.storm import EVERY, job_ids

ROOT = Path(__file__).parents[2]
SECONDS = 600 if os.environ.get("SCHEDCORE_SOAK") else 10
EACH = 6


class Processes:
    """Four processes of the storm; one that is killed is started again."""

    def __init__(self, url, path, each=EACH):
        self._command = [sys.executable, "-m", "tests.durable.storm", url, str(path), str(each)]
        self.running = [self._start() for _ in range(4)]
        self._stopped = set()

    def _start(self):
        process = subprocess.Popen(
            self._command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == "follows\n"
        return process

    def kill(self):
        victim = self.running.pop(random.randrange(len(self.running)))
        self._stopped.discard(victim)
        victim.kill()
        victim.communicate()
        self._continue()  # it may hold the file, for which one that starts waits in vain
        self.running.append(self._start())

    def _continue(self):
        while self._stopped:
            self._stopped.pop().send_signal(signal.SIGCONT)

    def stop_or_continue(self):
        if self._stopped:
            self._continue()
        else:
            victim = random.choice(self.running)
            victim.send_signal(signal.SIGSTOP)
            self._stopped.add(victim)

    def end(self):
        self._continue()
        for process in self.running:
            process.communicate("leave\n", timeout=60)
            assert process.returncode == 0

    def destroy(self):
        for process in self.running:
            process.kill()
            process.communicate()


def storm(processes, seconds):
    """Do harm for some seconds."""
    waiting, patience = signal.sigtimedwait, Patience(seconds)
    while patience.left():
        waiting([], random.uniform(0.05, 0.4))
        processes.kill() if random.random() < 0.7 else processes.stop_or_continue()


def conserved(store):
    """Check that each due time of each job is in exactly one place, and return the records."""
    records = store.records(None)
    every_us = round(EVERY * 1_000_000)
    at: dict[str, list[int]] = {job_id: [] for job_id in job_ids(EACH)}
    for record in records:
        at[record.job_id] += [record.scheduled_us + n * every_us for n in range(record.occurrences)]
    for run in store.runs():
        at[run.job_id].append(run.due_us)
    for entry in store.entries():
        found = sorted(at[entry.job.id])
        assert found == list(range(found[0], entry.fire_us, every_us)), entry.job.id
    totals = Counter()
    for record in records:
        totals[record.outcome] += record.occurrences
    assert store.counts(None) == totals
    return records


@pytest.mark.timeout(0 if SECONDS > 100 else 120)
def test_no_due_time_is_lost_or_doubled_however_processes_die(tmp_path):
    path = tmp_path / "starts"
    processes = Processes(f"sqlite:///{tmp_path}/jobs.db", path)
    try:
        storm(processes, SECONDS)
        processes.end()
    finally:
        processes.destroy()
    store = SqliteStore(tmp_path / "jobs.db")
    records = conserved(store)
    starts = Counter(tuple(line.split()) for line in path.read_text().splitlines())
    ended = {str(record.run_id): record for record in records if record.run_id is not None}
    open_runs = {str(run.id) for run in store.runs()}
    for (job_id, run_id, attempt), times in starts.items():
        assert times == 1, f"run {run_id} of {job_id} started {times} times in attempt {attempt}"
        assert run_id in ended or run_id in open_runs, f"run {run_id} of {job_id} is nowhere"
    started = {run_id for _, run_id, _ in starts}
    for run_id, record in ended.items():
        assert record.outcome is not Outcome.EXECUTED or run_id in started
    outcomes = Counter(record.outcome for record in records)
    assert outcomes[Outcome.EXECUTED] > 100
    store.close()


def test_what_is_left_after_a_storm_goes_on(tmp_path):
    """Every process is killed; the next one goes on with what is open and what is due."""
    path, url = tmp_path / "starts", f"sqlite:///{tmp_path}/jobs.db"
    processes = Processes(url, path)
    processes.destroy()
    store = SqliteStore(tmp_path / "jobs.db")
    conserved(store)
    store.close()
    scheduler = Scheduler(store=url, name="storm")
    scheduler.start()
    try:
        assert {entry.job.id for entry in scheduler.entries()} == set(job_ids(EACH))
        assert scheduler.holder().pid == os.getpid()
    finally:
        scheduler.shutdown(timeout=10)
    store = SqliteStore(tmp_path / "jobs.db")
    conserved(store)
    assert not [run for run in store.runs() if run.started_us is not None]
    store.close()
