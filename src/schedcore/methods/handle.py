"""What ``add_job`` returns: a handle to inspect and change a job, by its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import schedcore  # for hints: methods/jobs.py imports this module
from schedcore.clock import from_us
from schedcore.errors import JobLookupError
from schedcore.job import Job
from schedcore.retry import Retry
from schedcore.stores.base import Entry
from schedcore.triggers.base import Trigger

if TYPE_CHECKING:
    from typing import Literal, overload

    from typing_extensions import Unpack

    import schedcore.methods.jobs
    from schedcore import typed_options as t


class JobHandle:
    """A job in a scheduler.

    It shows the job's current state, or after the job was removed, the state that it last read.
    """

    __slots__ = ("_entry", "_scheduler")

    def __init__(self, scheduler: schedcore.methods.jobs.JobMethods, entry: Entry) -> None:
        self._scheduler = scheduler
        self._entry = entry

    def __repr__(self) -> str:
        return f"<JobHandle {self.id!r}, next run: {self.next_run_time or 'none'}>"

    def __str__(self) -> str:
        job, due_us = self.entry.job, self._entry.due_us  # read once: they belong together
        due = "none" if due_us is None else from_us(due_us, job.trigger.timezone)
        return f"{job.id}: {job.func_ref or job.name}, {job.trigger}, next run: {due}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return self.id == other.id and self._scheduler is other._scheduler

    def __hash__(self) -> int:
        return hash(self.id)

    # What it is

    @property
    def entry(self) -> Entry:
        """The definition and its place in the schedule, as one consistent value."""
        try:
            self._entry = self._scheduler.entry(self.id)
        except JobLookupError:
            self._entry = self._entry._replace(due_us=None)
        return self._entry

    @property
    def last_seen(self) -> Entry:
        """The state that was last read; at first, that of the call that returned this handle."""
        return self._entry

    @property
    def definition(self) -> Job:
        """The immutable definition."""
        return self.entry.job

    @property
    def id(self) -> str:
        """The job's id; it never changes."""
        return self._entry.job.id

    @property
    def name(self) -> str:
        """The name given, else that of the function."""
        return self.definition.name

    @property
    def func(self) -> Callable[..., Any] | None:
        """The function; None while the job of a store on disk has not been resolved."""
        return self.definition.func

    @property
    def func_ref(self) -> str | None:
        """The function as ``"package.module:name"``, or None if it has no reference."""
        return self.definition.func_ref

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments of the function."""
        return self.definition.args

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword arguments of the function."""
        return dict(self.definition.kwargs)

    @property
    def trigger(self) -> Trigger:
        """When the job fires."""
        return self.definition.trigger

    @property
    def executor(self) -> str:
        """Name of the executor that runs the job."""
        return self.definition.executor

    @property
    def misfire_grace_time(self) -> float | None:
        """Seconds after its time at which a run may still start; None: however late."""
        return self.definition.misfire_grace_time

    @property
    def coalesce(self) -> bool:
        """Whether a backlog of fire times runs once, rather than once each."""
        return self.definition.coalesce

    @property
    def max_instances(self) -> int:
        """How many runs of the job may be active at once."""
        return self.definition.max_instances

    @property
    def overlap(self) -> str:
        """What happens at ``max_instances``: ``"skip"``, ``"queue"`` or ``"cancel"``."""
        return self.definition.overlap

    @property
    def timeout(self) -> float | None:
        """Seconds after which a run is timed out; None: never."""
        return self.definition.timeout

    @property
    def retry(self) -> Retry | None:
        """When a run that failed is tried again; None: never."""
        return self.definition.retry

    @property
    def on_lost(self) -> str:
        """What happens to a run whose process died: ``"record"`` or ``"rerun"``."""
        return self.definition.on_lost

    @property
    def tags(self) -> tuple[str, ...]:
        """Words to find jobs and act on several at once; unique and sorted."""
        return self.definition.tags

    @property
    def on_failure(self) -> tuple[str, ...]:
        """The channels that are notified when the job fails."""
        return self.definition.options.on_failure

    @property
    def on_recovery(self) -> tuple[str, ...]:
        """The channels that are notified when it succeeds again."""
        return self.definition.options.on_recovery

    @property
    def on_missed(self) -> tuple[str, ...]:
        """The channels that are notified of missed and skipped runs."""
        return self.definition.options.on_missed

    @property
    def on_run(self) -> tuple[str, ...]:
        """The channels that are notified of each run."""
        return self.definition.options.on_run

    @property
    def next_run_time(self) -> datetime | None:
        """When the job is next due, in the trigger's zone; None: paused, or removed."""
        entry = self.entry
        if entry.due_us is None:
            return None
        return from_us(entry.due_us, entry.job.trigger.timezone)

    # What can be done with it

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def modify(self, **changes: Unpack[t.JobChanges]) -> JobHandle: ...
        @overload
        def modify(
            self, *, trigger: t.MadeTrigger, **changes: Unpack[t.JobChanges]) -> JobHandle: ...
        # fmt: on

    def modify(self, **changes: Any) -> JobHandle:
        """Change options; see :meth:`Scheduler.modify_job`."""
        return self._scheduler.modify_job(self.id, **changes)

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def reschedule(self, trigger: Literal["date"] | None = None,
            **options: Unpack[t.DateOptions]) -> JobHandle: ...
        @overload
        def reschedule(self, trigger: Literal["interval"],
            **options: Unpack[t.IntervalOptions]) -> JobHandle: ...
        @overload
        def reschedule(self, trigger: Literal["cron"],
            **options: Unpack[t.CronOptions]) -> JobHandle: ...
        @overload
        def reschedule(self, trigger: Literal["calendarinterval"],
            **options: Unpack[t.CalendarIntervalOptions]) -> JobHandle: ...
        @overload
        def reschedule(self, trigger: t.Combination,
            **options: Unpack[t.CombinationOptions]) -> JobHandle: ...
        @overload
        def reschedule(self, trigger: t.MadeTrigger) -> JobHandle: ...
        # fmt: on

    def reschedule(
        self, trigger: str | Trigger | Mapping[str, Any] | None = None, **options: Any
    ) -> JobHandle:
        """Give the job another trigger; see :meth:`Scheduler.reschedule_job`."""
        return self._scheduler.reschedule_job(self.id, trigger, **options)

    def pause(self) -> JobHandle:
        """Stop scheduling the job; see :meth:`Scheduler.pause_job`."""
        return self._scheduler.pause_job(self.id)

    def resume(self) -> JobHandle:
        """Schedule the job again; see :meth:`Scheduler.resume_job`."""
        return self._scheduler.resume_job(self.id)

    def remove(self) -> None:
        """Remove the job; see :meth:`Scheduler.remove_job`."""
        self._scheduler.remove_job(self.id)
