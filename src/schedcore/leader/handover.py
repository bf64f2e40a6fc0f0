"""What the holder of an election leaves to the next: jobs as plain data, and how they are taken on.

What code declares, each process declares for itself; of those jobs only their place in the schedule
is handed on, and what was changed since.  Jobs that were added later are handed on whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from schedcore import funcref
from schedcore.errors import FuncRefError, SchedError
from schedcore.job import Job, Options, build_options
from schedcore.leader import journal
from schedcore.leader.journal import LostRun
from schedcore.logs import GuardedLogger
from schedcore.retry import Retry
from schedcore.stores.base import Entry
from schedcore.triggers.base import Trigger
from schedcore.triggers.factory import trigger_from_dict

log = GuardedLogger(__name__)

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Declared(NamedTuple):
    """A job that code declared, or settings."""

    entry: Entry
    """As it was declared in this process."""
    print: str
    """Equal in all processes that declare the same."""


class Estate(NamedTuple):
    """What a holder left."""

    instance: str
    term: str
    state: int
    """That of its scheduler."""
    declared: Mapping[str, Mapping[str, Any]]
    """By id: ``print``, and where the job stands: ``gone``, or ``fire_us``, ``due_us``,
    ``trigger`` and ``changes`` in plain data; no ``fire_us``: to be planned anew."""
    added: Sequence[Mapping[str, Any]] = ()
    """Jobs in plain data."""
    lost: Sequence[LostRun] = ()
    """What ran in it when it was killed."""


def print_of(
    func: Callable[..., Any] | str | None,
    trigger: object,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    name: str | None,
    options: object,
) -> str:
    """Return what is equal for the same declaration in any process, and hardly for two others.

    Args:
        func: The function or its reference.
        trigger: As declared: not bound to the moment of adding.
        args: Positional arguments; those that JSON cannot carry count as their repr.
        kwargs: Keyword arguments, likewise.
        name: As given.
        options: How it is run.
    """
    if func is not None and not isinstance(func, str):
        func = f"{getattr(func, '__module__', '')}:{funcref.name_of(func)}"
    text = json.dumps([func, repr(trigger), [*args], {**kwargs}, name, options], default=repr)
    return hashlib.sha256(_ADDRESS.sub("", text).encode()).hexdigest()


def declared(entries: Iterable[Entry], unbound: Mapping[str, Trigger]) -> dict[str, Declared]:
    """Return the declarations of *entries*, by id.

    Args:
        entries: As they were declared.
        unbound: Triggers before they were bound to the moment of adding, by job id.
    """
    found = {}
    for entry in entries:
        job = entry.job
        trigger = unbound.get(job.id, job.trigger)
        func = job.given_ref or job.func
        mark = print_of(func, trigger, job.args, job.kwargs, job.given_name, job.options)
        found[job.id] = Declared(entry, mark)
    return found


# Leaving


def catalogue(declarations: Iterable[Declared]) -> list[dict[str, Any]]:
    """Return what the marks of a killed process cannot be read without."""
    return [
        {"id": d.entry.job.id, "print": d.print, "trigger": _plain_trigger(d.entry.job.trigger)}
        for d in declarations
    ]


def left_by_killed(left: journal.Left) -> Estate:
    """Return the estate that marks are."""
    jobs = {}
    for place, job in zip(left.places, left.catalogue["jobs"], strict=True):
        jobs[job["id"]] = data = {"print": job["print"]}
        if place == journal.GONE:
            data["gone"] = True
        elif place == journal.PAUSED:
            data |= {"fire_us": None, "due_us": None, "trigger": job["trigger"]}
        elif place != journal.CHANGED:
            data |= {"fire_us": place, "due_us": place, "trigger": job["trigger"]}
    return Estate(
        left.catalogue["instance"], left.catalogue["term"], left.state, jobs, (), left.runs
    )


def to_leave(
    entries: Iterable[Entry], declarations: Mapping[str, Declared]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the ``declared`` and the ``added`` of an estate; logs the jobs that cannot be left."""
    known: dict[str, Any] = {
        job_id: {"print": d.print, "gone": True} for job_id, d in declarations.items()
    }
    added = []
    for entry in entries:
        job_id = entry.job.id
        try:
            if job_id in declarations:
                known[job_id] = {
                    "print": declarations[job_id].print,
                    "changes": _changes(declarations[job_id].entry.job, entry.job),
                    **_place(entry),
                }
            else:
                added.append({"id": job_id, **_changes(None, entry.job), **_place(entry)})
        except (TypeError, ValueError, RecursionError) as error:
            log.warning("job %r cannot be handed over, and is lost: %s", job_id, error)
            if job_id in declarations:  # the next holder declares it itself
                known[job_id] = {"print": declarations[job_id].print}
    return known, added


def _place(entry: Entry) -> dict[str, Any]:
    return {
        "fire_us": entry.fire_us,
        "due_us": entry.due_us,
        "judged_us": entry.judged_us,
        "trigger": _plain_trigger(entry.job.trigger),
    }


