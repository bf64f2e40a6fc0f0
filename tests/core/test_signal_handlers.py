"""Public calls from a signal handler that interrupts a public call of the same thread."""

from __future__ import annotations

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest

from schedcore import (
    EVENT_JOB_EXECUTED,
    JobLookupError,
    ManualClock,
    MaxInstancesError,
    Outcome,
    Scheduler,
    SchedulerAlreadyRunningError,
    SchedulerNotRunningError,
    StoreUnavailableError,
    simulate,
)
from schedcore.heap import DueQueue
from schedcore.stores import sqlite_file
from schedcore.stores.sqlite import SqliteStore
from tests.patience import SOON
from tests.stores.stepping import ByHand, Stepped

LATER = datetime(2000, 1, 2, tzinfo=timezone.utc)


class Interrupted:
    """Calls *handler* once while *call* is made: before the given line of ours is executed.

    Python runs signal handlers between two lines, and here and there within one.
    """

    def __init__(self, call, handler, line, where="schedcore"):
        self.reached, self._left, self._where = False, line, where
        self._handler = handler
        sys.settrace(self._trace)
        try:
            call()
        finally:
            sys.settrace(None)

    def _trace(self, frame, event, arg):
        if not frame.f_globals.get("__name__", "").startswith(self._where):
            return None
        if event == "line" and not self.reached:
            self._left -= 1
            if self._left < 0:
                self.reached = True
                self._handler()
        return self._trace


# The due queue


class Item:
    def __init__(self, name):
        self.name, self.queued_us = name, None


def put(queue, items, name, due):
    item = items[name] = Item(name)
    item.due = due
    queue.put(item, due)


def put_many(queue, items, dues):
    for name, due in dues.items():
        items[name] = Item(name)
        items[name].due = due
    queue.put_many([items[name] for name in dues], list(dues.values()))


def discard(queue, items, name):
    queue.discard(items.pop(name))


def take(queue, items, now, limit):
    for item in queue.pop_due(now, limit):
        items.pop(item.name, None)


QUEUE_CALLS = {
    "put first": lambda queue, items: put(queue, items, "new", 5),
    "put beside": lambda queue, items: put(queue, items, "new", 10),
    "put among": lambda queue, items: put(queue, items, "new", 20),
    "put many": lambda queue, items: put_many(queue, items, {"m1": 10, "m2": 30}),
    "discard a lone one": lambda queue, items: discard(queue, items, "lone"),
    "discard of two": lambda queue, items: discard(queue, items, "b"),
    "look": lambda queue, items: queue.first_due(),
    "look past what is stale": lambda queue, items: (
        discard(queue, items, "lone"),
        queue.first_due(),
    ),
    "take": lambda queue, items: take(queue, items, 10, 5),
    "take a part": lambda queue, items: take(queue, items, 20, 2),
}
QUEUE_HANDLERS = {
    "put before all": lambda queue, items: put(queue, items, "inner", 1),
    "put in the same place": lambda queue, items: put(queue, items, "inner", 10),
    "put among others": lambda queue, items: put(queue, items, "inner", 20),
    "put where the other one puts": lambda queue, items: put(queue, items, "inner", 5),
    "discard": lambda queue, items: "a" in items and discard(queue, items, "a"),
    "put and discard": lambda queue, items: (
        put(queue, items, "inner", 10),
        discard(queue, items, "inner"),
    ),
}


@pytest.mark.parametrize("handler", QUEUE_HANDLERS)
@pytest.mark.parametrize("call", QUEUE_CALLS)
def test_nothing_is_lost_from_the_due_queue(call, handler):
    line = 0
    while interrupted_queue(QUEUE_CALLS[call], QUEUE_HANDLERS[handler], line):
        line += 1


