"""The methods of a scheduler for its jobs: add, look at, change, pause, remove.

Each builds what it needs (:mod:`~schedcore.methods.job_factory`), and has the engine store it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar

from schedcore import triggers
from schedcore.basics.funcref import being_decorated
from schedcore.basics.logs import GuardedLogger
from schedcore.basics.othernames import OtherNames
from schedcore.changes.changing import Check, checked
from schedcore.clock import Clock
from schedcore.engine import Engine
from schedcore.errors import JobLookupError
from schedcore.events import (
    EVENT_ALL_JOBS_REMOVED,
    EVENT_JOB_ADDED,
    EVENT_JOB_MODIFIED,
    JobEvent,
    Listeners,
    SchedulerEvent,
)
from schedcore.job import UNSET, Job, Unset
from schedcore.methods.arguments import as_given, options_given, paused, reference_of
from schedcore.methods.handle import JobHandle
from schedcore.methods.job_factory import JobFactory
from schedcore.methods.job_index import JobIndex
from schedcore.retry import Retry
from schedcore.stores.base import Entry
from schedcore.triggers.base import Trigger

if TYPE_CHECKING:
    from schedcore.changes.declaring import Declarations

log = GuardedLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


class JobMethods(OtherNames):
    """The jobs of a scheduler; :class:`~schedcore.Scheduler` is one, with a loop.

    Args:
        timezone: Zone of triggers and dates that name none.
        clock: Where the time comes from.
        engine: Owns the jobs.
        factory: Builds and changes entries.
        listeners: Receive the events.
        declarations: Reconciles jobs with those of earlier starts; None: the store keeps none.
    """

    def __init__(
        self,
        timezone: tzinfo,
        clock: Clock,
        engine: Engine,
        factory: JobFactory,
        listeners: Listeners,
        declarations: Declarations | None = None,
    ) -> None:
        self._declarations = declarations
        self.timezone = timezone
        self._clock = clock
        self._engine = engine
        self._factory = factory
        self._listeners = listeners
        self._registered: dict[str, Callable[..., Any]] = {}
        # Wakes the loop in time for a job that is due then.
        self._expect: Callable[[int | None], None] = lambda _due_us: None
        self._handles = JobIndex(engine.store, lambda entry: JobHandle(self, entry))
        self._entries: JobIndex[Entry] = JobIndex(engine.store, lambda entry: entry)

    def add_job(
        self,
        func: Callable[..., Any] | str,
        trigger: str | Trigger | Mapping[str, Any] | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        id: str | None = None,
        name: str | None = None,
        misfire_grace_time: float | Unset | None = UNSET,
        coalesce: bool | Unset = UNSET,
        max_instances: int | Unset = UNSET,
        next_run_time: date | str | Unset | None = UNSET,
        executor: str | Unset = UNSET,
        replace_existing: bool = False,
        *,
        overlap: str | Unset = UNSET,
        timeout: float | Unset | None = UNSET,
        retry: Retry | Mapping[str, Any] | int | Unset | None = UNSET,
        on_lost: str | Unset = UNSET,
        tags: Iterable[str] | Unset = UNSET,
        on_failure: str | Iterable[str] | Unset = UNSET,
        on_recovery: str | Iterable[str] | Unset = UNSET,
        on_missed: str | Iterable[str] | Unset = UNSET,
        on_run: str | Iterable[str] | Unset = UNSET,
        **trigger_args: Any,
    ) -> JobHandle:
        """Add a job.

        Args:
            func: A callable, or ``"package.module:name"``.  Coroutine functions run on an event
                loop of the scheduler's own.
            trigger: ``"date"``, ``"interval"``, ``"cron"``..., a trigger, or its plain-data form.
                None: once, as soon as possible.
            args: Positional arguments of *func*.
            kwargs: Keyword arguments of *func*.
            id: Text of 1 to 255 characters; made up if left out.
            name: To be shown to people; that of the function if left out.
            misfire_grace_time: Seconds after its time at which a run may still start; None: any.
            coalesce: Whether a backlog of fire times runs once, rather than once each.
            max_instances: How many runs of this job may be active at once.
            next_run_time: When to run first, in place of the trigger's first fire time; without a
                zone, in that of the scheduler.  An interval without a start counts on from there,
                and a date runs then and at no other time.  None adds the job paused.
            executor: Name of the executor that runs it.
            replace_existing: Whether to replace a job that has this id.
            overlap: What happens at ``max_instances``: ``"skip"`` it, ``"queue"`` it
                (one at most) until another ends, or ``"cancel"`` the oldest running one.
            timeout: Seconds after which a run is timed out, and its place is free (see
                :meth:`~schedcore.Scheduler.cancel`); None: never.
            retry: When a failed run is tried again: a :class:`Retry`, its fields as a mapping, or
                a number of times; None: never.
            on_lost: What happens to a run whose process dies, with a store on disk: ``"record"``
                it as lost, or ``"rerun"`` it in another process, though it may have done its work.
            tags: Up to 32 words by which jobs are found and treated together.
            on_failure: The channels of ``Scheduler(notices=...)`` through which it is told that
                the job fails: once, and again each hour.
            on_recovery: Those through which it is told that it succeeded again after that.
            on_missed: Those through which it is told that runs were missed or skipped.
            on_run: Those through which each run is told: its start, and how it ended.
            trigger_args: Options of the trigger, if it is given by name.

        Raises:
            ConflictingIdError: if there is a job with this id and *replace_existing* is false.
            InvalidOptionError: if an option makes no sense; InvalidTriggerError if it is one of
                the trigger's, FuncRefError if it is the function.
        """
        options = options_given(
            *(misfire_grace_time, coalesce, max_instances, executor, overlap, timeout, retry),
            *(on_lost, tags, on_failure, on_recovery, on_missed, on_run),
        )
        entry = self._factory.new(
            func, trigger, trigger_args, id, next_run_time, options, args, kwargs, name
        )
        if self._declarations is None:
            self._engine.changes.add((entry,), replace_existing)
        else:
            given = {"trigger": trigger, "next_run_time": next_run_time, **trigger_args}
            (entry,) = self._reconciled(self._declarations, (entry,), (given,), replace_existing)
        self._added(entry.job)
        self._expect(entry.due_us)
        return JobHandle(self, entry)

    def add_entry(self, entry: Entry, replace: bool = False) -> JobHandle:
        """Add what :meth:`draft_job` returned.

        Args:
            entry: The job.
            replace: Whether to replace the job with its id, if there is one.

        Raises:
            ConflictingIdError: if its id is taken, also by the very same job, and *replace* is
                false.
        """
        self._engine.changes.add((entry,), replace)
        self._added(entry.job)
        self._expect(entry.due_us)
        return JobHandle(self, entry)

    def draft_job(
        self,
        /,
        func: Callable[..., Any] | str,
        trigger: str | Trigger | Mapping[str, Any] | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        id: str | None = None,
        name: str | None = None,
        misfire_grace_time: float | Unset | None = UNSET,
        coalesce: bool | Unset = UNSET,
        max_instances: int | Unset = UNSET,
        next_run_time: date | str | Unset | None = UNSET,
        executor: str | Unset = UNSET,
        *,
        overlap: str | Unset = UNSET,
        timeout: float | Unset | None = UNSET,
        retry: Retry | Mapping[str, Any] | int | Unset | None = UNSET,
        on_lost: str | Unset = UNSET,
        tags: Iterable[str] | Unset = UNSET,
        on_failure: str | Iterable[str] | Unset = UNSET,
        on_recovery: str | Iterable[str] | Unset = UNSET,
        on_missed: str | Iterable[str] | Unset = UNSET,
        on_run: str | Iterable[str] | Unset = UNSET,
        **trigger_args: Any,
    ) -> Entry:
        """Return what :meth:`add_job` would store, checked whole; nothing is stored.

        The arguments are those of :meth:`add_job`, but for ``replace_existing``.

        Raises:
            InvalidOptionError: as :meth:`add_job` does.
        """
        options = options_given(
            *(misfire_grace_time, coalesce, max_instances, executor, overlap, timeout, retry),
            *(on_lost, tags, on_failure, on_recovery, on_missed, on_run),
        )
        return self._factory.new(
            func, trigger, trigger_args, id, next_run_time, options, args, kwargs, name
        )

    def scheduled_job(
        self, trigger: str | Trigger | Mapping[str, Any] | None = None, **options: Any
    ) -> Callable[[F], F]:
        """Decorate a function to add it as a job; the options are those of :meth:`add_job`.

        The function is registered too (see :meth:`register`), and stays as it is.
        """

        def decorate(func: F) -> F:
            reference = reference_of(func)
            with being_decorated(func):
                self.add_job(func, trigger, **options)
            self._registered[reference] = func
            return func

        return decorate

    task = scheduled_job

    def register(self, func: F) -> F:
        """Allow *func* to be named from outside, by its reference; can be used as a decorator.

        Only functions that were registered, or allowed by a setting, can be named over HTTP.

        Raises:
            InvalidOptionError: if no reference leads to *func*.
        """
        self._registered[reference_of(func)] = func
        return func

    @property
    def registered(self) -> Mapping[str, Callable[..., Any]]:
        """The functions that were registered, by reference."""
        return dict(self._registered)

    def get_job(self, job_id: str) -> JobHandle | None:
        """Return the job with this id, or None."""
        try:
            return JobHandle(self, self._engine.store.get(job_id))
        except JobLookupError:
            return None

    def _forget(self, job_id: str) -> None:
        """Drop a job that was removed."""
        if self._declarations is not None:
            self._declarations.forget(job_id)
        self._handles.forget(job_id)
        self._entries.forget(job_id)

    def get_jobs(self) -> list[JobHandle]:
        """Return all jobs: the earliest due first, paused ones last."""
        return self._handles.items()

    def entry(self, job_id: str) -> Entry:
        """Return the definition of a job and its place in the schedule, as one consistent value.

        Raises:
            JobLookupError: if there is no job with this id.
        """
        return self._engine.store.get(job_id)

    def entries(self) -> list[Entry]:
        """Return the same for all jobs: the earliest due first, paused ones last."""
        return self._entries.items()

    def jobs_version(self) -> object:
        """Return a version that stays equal while no job and no due time changes.

        None: the store cannot tell.
        """
        return self._engine.store.changes(None)[0]

    def modify_job(self, job_id: str, **changes: Any) -> JobHandle:
        """Change a job: all of *changes* or, after an error, none.

        Args:
            job_id: Which job; its id cannot be changed.
            changes: Options of :meth:`add_job`: ``func``, ``args``, ``kwargs``, ``name``,
                ``misfire_grace_time``, ``coalesce``, ``max_instances``, ``executor``,
                ``overlap``, ``timeout``, ``retry``, ``on_lost``, ``tags``, ``on_failure``,
                ``on_recovery``, ``on_missed``, ``on_run``, ``trigger`` (a trigger or its
                plain-data form) and ``next_run_time``.  A new trigger counts from now.  A paused
                job stays paused: a ``next_run_time`` that is yet to come when it is resumed is its
                first run then.
                None is the default, but for ``misfire_grace_time``, ``timeout`` and ``retry``.

        Raises:
            JobLookupError: if there is no job with this id.
            InvalidOptionError: if a change makes no sense.
        """
        entry = self._change(job_id, lambda old: self._factory.modified(old, changes))
        return JobHandle(self, entry)

    def update_job(self, job_id: str, changes: Callable[[Entry], Mapping[str, Any]]) -> JobHandle:
        """Change a job by changes that depend on how it is at that moment.

        Args:
            job_id: Which job.
            changes: Given the job as it is, returns changes as :meth:`modify_job` takes them; none
                leaves it alone.  Called again if somebody else changes the job meanwhile, but not
                if it merely runs and moves on.

        Raises:
            JobLookupError: if there is no job with this id.
            JobChangedError: if somebody else changed the job each time.
            InvalidOptionError: if a change makes no sense.
        """

        def change(old: Entry) -> Entry:
            wanted = changes(old)
            return self._factory.modified(old, wanted) if wanted else old

        return JobHandle(self, self._change(job_id, change))

    def reschedule_job(
        self,
        job_id: str,
        trigger: str | Trigger | Mapping[str, Any] | None = None,
        **trigger_args: Any,
    ) -> JobHandle:
        """Give a job another trigger, counted from now; a paused job stays paused.

        Args:
            job_id: Which job.
            trigger: As in :meth:`add_job`.
            trigger_args: Options of the trigger, if it is given by name.

        Raises:
            JobLookupError: if there is no job with this id.
            InvalidTriggerError: if an option of the trigger makes no sense.
        """
        made = triggers.make_trigger(trigger or "date", trigger_args, self.timezone, job_id)
        return self.modify_job(job_id, trigger=made)

    def pause_job(self, job_id: str, check: Check | None = None) -> JobHandle:
        """Stop scheduling a job; runs that have begun go on, and the others end as paused.

        A run that :meth:`run_job <schedcore.Scheduler.run_job>` started runs all the same.

        Args:
            job_id: Which job.
            check: Given the job as it is at that moment; what it raises leaves the job alone.

        Raises:
            JobLookupError: if there is no job with this id.
        """
        return JobHandle(self, self._change(job_id, checked(check, paused)))

    def resume_job(self, job_id: str, check: Check | None = None) -> JobHandle:
        """Schedule a paused job again, from now on; one that is not paused stays as it is.

        Args:
            job_id: Which job.
            check: As for :meth:`pause_job`.

        Raises:
            JobLookupError: if there is no job with this id.
            InvalidTriggerError: if its trigger has no fire time left.
        """
        return JobHandle(self, self._change(job_id, checked(check, self._factory.resumed)))

    def remove_job(self, job_id: str, check: Check | None = None) -> None:
        """Remove a job; runs that have begun go on, and the others are cancelled.

        Args:
            job_id: Which job.
            check: As for :meth:`pause_job`.

        Raises:
            JobLookupError: if there is no job with this id.
        """
        self._engine.changes.remove(job_id, check)

    def remove_all_jobs(self) -> None:
        """Remove every job; runs that have begun go on, and the others are cancelled."""
        self._engine.changes.remove_all()
        self._handles.forget_all()
        self._entries.forget_all()
        self._emit(EVENT_ALL_JOBS_REMOVED)

    # Inside

    def _reconciled(
        self,
        declarations: Declarations,
        entries: Sequence[Entry],
        given: Sequence[Mapping[str, Any]],
        replace: bool,
    ) -> Sequence[Entry]:
        """Store jobs, made of the arguments *given*, unless they are there; return what is."""
        triggers = [as_given(entry, one) for entry, one in zip(entries, given, strict=True)]
        return declarations.add(entries, triggers, replace)

    def _added(self, job: Job) -> None:
        """Emit the event of a job that was added."""
        if self._listeners.mask & EVENT_JOB_ADDED:
            self._listeners.emit(JobEvent.of(EVENT_JOB_ADDED, job))

    def _change(self, job_id: str, change: Callable[[Entry], Entry]) -> Entry:
        new = self._engine.changes.change(job_id, change)
        if self._listeners.mask & EVENT_JOB_MODIFIED:
            self._listeners.emit(JobEvent.of(EVENT_JOB_MODIFIED, new.job))
        self._expect(new.due_us)
        return new

    def _emit(self, code: int) -> None:
        if self._listeners.mask & code:
            self._listeners.emit(SchedulerEvent(code))