def _plain_trigger(trigger: Trigger) -> dict[str, Any] | None:
    """Return the plain-data form, or None for a trigger of the user's own that has none."""
    try:
        return dict(_carried(dict(trigger.to_dict())))
    except Exception:  # noqa: BLE001 — a user's trigger may raise anything; who needs it says so
        return None


def _changes(before: Job | None, job: Job) -> dict[str, Any]:
    """Return in plain data what differs from *before*; all of it if that is None.

    Raises:
        TypeError, ValueError: if something cannot be told in JSON.
    """
    changes: dict[str, Any] = {}
    if before is None or (job.func, job.given_ref) != (before.func, before.given_ref):
        changes["func"] = job.func_ref
        if job.func_ref is None:
            raise ValueError("no reference leads to its function")
    if before is None or job.args != before.args:
        changes["args"] = _carried(list(job.args))
    if before is None or job.kwargs != before.kwargs:
        changes["kwargs"] = _carried(dict(job.kwargs))
    if before is None or job.given_name != before.given_name:
        changes["name"] = job.given_name
    if before is None or job.options != before.options:
        retry = job.options.retry
        changes["options"] = job.options._asdict() | {"retry": retry and retry._asdict()}
    if before is None and _plain_trigger(job.trigger) is None:
        raise ValueError("its trigger has no plain-data form")
    return changes


def _carried(value: Any) -> Any:
    """Return *value* if JSON carries it there and back unharmed."""
    if json.loads(json.dumps(value, allow_nan=False)) != value:
        raise ValueError(f"JSON cannot carry {value!r:.100}")
    return value


# Taking on


def taken_on(
    declarations: Mapping[str, Declared], estate: Estate, zone: tzinfo, now_us: int
) -> list[Entry]:
    """Return the jobs of a new holder.

    A job that is declared as it was before goes on where it stood; one that is declared anew, or
    otherwise than before, starts now as declared; one that is declared no longer is not there.

    Args:
        declarations: What this process declares.
        estate: What the last holder left.
        zone: That of triggers that name none.
        now_us: The present, in microseconds since the Unix epoch.
    """
    entries: list[Entry] = []
    for job_id, own in declarations.items():
        left = estate.declared.get(job_id)
        if left is None or left["print"] != own.print:
            if left and left.get("gone") and own.entry.job.trigger.next_us(now_us) is None:
                continue  # a moment that each process counted from its own start
            entries.append(_from_now_on(own.entry, now_us))
        elif not left.get("gone"):
            entries.append(_going_on(own.entry, left, zone, now_us))
    for data in estate.added:
        if data["id"] in declarations:  # what is declared counts
            continue
        try:
            entries.append(_whole(data, zone))
        except (SchedError, LookupError, TypeError, ValueError) as error:
            log.error("job %r of the last holder cannot be taken on: %s", data.get("id"), error)
    return entries


def from_now_on(entries: Iterable[Entry], now_us: int) -> list[Entry]:
    """Return declarations without the fire times that passed while their process stood by."""
    return [_from_now_on(own, now_us) for own in entries]


def _from_now_on(own: Entry, now_us: int) -> Entry:
    """Return a declaration without the fire times that passed while its process stood by."""
    if own.due_us is None or own.due_us > now_us:
        return own
    fire_us = own.job.trigger.next_us(now_us)
    return own if fire_us is None else own._replace(fire_us=fire_us, due_us=fire_us)


def _going_on(own: Entry, left: Mapping[str, Any], zone: tzinfo, now_us: int) -> Entry:
    try:
        job = _with(own.job, left, zone)
    except (SchedError, LookupError, TypeError, ValueError) as error:
        log.error("job %r starts as declared: %s", own.job.id, error)
        return own
    if "fire_us" not in left:
        fire_us = job.trigger.next_us(now_us)
        return Entry(job, fire_us, fire_us)
    return Entry(job, left["fire_us"], left["due_us"], judged_us=left.get("judged_us"))


def _whole(data: Mapping[str, Any], zone: tzinfo) -> Entry:
    trigger = trigger_from_dict(data["trigger"], zone, data["id"])
    job = _with(Job(data["id"], None, (), {}, trigger, Options()), {"changes": data}, zone)
    return Entry(job, data["fire_us"], data["due_us"], judged_us=data["judged_us"])


def _with(job: Job, left: Mapping[str, Any], zone: tzinfo) -> Job:
    """Return *job* with the trigger and the changes that were left."""
    new: dict[str, Any] = {}
    changes = left.get("changes", {})
    if "func" in changes:
        new["given_ref"] = changes["func"]
        try:
            new["func"] = funcref.resolve(changes["func"])
        except FuncRefError:  # the engine tries again, and says so
            new["func"] = None
    if "args" in changes:
        new["args"] = tuple(changes["args"])
    if "kwargs" in changes:
        new["kwargs"] = dict(changes["kwargs"])
    if "name" in changes:
        new["given_name"] = changes["name"]
    if "options" in changes:
        retry = changes["options"]["retry"]
        options = changes["options"] | {
            "retry": retry and Retry(**retry | {"on": tuple(retry["on"])})
        }
        new["options"] = build_options(Options(), options)
    if left.get("trigger") is not None:
        new["trigger"] = trigger_from_dict(left["trigger"], zone, job.id)
    return job._replace(**new)
