"""What schedulers on one store order one another: each as in a process of its own."""

from __future__ import annotations

import sqlite3
import sys
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from schedcore import (
    EVENT_SCHEDULER_SHUTDOWN,
    ConflictingIdError,
    Outcome,
    Scheduler,
    SchedulerAlreadyRunningError,
    SchedulerNotRunningError,
    State,
    StoreUnavailableError,
)
from schedcore.clock import ManualClock
from schedcore.loop import Loop
from schedcore.stores import sqlite_file
from tests.patience import SOON


@pytest.fixture
def made(tmp_path):
    """Make schedulers on the same file, which are shut down after the test."""
    schedulers = []

    def make(clock=None):
        url = f"sqlite:///{tmp_path / 'jobs.db'}"
        scheduler = Scheduler(store=url, name="app", clock=clock, timezone="UTC")
        schedulers.append(scheduler)
        return scheduler

    yield make
    for scheduler in schedulers:
        with suppress(SchedulerNotRunningError):  # one that was stopped for all leaves as well
            scheduler.shutdown(timeout=10)


def test_an_order_counts_although_another_process_gave_the_one_before_just_now(made):
    one, two = made(), made()
    one.start()
    two.follow()
    for _ in range(5):
        one.pause()
        two.resume()
        one.shutdown(leave=False)
        with pytest.raises(SchedulerNotRunningError):
            two.pause()
        two.start()
        with pytest.raises(SchedulerAlreadyRunningError):
            one.start()
        one.run_job(two.add_job("math:sqrt", "cron", year=2999, args=[4], id="j").id, timeout=SOON)


def test_a_computer_and_a_script_may_be_called_anything(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "h\udcfc")
    script = SimpleNamespace(__file__="/srv/M\udcfcller.py")
    monkeypatch.setitem(sys.modules, "__main__", script)
    scheduler = Scheduler(store=f"sqlite:///{tmp_path / 'jobs.db'}")
    scheduler.start()
    (node,) = scheduler.nodes()
    scheduler.shutdown()
    assert (node.host, node.app) == ("h\\udcfc", "M\\udcfcller.py")


def test_who_follows_is_as_the_others_are(made):
    one = made()
    one.start(paused=True)
    two = made()
    two.follow()
    assert two.state is State.PAUSED
    one.shutdown(leave=False)
    three = made()
    three.follow()
    assert three.state is State.STOPPED
    assert {each.shared_state() for each in (one, two, three)} == {State.STOPPED}


def test_who_follows_twice_is_told(made):
    one = made()
    one.follow()
    with pytest.raises(SchedulerAlreadyRunningError):
        one.follow()


def test_who_has_not_joined_sees_what_the_others_do(made):
    one, two = made(), made()
    assert two.shared_state() is State.STOPPED, "nobody is there"
    one.start()
    assert two.shared_state() is State.RUNNING
    one.shutdown()
    assert two.shared_state() is State.STOPPED


def test_who_leaves_does_not_start_again_while_its_runs_end(made):
    """Its thread still looks at the store, where all are to be running."""
    one, two = made(), made()
    one.start()
    two.follow()
    for _ in range(20):
        two.shutdown()
        assert two.state is State.STOPPED
        two.follow()


def test_one_that_shuts_down_while_the_store_is_away_is_stopped_and_starts_again(
    made, tmp_path, monkeypatch
):
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.05)
    one = made()
    one.add_job("math:sqrt", "interval", hours=1, args=[4], id="j")
    one.start()
    another = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    another.execute("begin immediate")
    with pytest.raises(StoreUnavailableError):
        one.shutdown(timeout=SOON)
    another.close()
    assert one.state is State.STOPPED
    one.start()
    assert one.run_job("j", timeout=SOON).outcome is Outcome.EXECUTED


def test_a_start_that_fails_starts_nothing_later(made, monkeypatch):
    one = made()
    one.add_job("math:sqrt", "interval", hours=1, args=[4], id="j")

    def fails(_loop):
        raise RuntimeError("can't start new thread")

    for start in (one.start, one.follow):
        with monkeypatch.context() as patch:
            patch.setattr(Loop, "start", fails)
            with pytest.raises(RuntimeError):
                start()
        assert [node.state for node in one.nodes() if node.state == "alive"] == []
        start()
        assert one.run_job("j", timeout=SOON).outcome is Outcome.EXECUTED
        one.shutdown(timeout=SOON)


def test_a_listener_may_start_again_what_was_just_shut_down(made):
    one = made()
    one.add_job("math:sqrt", "interval", hours=1, args=[4], id="j")
    orders = [one.start]
    one.add_listener(lambda _event: orders and orders.pop()(), EVENT_SCHEDULER_SHUTDOWN)
    one.start()
    one.shutdown(timeout=SOON)
    assert one.run_job("j", timeout=SOON).outcome is Outcome.EXECUTED


def test_an_entry_is_added_once_unless_it_is_to_replace(made):
    one = made()
    one.start()
    entry = one.draft_job("math:sqrt", "interval", hours=1, args=[4], id="j")
    one.add_entry(entry)
    with pytest.raises(ConflictingIdError):
        one.add_entry(entry)
    other = one.draft_job("math:sqrt", "interval", hours=2, args=[4], id="j")
    assert one.add_entry(other, replace=True).trigger.to_dict()["hours"] == 2


def hold():
    assert RELEASED.wait(SOON)


RELEASED = threading.Event()


def test_a_run_for_a_key_can_be_awaited_also_where_it_did_not_begin(made):
    one, two = made(), made()
    one.start()
    two.follow()
    one.add_job(hold, "interval", hours=1, id="j")
    run = one.run_job("j", wait=False, key="k")
    again = two.run_job("j", wait=False, key="k")
    assert not again.wait(0)
    RELEASED.set()
    assert again.wait(SOON)
    assert run.wait(SOON)
    assert again.record == run.record
    assert two.run_job("j", wait=False, key="k").wait(0)


def test_all_see_the_same_store(made):
    one, two = made(), made()
    assert one.store_info().id == two.store_info().id is not None
    assert Scheduler().store_info().id is None


@pytest.mark.parametrize(
    "given",
    [
        {"trigger": "calendarinterval", "months": 1, "hour": 8},
        {"trigger": {"trigger": "or", "triggers": [{"trigger": "calendarinterval", "weeks": 1}]}},
        {"trigger": "calendarinterval", "months": 1, "next_run_time": "2026-01-02"},
        {"trigger": {"trigger": "date"}},
        {"trigger": {"trigger": "or", "triggers": [{"trigger": "date"}]}},
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["add_jobs", "add_job"])
def test_a_first_date_that_was_not_given_stays_at_each_start(made, given, at_once):
    clock = ManualClock(datetime(2026, 1, 1, 9, tzinfo=timezone.utc))
    job, entries = {"func": "math:sqrt", "args": [4], "id": "j", **given}, []
    for _ in range(3):
        scheduler = made(clock)
        handle = scheduler.add_jobs([job])[0] if at_once else scheduler.add_job(**job)
        entries.append(handle.entry)
        clock.advance(timedelta(days=25))
    assert entries[1:] == entries[:-1]
