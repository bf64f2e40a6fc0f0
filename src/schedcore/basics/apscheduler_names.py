"""APScheduler's names that do not exist here, and errors that name their replacements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

ONE_STORE = (
    "a scheduler has one store, named by a URL: Scheduler(store='sqlite:///jobs.db'), or"
    " 'postgresql://...'; see docs/reference/stores.md"
)
_EXECUTORS = "pass executors to Scheduler(executors={'name': ...})"
_KINDS = (
    "there is one Scheduler: start() runs it in its own thread, run_forever() blocks, and it"
    " runs coroutine functions too"
)

PACKAGE_HINTS: Mapping[str, str] = {
    "AsyncIOScheduler": (
        "AsyncScheduler runs coroutine functions on the program's own event loop: 'async with"
        " AsyncScheduler() as scheduler' (from schedcore import AsyncScheduler)"
    ),
    "AsyncIOExecutor": f"CoroutineLoop(loop=...) is what it is called here, and {_EXECUTORS}",
    **dict.fromkeys(
        (
            "BackgroundScheduler",
            "BlockingScheduler",
            "GeventScheduler",
            "QtScheduler",
            "TornadoScheduler",
            "TwistedScheduler",
        ),
        f"{_KINDS} (from schedcore import Scheduler)",
    ),
    **dict.fromkeys(
        (
            "EtcdJobStore",
            "MemoryJobStore",
            "MongoDBJobStore",
            "RedisJobStore",
            "RethinkDBJobStore",
            "SQLAlchemyJobStore",
            "ZooKeeperJobStore",
        ),
        ONE_STORE,
    ),
    "ThreadPoolExecutor": f"ThreadPool is what it is called here, and {_EXECUTORS}",
    "ProcessPoolExecutor": f"the one of concurrent.futures serves, and {_EXECUTORS}",
    **dict.fromkeys(("DebugExecutor", "GeventExecutor", "TornadoExecutor"), _EXECUTORS),
    "APScheduler": "the Flask extension is in schedhttp.flask",
    **dict.fromkeys(
        ("STATE_PAUSED", "STATE_RUNNING", "STATE_STOPPED"),
        "scheduler.state is State.PAUSED, State.RUNNING... (from schedcore import State)",
    ),
    "EVENT_SCHEDULER_START": "it is called EVENT_SCHEDULER_STARTED",
    **dict.fromkeys(
        ("EVENT_JOBSTORE_ADDED", "EVENT_JOBSTORE_REMOVED"),
        f"there is no such event: {ONE_STORE}",
    ),
    **dict.fromkeys(
        ("EVENT_EXECUTOR_ADDED", "EVENT_EXECUTOR_REMOVED"),
        f"there is no such event: {_EXECUTORS}",
    ),
}
"""Exports of APScheduler's modules, and their replacements."""

SCHEDULER_HINTS: Mapping[str, str] = {
    "configure": "pass all options to Scheduler(timezone=..., job_defaults=..., ...)",
    "add_jobstore": ONE_STORE,
    "remove_jobstore": ONE_STORE,
    "add_executor": _EXECUTORS,
    "remove_executor": _EXECUTORS,
    "print_jobs": "print(*scheduler.get_jobs(), sep='\\n')",
    "export_jobs": "get_jobs() returns them all; 'schedcore export' writes a file",
    "import_jobs": "add_jobs() takes many at once",
}
"""Methods of its schedulers, and their replacements."""

_DEFAULTS = "it is an option of jobs: Scheduler(job_defaults={...})"
ARGUMENT_HINTS: Mapping[str, str] = {
    "jobstores": ONE_STORE,
    "daemon": "its threads are always daemons; run_forever() blocks",
    "logger": "logging.getLogger('schedcore') is the logger to configure",
    "event_loop": "an AsyncScheduler uses the loop in which it is started",
    **dict.fromkeys(("coalesce", "max_instances", "misfire_grace_time"), _DEFAULTS),
}
"""Arguments of its schedulers, and their replacements."""

OPTION_HINTS: Mapping[str, str] = {
    "jobstore": " (a scheduler has one store: leave this out)",
    "weekday": " (did you mean 'day_of_week'?)",
    "schedule": " (a job has a trigger: trigger='interval', seconds=30)",
    "task": " (a job has a func: 'tasks:add')",
    "every": " (an interval has units: seconds=5, minutes=5...)",
    **dict.fromkeys(("milliseconds", "microseconds"), " (seconds=0.5 is half a second)"),
    **dict.fromkeys(("at", "time"), " (a cron trigger has hour=10, minute=30)"),
}
"""What to say of options that are known elsewhere, and spelled like none that is known here."""


def refuse_arguments(unknown: Mapping[str, object]) -> None:
    """Raise TypeError for arguments of a scheduler that it does not have, as a call would."""
    for name in unknown:
        text = f"Scheduler() got an unexpected keyword argument {name!r}"
        hint = ARGUMENT_HINTS.get(name)
        raise TypeError(f"{text}: {hint}" if hint else text)


def trigger_hint(given: object) -> str:
    """Return what to write in place of *given*, which is no trigger, or ``""``."""
    if type(given).__module__.startswith("apscheduler."):
        name = type(given).__name__
        return f"; this one is APScheduler's, and 'from schedcore import {name}' has its place"
    if isinstance(given, str) and (" " in given.strip() or given.startswith("@")):
        return f"; crontab text is an option: 'cron', crontab={given[:80]!r}"
    return ""


class ReplacementHints:
    """Raises, for an attribute of APScheduler's, an error that names its replacement."""

    replacements: ClassVar[Mapping[str, str]] = SCHEDULER_HINTS

    if not TYPE_CHECKING:  # a type checker would take every name for one that is there

        def __getattr__(self, name: str) -> object:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            hint = type(self).replacements.get(name)
            raise AttributeError(f"{text}: {hint}" if hint else text, name=name, obj=self)
