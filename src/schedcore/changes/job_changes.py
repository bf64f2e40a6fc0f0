"""Applies changes to a job, and checks the result as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from schedcore.basics.callables import check_call, makes_coroutine
from schedcore.errors import InvalidOptionError, did_you_mean
from schedcore.job import (
    OPTION_NAMES,
    UNSET,
    Job,
    Options,
    build_options,
    check_args,
    check_kwargs,
    check_name,
    load_event_loop,
    resolve_func,
)
from schedcore.triggers.base import Trigger

CHANGEABLE: Final = frozenset({"func", "args", "kwargs", "name", "trigger"}) | OPTION_NAMES
"""Fields that a change may set, besides ``next_run_time``, which is not in the definition."""


def changed(job: Job, changes: Mapping[str, Any], defaults_of: Callable[[bool], Options]) -> Job:
    """Return *job* with *changes* applied, checked as a whole.

    Args:
        job: The job, which is not modified.
        changes: New values by name, for names in :data:`CHANGEABLE`; the trigger as a Trigger.
        defaults_of: Returns the default options, given whether it is a coroutine function.

    Raises:
        InvalidOptionError: naming what was not accepted, such as ``id``, which never changes.
    """
    parts: list[Any] = list(job)
    options: dict[str, Any] = {}
    for name, value in changes.items():
        if name in _PARTS:
            place, check = _PARTS[name]
            parts[place] = check(value)
        elif name in OPTION_NAMES:
            options[name] = value
        elif name == "func":
            parts[_FUNC], parts[_GIVEN_REF] = resolve_func(value)
        else:
            known = CHANGEABLE | {"next_run_time"}
            raise InvalidOptionError(
                name,
                value,
                "one of what can be changed: "
                + ", ".join(sorted(known))
                + did_you_mean(str(name), known),
            )
    func = parts[_FUNC]
    if func is not job.func and "executor" not in options and _had_default(job, defaults_of):
        options["executor"] = UNSET  # the default of the new function, which may be another kind
    if options:
        defaults = defaults_of(func is not None and makes_coroutine(func))
        parts[_OPTIONS] = build_options(job.options, options, defaults)
    made: Job = tuple.__new__(Job, parts)  # job._replace() takes three times as long
    if (
        made.func is not None
        and not changes.keys().isdisjoint(("func", "args", "kwargs"))
        and check_call(made.func, made.args, made.kwargs)
    ):
        load_event_loop()
    return made


def _had_default(job: Job, defaults_of: Callable[[bool], Options]) -> bool:
    """Return whether a job runs on the default executor of its function."""
    if job.func is None:  # it is not known which kind of function it was
        return False
    return job.options.executor == defaults_of(makes_coroutine(job.func)).executor


def _check_trigger(trigger: object) -> Trigger:
    if not isinstance(trigger, Trigger):
        raise InvalidOptionError("trigger", trigger, "a trigger")
    return trigger


_FUNC, _OPTIONS, _GIVEN_REF = map(Job._fields.index, ("func", "options", "given_ref"))
_PARTS: Final[Mapping[str, tuple[int, Callable[[Any], Any]]]] = {
    "args": (Job._fields.index("args"), check_args),
    "kwargs": (Job._fields.index("kwargs"), check_kwargs),
    "name": (Job._fields.index("given_name"), check_name),
    "trigger": (Job._fields.index("trigger"), _check_trigger),
}
