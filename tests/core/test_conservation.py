"""Each due time of each job is to come, open or ended, in exactly one place, whatever is done."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from schedcore import (
    ManualClock,
    MaxInstancesError,
    Scheduler,
    State,
    ThreadPool,
)
from schedcore.clock import SECOND
from schedcore.methods.run_now import run_now
from tests.patience import SOON

START = datetime(2000, 1, 1, tzinfo=timezone.utc)
IDS = "abc"


class ByHand:
    """An executor whose runs begin and end when the test says so."""

    def __init__(self):
        self.waiting, self.begun = [], []

    def submit(self, runs, reporter):
        self.waiting += [(run, reporter) for run in runs]

    def begin(self, number):
        run, reporter = self.waiting.pop(number % len(self.waiting))
        if reporter.begin(run):
            self.begun.append((run, reporter))

    def end(self, number, error):
        run, reporter = self.begun.pop(number % len(self.begun))
        reporter.end(run, None, error)

    def abandon(self, run):
        self.begun = [(other, reporter) for other, reporter in self.begun if other is not run]

    def shutdown(self, timeout):
        pass


class InThreads:
    """A pool of real threads, whose runs end when the test says so."""

    def __init__(self):
        self.pool, self.gates = ThreadPool(3), []

    def job(self):
        gate = SimpleNamespace(open=threading.Event(), error=None)
        self.gates.append(gate)
        assert gate.open.wait(SOON)
        if gate.error is not None:
            raise gate.error

    def end(self, number, error):
        if self.gates:
            gate = self.gates.pop(number % len(self.gates))
            gate.error = error
            gate.open.set()

    def end_all(self, scheduler):
        while scheduler.runs():
            self.end(0, None)
            scheduler._engine.step(scheduler.clock.now_us())


class Law(RuleBasedStateMachine):
    """What all machines here do; a subclass says how runs begin and end."""

    numbers = st.integers(0, 9)
    ids = st.sampled_from(IDS)

    @initialize()
    def begin(self):
        self.clock = ManualClock(START)
        self.make()
        # By id: the due times of jobs that were, and runs made by hand; and the job there is.
        self.were = dict.fromkeys(IDS, 0)
        self.job = {}

    def now(self):
        return self.clock.now_us()

    def past(self, job_id):
        """Return how many due times the job has had, by arithmetic."""
        job = self.job.get(job_id)
        return 0 if job is None else (self.now() - job.anchor) // job.period

    def leave(self, job_id):
        self.were[job_id] += self.past(job_id)
        self.job.pop(job_id, None)

    @rule(
        job_id=ids,
        seconds=st.integers(1, 5),
        coalesce=st.booleans(),
        overlap=st.sampled_from(["skip", "queue", "cancel"]),
        max_instances=st.integers(1, 3),
        grace=st.none() | st.integers(1, 9),
        retry=st.none() | st.integers(1, 2),
    )
    def add(self, job_id, seconds, coalesce, overlap, max_instances, grace, retry):
        self.leave(job_id)
        self.scheduler.add_job(
            self.function,
            "interval",
            seconds=seconds,
            id=job_id,
            coalesce=coalesce,
            overlap=overlap,
            max_instances=max_instances,
            misfire_grace_time=grace,
            retry=retry and {"count": retry, "delay": 2, "factor": 1, "jitter": 0},
            replace_existing=True,
        )
        self.job[job_id] = SimpleNamespace(anchor=self.now(), period=seconds * SECOND)

    @rule(job_id=ids)
    def remove(self, job_id):
        if job_id in self.job:
            self.leave(job_id)
            self.scheduler.remove_job(job_id)

    @rule(job_id=ids, seconds=st.integers(1, 5))
    def reschedule(self, job_id, seconds):
        if job_id in self.job:
            self.leave(job_id)
            self.scheduler.reschedule_job(job_id, "interval", seconds=seconds)
            self.job[job_id] = SimpleNamespace(anchor=self.now(), period=seconds * SECOND)

    @rule(job_id=ids)
    def pause(self, job_id):
        if job_id in self.job:
            self.scheduler.pause_job(job_id)

    @rule(job_id=ids)
    def resume(self, job_id):
        if job_id in self.job:
            self.scheduler.resume_job(job_id)

    @rule(job_id=ids)
    def rename(self, job_id):
        if job_id in self.job:
            self.scheduler.modify_job(job_id, name="another", max_instances=2)

    @rule(job_id=ids)
    def run_now(self, job_id):
        if job_id in self.job:
            self.were[job_id] += 1
            with suppress(MaxInstancesError):  # then it is recorded as skipped
                run_now(self.scheduler._engine, job_id)

    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def step(self):
        self.scheduler._engine.step(self.now())

    @rule()
    def hold(self):
        self.scheduler._runs.hold()

    @rule()
    def release(self):
        self.scheduler._runs.reopen()
        self.scheduler._runs.promote()

    @rule(number=numbers)
    def cancel(self, number):
        runs = self.scheduler.runs()
        if runs:
            self.scheduler.cancel(runs[number % len(runs)].id)

    @invariant()
    def each_due_time_is_in_one_place(self):
        if not hasattr(self, "job"):
            return
        store = self.scheduler._engine.store
        with store.data_lock():  # from the store, which an end that is noted meanwhile leaves alone
            open_runs = store.runs()
            for job_id in IDS:
                ended = sum(store.counts(job_id).values())
                is_open = sum(run.job_id == job_id for run in open_runs)
                assert self.were[job_id] + self.past(job_id) == (
                    ended + is_open + self.due_and_to_come(job_id)
                ), (job_id, store.counts(job_id), open_runs)

    def due_and_to_come(self, job_id):
        """Return how many due times have come and were not taken yet."""
        if job_id not in self.job:
            return 0
        fire_us = self.scheduler.entry(job_id).fire_us
        if fire_us is None or fire_us > self.now():
            return 0
        return 1 + (self.now() - fire_us) // self.job[job_id].period


class VirtualTime(Law):
    """Runs begin and end in any order, at any moment, and as the machine says."""

    def make(self):
        self.executor = ByHand()
        self.function = int
        self.scheduler = Scheduler(
            clock=self.clock, timezone="UTC", executors={"default": self.executor}
        )

    @precondition(lambda self: getattr(self, "executor", None) and self.executor.waiting)
    @rule(number=Law.numbers)
    def a_run_begins(self, number):
        self.executor.begin(number)

    @precondition(lambda self: getattr(self, "executor", None) and self.executor.begun)
    @rule(number=Law.numbers, fails=st.booleans())
    def a_run_ends(self, number, fails):
        self.executor.end(number, ValueError("no") if fails else None)

    def teardown(self):
        """In the end all is in the history, once nothing is to come."""
        if not hasattr(self, "job"):
            return
        self.release()
        for job_id in list(self.job):
            self.remove(job_id)
        for run in self.scheduler.runs():
            self.scheduler.cancel(run.id)
        for job_id in IDS:
            assert sum(self.scheduler.counts(job_id).values()) == self.were[job_id]


class RealThreads(Law):
    """The loop and a pool run by themselves; shutdown and start are among what is done."""

    def make(self):
        self.threads = InThreads()
        self.function = self.threads.job
        self.scheduler = Scheduler(
            clock=self.clock, timezone="UTC", executors={"default": self.threads.pool}
        )
        self.scheduler.start()

    @rule(number=Law.numbers, fails=st.booleans())
    def a_run_ends(self, number, fails):
        self.threads.end(number, ValueError("no") if fails else None)

    @rule()
    def step(self):
        self.scheduler.wakeup()

    @rule()
    def shut_down_and_start(self):
        self.scheduler.shutdown(timeout=0)
        self.scheduler.start()

    def teardown(self):
        if not hasattr(self, "job"):
            return
        self.scheduler.shutdown(timeout=0)
        for job_id in list(self.job):
            self.remove(job_id)
        while self.threads.gates:
            self.threads.end(0, None)
        assert self.scheduler._runs.wait_until_idle(SOON)
        assert self.scheduler.state is State.STOPPED
        for job_id in IDS:
            assert sum(self.scheduler.counts(job_id).values()) == self.were[job_id]


@pytest.mark.parametrize(
    ("machine", "examples", "steps"), [(VirtualTime, 100, 60), (RealThreads, 25, 40)]
)
def test_no_due_time_is_lost_and_none_has_two_outcomes(machine, examples, steps):
    logging.disable()
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        logging.disable(logging.NOTSET)
