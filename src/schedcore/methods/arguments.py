"""Prepares the arguments of the methods for jobs: options, references, triggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedcore.errors import InvalidOptionError
from schedcore.job import CHANNEL_OPTIONS, UNSET
from schedcore.stores.base import Entry, make_entry
from schedcore.triggers.base import Trigger

_NO_OPTIONS: Mapping[str, Any] = {}


def reference_of(func: object) -> str:
    """Return the reference under which a function was defined.

    Raises:
        InvalidOptionError: if it has no module or name.
    """
    reference = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    if not all(isinstance(part, str) for part in reference):
        raise InvalidOptionError("func", func, "a function that has a module and a name")
    return ":".join(map(str, reference))


def as_given(entry: Entry, given: Mapping[str, Any]) -> Trigger | None:
    """Return a job's trigger in a form that is equal at each start; None: there is none."""
    if given.get("next_run_time", UNSET) is not UNSET:
        return None
    if given.get("trigger") in (None, "date") and given.get("run_date") is None:
        from schedcore.triggers.date import DateTrigger

        return DateTrigger()  # once, as soon as possible
    return entry.job.trigger.unbound()


def paused(entry: Entry) -> Entry:
    """Return *entry* without a due time; it keeps its place in the schedule."""
    if entry.due_us is None:
        return entry
    return make_entry(entry.job, entry.fire_us, None, broken=entry.broken)


def options_given(*values: object) -> Mapping[str, Any]:
    """Return the options of a job that were set, by name.

    Args:
        values: The values of all options, in the order of ``add_job``; UNSET: not set.
    """
    for value in values:
        if value is not UNSET:
            return {
                name: given
                for name, given in zip(_OPTIONS, values, strict=True)
                if given is not UNSET
            }
    return _NO_OPTIONS  # most jobs, which share the scheduler's defaults as they are


_OPTIONS = (
    *("misfire_grace_time", "coalesce", "max_instances", "executor", "overlap", "timeout"),
    *("retry", "on_lost", "tags", *CHANNEL_OPTIONS),
)
