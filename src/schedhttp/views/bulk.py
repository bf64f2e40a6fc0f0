"""The endpoints for many jobs: pause, resume, run or remove all jobs that match a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from schedcore import JobLookupError, Run
from schedcore.changes.changing import Check
from schedcore.stores.base import Entry
from schedhttp import conditions, job_filter
from schedhttp.errors import BadRequest, NotConfirmed
from schedhttp.request import Incoming, read_count, read_nothing
from schedhttp.views.base import Reply, Service
from schedhttp.views.running import read_key

PARAMETERS: Final = (*job_filter.PARAMETERS, "all", "confirm")
_WHICH: Final = "q=, tag=, state= or id="
_MOST: Final = 10**9
_CHANGES_PAUSED: Final = {"pause": False, "resume": True}
"""Whether the jobs that an action changes were paused."""
_SHOWN: Final = 10
"""Maximum number of ids in the request for confirmation."""


def pause_jobs(service: Service, request: Incoming) -> Reply:
    """Stop scheduling all jobs that match the query, or none."""
    return _changed(service, request, "pause", service.scheduler.pause_jobs)


def resume_jobs(service: Service, request: Incoming) -> Reply:
    """Schedule all paused jobs that match the query again, or none."""
    return _changed(service, request, "resume", service.scheduler.resume_jobs)


def delete_jobs(service: Service, request: Incoming) -> Reply:
    """Remove all jobs that match the query, or none."""
    return _changed(service, request, "remove", service.scheduler.remove_jobs)


def run_jobs(service: Service, request: Incoming) -> Reply:
    """Run all jobs that match the query now, without waiting for them.

    Each starts separately: `refused` says which could not run, and why.  An `Idempotency-Key`
    applies to each of them: if it is sent again, the same jobs return the same runs.
    """
    key = read_key(request)
    ids, check = _selected(service, request, "run")
    try:
        came = service.scheduler.run_jobs(ids, check, key=key)
    except JobLookupError as error:
        raise _moved_on(error.job_id) from None
    runs = {job_id: str(run.id) for job_id, run in came.items() if isinstance(run, Run)}
    refused = {job_id: str(why) for job_id, why in came.items() if not isinstance(why, Run)}
    return Reply({"count": len(runs), "ids": [*runs], "runs": runs, "refused": refused})


def _changed(
    service: Service, request: Incoming, verb: str, change: Callable[[list[str], Check], object]
) -> Reply:
    ids, check = _selected(service, request, verb)
    were_paused: dict[str, bool] = {}

    def look(entry: Entry) -> None:
        check(entry)
        were_paused[entry.job.id] = entry.due_us is None

    try:
        change(ids, look)
    except JobLookupError as error:
        raise _moved_on(error.job_id) from None
    if verb in _CHANGES_PAUSED:
        ids = [job_id for job_id in ids if were_paused[job_id] is _CHANGES_PAUSED[verb]]
    return Reply({"count": len(ids), "ids": ids})


def _selected(service: Service, request: Incoming, verb: str) -> tuple[list[str], Check]:
    """Return the ids of the jobs that match the query, and a function that checks each again.

    Raises:
        BadRequest: if the query is invalid, or selects all jobs without saying so.
        JobLookupError: if there is no job with an id in it.
        NotConfirmed: if it matches another number of jobs than it confirms.
    """
    matches = _filter_of(service, request)
    confirmed = read_count(request, "confirm", None, _MOST)
    read_nothing(request, "the query selects the jobs")
    entries = service.scheduler.entries()
    named = request.whole.args.getlist("id")
    if named:
        there = {entry.job.id for entry in entries}
        for job_id in named:
            if job_id not in there:
                raise JobLookupError(job_id)
    ids = sorted(entry.job.id for entry in entries if matches(entry))
    if confirmed != len(ids):
        raise _not_confirmed(verb, ids, confirmed)

    def check(entry: Entry) -> None:
        if not matches(entry):
            raise _moved_on(entry.job.id)

    return ids, check


def _filter_of(service: Service, request: Incoming) -> job_filter.Matches:
    conditions.refuse(request, "an action on many jobs")
    args = request.whole.args
    if (text := args.get("q")) == "":
        raise BadRequest(f"q={text!r}: expected text; all=true means all jobs")
    matches = job_filter.filter_of(request, service.job_json.running())
    given = args.get("all")
    if given not in (None, "true"):
        raise BadRequest(f"all={given[:80]!r}: expected 'true', or none of it")
    if given is None and matches is None:
        raise BadRequest(f"which jobs: expected {_WHICH} in the query, or all=true")
    if given is not None and matches is not None:
        raise BadRequest(f"all='true': expected no {_WHICH} beside it")
    return matches or (lambda _entry: True)


def _not_confirmed(verb: str, ids: list[str], confirmed: int | None) -> NotConfirmed:
    count = len(ids)
    listed = ", ".join(map(repr, ids[:_SHOWN])) + (", ..." if count > _SHOWN else "")
    jobs = f"{count} {'job' if count == 1 else 'jobs'}{': ' if ids else ''}{listed}"
    given = "" if confirmed is None else f", and not {confirmed}"
    details: dict[str, Any] = {"count": count, "ids": ids[:_SHOWN]}
    return NotConfirmed(
        f"this would {verb} {jobs}; expected confirm={count} in the query{given}", details=details
    )


def _moved_on(job_id: object) -> NotConfirmed:
    return NotConfirmed(
        f"job {job_id!r} was changed or removed meanwhile, and no longer matches the query;"
        " nothing was done, so request the number again"
    )
