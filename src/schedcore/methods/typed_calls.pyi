"""How a scheduler is called, for type checkers: each trigger with its own options.

There is no such module at run time: ``Scheduler`` is derived from :class:`ManyJobs` itself.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, overload

from typing_extensions import Unpack

from schedcore import typed_options as t
from schedcore.methods.handle import JobHandle
from schedcore.methods.many_jobs import ManyJobs
from schedcore.stores.base import Entry

F = TypeVar("F", bound=Callable[..., Any])

# No overrides in the strict sense: of all text, these take the names of triggers alone.
class TypedJobMethods(ManyJobs):
    # fmt: off
    @overload  # type: ignore[override]
    def add_job(self, func: t.Func, trigger: Literal["date"] | None = None,
        args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        id: str | None = None, name: str | None = None, *, replace_existing: bool = False,
        **options: Unpack[t.DateJob]) -> JobHandle: ...
    @overload
    def add_job(self, func: t.Func, trigger: Literal["interval"], args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None, id: str | None = None, name: str | None = None, *,
        replace_existing: bool = False, **options: Unpack[t.IntervalJob]) -> JobHandle: ...
    @overload
    def add_job(self, func: t.Func, trigger: Literal["cron"], args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None, id: str | None = None, name: str | None = None, *,
        replace_existing: bool = False, **options: Unpack[t.CronJob]) -> JobHandle: ...
    @overload
    def add_job(self, func: t.Func, trigger: Literal["calendarinterval"],
        args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        id: str | None = None, name: str | None = None, *, replace_existing: bool = False,
        **options: Unpack[t.CalendarIntervalJob]) -> JobHandle: ...
    @overload
    def add_job(self, func: t.Func, trigger: t.Combination, args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None, id: str | None = None, name: str | None = None, *,
        replace_existing: bool = False, **options: Unpack[t.CombinationJob]) -> JobHandle: ...
    @overload
    def add_job(self, func: t.Func, trigger: t.MadeTrigger, args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None, id: str | None = None, name: str | None = None, *,
        replace_existing: bool = False, **options: Unpack[t.JobOptions]) -> JobHandle: ...
    # fmt: on
    def add_jobs(  # type: ignore[override]
        self, jobs: Iterable[t.JobSpec], replace_existing: bool = False
    ) -> list[JobHandle]: ...
    # fmt: off
    @overload  # type: ignore[override]
    def draft_job(self, func: t.Func, trigger: Literal["date"] | None = None,
        args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        id: str | None = None, name: str | None = None, **options: Unpack[t.DateJob]) -> Entry: ...
    @overload
    def draft_job(self, func: t.Func, trigger: Literal["interval"],
        args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        id: str | None = None, name: str | None = None,
        **options: Unpack[t.IntervalJob]) -> Entry: ...
    @overload
    def draft_job(self, func: t.Func, trigger: Literal["cron"], args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None, id: str | None = None, name: str | None = None,
        **options: Unpack[t.CronJob]) -> Entry: ...
    @overload
    def draft_job(self, func: t.Func, trigger: Literal["calendarinterval"],
        args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        id: str | None = None, name: str | None = None,
        **options: Unpack[t.CalendarIntervalJob]) -> Entry: ...
    @overload
    def draft_job(self, func: t.Func, trigger: t.Combination, args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None, id: str | None = None, name: str | None = None,
        **options: Unpack[t.CombinationJob]) -> Entry: ...
    @overload
    def draft_job(self, func: t.Func, trigger: t.MadeTrigger, args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None, id: str | None = None, name: str | None = None,
        **options: Unpack[t.JobOptions]) -> Entry: ...
    @overload  # type: ignore[override]
    def scheduled_job(self, trigger: Literal["date"] | None = None, *, id: str | None = None,
        replace_existing: bool = False, **options: Unpack[t.DateCallJob]) -> Callable[[F], F]: ...
    @overload
    def scheduled_job(self, trigger: Literal["interval"], *, id: str | None = None,
        replace_existing: bool = False,
        **options: Unpack[t.IntervalCallJob]) -> Callable[[F], F]: ...
    @overload
    def scheduled_job(self, trigger: Literal["cron"], *, id: str | None = None,
        replace_existing: bool = False, **options: Unpack[t.CronCallJob]) -> Callable[[F], F]: ...
    @overload
    def scheduled_job(self, trigger: Literal["calendarinterval"], *, id: str | None = None,
        replace_existing: bool = False,
        **options: Unpack[t.CalendarIntervalCallJob]) -> Callable[[F], F]: ...
    @overload
    def scheduled_job(self, trigger: t.Combination, *, id: str | None = None,
        replace_existing: bool = False,
        **options: Unpack[t.CombinationCallJob]) -> Callable[[F], F]: ...
    @overload
    def scheduled_job(self, trigger: t.MadeTrigger, *, id: str | None = None,
        replace_existing: bool = False, **options: Unpack[t.CallJob]) -> Callable[[F], F]: ...
    # fmt: on
    task = scheduled_job  # type: ignore[assignment]
    # fmt: off
    @overload  # type: ignore[override]
    def reschedule_job(self, job_id: str, trigger: Literal["date"] | None = None,
        **options: Unpack[t.DateOptions]) -> JobHandle: ...
    @overload
    def reschedule_job(self, job_id: str, trigger: Literal["interval"],
        **options: Unpack[t.IntervalOptions]) -> JobHandle: ...
    @overload
    def reschedule_job(self, job_id: str, trigger: Literal["cron"],
        **options: Unpack[t.CronOptions]) -> JobHandle: ...
    @overload
    def reschedule_job(self, job_id: str, trigger: Literal["calendarinterval"],
        **options: Unpack[t.CalendarIntervalOptions]) -> JobHandle: ...
    @overload
    def reschedule_job(self, job_id: str, trigger: t.Combination,
        **options: Unpack[t.CombinationOptions]) -> JobHandle: ...
    @overload
    def reschedule_job(self, job_id: str, trigger: t.MadeTrigger) -> JobHandle: ...
    # fmt: on
    def modify_job(  # type: ignore[override]
        self, job_id: str, *, trigger: t.MadeTrigger = ..., **changes: Unpack[t.JobChanges]
    ) -> JobHandle: ...
