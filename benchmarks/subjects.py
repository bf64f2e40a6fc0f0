"""Who is measured: schedcore and APScheduler, each as it loses the least."""

from __future__ import annotations

from datetime import timezone
from typing import Any

THREADS = 10
"""Of every pool; both libraries' default."""


def nothing() -> None:
    """What a job does, unless it is to be counted."""


def ours() -> Any:
    """Return a scheduler as users get it: with its history, and dropping nothing."""
    from schedcore import Scheduler

    return Scheduler(timezone="UTC")


def capturing(on: bool) -> Any:
    """Return the same, keeping what runs print or not.

    What that needs is imported either way: a few modules more decide whether a full collection of
    garbage falls into a burst, which is a tenth of it.
    """
    import schedcore.output.capture  # noqa: F401
    from schedcore import Scheduler

    return Scheduler(timezone="UTC", capture_output=on)


def theirs(**job_defaults: Any) -> Any:
    """Return APScheduler's scheduler, told to drop nothing that is late, as ours does not."""
    from apscheduler.executors.pool import ThreadPoolExecutor as TheirPool
    from apscheduler.schedulers.background import BackgroundScheduler

    return BackgroundScheduler(
        timezone=timezone.utc,
        executors={"default": TheirPool(THREADS)},
        job_defaults={"misfire_grace_time": None, "coalesce": True, **job_defaults},
    )


def theirs_losing_nothing() -> Any:
    """Return APScheduler's scheduler with the options under which it loses the fewest runs.

    A second run of a job may begin while one is under way or waits for a thread, and every fire
    time of a backlog is run.
    """
    return theirs(coalesce=False, max_instances=100)
