"""Who changed what, and what happens, as a scheduler tells it: on every store."""

from __future__ import annotations

import logging
import threading

import pytest

from schedcore import (
    ChangesLostError,
    History,
    InvalidOptionError,
    MemoryStore,
    Scheduler,
    StoreError,
    acting,
)
from schedcore.clock import Deadline
from schedcore.executors.inline import InlineExecutor
from tests.patience import SOON
from tests.stores.stepping import ByHand, Stepped


@pytest.fixture
def stepped(store):
    return Stepped(store, ByHand())


@pytest.fixture
def scheduler(store):
    scheduler = Scheduler(store=store, timezone="UTC")
    scheduler.start(paused=True)
    yield scheduler
    if scheduler.running:
        scheduler.shutdown(timeout=SOON)


def told(scheduler, **asked):
    return [(r.who, r.verb, r.job_id) for r in reversed(scheduler.audit(**asked))]


def later(scheduler, since):
    """Return what has happened, in short, and where to go on."""
    found = scheduler.changes(since)
    return found.next, [(e.event, e.job_id) for e in found.events]


# The audit


def test_each_change_of_a_job_is_kept_with_who_made_it(stepped):
    scheduler = stepped.scheduler
    stepped.add()
    with acting("alice", "10.0.0.3"):
        scheduler.modify_job("job", name="Other")
        scheduler.pause_job("job")
        scheduler.resume_job("job")
    with acting("bob"):
        scheduler.reschedule_job("job", "interval", seconds=20)
        scheduler.add_job("os:getpid", "interval", seconds=5, id="job", replace_existing=True)
        scheduler.remove_job("job")
    records = scheduler.audit("job")[::-1]
    assert [(r.who, r.address, r.verb) for r in records] == [
        ("python", None, "added"),
        ("alice", "10.0.0.3", "changed"),
        ("alice", "10.0.0.3", "paused"),
        ("alice", "10.0.0.3", "resumed"),
        ("bob", None, "changed"),
        ("bob", None, "replaced"),
        ("bob", None, "removed"),
    ]
    assert (records[1].before, records[1].after) == ({"name": "note"}, {"name": "Other"})
    assert records[2].after == {"next_run_time": None}
    assert (records[4].before["seconds"], records[4].after["seconds"]) == (10, 20)
    assert (records[5].before["func"], records[5].after["func"]) == (
        "tests.stores.stepping:note",
        "os:getpid",
    )
    assert records[6].before["id"] == "job"
    assert {r.at for r in records} == {stepped.at(0)}


def test_what_changes_nothing_and_what_fails_is_not_kept(stepped):
    stepped.add()
    with acting("alice"):
        stepped.scheduler.resume_job("job")
        for bad in ({"seconds": 0}, {"max_instances": "x"}):
            with pytest.raises(InvalidOptionError):
                stepped.scheduler.modify_job("job", **bad)
    assert told(stepped.scheduler) == [("python", "added", "job")]


def test_jobs_that_run_and_move_on_are_no_changes(store):
    stepped = Stepped(store, InlineExecutor())
    stepped.add()
    stepped.scheduler.add_job("os:getpid", "date", run_date=stepped.at(5), id="once")
    stepped.step(25)
    stepped.clock.jump(-20)
    stepped.engine.clock_moved(stepped.clock.now_us(), -20 * 10**6)
    assert stepped.step(0) in (10, 30), "on a shared store, one of its nodes moves them"
    assert told(stepped.scheduler) == [("python", "added", "job"), ("python", "added", "once")]


def test_runs_by_hand_and_their_ends_are_kept(scheduler):
    scheduler.add_job("os:getpid", "interval", hours=1, id="job")
    with acting("alice"):
        run = scheduler.run_job("job", timeout=SOON)
        other = scheduler.run_job("job", timeout=SOON, args=[])
    records = scheduler.audit("job")[:2]
    assert [(r.run_id, r.after) for r in records] == [(other.id, {"args": []}), (run.id, None)]
    assert told(scheduler, job_id="job")[-1] == ("alice", "run", "job")


def test_a_run_that_is_cancelled_is_kept(stepped):
    stepped.add()
    stepped.step(10)
    run = stepped.hand.begin()
    with acting("alice"):
        stepped.scheduler.cancel(run.id)
    record = stepped.scheduler.audit()[0]
    assert (record.verb, record.who, record.job_id, record.run_id) == (
        "cancelled",
        "alice",
        "job",
        run.id,
    )


