"""Processes are killed and frozen at random while they work: no run is doubled, and none is lost.

SCHEDCORE_SOAK=1 goes on for minutes.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import pytest

from tests.durable.conservation import check_due_times, check_starts, check_totals
from tests.durable.processes import until
from tests.patience import SOAK

SECONDS = 300 if SOAK else 30 if os.environ.get("CI") else 5
PROCESSES, JOBS, PERIOD_S = 4, 60, 0.2
KINDS = (
    "work.note",
    "work.note, coalesce=False",
    "work.last, args=[0.3], overlap='queue'",
    "work.last, args=[0.3], overlap='cancel'",
    "work.fail_first, retry={'count': 2, 'delay': 0.05}",
    "work.last, args=[0.1], on_lost='rerun', max_instances=2",
)
EVERY = f"trigger='interval', seconds={PERIOD_S}"
DECLARE = [
    f"scheduler.add_job({KINDS[n % len(KINDS)]}, {EVERY}, id='job-{n}')" for n in range(JOBS)
]


class Storm:
    """Four processes, one of which is killed, frozen, or told to leave every now and then."""

    def __init__(self, shared, seed):
        self.shared = shared
        self.random = random.Random(seed)
        self.done = Counter()
        self.frozen = {}
        self.unheard = set()
        self.processes = [self.new() for _ in range(PROCESSES)]
        for process in self.processes:
            self.hear(process)

    def new(self):
        process = self.shared.process(keeps_all=True)
        # Nobody waits for the answers: it may be killed before it gives them.
        process.tell(*DECLARE, "scheduler.follow()")
        self.unheard.add(process)
        return process

    def hear(self, process):
        """Hear its first answers, unless they were heard: the first processes may survive."""
        if process in self.unheard:
            self.unheard.remove(process)
            for _ in range(len(DECLARE) + 1):
                process.hear()

    def blow(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.random.uniform(0.1, 0.5))  # how often something happens: no wait
            self.thaw(time.monotonic())
            self.strike(self.random.randrange(PROCESSES))
        self.thaw(float("inf"))

    def thaw(self, now):
        for process, end in list(self.frozen.items()):
            if now > end:
                process.thaw()
                del self.frozen[process]

    def strike(self, n):
        process = self.processes[n]
        if process in self.frozen:
            return
        what = self.random.choices(("kill", "freeze", "leave"), (6, 3, 2))[0]
        self.done[what] += 1
        if what == "freeze":
            process.signal(signal.SIGSTOP)
            self.frozen[process] = time.monotonic() + self.random.uniform(0.1, 1.5)
            return
        if what == "leave":
            process.tell("scheduler.shutdown(timeout=0.05)")
            time.sleep(self.random.uniform(0, 0.3))  # it may be killed while it leaves
        process.kill()
        self.processes[n] = self.new()


@pytest.mark.timeout(SECONDS + 300)
def test_no_run_is_doubled_or_lost_whatever_becomes_of_the_processes(shared, capsys):
    seed = random.randrange(10**6)
    storm = Storm(shared, seed)
    storm.blow(SECONDS)
    store = shared.store
    survivor, *others = storm.processes
    for process in others:
        process.kill()
    until(lambda: shared.holder() == survivor.pid, "the survivor's taking over")
    dead = {process.pid for process in shared.processes} - {survivor.pid}
    until(
        lambda: not [n for n in store.cluster.nodes() if n.pid in dead and n.state == "alive"],
        "that the dead are found dead",
    )
    before = {job_id: len(shared.starts(job_id)) for job_id in first_times(store)}
    for job_id, n in before.items():
        shared.until_started(job_id, n + 1)  # none is stuck
    storm.hear(survivor)
    survivor("scheduler.pause()")
    until(lambda: not [run for run in store.runs() if run.started_us is not None], "the last ends")
    survivor("scheduler.shutdown()")
    survivor.kill()

    check_promise(shared, f"{SECONDS} s, seed {seed}: {dict(storm.done)}", capsys)
    assert not [run for run in store.runs() if run._started_us is not None]


def check_promise(shared, told, capsys):
    """Check starts, due times and totals after a storm, and tell how it was."""
    store = shared.store
    first = first_times(store)
    assert len(first) == JOBS
    starts = shared.starts()
    with capsys.disabled():
        print(f"\n{told}; {len(starts)} starts; {store.counts(None)}")
    check_starts(store, starts)
    check_due_times(store, first, round(PERIOD_S * 1e6))
    check_totals(store)


def first_times(store):
    """Return the first due time of each job, by its trigger."""
    return {e.job.id: e.job.trigger.next_us(0) for e in store.entries()}
