"""Converts jobs of APScheduler 3, with their next run times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from schedcore.basics import funcref
from schedcore.clock import SECOND, UTC, from_us
from schedcore.errors import InvalidOptionError
from schedcore.job import (
    Job,
    Options,
    build_options,
    check_args,
    check_id,
    check_kwargs,
    check_name,
)
from schedcore.jobdata import job_to_dict
from schedcore.stores.base import Entry, make_entry
from schedcore.transfer.apscheduler_rows import JobRow
from schedcore.transfer.apscheduler_triggers import read_trigger
from schedcore.transfer.base import Importable, ReadResult, Rejected
from schedcore.transfer.inert import RefusedPickleError, load
from schedcore.triggers.base import Trigger
from schedcore.triggers.calendarinterval import CalendarIntervalTrigger
from schedcore.triggers.combining import AndTrigger, OrTrigger, coming
from schedcore.triggers.date import DateTrigger
from schedcore.triggers.interval import IntervalTrigger

MOST_COMPARED: Final = 1_000
"""How many of a trigger's fire times are compared with the stored next run time."""
_NEAR_US: Final = 1000
"""Microseconds by which the two may differ: APScheduler adds up intervals as fractions."""
_OPTIONS: Final = ("executor", "misfire_grace_time", "coalesce", "max_instances")


def read_jobs(rows: Iterable[JobRow], now_us: int) -> ReadResult:
    """Return the jobs in rows, without executing or importing anything in them.

    Args:
        rows: Of APScheduler's table.
        now_us: The present, which decides what is overdue.
    """
    reading = ReadResult([], [], [])
    for row in rows:
        func = "?"
        try:
            state = load(row.state)
            if not isinstance(state, dict):
                raise RefusedPickleError(f"it is a {type(state).__name__} where a job is a dict")
            func = str(state.get("func", "?"))
            reading.importable.append(_job(row, state))
        except (RefusedPickleError, InvalidOptionError) as error:
            reading.rejected.append(Rejected(row.id, func, str(error)))
    reading.remarks.extend(_remarks([taken.entry for taken in reading.importable], now_us))
    return reading


def _job(row: JobRow, state: Mapping[str, Any]) -> Importable:
    version = state.get("version", 1)
    if version != 1:
        raise RefusedPickleError(f"its version is {version!r}, and only version 1 is known")
    job_id, func = check_id(row.id), state.get("func")
    if not isinstance(func, str):
        raise RefusedPickleError("it names no function")
    funcref.split(func)
    given = {name: state[name] for name in _OPTIONS if name in state}
    place = _place_of(read_trigger(state.get("trigger")), row.next_run_time)
    name = state.get("name")
    job = Job(
        job_id,
        None,  # no module is imported for this
        check_args(state.get("args")),
        check_kwargs(state.get("kwargs")),
        place.trigger,
        build_options(Options(), given),
        # APScheduler always stores a name, by default that of the function.
        None if name == func.partition(":")[2] else check_name(name),
        func,
    )
    job_to_dict(job)  # refuses values that are not plain data, with their path
    remarks = (*place.remarks, *_differences(place.trigger))
    return Importable(make_entry(job, place.fire_us, place.due_us), remarks)


class _Place(NamedTuple):
    trigger: Trigger
    fire_us: int | None
    due_us: int | None
    remarks: tuple[str, ...] = ()


def _place_of(trigger: Trigger, next_run_time: float | None) -> _Place:
    """Return when a job is next due: when APScheduler would run it."""
    if next_run_time is None:
        return _Place(trigger, None, None)
    due_us = round(next_run_time * SECOND)
    fire_us = _fire_time(trigger, due_us)
    if fire_us is not None:
        return _Place(trigger, fire_us, due_us if trigger.jitter_us else fire_us)
    moved = trigger
    if isinstance(trigger, IntervalTrigger | DateTrigger):
        moved = trigger.first_at(due_us, due_us)
    if moved == trigger:
        expected_us = trigger.next_us(due_us - 1)
        never = "never" if expected_us is None else _text(expected_us)
        remark = f"next run {_text(due_us)} is kept, but is not a time of its trigger ({never})"
    elif trigger.jitter_us:
        remark = f"its jitter had shifted it: it continues from {_text(due_us)}"
    else:
        remark = f"its next run was moved to {_text(due_us)}: it continues from there"
    return _Place(moved, due_us, due_us, (remark,))


def _fire_time(trigger: Trigger, due_us: int) -> int | None:
    """Return the fire time for which a job is due at *due_us*; None: there is none.

    Raises:
        InvalidTriggerError: if the trigger's search does not end.
    """
    jitter_us = trigger.jitter_us
    times = coming(trigger, due_us - jitter_us - _NEAR_US - 1, MOST_COMPARED).instants
    near = [fire_us for fire_us in times if fire_us <= due_us + _NEAR_US]
    return near[-1] if near else None


def _differences(trigger: Trigger, within: bool = False) -> Iterable[str]:
    """Yield the differences between a trigger and the same one of APScheduler."""
    if isinstance(trigger, AndTrigger | OrTrigger):
        differences = [each for member in trigger.triggers for each in _differences(member, True)]
        yield from dict.fromkeys(differences)
    elif isinstance(trigger, IntervalTrigger) and within:
        yield "an interval in a combination keeps its own spacing, whatever other members do"
    elif isinstance(trigger, CalendarIntervalTrigger):
        units = trigger.options().keys()
        if units & {"years", "months"} and units & {"weeks", "days"}:
            yield (
                "its months and its days are counted from its start here, and from the run before"
                " in APScheduler: sometimes that is another day"
            )


def _text(instant_us: int) -> str:
    return from_us(instant_us, UTC).isoformat()


def _remarks(entries: list[Entry], now_us: int) -> Iterable[str]:
    graceless = sum(entry.job.misfire_grace_time == 1 for entry in entries)
    if graceless:
        yield (
            f"misfire_grace_time=1 of {_jobs(graceless)}, the default of APScheduler, is kept: a"
            " run that is more than a second late is missed; None runs it however late"
        )
    overdue = sum(entry.due_us is not None and entry.due_us <= now_us for entry in entries)
    if overdue:
        yield (
            f"{_jobs(overdue)} were due before now: each runs, or is recorded as missed, as soon"
            " as a scheduler runs"
        )


def _jobs(number: int) -> str:
    return f"{number} job{'' if number == 1 else 's'}"
