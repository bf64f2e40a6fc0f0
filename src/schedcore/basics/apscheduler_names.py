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


class ReplacementHints:
    """Raises, for an attribute of APScheduler's, an error that names its replacement."""

    replacements: ClassVar[Mapping[str, str]] = SCHEDULER_HINTS

    if not TYPE_CHECKING:  # a type checker would take every name for one that is there

        def __getattr__(self, name: str) -> object:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            hint = type(self).replacements.get(name)
            raise AttributeError(f"{text}: {hint}" if hint else text, name=name, obj=self)
