"""Whatever is done to a store in whatever order, no due time is lost, and none is there twice.

A machine of random calls drives each store beside a model: three dicts, of what is to come, what is
open and what has ended.  SCHEDCORE_SOAK=1 tries 75 times as many.
"""

from __future__ import annotations

from collections import Counter, deque
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from schedcore import Outcome
from schedcore.admission import admit
from schedcore.job import Options
from schedcore.planning import Backlog
from schedcore.run import RunRecord
from schedcore.stores.base import Change, Entry, NotRun, Settlement
from schedcore.stores.ends import end_of
from tests.contract.conftest import STORES, run_over_store
from tests.patience import SOAK
from tests.stores.calls import job, run_now

IDS = ["a", "b", "c"]
STEP = 1_000
"""Time from one due time of a job to the next.  The rest of a division by it tells which job it is,
also where several had the same id; runs besides the schedule have none."""

options = st.fixed_dictionaries(
    {
        "max_instances": st.integers(1, 3),
        "overlap": st.sampled_from(["skip", "queue", "cancel"]),
        "coalesce": st.booleans(),
    }
).map(lambda chosen: Options(**chosen))
ids = st.sampled_from(IDS)
few = st.integers(0, 3)


class Conservation(RuleBasedStateMachine):
    make_store: type

    @initialize(chosen=st.lists(options, min_size=len(IDS), max_size=len(IDS)))
    def begin(self, chosen):
        self.store = self.make_store()
        self.now = 50 * STEP
        self.to_come: dict[str, SimpleNamespace] = {}
        self.open: dict[int, SimpleNamespace] = {}
        self.ended: Counter = Counter()
        self.serial = 0
        self.places: dict[int, tuple[int, int]] = {}
        self.versions: dict[str, list] = {}
        self.list, self.version = [], self.store.changes(None)[0]
        for job_id, one in zip(IDS, chosen, strict=True):
            self.add(job_id=job_id, options=one, ahead=0)

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()

    # The model

    def fire_us(self, one):
        return one.n * STEP + one.serial

    def new(self, job_id, options, n):
        self.serial += 1
        self.places[self.serial] = n, n
        return SimpleNamespace(
            id=job_id, serial=self.serial, n=n, options=options, paused=False, backlog_us=None
        )

    def entry(self, one, old=None):
        due_us = None if one.paused else self.fire_us(one)
        definition = job(one.id)._replace(options=one.options)
        if old is not None and old.job.options == one.options:
            definition = old.job
        return Entry(definition, self.fire_us(one), due_us, backlog_us=one.backlog_us)

    def pass_over(self, one, count, outcome):
        """Take due times out of the schedule, and return what is to be recorded of them."""
        first_us = self.fire_us(one)
        one.n += count
        self.places[one.serial] = self.places[one.serial][0], one.n
        if not count:
            return ()
        self.ended[one.id, outcome, first_us, count] += 1
        return (NotRun(outcome, Backlog(first_us, count), 0),)

    def runs_of(self, serial):
        return [run for run in self.open.values() if run.serial == serial]

    def active(self, serial):
        return sum(not run.waits for run in self.runs_of(serial))

    def opened(self, one, due_us, waits=False, backlog=False):
        return SimpleNamespace(
            job_id=one.id,
            serial=one.serial,
            due_us=due_us,
            options=one,
            waits=waits,
            backlog=backlog,
            begun=False,
            failed=False,
            final=False,
            by_hand=False,
        )

    def close(self, run_id, outcome):
        run = self.open.pop(run_id)
        self.ended[run.job_id, outcome, run.due_us, 1] += 1
        return run

    def leave(self, one, outcome):
        """End what has not begun of a job that leaves the schedule; return the numbers."""
        keeps = outcome is Outcome.PAUSED  # what was asked for by hand
        gone = [
            n
            for n, run in self.open.items()
            if run.serial == one.serial and not run.begun and not (keeps and run.by_hand)
        ]
        for n in gone:
            self.close(n, Outcome.FAILED if self.open[n].failed else outcome)
        for run in self.runs_of(one.serial):
            run.final = run.final or not (keeps and run.by_hand)
        return gone

    def promoted(self, serial):
        started = []
        for n, run in sorted(self.open.items()):
            if run.serial == serial and run.waits:
                if self.active(serial) >= run.options.options.max_instances:
                    break
                run.waits = False
                started.append(n)
        return started

    def held(self, one):
        return one.backlog_us is not None and any(run.waits for run in self.runs_of(one.serial))

    def due(self):
        there = [one for one in self.to_come.values() if not one.paused and not self.held(one)]
        return sorted(there, key=self.fire_us)

    # What is done

    def write(self, *changes, conflicts=(), ended=()):
        written = self.store.write(changes, self.now)
        assert list(written.conflicts) == list(conflicts)
        assert sorted(end.run.id for end in written.ended) == sorted(ended)
        for end in written.ended:
            assert end.run.record.outcome is end.outcome
            assert end.run.cancelled

    @rule(job_id=ids, options=options, ahead=st.integers(-3, 2))
    def add(self, job_id, options, ahead):
        if job_id in self.to_come:
            stranger = Entry(job("stranger"), 1, 1)
            self.write(stranger, Entry(job(job_id), 1, 1), conflicts=[job_id])
            return
        one = self.new(job_id, options, self.now // STEP + ahead)
        self.to_come[job_id] = one
        self.write(self.entry(one))

    @rule(job_id=ids, options=options, not_run=few)
    def replace(self, job_id, options, not_run):
        if job_id not in self.to_come:
            return
        old = self.store.get(job_id)
        gone = self.to_come[job_id]
        records = self.pass_over(gone, not_run, Outcome.CANCELLED)
        ended = self.leave(gone, Outcome.CANCELLED)
        one = self.to_come[job_id] = self.new(job_id, options, self.now // STEP)
        records = [one.record(job_id) for one in records]
        self.write(Change(old, self.entry(one), True, records), ended=ended)

    @rule(job_id=ids, options=options, not_run=few)
    def change(self, job_id, options, not_run):
        """Change options; or move it on, which ends a backlog."""
        if job_id not in self.to_come:
            return
        old, one = self.store.get(job_id), self.to_come[job_id]
        one.options = options
        records = [p.record(job_id) for p in self.pass_over(one, not_run, Outcome.CANCELLED)]
        one.backlog_us = None if not_run else one.backlog_us
        self.write(Change(old, self.entry(one, old), False, records))

    @rule(job_id=ids)
    def pause(self, job_id):
        if job_id not in self.to_come:
            return
        old, one = self.store.get(job_id), self.to_come[job_id]
        ended = [] if one.paused else self.leave(one, Outcome.PAUSED)
        one.paused, one.backlog_us = True, None
        self.write(Change(old, self.entry(one, old)), ended=ended)

    @rule(job_id=ids, not_run=few)
    def resume(self, job_id, not_run):
        if job_id not in self.to_come or not self.to_come[job_id].paused:
            return
        old, one = self.store.get(job_id), self.to_come[job_id]
        records = [p.record(job_id) for p in self.pass_over(one, not_run, Outcome.PAUSED)]
        one.paused = False
        self.write(Change(old, self.entry(one, old), False, records))

    @rule(job_id=ids, not_run=few)
    def remove(self, job_id, not_run):
        if job_id not in self.to_come:
            return
        old, one = self.store.get(job_id), self.to_come.pop(job_id)
        records = [p.record(job_id) for p in self.pass_over(one, not_run, Outcome.CANCELLED)]
        ended = self.leave(one, Outcome.CANCELLED)
        self.write(Change(old, None, False, records), ended=ended)

    @rule(job_id=ids, kind=st.sampled_from(["remove", "move", "replace"]))
    def change_too_late(self, job_id, kind):
        """What was read before another change is a conflict, and nothing of the call is made."""
        if job_id not in self.to_come:
            return
        old, one = self.store.get(job_id), self.to_come[job_id]
        self.write(Change(old, self.entry(one, old)))
        record = RunRecord(None, job_id, Outcome.LOST, 1)
        new = None if kind == "remove" else old._replace(due_us=1)
        stranger = Entry(job("stranger"), 1, 1)
        late = Change(old, new, kind == "replace", [record])
        self.write(stranger, late, conflicts=[job_id])

    @rule(later=few, data=st.data())
    def step(self, later, data):
        self.step_some(100, later, True, data)

    @rule(later=few, data=st.data())
    def step_while_nothing_can_begin(self, later, data):
        self.step_some(100, later, False, data)

    @rule(limit=st.integers(1, 2), later=few, begin=st.booleans(), data=st.data())
    def step_some(self, limit, later, begin, data):
        self.now += later * STEP
        with self.store.take(self.now, limit) as batch:
            due = [one for one in self.due() if self.fire_us(one) <= self.now]
            taken = [self.to_come[slot.job.id] for slot in batch.slots]
            expected = sorted(map(self.fire_us, due))[:limit]
            assert [self.fire_us(one) for one in taken] == expected
            for slot, one in zip(batch.slots, taken, strict=True):
                assert (slot.fire_us, slot.backlog_us) == (self.fire_us(one), one.backlog_us)
                waits = any(run.waits for run in self.runs_of(one.serial))
                assert (slot.behind is not None) == waits
            with self.store.take(self.now, 100) as others:
                assert len(others.slots) == len(due) - len(taken)
            decided = [self.decide(slot, data) for slot in batch.slots]
            settled = batch.settle([settlement for settlement, _ in decided], self.now)
        submitted = iter(settled.runs)
        for slot, (decision, times) in zip(batch.slots, decided, strict=True):
            self.settle(slot.job.id, decision, times, submitted, settled)
        assert next(submitted, None) is None
        for run in settled.runs if begin else ():
            run._started_us = self.now
            self.open[run.id].begun = True

    def decide(self, slot, data):
        """Return what an engine might decide, and the due times that it lets run."""
        one = self.to_come[slot.job.id]
        if slot.behind is not None and not one.options.coalesce:
            held = self.now if one.backlog_us is None else one.backlog_us
            entry = self.entry(one)
            return Settlement(slot, slot.job, entry.fire_us, entry.due_us, (), held), ()
        not_run = self.pass_over(one, data.draw(few, "missed"), Outcome.MISSED)
        most = 1 if one.options.coalesce else 4
        count = data.draw(st.integers(0 if not_run else 1, most), "times")
        times = tuple(self.fire_us(one) + n * STEP for n in range(count))
        one.n += count
        self.places[one.serial] = self.places[one.serial][0], one.n
        last = data.draw(st.integers(0, 9), "is it the last") == 0
        next_us = None if last else self.fire_us(one)
        if (
            count == 1
            and not not_run
            and one.backlog_us is None
            and data.draw(st.booleans(), "plain")
        ):
            return next_us, times
        more = not one.options.coalesce and not last and data.draw(st.booleans(), "is there more")
        backlog_us = (self.now if one.backlog_us is None else one.backlog_us) if more else None
        return Settlement(slot, slot.job, next_us, next_us, times, backlog_us, None, not_run), times

    def settle(self, job_id, decision, times, submitted, settled):
        """Bring the model to where the store is to be, run by run."""
        one = self.to_come[job_id]
        if times:
            self.admit(one, times, submitted, settled)
        if isinstance(decision, Settlement):
            one.backlog_us, next_us = decision.backlog_us, decision.fire_us
        else:
            one.backlog_us, next_us = None, decision
        assert (job_id in settled.removed) == (next_us is None)
        if next_us is None:
            del self.to_come[job_id]

    def admit(self, one, times, submitted, settled):
        runs = sorted((n, run) for n, run in self.open.items() if run.serial == one.serial)
        begun = [n for n, run in runs if run.begun]
        waiting = sum(run.waits for _, run in runs)
        started = [run for _, run in runs if not run.waits]
        continues = one.backlog_us is not None or (
            not one.options.coalesce and any(run.backlog for run in started)
        )
        starts, waits, skipped, evicted = admit(
            len(times),
            one.options,
            len(runs) - waiting,
            len(begun) if one.options.overlap == "cancel" else 0,
            waiting,
            continues,
        )
        backlog = continues or len(times) > 1
        for n in begun[:evicted]:
            self.close(n, Outcome.CANCELLED)
        evictions = [end.run.id for end in settled.evicted]
        assert [n for n in evictions if n in begun] == begun[:evicted]
        for due_us in times[:starts]:
            run = next(submitted)
            assert (run.job_id, run.due_us) == (one.id, due_us)
            self.open[run.id] = self.opened(one, due_us, backlog=backlog)
        if waits:
            known = set(self.open)
            behind = [r for r in self.store.runs() if r.due_us in times[-waits:] and r._waits]
            for run in behind:
                assert run.id not in known
                self.open[run.id] = self.opened(one, run.due_us, waits=True, backlog=backlog)
        told = [due for skipped_job, due, _ in settled.skipped if skipped_job.id == one.id]
        left_out = times[starts : starts + skipped]
        assert told == ([left_out] if skipped else [])
        if skipped:
            self.ended[one.id, Outcome.SKIPPED, left_out[0], skipped] += 1

    @rule(
        limit=st.integers(1, 4),
        given_back=st.booleans(),
        what=st.sampled_from(["nothing", "pause", "remove", "change", "replace"]),
        settles=st.booleans(),
    )
    def take_in_vain(self, limit, given_back, what, settles):
        """What is not settled, or is given back or changed before, stays as it is."""
        with self.store.take(self.now, limit) as batch:
            if given_back:
                batch.give_back()
            if what != "nothing":
                not_run = {} if what == "pause" else {"not_run": 1}
                chosen = {"options": Options()} if what in ("change", "replace") else {}
                for slot in batch.slots:
                    getattr(self, what)(job_id=slot.job.id, **not_run, **chosen)
            if settles and (given_back or what != "nothing"):
                settled = batch.settle([None] * len(batch.slots), self.now)
                assert not any((settled.runs, settled.removed, settled.skipped))

    @rule(job_id=ids)
    def run_a_job(self, job_id):
        if job_id not in self.to_come:
            return
        one = self.to_come[job_id]
        waiting = sum(run.waits for run in self.runs_of(one.serial))
        room = admit(1, one.options, self.active(one.serial), 0, waiting, False).starts
        run = run_now(self.store, self.store.get(job_id).job, self.now)
        assert (run is not None) == bool(room)
        if run is None:
            self.ended[job_id, Outcome.SKIPPED, self.now, 1] += 1
        else:
            self.open[run.id] = self.opened(one, self.now)
            self.open[run.id].by_hand = True

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def run_begins(self, data):
        runs = {run.id: run for run in self.store.runs() if not self.open[run.id].waits}
        for n in data.draw(st.sets(st.sampled_from(sorted(runs)), max_size=3)) if runs else ():
            runs[n]._started_us = self.now
            self.open[n].begun = True

    @precondition(lambda self: self.open)
    @rule(
        data=st.data(),
        outcome=st.sampled_from([Outcome.EXECUTED, Outcome.CANCELLED, Outcome.TIMED_OUT]),
        promote=st.booleans(),
    )
    def runs_end(self, data, outcome, promote):
        """Some end; one of them is reported twice."""
        runs = {run.id: run for run in self.store.runs()}
        numbers = data.draw(st.lists(st.sampled_from(sorted(runs)), min_size=1, max_size=4))
        ends = deque(end_of(runs[n], outcome, self.now) for n in numbers)
        recorded, started, _ = self.store.end(ends, promote)
        assert not ends
        unique = list(dict.fromkeys(numbers))
        assert [end.run.id for end in recorded] == unique
        followers = []
        for n in unique:
            if n in followers:
                followers.remove(n)
            run = self.close(n, outcome)
            if promote:
                followers += self.promoted(run.serial)
        assert sorted(run.id for run in started if run.id in self.open) == sorted(followers)

    @rule()
    def promote(self):
        started = [run.id for run in self.store.promote().runs]
        serials = {run.serial for run in self.open.values()}
        expected = [n for serial in serials for n in self.promoted(serial)]
        assert sorted(started) == sorted(expected)

    @precondition(lambda self: any(run.begun for run in self.open.values()))
    @rule(data=st.data())
    def run_fails(self, data):
        """It is tried again, or has failed."""
        begun = sorted(n for n, run in self.open.items() if run.begun)
        n = data.draw(st.sampled_from(begun))
        (run,) = [run for run in self.store.runs() if run.id == n]
        end = end_of(run, Outcome.FAILED, self.now, error=ValueError("no"))
        again = self.store.retry(end, 0)
        assert again == (not self.open[n].final)
        if again:
            self.open[n].begun, self.open[n].failed = False, True
            return
        started = self.store.end(deque([end]), True).runs
        serial = self.close(n, Outcome.FAILED).serial
        assert sorted(run.id for run in started) == sorted(self.promoted(serial))

    # What is always true

    @invariant()
    def each_due_time_is_in_one_place(self):
        """By what the store itself tells, whatever the model thinks."""
        found: dict[int, list[int]] = {}
        for run in self.store.runs():
            found.setdefault(run.due_us % STEP, []).append(run.due_us // STEP)
        for record in self.store.records():
            first = record.scheduled_us // STEP
            numbers = range(first, first + record.occurrences)
            found.setdefault(record.scheduled_us % STEP, []).extend(numbers)
        there = {one.serial: one.id for one in self.to_come.values()}
        for serial, (first, last) in self.places.items():
            to_come = self.store.get(there[serial]).fire_us // STEP if serial in there else last
            assert sorted(found.get(serial, [])) == list(range(first, to_come))

    @invariant()
    def store_and_model_agree(self):
        entries = self.store.entries()
        assert {e.job.id: (e.fire_us, e.due_us, e.backlog_us) for e in entries} == {
            one.id: (*self.entry(one)[1:3], one.backlog_us) for one in self.to_come.values()
        }
        assert self.store.next_due() == min(map(self.fire_us, self.due()), default=None)
        assert {run.id: (run.job_id, run.due_us, run._waits) for run in self.store.runs()} == {
            n: (run.job_id, run.due_us, run.waits) for n, run in self.open.items()
        }
        history = Counter(
            (r.job_id, r.outcome, r.scheduled_us, r.occurrences) for r in self.store.records()
        )
        assert history == self.ended
        for job_id in (None, *IDS):
            counts: Counter = Counter()
            for (of, outcome, _, occurrences), times in self.ended.items():
                if job_id in (None, of):
                    counts[outcome] += occurrences * times
            assert self.store.counts(job_id) == counts

    @invariant()
    def versions_grow(self):
        entries = sorted(self.store.entries(), key=lambda entry: entry.job.id)
        version, _ = self.store.changes(None)
        assert version >= self.version
        if entries != self.list:
            assert version > self.version
        for entry in entries:
            versions = self.versions.setdefault(entry.job.id, [])
            if not versions or entry.version != versions[-1]:
                assert entry.version not in versions
                versions.append(entry.version)
            elif entry in self.list:
                continue
            else:
                assert entry[:-1] in [old[:-1] for old in self.list], (
                    "changed, with its old version"
                )
        self.list, self.version = entries, version


@pytest.mark.timeout(0 if SOAK else 300)
@pytest.mark.parametrize("kind", STORES)
def test_no_due_time_is_lost_and_none_is_there_twice(kind):
    run_over_store(Conservation, kind)