def interrupted_queue(call, handler, line):
    """Return whether *line* was reached, once nothing is found lost."""
    items: dict[str, Item] = {}
    queue: DueQueue[Item] = DueQueue()
    for item, due in {"lone": 10, "a": 20, "b": 20, "c": 20, "last": 40}.items():
        put(queue, items, item, due)
    reached = Interrupted(
        lambda: call(queue, items), lambda: handler(queue, items), line, "schedcore.heap"
    ).reached
    assert len(queue) == len(items), line
    assert queue.first_due() == min(item.due for item in items.values()), line
    assert {item.name for item in queue.pop_due(100, 100)} == set(items), line
    assert len(queue) == 0, line
    return reached


# The scheduler


def handled(call):
    """Make a call as a careful handler does: what cannot be done just now is refused."""
    with suppress(
        SchedulerNotRunningError, SchedulerAlreadyRunningError, JobLookupError, MaxInstancesError
    ):
        call()


CALLS = {
    "start": lambda s: handled(s.start),
    "shutdown": lambda s: handled(lambda: s.shutdown(timeout=SOON)),
    "pause": lambda s: handled(s.pause),
    "resume": lambda s: handled(s.resume),
    "add_job": lambda s: s.add_job(int, "date", run_date=LATER),
    "add_jobs": lambda s: s.add_jobs(
        [{"func": int, "trigger": "date", "run_date": LATER} for _ in range(2)]
    ),
    "modify_job": lambda s: s.modify_job("there", next_run_time=LATER),
    "remove_job": lambda s: handled(lambda: s.remove_job("gone")),
    "get_jobs": lambda s: s.get_jobs(),
    "run_job": lambda s: handled(lambda: s.run_job("there", timeout=SOON)),
    "history": lambda s: (s.history(), s.counts(), s.runs()),
    "health": lambda s: s.health(),
    "add_listener": lambda s: s.add_listener(s.heard.append, EVENT_JOB_EXECUTED),
}
HANDLERS = ["start", "shutdown", "add_job", "remove_job", "run_job", "add_listener", "health"]


def made():
    scheduler = Scheduler(clock=ManualClock(), timezone="UTC")
    scheduler.heard = []
    scheduler.add_job(int, "interval", hours=100, id="there")
    scheduler.add_job(int, "date", run_date=LATER, id="gone")
    return scheduler


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("call", CALLS)
def test_any_call_may_interrupt_any_other(call, handler):
    """It returns, and afterwards the scheduler does all that it should."""
    lines = [random.Random(f"{call} {handler}").randrange(400) for _ in range(6)]
    for line in [*range(0, 40, 5), *lines]:
        interrupt(CALLS[call], CALLS[handler], line, running=call != "start")


def interrupt(call, handler, line, running):
    scheduler = made()
    if running:
        scheduler.start()
    Interrupted(lambda: call(scheduler), lambda: handler(scheduler), line)
    handled(scheduler.start)
    handled(scheduler.resume)
    once = [job for job in scheduler.get_jobs() if job.id != "there"]
    done = threading.Semaphore(0)
    scheduler.add_listener(lambda event: done.release(), EVENT_JOB_EXECUTED)
    scheduler.clock.advance(timedelta(days=1))
    for _ in once:
        assert done.acquire(timeout=SOON), line
    scheduler.shutdown(timeout=SOON)
    assert set(scheduler.counts()) <= {Outcome.EXECUTED, Outcome.CANCELLED, Outcome.SKIPPED}
    assert scheduler.runs() == []


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda s: s.get_jobs(), id="what changed since the last list"),
        pytest.param(lambda s: s.get_run(1), id="a run among those of all jobs"),
    ],
)
def test_what_is_read_may_change_in_between(call):
    for line in range(0, 100, 2):
        scheduler = made()
        for name in ("a", "b"):
            scheduler.get_jobs()
            scheduler.add_job(int, "date", run_date="2000-01-01", id=name)
        simulate(scheduler, timedelta(hours=1))

        def handler(scheduler=scheduler):
            scheduler.add_job(int, "date", run_date="2000-01-01", id="new")
            simulate(scheduler, timedelta(hours=1))
            assert len(scheduler.history("new")) == 1

        if not Interrupted(lambda made=scheduler: call(made), handler, line).reached:
            break
        assert len(scheduler.get_jobs()) == 2


