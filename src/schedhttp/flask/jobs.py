"""The jobs of the Flask extension: the methods of Flask-APScheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from schedcore import JobHandle, Run, Scheduler
from schedcore.basics.apscheduler_names import SCHEDULER_HINTS, ReplacementHints
from schedcore.basics.funcref import refuse_bare
from schedcore.changes.declaring import SameIds
from schedcore.errors import InvalidOptionError
from schedcore.events import EVENT_ALL, Listener
from schedcore.job import JOB_FIELDS
from schedcore.stores.base import Entry
from schedcore.triggers import factory
from schedhttp.codec import without_jobstore

if TYPE_CHECKING:
    from typing import Literal, overload

    from typing_extensions import Unpack

    from schedcore import typed_options as t

F = TypeVar("F", bound=Callable[..., Any])


class FlaskJobs(ReplacementHints):
    """The extension's methods for jobs, some of which work before there is a scheduler.

    Decorated jobs, registered functions and listeners apply to each scheduler that the extension
    creates: there may be one app after another, while their module is imported once.

    Args:
        scheduler: An existing scheduler.

    Raises:
        InvalidOptionError: if that is something else.
    """

    replacements: ClassVar[Mapping[str, str]] = {
        **{
            name: f"the scheduler itself has it: <extension>.scheduler.{name}"
            for name in dir(Scheduler)
            if not name.startswith("_")
        },
        **SCHEDULER_HINTS,
        "scheduled_job": "it is called task",
        "delete_job": "it is called remove_job",
        "delete_all_jobs": "it is called remove_all_jobs",
    }

    def __init__(self, scheduler: Scheduler | None = None) -> None:
        given: object = scheduler
        if given is not None and not isinstance(given, Scheduler):
            expected = (
                "a schedcore.Scheduler, or none: init_app() creates one from the app's config"
                " (an app is passed as app=app)"
            )
            raise InvalidOptionError("scheduler", given, expected)
        self._scheduler = scheduler
        self._listeners: list[tuple[Listener, int]] = []
        self._declared: list[Callable[[Scheduler], object]] = []
        self._same_ids = SameIds()

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler itself.

        Raises:
            RuntimeError: if ``init_app`` was not called yet.
        """
        if self._scheduler is None:
            raise RuntimeError("there is no scheduler yet: call init_app(app) first")
        return self._scheduler

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def task(self, trigger: Literal["date"] | None = None, *, id: str | None = ...,
            replace_existing: bool = ..., **options: Unpack[t.DateCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: Literal["interval"], *, id: str | None = ...,
            replace_existing: bool = ...,
            **options: Unpack[t.IntervalCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: Literal["cron"], *, id: str | None = ...,
            replace_existing: bool = ..., **options: Unpack[t.CronCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: Literal["calendarinterval"], *, id: str | None = ...,
            replace_existing: bool = ...,
            **options: Unpack[t.CalendarIntervalCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: t.Combination, *, id: str | None = ...,
            replace_existing: bool = ...,
            **options: Unpack[t.CombinationCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: t.MadeTrigger, *, id: str | None = ...,
            replace_existing: bool = ..., **options: Unpack[t.CallJob]) -> Callable[[F], F]: ...
        # fmt: on

    def task(self, *args: Any, **kwargs: Any) -> Callable[[F], F]:
        """Decorate a function to add it as a job; also before ``init_app``.

        The arguments are those of :meth:`Scheduler.scheduled_job`.  Without an ``id``, the job gets
        one that is the same in each process, at each start.
        """
        refuse_bare(args[0] if args else None)

        def add_to(scheduler: Scheduler, func: F) -> None:
            job_id = kwargs.get("id")
            if job_id is None:
                job_id = self._same_ids.job_id(func, {"trigger": args, **kwargs})
            scheduler.scheduled_job(*args, **{**kwargs, "id": job_id})(func)

        def decorate(func: F) -> F:
            self._declare(lambda scheduler: add_to(scheduler, func))
            return func

        return decorate

    def register(self, func: F) -> F:
        """Allow requests to name *func*; also before ``init_app``."""
        self._declare(lambda scheduler: scheduler.register(func))
        return func

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: Literal["date"] | None = None,
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.DateCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: Literal["interval"],
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.IntervalCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: Literal["cron"],
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.CronCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: Literal["calendarinterval"],
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.CalendarIntervalCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: t.Combination,
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.CombinationCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: t.MadeTrigger,
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.CallJob]) -> JobHandle: ...
        # fmt: on

    def add_job(self, id: str, func: Callable[..., Any] | str, **kwargs: Any) -> JobHandle:
        """Add a job; the options are those of :meth:`Scheduler.add_job`."""
        return self.scheduler.add_job(func, id=id, **without_jobstore(kwargs))

    def remove_job(self, id: str, jobstore: str | None = None) -> None:
        """Remove a job."""
        without_jobstore({"jobstore": jobstore})
        self.scheduler.remove_job(id)

    def remove_all_jobs(self, jobstore: str | None = None) -> None:
        """Remove every job."""
        without_jobstore({"jobstore": jobstore})
        self.scheduler.remove_all_jobs()

    def get_job(self, id: str, jobstore: str | None = None) -> JobHandle | None:
        """Return the job with this id, or None."""
        without_jobstore({"jobstore": jobstore})
        return self.scheduler.get_job(id)

    def get_jobs(self, jobstore: str | None = None) -> list[JobHandle]:
        """Return all jobs, earliest due first, paused ones last."""
        without_jobstore({"jobstore": jobstore})
        return self.scheduler.get_jobs()

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *,
            trigger: Literal["date"] | None = None, func: t.Func = ...,
            **changes: Unpack[t.DateCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *,
            trigger: Literal["interval"] = ..., func: t.Func = ...,
            **changes: Unpack[t.IntervalCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *,
            trigger: Literal["cron"] = ..., func: t.Func = ...,
            **changes: Unpack[t.CronCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *,
            trigger: Literal["calendarinterval"] = ..., func: t.Func = ...,
            **changes: Unpack[t.CalendarIntervalCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *, trigger: t.Combination = ...,
            func: t.Func = ..., **changes: Unpack[t.CombinationCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *, trigger: t.MadeTrigger,
            func: t.Func = ..., **changes: Unpack[t.CallJob]) -> JobHandle: ...
        # fmt: on

    def modify_job(self, id: str, jobstore: str | None = None, **changes: Any) -> JobHandle:
        """Change a job: its options, and its trigger by name and options, as a PATCH does."""
        without_jobstore({"jobstore": jobstore})

        def wanted(entry: Entry) -> Mapping[str, Any]:
            own = {k: v for k, v in changes.items() if k in JOB_FIELDS and k != "trigger"}
            trigger = {k: v for k, v in changes.items() if k not in own}
            if trigger:
                own["trigger"] = factory.merge(
                    entry.job.trigger, trigger, self.scheduler.timezone, id
                )
            return own

        return self.scheduler.update_job(id, wanted)

    def pause_job(self, id: str, jobstore: str | None = None) -> JobHandle:
        """Stop scheduling a job."""
        without_jobstore({"jobstore": jobstore})
        return self.scheduler.pause_job(id)

    def resume_job(self, id: str, jobstore: str | None = None) -> JobHandle:
        """Schedule a paused job again."""
        without_jobstore({"jobstore": jobstore})
        return self.scheduler.resume_job(id)

    def run_job(self, id: str, jobstore: str | None = None) -> Run:
        """Run a job now, and wait until it has ended."""
        without_jobstore({"jobstore": jobstore})
        return self.scheduler.run_job(id)

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL) -> None:
        """Call *callback* with each event whose code is in *mask*; also before ``init_app``."""
        if self._scheduler is not None:
            self._scheduler.add_listener(callback, mask)
        self._listeners.append((callback, mask))

    def remove_listener(self, callback: Listener) -> None:
        """Stop calling *callback*."""
        if self._scheduler is not None:
            self._scheduler.remove_listener(callback)
        self._listeners = [kept for kept in self._listeners if kept[0] != callback]

    def _declare(self, action: Callable[[Scheduler], object]) -> None:
        if self._scheduler is not None:
            action(self._scheduler)
        self._declared.append(action)

    def _add_declared(self, scheduler: Scheduler) -> None:
        """Pass everything that was declared so far to a new scheduler."""
        self._same_ids = SameIds()
        for callback, mask in self._listeners:
            scheduler.add_listener(callback, mask)
        for action in self._declared:
            action(scheduler)
