"""The options of triggers and jobs, each defined once, for type checkers only.

All options may be left out; for a trigger's options, None means the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import date, tzinfo
from typing import Any, Literal, TypedDict

from schedcore.retry import Retry
from schedcore.triggers.base import Trigger

Func = Callable[..., Any] | str
Combination = Literal["and", "or"]
MadeTrigger = Trigger | Mapping[str, Any]
"""A trigger, or its plain-data form."""
Moment = date | str
"""A datetime, a date, or ISO 8601 text."""
Number = float | str
"""A number, or its text."""
Zone = tzinfo | str
"""A tzinfo, or an IANA name."""


class RetryFields(TypedDict, total=False):
    """The fields of a :class:`Retry`, as a mapping."""

    count: int
    delay: float
    factor: float
    longest: float
    jitter: float
    on: str | type[BaseException] | Sequence[str | type[BaseException]]


class JobDefaults(TypedDict, total=False):
    """How a job is run: what ``Scheduler(job_defaults=...)`` takes, and each job too."""

    executor: str
    misfire_grace_time: float | None
    coalesce: bool
    max_instances: int
    overlap: Literal["skip", "queue", "cancel"]
    timeout: float | None
    retry: Retry | RetryFields | int | None
    on_lost: Literal["record", "rerun"]
    tags: Sequence[str] | Set[str]
    on_failure: str | Sequence[str] | Set[str]
    on_recovery: str | Sequence[str] | Set[str]
    on_missed: str | Sequence[str] | Set[str]
    on_run: str | Sequence[str] | Set[str]


class JobOptions(JobDefaults, total=False):
    """These, and when a job runs next."""

    next_run_time: Moment | None


class CallOptions(TypedDict, total=False):
    """The arguments of the function, and the name of the job."""

    args: Iterable[Any] | None
    kwargs: Mapping[str, Any] | None
    name: str | None


class CallJob(JobOptions, CallOptions, total=False):
    """All options of any job, except its function, its id and its trigger."""


class JobChanges(CallJob, total=False):
    """Fields of a job that can be changed, besides its trigger."""

    func: Func


# Triggers


class DateOptions(TypedDict, total=False):
    """Options of the date trigger."""

    run_date: Moment | None
    timezone: Zone | None


class RecurringOptions(TypedDict, total=False):
    """Options that all repeating triggers share."""

    start_date: Moment | None
    end_date: Moment | None
    timezone: Zone | None
    jitter: Number | None


class IntervalOptions(RecurringOptions, total=False):
    """Options of the interval trigger."""

    weeks: Number | None
    days: Number | None
    hours: Number | None
    minutes: Number | None
    seconds: Number | None


class CronOptions(RecurringOptions, total=False):
    """Options of the cron trigger."""

    crontab: str | None
    year: int | str | None
    month: int | str | None
    day: int | str | None
    week: int | str | None
    day_of_week: int | str | None
    hour: int | str | None
    minute: int | str | None
    second: int | str | None


class CalendarIntervalOptions(RecurringOptions, total=False):
    """Options of the calendarinterval trigger."""

    years: int | str | None
    months: int | str | None
    weeks: int | str | None
    days: int | str | None
    hour: int | str | None
    minute: int | str | None
    second: int | str | None


class CombinationOptions(TypedDict, total=False):
    """Options of the triggers that combine others."""

    triggers: Sequence[MadeTrigger]
    jitter: Number | None


# Both together: what may follow the name of a trigger.  "...Job": where the call has parameters of
# its own (``add_job``); "...CallJob": where it has none.


class DateJob(DateOptions, JobOptions, total=False):
    """Options of a job with a date trigger, except its call."""


class DateCallJob(DateOptions, CallJob, total=False):
    """Options of a job with a date trigger."""


class IntervalJob(IntervalOptions, JobOptions, total=False):
    """Options of a job with an interval trigger, except its call."""


class IntervalCallJob(IntervalOptions, CallJob, total=False):
    """Options of a job with an interval trigger."""


class CronJob(CronOptions, JobOptions, total=False):
    """Options of a job with a cron trigger, except its call."""


class CronCallJob(CronOptions, CallJob, total=False):
    """Options of a job with a cron trigger."""


class CalendarIntervalJob(CalendarIntervalOptions, JobOptions, total=False):
    """Options of a job with a calendarinterval trigger, except its call."""


class CalendarIntervalCallJob(CalendarIntervalOptions, CallJob, total=False):
    """Options of a job with a calendarinterval trigger."""


class CombinationJob(CombinationOptions, JobOptions, total=False):
    """Options of a job with a combined trigger, except its call."""


class CombinationCallJob(CombinationOptions, CallJob, total=False):
    """Options of a job with a combined trigger."""


# Whole jobs, as ``add_jobs`` takes them.


class OptionalId(TypedDict, total=False):
    """The id; generated by default."""

    id: str | None


class OptionalDate(OptionalId, total=False):
    """The same, for a job that runs once if it has no trigger."""

    trigger: Literal["date"] | None


class DateSpec(OptionalDate, DateCallJob):
    """A job that runs once."""

    func: Func


class IntervalSpec(OptionalId, IntervalCallJob):
    """A job with an interval trigger."""

    func: Func
    trigger: Literal["interval"]


class CronSpec(OptionalId, CronCallJob):
    """A job with a cron trigger."""

    func: Func
    trigger: Literal["cron"]


class CalendarIntervalSpec(OptionalId, CalendarIntervalCallJob):
    """A job with a calendarinterval trigger."""

    func: Func
    trigger: Literal["calendarinterval"]


class CombinationSpec(OptionalId, CombinationCallJob):
    """A job with a combined trigger."""

    func: Func
    trigger: Combination


class MadeTriggerSpec(OptionalId, CallJob):
    """A job with a trigger object."""

    func: Func
    trigger: MadeTrigger


JobSpec = (
    DateSpec | IntervalSpec | CronSpec | CalendarIntervalSpec | CombinationSpec | MadeTriggerSpec
)
