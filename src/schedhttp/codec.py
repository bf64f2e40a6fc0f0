"""Converts jobs, triggers and dates to and from the documented JSON."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from schedcore import jobdata
from schedcore.clock import from_us, to_us
from schedcore.errors import InvalidOptionError
from schedcore.job import JOB_FIELDS, OPTION_NAMES, UNSET, Job, unknown_option
from schedcore.stores.base import Entry
from schedcore.triggers.factory import join_options, option_names, split_kind
from schedhttp.hiding import Hide, is_same, with_stored

OF_RUNS: Final = frozenset({"last_run", "failures_in_a_row", "mean_duration", "p95_duration"})
"""The fields about a job's last runs."""
READ_ONLY: Final = frozenset({"state", "broken", "shown_as_repr", "hidden"}) | OF_RUNS
"""Fields that are shown and cannot be set."""
_MINUTE: Final = timedelta(minutes=1)
_NEVER_SET: Final = ("id", *sorted(READ_ONLY))
_OF_JOBS: Final = JOB_FIELDS | READ_ONLY
_PLACE: Final = frozenset({"next_run_time", "state", "broken"})
_CHEAP: Final = _PLACE | {"id", "name"} | OPTION_NAMES


class JobBody(NamedTuple):
    """The job of a request, split into its parts."""

    fields: dict[str, Any]
    """The job's own fields."""
    trigger: dict[str, Any]
    """The trigger's options, and its kind under ``trigger`` if it is given."""


def job_to_dict(entry: Entry, running: bool, hide: Hide | None = None) -> dict[str, Any]:
    """Return a job as the API shows it; *running*: one of its runs is active."""
    return {**definition_to_dict(entry.job, hide), **place_to_dict(entry, running)}


def definition_to_dict(job: Job, hide: Hide | None = None) -> dict[str, Any]:
    """Return a job's definition as the API shows it, without hidden values."""
    shown = jobdata.shown(job)
    return shown if hide is None else hide(shown)


def fields_to_dict(
    entry: Entry, running: bool, names: Set[str], hide: Hide | None = None
) -> dict[str, Any]:
    """Return those fields of :func:`job_to_dict` that have one of these *names*."""
    return {k: v for k, v in _with_fields(entry, running, names, hide).items() if k in names}


def _with_fields(entry: Entry, running: bool, names: Set[str], hide: Hide | None) -> dict[str, Any]:
    """Return :func:`job_to_dict`, or a part of it that contains all the *names*.

    The whole takes 20 us, also for each job of a list; the most requested fields take 2 us.
    """
    if not names <= _CHEAP:
        return job_to_dict(entry, running, hide)
    shown: dict[str, Any] = {"id": entry.job.id, "name": entry.job.name}
    if not names.isdisjoint(OPTION_NAMES):
        shown.update(jobdata.options_to_dict(entry.job.options))
    if not names.isdisjoint(_PLACE):
        shown.update(place_to_dict(entry, running))
    return shown


def place_to_dict(entry: Entry, running: bool) -> dict[str, Any]:
    """Return the fields that change with each run: when the job is next due, and its state."""
    place: dict[str, Any] = {
        "next_run_time": next_run_time(entry),
        "state": state_of(entry, running),
    }
    if entry.broken is not None:
        place["broken"] = entry.broken
    return place


def next_run_time(entry: Entry) -> datetime | str | None:
    """Return when a job is next due, in its trigger's zone; None if it is paused.

    It is text if the UTC offset has seconds, since orjson leaves those out.
    """
    if entry.due_us is None:
        return None
    moment = from_us(entry.due_us, entry.job.trigger.timezone)
    offset = moment.utcoffset()
    return moment.isoformat() if offset and offset % _MINUTE else moment


STATES: Final = ("scheduled", "paused", "running", "broken")


def state_of(entry: Entry, running: bool) -> str:
    """Return ``broken``, ``running``, ``paused`` or ``scheduled``."""
    if entry.broken is not None:
        return "broken"
    if running:
        return "running"
    return "paused" if entry.due_us is None else "scheduled"


