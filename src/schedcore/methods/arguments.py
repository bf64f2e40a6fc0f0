"""Prepares the arguments of the methods for jobs: options, references, triggers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from schedcore import triggers
from schedcore.errors import InvalidOptionError
from schedcore.job import CHANNEL_OPTIONS, JOB_FIELDS, UNSET
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


def declared_trigger(given: Mapping[str, Any], timezone: tzinfo, job_id: str) -> Trigger:
    """Return the trigger that arguments of ``add_job`` describe: equal at each start.

    That of the job itself is bound to the moment of adding, such as the date of a first run.
    """
    options = {name: value for name, value in given.items() if name not in JOB_FIELDS}
    kind = given.get("trigger")
    made = triggers.make_trigger("date" if kind is None else kind, options, timezone, job_id)
    return made.unbound()  # an object may be that of another job


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
