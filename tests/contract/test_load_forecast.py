"""What is to come is the same whatever store the jobs, their runs and their totals are in."""

from __future__ import annotations

from datetime import datetime, timezone
from threading import Event

from schedcore import ManualClock, Scheduler, ThreadPool
from schedcore.clock import SECOND, to_us
from tests.patience import SOON

START = datetime(2026, 3, 28, 12, tzinfo=timezone.utc)
_GO_ON = Event()
_CLOCKS: list[ManualClock] = []


def work(seconds):
    """Take some seconds of the clock that stands."""
    _CLOCKS[-1].advance(seconds)


def wait():
    """Be under way until the test is over."""
    _GO_ON.wait(SOON)


def test_durations_workers_and_runs_under_way_are_known(store):
    _CLOCKS.append(ManualClock(START))
    _GO_ON.clear()
    pool = {"default": ThreadPool(2)}
    scheduler = Scheduler(
        clock=_CLOCKS[-1], timezone="UTC", store=store, executors=pool, name="forecast"
    )
    for name in "abc":
        scheduler.add_job(work, "cron", hour=14, id=name, args=[300])
    scheduler.add_job(wait, "cron", hour=20, id="waits")
    scheduler.start()
    try:
        for name in "abc":
            scheduler.run_job(name, timeout=SOON)
        scheduler.run_job("waits", wait=False)
        found = scheduler.forecast(4)
    finally:
        _GO_ON.set()
        scheduler.shutdown()
    (crowd,) = found.crowds
    assert (crowd.workers, crowd.most, crowd.most_us) == (
        *(2, 3),
        to_us(START.replace(hour=14)),
    )
    assert [(job.job_id, job.took_us) for job in found.jobs] == [
        (name, 300 * SECOND) for name in "abc"
    ]
    default = next(each for each in found.executors if each.name == "default")
    assert default.slices[0].most == 1