def read_new(body: Mapping[str, Any]) -> JobBody:
    """Split the definition of a new job into its parts.

    A job as the API shows it is accepted, unless a value in it was hidden or is shown as its repr.

    Raises:
        InvalidOptionError: if a field is unknown, or not allowed for a new job.
    """
    fields = without_jobstore(body)
    if fields.get("shown_as_repr"):
        raise InvalidOptionError(
            "shown_as_repr", fields["shown_as_repr"], "nothing: these are reprs, not values"
        )
    if fields.get("hidden"):
        raise InvalidOptionError(
            "hidden", fields["hidden"], "nothing: the values of these are not shown"
        )
    for name in READ_ONLY:
        fields.pop(name, None)
    if not isinstance(fields.get("func"), str):
        raise InvalidOptionError(
            "func", fields.get("func"), 'text such as "package.module:function"'
        )
    replace = fields.pop("replace_existing", False)
    if not isinstance(replace, bool):
        raise InvalidOptionError("replace_existing", replace, "true or false")
    parts = _take_apart(fields, "date", {"replace_existing"})
    parts.fields["replace_existing"] = replace
    return parts


def read_changes(
    body: Mapping[str, Any], entry: Entry, now_us: int, hide: Hide | None = None
) -> JobBody:
    """Return what *body* changes in a job, which clients see without what *hide* removes.

    The body may repeat values as the API shows them, which changes nothing: so the answer to GET
    can be sent back, with stars and reprs instead of arguments and with fields that cannot be set.
    Null resets any other field to its default, and pauses the job if the field is
    ``next_run_time``.  Beside a ``state``, a next run time that has passed changes nothing either.

    Raises:
        InvalidOptionError: if a field is unknown, cannot be changed, or has no default.
    """
    body = without_jobstore(body)
    named = _OF_JOBS & body.keys()
    now = _with_fields(entry, False, named, hide)
    changes = {
        name: value
        for name, value in body.items()
        if name not in named or name == "trigger" or not is_same(value, now.get(name))
    }
    if "state" in body and _is_over(changes.get("next_run_time", ""), body["state"], now_us):
        del changes["next_run_time"]
    for name in ("state", *OF_RUNS):  # may have changed since
        changes.pop(name, None)
    if "trigger" in (now.get("shown_as_repr") or ()) and changes.get("trigger") == now["trigger"]:
        del changes["trigger"]
    for name in _NEVER_SET:
        if name in changes:
            raise InvalidOptionError(name, changes[name], f"{now.get(name)!r}: it cannot be set")
    func = changes.get("func", "")
    if not isinstance(func, str):
        raise InvalidOptionError("func", func, 'text such as "package.module:function"')
    trigger = changes.get("trigger", "")
    nested = trigger if isinstance(trigger, dict) else {}
    if None in (trigger, nested.get("type", ""), nested.get("trigger", "")):
        raise InvalidOptionError("trigger", None, "a kind of trigger: every job has one")
    parts = _take_apart(with_stored(changes, now, entry.job), entry.job.trigger.kind, set())
    for name in OPTION_NAMES & parts.fields.keys():
        if parts.fields[name] is None:  # means no limit in Python, which JSON cannot express
            parts.fields[name] = UNSET
    return parts


def _is_over(moment: object, state: object, now_us: int) -> bool:
    """Return whether a next run time was true when a client read the job with this state, only.

    If it was set again, the job would run twice for the same due time, or be paused again.
    """
    if moment is None:
        return state == "paused"
    try:
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else None
    except ValueError:
        return False
    return at is not None and at.tzinfo is not None and to_us(at) <= now_us


def without_jobstore(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return *options* without ``jobstore``: there is only one.

    Raises:
        InvalidOptionError: if they name another one.
    """
    given = dict(options)
    jobstore = given.pop("jobstore", None)
    if jobstore not in (None, "default"):
        raise InvalidOptionError(
            "jobstore", jobstore, "'default' or none, since there is one store of jobs"
        )
    return given


def _take_apart(body: Mapping[str, Any], default_kind: str | None, extra: set[str]) -> JobBody:
    """Separate the job's fields from the trigger's, and refuse all others."""
    kind = body.get("trigger", default_kind)
    nested: dict[str, Any] = {}
    if isinstance(kind, dict):
        named, nested = split_kind(kind)
        kind = default_kind if named is None else named
    options = option_names(kind) if kind is not None else frozenset()
    fields = {k: v for k, v in body.items() if k in JOB_FIELDS and k != "trigger"}
    trigger = join_options(nested, {k: v for k, v in body.items() if k not in JOB_FIELDS})
    if not options.issuperset(trigger):
        raise unknown_option(trigger, kind, options, extra)
    if "trigger" in body:
        trigger["trigger"] = kind
    return JobBody(fields, trigger)