def test_a_shutdown_that_interrupts_what_a_run_needs_does_not_wait_for_it(started, gate, caplog):
    """The run needs the lock to end that this thread holds."""
    started.add_job(gate, "interval", hours=1, id="job")
    run = started.run_job("job", wait=False)
    gate.wait()
    with started._engine.store.data_lock():
        gate.open()
        assert started.shutdown() in ([], [run])  # it may have got there before
    assert "in a signal handler" in caplog.text
    assert run.wait(SOON)


def test_making_a_scheduler_may_be_interrupted_by_making_another():
    for line in range(0, 300, 7):
        inner = []
        Interrupted(made, lambda inner=inner: inner.append(made()), line)


# On a store on disk


def test_a_shutdown_that_interrupts_a_transaction_is_made_once_that_is_over(tmp_path, caplog):
    scheduler = Scheduler(store=f"sqlite:///{tmp_path / 'jobs.db'}", timezone="UTC")
    scheduler.add_job("math:sqrt", "interval", hours=100, args=[4], id="job")
    for line in range(0, 300, 25):
        scheduler.start()
        reached = Interrupted(scheduler.history, scheduler.shutdown, line).reached
        for thread in threading.enumerate():
            if thread.name == "schedcore-shutdown":
                thread.join(SOON)
        if not reached:
            break
        with pytest.raises(SchedulerNotRunningError):
            scheduler.shutdown()
        scheduler.start()
        assert scheduler.run_job("job", timeout=SOON).outcome is Outcome.EXECUTED
        scheduler.shutdown(timeout=SOON)
    assert "another thread shuts down" in caplog.text


@pytest.mark.parametrize("line", range(0, 60, 6))
def test_a_call_that_interrupts_a_transaction_is_refused_and_waits_for_nothing(tmp_path, line):
    store = SqliteStore(tmp_path / "jobs.db", durable=False)
    stepped = Stepped(store, ByHand())
    stepped.add(every=10)
    stepped.step(10)
    run = stepped.hand.begin()
    stepped.hand.reporter.end(run, None, None)  # noted; whoever reads records it

    def handler():
        with pytest.raises(StoreUnavailableError, match="interrupts a transaction"):
            stepped.scheduler.history()

    records = []
    Interrupted(
        lambda: records.extend(stepped.scheduler.history()), handler, line, "schedcore.stores.sql_"
    )
    assert [record.run_id for record in records] == [run.id]
    store.close()


# Ctrl-C


def test_a_wait_that_is_interrupted_as_it_begins_keeps_no_run_from_its_end(started):
    held = threading.Lock()
    held.acquire()
    started.add_job(held.acquire, "interval", hours=1, kwargs={"timeout": SOON}, id="job")
    started.add_job(int, "interval", hours=1, id="other")
    run = started.run_job("job", wait=False)

    def acquired_and_interrupted(condition):
        condition._lock.acquire()
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(threading.Condition, "__enter__", acquired_and_interrupted)
        run.wait(0)
    with ThreadPoolExecutor(5) as pool:
        waits = [pool.submit(run.wait, SOON) for _ in range(5)]
        held.release()
        assert all(wait.result() for wait in waits)
    assert started.run_job("other", timeout=SOON).outcome is Outcome.EXECUTED


class InterruptedLock:
    """A lock that Ctrl-C interrupts the moment it is acquired."""

    def __init__(self, lock):
        self._lock = lock
        self.release, self._is_owned = lock.release, lock._is_owned

    def acquire(self, timeout):
        self._lock.acquire(timeout=timeout)
        raise KeyboardInterrupt


def test_a_transaction_that_is_interrupted_as_it_begins_keeps_none_waiting(tmp_path, monkeypatch):
    store = SqliteStore(tmp_path / "jobs.db", durable=False)
    for target, name, value in (
        (store.file, "_lock", InterruptedLock(store.file.data_lock())),
        (sqlite_file, "Transaction", lambda _cursor: InterruptedLock(threading.RLock()).acquire(1)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            with pytest.raises(KeyboardInterrupt):
                store.entries()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(store.entries).result(SOON) == []
        assert store.entries() == []
    store.close()
