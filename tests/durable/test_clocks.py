"""Clocks that are set back or show another time, over processes that share a store."""

from __future__ import annotations

import pytest

from schedcore import ManualClock, Scheduler, SqliteStore, State
from schedcore.stores import sqlite_cluster
from tests.durable.processes import until
from tests.stores.postgres import postgres_store
from tests.stores.stepping import ByHand, Stepped

BACK_US = -600_000_000


@pytest.fixture
def schedulers(tmp_path):
    """Two on one store, of which one takes the due jobs; their clocks show the same."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    made = [Scheduler(store=url, name="clocks", clock=ManualClock()) for _ in range(2)]
    for scheduler in made:
        scheduler.follow()
    yield made
    for scheduler in made:
        scheduler.shutdown(timeout=10)


def test_jobs_are_moved_by_the_process_that_takes_them_and_by_no_other(schedulers):
    one, other = schedulers
    assert [one.state, other.state] == [State.RUNNING, State.STANDBY]
    one.pause()  # so that nothing runs that is due again
    due = one.add_job("math:sqrt", "interval", hours=1, args=[4], id="hourly").next_run_time
    now_us = one.clock.now_us() + BACK_US
    other._engine.clock_moved(now_us, BACK_US)
    assert one.get_job("hourly").next_run_time == due
    one._engine.clock_moved(now_us, BACK_US)
    assert (due - one.get_job("hourly").next_run_time).total_seconds() == 3600


DAY = 86_400


@pytest.fixture(params=["sqlite", "postgresql"])
def stepped(request, tmp_path, monkeypatch):
    """A scheduler of the year 2000 on a store that cuts its history at each look."""
    if request.param == "sqlite":
        store, module = SqliteStore(tmp_path / "jobs.db"), sqlite_cluster
        monkeypatch.setattr(module, "CHECK_US", 0)
    else:
        store = postgres_store()
        from schedcore.stores import postgres_housekeeping as module
    monkeypatch.setattr(module, "TRIM_US", 0)
    cuts, trim = [], module.trim
    monkeypatch.setattr(module, "trim", lambda *given: cuts.append(trim(*given)))
    stepped = Stepped(store, ByHand())
    store.cluster.join("app", ["default"])

    def cut():
        """Look until the history was cut once more; return how many outcomes were."""
        cuts.clear()
        until(lambda: store.cluster.poll() and cuts, "that the history is cut")
        return sum(cuts)

    stepped.cut = cut
    yield stepped
    store.close()


def test_outcomes_are_as_old_as_the_clock_of_the_scheduler_says(stepped):
    stepped.add()
    stepped.step(10)
    stepped.hand.run()
    assert stepped.cut() == 0
    assert stepped.history() == [("executed", 10)]
    stepped.clock.advance(31 * DAY)
    assert stepped.cut() == 1
