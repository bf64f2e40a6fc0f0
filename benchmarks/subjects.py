"""The measured libraries: schedcore and APScheduler, with the options that lose the fewest runs."""

from __future__ import annotations

from datetime import timezone
from typing import Any

THREADS = 10
"""The number of workers of every pool; both libraries' default."""


def nothing() -> None:
    """Do nothing: the function of jobs that are not counted."""


def ours() -> Any:
    """Return a scheduler with defaults: it has a history, and drops nothing."""
    from schedcore import Scheduler

    return Scheduler(timezone="UTC")


def capturing(on: bool) -> Any:
    """Return the same, with or without the output of runs.

    What that needs is imported either way: a few modules more decide whether a full collection of
    garbage falls into a burst, which is a tenth of it.
    """
    import schedcore.output.capture  # noqa: F401
    from schedcore import Scheduler

    return Scheduler(timezone="UTC", capture_output=on)


def theirs(**job_defaults: Any) -> Any:
    """Return APScheduler's scheduler, set to run late jobs, as ours does."""
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
