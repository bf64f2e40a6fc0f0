"""What the holder of an election leaves to the next: jobs as plain data, and how they are taken on.

What code declares, each process declares for itself; of those jobs only their place in the schedule
is handed on, and what was changed since.  Jobs that were added later are handed on whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from schedcore import jobdata
from schedcore.errors import InvalidOptionError, SchedError
from schedcore.job import Job
from schedcore.leader import journal
from schedcore.leader.journal import LostRun
from schedcore.logs import GuardedLogger
from schedcore.stores.base import Entry
from schedcore.triggers.base import Trigger

log = GuardedLogger(__name__)


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


def declared(entries: Iterable[Entry], unbound: Mapping[str, Trigger]) -> dict[str, Declared]:
    """Return the declarations of *entries*, by id.

    Args:
        entries: As they were declared.
        unbound: Triggers before they were bound to the moment of adding, by job id.
    """
    found = {}
    for entry in entries:
        job = entry.job
        found[job.id] = Declared(entry, jobdata.fingerprint(job, unbound.get(job.id)))
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
                added.append({**_place(entry), **jobdata.job_to_dict(entry.job), "id": job_id})
        except (TypeError, ValueError, RecursionError) as error:  # what users compare may raise
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
        return jobdata.trigger_to_dict(trigger)
    except InvalidOptionError:
        return None


def _changes(before: Job, job: Job) -> dict[str, Any]:
    """Return in plain data what differs from *before*, but for the trigger.

    Raises:
        InvalidOptionError: if something has no plain-data form.
    """
    changed = [name for name, was in _parts(before).items() if _parts(job)[name] != was]
    return jobdata.job_to_dict(job, changed)


def _parts(job: Job) -> dict[str, object]:
    return {
        "func": (job.func, job.given_ref),
        "args": job.args,
        "kwargs": job.kwargs,
        "name": job.given_name,
        **job.options._asdict(),
    }


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
    job = jobdata.job_from_dict({k: data[k] for k in jobdata.FIELDS}, zone)
    return Entry(job, data["fire_us"], data["due_us"], judged_us=data["judged_us"])


def _with(job: Job, left: Mapping[str, Any], zone: tzinfo) -> Job:
    """Return *job* with the trigger and the changes that were left."""
    changes = dict(left.get("changes", {}))
    if left.get("trigger") is not None:
        changes["trigger"] = left["trigger"]
    return jobdata.with_fields(job, changes, zone)
