"""A clock that is set back, over processes that share a store."""

from __future__ import annotations

import pytest

from schedcore import ManualClock, Scheduler, State

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