def test_orders_to_the_scheduler_are_kept(store):
    scheduler = Scheduler(store=store, timezone="UTC")
    scheduler.start()
    with acting("alice"):
        scheduler.pause()
        scheduler.resume()
        scheduler.shutdown(leave=False)
    assert told(scheduler) == [
        ("python", "started", None),
        ("alice", "paused", None),
        ("alice", "resumed", None),
        ("alice", "stopped", None),
    ]


def test_who_joins_others_changes_nothing_and_who_comes_first_may(store):
    scheduler = Scheduler(store=store, timezone="UTC")
    shared = hasattr(store, "cluster")
    expected = []
    # A shared store goes on in the state in which it was left, unless somebody stopped it.
    for autostart, verb in (
        (True, not shared and "started"),
        (False, shared and "stopped"),
        (True, "started"),
    ):
        scheduler.follow(autostart)
        expected += [verb] if verb else []
        if scheduler.running:
            scheduler.shutdown()
            expected += [] if shared else ["stopped"]
        elif shared:
            scheduler._node.leave(Deadline(0))
    assert [verb for _, verb, _ in told(scheduler)] == expected


def test_the_actor_is_of_the_thread_and_ends_with_the_block(stepped):
    stepped.add()
    with acting("alice"):
        with acting("bob"):
            stepped.scheduler.pause_job("job")
        stepped.scheduler.resume_job("job")
        other = threading.Thread(target=stepped.scheduler.pause_job, args=["job"])
        other.start()
        other.join()
    stepped.scheduler.resume_job("job")
    assert [who for who, _, _ in told(stepped.scheduler)][1:] == [
        "bob",
        "alice",
        "python",
        "python",
    ]


def test_parts_of_the_audit(stepped):
    for n in range(3):
        stepped.clock.advance(1)
        stepped.scheduler.add_job("os:getpid", "interval", hours=1, id=f"j{n}")
    scheduler = stepped.scheduler
    ids = [r.id for r in scheduler.audit()]
    assert [r.job_id for r in scheduler.audit(limit=1)] == ["j2"]
    assert [r.job_id for r in scheduler.audit(before=ids[0], limit=1)] == ["j1"]
    assert [r.job_id for r in scheduler.audit(since=stepped.at(2))] == ["j2", "j1"]
    assert [r.job_id for r in scheduler.audit("j0")] == ["j0"]
    assert scheduler.audit(since=stepped.at(2).replace(tzinfo=None)) == scheduler.audit(limit=2)
    for bad in ({"limit": 0}, {"limit": 1_001}, {"before": "5"}, {"since": "x"}):
        with pytest.raises(InvalidOptionError, match=next(iter(bad))):
            scheduler.audit(**bad)


def test_what_others_change_is_logged_with_fields(caplog):
    caplog.set_level(logging.INFO)
    scheduler = Scheduler(timezone="UTC")
    scheduler.add_job("os:getpid", "interval", hours=1, id="job")
    with acting("alice", "10.0.0.3"):
        scheduler.modify_job("job", name="Other")
    (line,) = [r for r in caplog.records if r.name == "schedcore.audit"]
    assert line.getMessage() == "job 'job' was changed by alice at 10.0.0.3"
    assert (line.audit_who, line.audit_verb, line.audit_job_id) == ("alice", "changed", "job")
    assert "Other" not in str(vars(line)), "there may be secrets in arguments"


# What happens


def test_events_are_told_once_in_their_order(stepped):
    scheduler = stepped.scheduler
    position, events = later(scheduler, None)
    assert events == []
    stepped.add()
    stepped.step(10)
    stepped.hand.run()
    scheduler.pause_job("job")
    after_two = scheduler.changes(position, limit=2)
    assert [e.event for e in after_two.events] == ["job_added", "run_ended"]
    ended = after_two.events[1]
    assert (ended.run.outcome.value, ended.run.job_id, ended.at) == (
        "executed",
        "job",
        stepped.at(10),
    )
    position, events = later(scheduler, after_two.next)
    assert events == [("job_paused", "job")]
    scheduler.resume_job("job")
    scheduler.remove_job("job")
    position, events = later(scheduler, position)
    assert events == [("job_resumed", "job"), ("job_removed", "job")]
    assert later(scheduler, position) == (position, [])


def test_occurrences_that_did_not_run_are_told(stepped):
    stepped.add(misfire_grace_time=1)
    position, _ = later(stepped.scheduler, None)
    stepped.step(15)
    (event,) = stepped.scheduler.changes(position).events
    assert (event.event, event.run.outcome.value, event.run.run_id) == ("run_ended", "missed", None)
    assert event.at == stepped.at(15)


