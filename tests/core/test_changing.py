"""A change that takes longer to work out than the job takes to become due again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from schedcore import EVENT_JOB_EXECUTED, JobChangedError, ManualClock, Outcome, Scheduler
from schedcore.triggers import make_trigger

START = datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def scheduler(clock):
    scheduler = Scheduler(clock=clock, timezone="UTC")
    scheduler.start()
    yield scheduler
    scheduler.shutdown()


def at(seconds):
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("change", "later"),
    [
        pytest.param({"name": "Other"}, [3, 4, 5], id="where it was"),
        pytest.param(
            {"trigger": make_trigger("interval", {"seconds": 7}, timezone.utc)}, [9, 16], id="new"
        ),
        pytest.param({"next_run_time": at(8)}, [8, 9], id="moved"),
        pytest.param({"next_run_time": None}, [], id="paused"),
    ],
)
def test_that_a_job_moves_on_is_no_change_of_somebody_else(scheduler, clock, heard, change, later):
    """Each time that it is asked what to change, the job is due once more."""
    ran = heard(scheduler, EVENT_JOB_EXECUTED)
    scheduler.add_job(lambda: None, "interval", seconds=1, id="j", start_date=at(1))
    asked = []

    def changes(entry):
        asked.append(entry)
        clock.advance(1)
        ran()
        return change

    clock.advance(1)
    ran()
    scheduler.update_job("j", changes)
    assert len(asked) == 1
    for due in later:
        clock.advance(due - (clock.now_us() - START.timestamp() * 1e6) / 1e6)
        ran()
    assert [r.scheduled for r in reversed(scheduler.history("j"))] == [
        at(s) for s in [1, 2, *later]
    ]
    assert all(r.outcome is Outcome.EXECUTED for r in scheduler.history("j"))


def test_a_change_of_somebody_else_is_seen(scheduler):
    scheduler.add_job(lambda: None, "interval", hours=1, id="j", name="0")

    def changes(entry):
        if entry.job.name == "0":
            scheduler.modify_job("j", name="1")
        return {"name": entry.job.name + "x"}

    assert scheduler.update_job("j", changes).name == "1x"


def test_a_pause_by_somebody_else_is_seen(scheduler):
    scheduler.add_job(lambda: None, "interval", hours=1, id="j", name="0")
    seen = []

    def changes(entry):
        seen.append(entry.due_us is None)
        if len(seen) == 1:
            scheduler.pause_job("j")
        return {"name": "x"}

    handle = scheduler.update_job("j", changes)
    assert (handle.name, handle.next_run_time, seen) == ("x", None, [False, True])


def test_somebody_who_changes_it_all_the_time_does_not_hold_it_for_ever(scheduler):
    scheduler.add_job(lambda: None, "interval", hours=1, id="j", name="0")

    def changes(entry):
        scheduler.modify_job("j", name=entry.job.name + "0")
        return {"max_instances": 2}

    with pytest.raises(JobChangedError, match=r"'j' was changed by somebody else .* try again"):
        scheduler.update_job("j", changes)
    assert scheduler.entry("j").job.max_instances == 1
