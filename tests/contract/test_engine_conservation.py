"""Whatever users, workers and time do to the engine, each due time has one outcome, in the end.

A machine of random calls in virtual time, over each store.  SCHEDCORE_SOAK=1 tries more.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from schedcore import MaxInstancesError, RunLookupError
from schedcore.clock import SECOND, from_us
from schedcore.methods.run_now import run_now
from tests.contract.conftest import STORES, run_over_store
from tests.patience import SOAK
from tests.stores.stepping import ByHand, Stepped, note

IDS = ["a", "b", "c"]
MILLI = 1_000

options = st.fixed_dictionaries(
    {
        "max_instances": st.integers(1, 3),
        "overlap": st.sampled_from(["skip", "queue", "cancel"]),
        "coalesce": st.booleans(),
        "misfire_grace_time": st.sampled_from([None, None, 7]),
        "timeout": st.sampled_from([None, None, 3]),
        "retry": st.sampled_from([None, {"count": 2, "delay": 2, "jitter": 0}]),
    },
)
ids = st.sampled_from(IDS)


class Conservation(RuleBasedStateMachine):
    """Time goes by whole seconds, and each job is due in a millisecond of its own.

    So a due time tells of which job it is, also where several had the same id; what runs besides
    the schedule falls due in none.
    """

    make_store: type

    @initialize(chosen=st.lists(options, min_size=len(IDS), max_size=len(IDS)))
    def begin(self, chosen):
        self.store = self.make_store()
        self.cluster = getattr(self.store, "cluster", None)
        if self.cluster is not None:
            self.cluster.join("app", ["default"])
        self.hand = ByHand()
        self.stepped = Stepped(self.store, self.hand)
        self.scheduler, self.engine = self.stepped.scheduler, self.stepped.engine
        self.serial, self.paused = 0, False
        self.there: dict[str, int] = {}
        self.jobs: dict[int, list[int]] = {}
        for job_id, one in zip(IDS, chosen, strict=True):
            self.add(job_id=job_id, options=one, every=2, ago=0)

    def teardown(self):
        if hasattr(self, "store"):
            self.comes_to_rest()
            if self.cluster is not None:
                self.cluster.leave()
            self.store.close()

    @property
    def now_us(self):
        return self.stepped.clock.now_us()

    def leaves(self, job_id):
        """Note that a job is not due any more after now."""
        serial = self.there.pop(job_id, None)
        if serial is not None:
            self.jobs[serial][2] = self.now_us

    # What users do

    @rule(job_id=ids, options=options, every=st.integers(1, 4), ago=st.sampled_from([0, 9, 250]))
    def add(self, job_id, options, every, ago):
        """Add a job, in the place of one with its id; it may be behind from the start."""
        self.leaves(job_id)
        self.serial += 1
        first_us = self.now_us - ago * SECOND + self.serial * MILLI
        self.scheduler.add_job(
            note,
            "interval",
            seconds=every,
            start_date=from_us(first_us),
            next_run_time=from_us(first_us),
            id=job_id,
            replace_existing=True,
            **options,
        )
        self.there[job_id] = self.serial
        self.jobs[self.serial] = [first_us, every * SECOND, 0]

    @rule(
        job_id=ids,
        what=st.sampled_from(["modify", "pause", "resume", "remove", "run now"]),
        options=options,
    )
    def user_does(self, job_id, what, options):
        if job_id not in self.there:
            return
        if what == "modify":
            self.scheduler.modify_job(job_id, **options)
        elif what == "pause":
            self.scheduler.pause_job(job_id)
        elif what == "resume":
            self.scheduler.resume_job(job_id)
        elif what == "remove":
            self.scheduler.remove_job(job_id)
            self.leaves(job_id)
        else:
            with suppress(MaxInstancesError):
                run_now(self.engine, job_id)

    @rule(data=st.data())
    def cancel(self, data):
        runs = self.scheduler.runs()
        if runs:
            number = data.draw(st.sampled_from([run.id for run in runs]))
            self.scheduler.cancel(number)
            with pytest.raises(RunLookupError):
                self.scheduler.cancel(number)

    # What the loop and a shutdown do

    @rule(seconds=st.integers(0, 5))
    def time_passes(self, seconds):
        self.step(seconds)

    @rule(seconds=st.integers(1, 3), fails=st.booleans())
    def time_passes_while_workers_are_busy(self, seconds, fails):
        """One ends, one begins, and time goes on."""
        if self.hand.under_way:
            self.one_ends(fails=fails, settles=True)
        if self.hand.waiting:
            self.hand.begin()
        self.step(seconds)

    def step(self, seconds):
        if self.paused:
            self.stepped.clock.advance(seconds)
            self.engine.step_paused(self.now_us)
            return
        self.stepped.step(seconds)
        waiting = {run.job_id for run in self.scheduler.runs() if run._waits}
        for entry in self.scheduler.entries():
            late = entry.due_us is not None and entry.due_us <= self.now_us
            assert not late or entry.job.id in waiting, f"{entry} was left behind"

    @rule()
    def pause_and_resume_all(self):
        self.paused = not self.paused
        if self.paused:
            self.engine.runs.hold()
        else:
            self.engine.runs.reopen()
            self.engine.runs.promote()

    @rule()
    def stop_and_start_again(self):
        self.engine.runs.close()
        self.hand.waiting.clear()
        self.engine.runs.cancel_waiting()
        if self.cluster is None:  # else they wait for whichever process comes next
            assert all(run.started_us is not None for run in self.scheduler.runs())
        self.engine.runs.reopen()
        self.engine.runs.promote()
        self.paused = False

    # What workers do

    @precondition(lambda self: self.hand.waiting)
    @rule()
    def one_begins(self):
        self.hand.begin()

    @precondition(lambda self: self.hand.waiting)
    @rule()
    def all_begin(self):
        while self.hand.waiting:
            self.hand.begin()

    @precondition(lambda self: self.hand.under_way)
    @rule(fails=st.booleans(), settles=st.booleans())
    def one_ends(self, fails, settles):
        """Its worker may have more to do, and leave it to others to record the end."""
        run = self.hand.under_way.pop(0)
        self.hand.reporter.end(run, None, ValueError("no") if fails else None)
        if settles:
            self.hand.reporter.settle()

    @precondition(lambda self: len(self.hand.under_way) > 1)
    @rule()
    def all_end(self):
        while self.hand.under_way:
            self.hand.end()

    # What is always true

    @invariant()
    def each_due_time_is_in_one_place(self):
        found: dict[int, list[int]] = {}
        for run in self.scheduler.runs():
            found.setdefault(run.due_us % SECOND // MILLI, []).append(run.due_us)
        total = 0
        for record in self.scheduler.history():
            total += record.occurrences
            serial = record.scheduled_us % SECOND // MILLI
            every_us = self.jobs[serial][1] if serial else 0
            found.setdefault(serial, []).extend(
                record.scheduled_us + n * every_us for n in range(record.occurrences)
            )
        assert sum(self.scheduler.counts().values()) == total
        places = {entry.job.id: entry.fire_us for entry in self.scheduler.entries()}
        assert places.keys() == self.there.keys()
        serials = {serial: job_id for job_id, serial in self.there.items()}
        for serial, (first_us, every_us, left_us) in self.jobs.items():
            until_us = places[serials[serial]] if serial in serials else left_us + 1
            expected = list(range(first_us, until_us, every_us))
            assert sorted(found.get(serial, [])) == expected

    def comes_to_rest(self):
        """While nothing more is taken, each run ends: none is left waiting for ever."""
        if self.paused:
            self.pause_and_resume_all()
        for _ in range(30):
            if not self.scheduler.runs():
                break
            while self.hand.waiting or self.hand.under_way:
                self.all_begin()
                if self.hand.under_way:
                    self.hand.end()
            self.stepped.clock.advance(1)
            self.engine.step_paused(self.now_us)
            if self.cluster is not None:
                self.engine.runs.submit(self.cluster.adopt(self.now_us))
        assert self.scheduler.runs() == []
        self.each_due_time_is_in_one_place()


@pytest.mark.timeout(0 if SOAK else 300)
@pytest.mark.parametrize("kind", STORES)
def test_each_due_time_has_one_outcome_in_the_end(kind):
    run_over_store(Conservation, kind)