def test_orders_are_told_and_runs_by_hand_by_their_end(scheduler):
    scheduler.add_job("os:getpid", "interval", hours=1, id="job")
    position, _ = later(scheduler, None)
    scheduler.resume()
    scheduler.run_job("job", timeout=SOON)
    scheduler.pause()
    scheduler.shutdown(leave=False)
    _, events = later(scheduler, position)
    assert events == [
        ("scheduler_resumed", None),
        ("run_ended", "job"),
        ("scheduler_paused", None),
        ("scheduler_stopped", None),
    ]


class Call(threading.Thread):
    """A call in a thread of its own."""

    def __init__(self, function, *args, **kwargs):
        super().__init__(daemon=True)
        self._call = lambda: function(*args, **kwargs)
        self._raised = None
        self.start()

    def run(self):
        try:
            self._returned = self._call()
        except Exception as error:
            self._raised = error

    def result(self):
        self.join(SOON)
        assert not self.is_alive(), "it waits still"
        if self._raised is not None:
            raise self._raised
        return self._returned


def test_who_waits_is_told_at_once(scheduler):
    position = scheduler.changes().next
    waiting = [Call(scheduler.changes, position, wait=1_000) for _ in range(5)]
    scheduler.add_job("os:getpid", "interval", hours=1, id="job")
    for call in waiting:
        assert [e.event for e in call.result().events] == ["job_added"]


def test_what_is_no_event_ends_no_wait(stepped):
    stepped.add(every=10)
    stepped.step(10)
    run = stepped.hand.begin()
    position = stepped.scheduler.changes().next
    waiting = Call(stepped.scheduler.changes, position, wait=1_000)
    stepped.scheduler.cancel(run.id)
    stepped.scheduler.pause_job("job")
    found = waiting.result()
    assert found.events
    rest = stepped.scheduler.changes(found.next, wait=0).events
    assert [e.event for e in (*found.events, *rest)] == ["run_ended", "job_paused"]


def test_a_shutdown_ends_the_wait(scheduler):
    position = scheduler.changes().next
    waiting = Call(scheduler.changes, position, wait=1_000)
    scheduler.shutdown(timeout=SOON)
    assert waiting.result().next


def test_one_thread_looks_for_all_who_wait():
    looks = []

    class Counting(MemoryStore):
        def happened_after(self, position, limit):
            looks.append(threading.current_thread().name)
            return super().happened_after(position, limit)

    scheduler = Scheduler(store=Counting(), timezone="UTC")
    position = scheduler.changes().next
    waiting = [Call(scheduler.changes, position, wait=1_000) for _ in range(5)]
    while looks.count("schedcore-feed") < 8:  # it looks again and again; they do not
        assert any(call.is_alive() for call in waiting)
    assert len(looks) - looks.count("schedcore-feed") <= 1 + 5 * 2
    assert [t.name for t in threading.enumerate()].count("schedcore-feed") == 1
    scheduler.add_job("os:getpid", "interval", hours=1, id="job")
    for call in waiting:
        assert call.result().events
    for thread in threading.enumerate():
        if thread.name == "schedcore-feed":
            thread.join(SOON)
            assert not thread.is_alive(), "it looks for nobody"


def test_who_waits_hears_that_the_store_is_away():
    away = threading.Event()

    class Away(MemoryStore):
        def happened_after(self, position, limit):
            if away.is_set():
                raise StoreError("here", "it is away")
            return super().happened_after(position, limit)

    scheduler = Scheduler(store=Away(), timezone="UTC")
    waiting = Call(scheduler.changes, scheduler.changes().next, wait=1_000)
    away.set()
    with pytest.raises(StoreError, match="away"):
        waiting.result()


def test_who_comes_too_late_is_told_so():
    scheduler = Scheduler(timezone="UTC", history=History(overall=1))
    position = scheduler.changes().next
    stepped = Stepped(scheduler._engine.store, InlineExecutor())
    stepped.add(every=1)
    for _ in range(5):
        stepped.step(1)
    with pytest.raises(ChangesLostError, match="read jobs and runs again"):
        scheduler.changes(position)
    with pytest.raises(ChangesLostError):
        Scheduler(timezone="UTC").changes(position)


@pytest.mark.parametrize(
    "bad",
    [
        {"since": "x"},
        {"since": 5},
        {"wait": -1},
        {"wait": None},
        {"wait": float("nan")},
        {"limit": 0},
        {"limit": 10**6},
        {"limit": True},
    ],
)
def test_what_makes_no_sense_is_refused(bad):
    with pytest.raises(InvalidOptionError):
        Scheduler(timezone="UTC").changes(**bad)
