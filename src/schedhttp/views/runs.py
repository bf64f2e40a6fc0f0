"""The endpoints for runs: future, open and ended ones, and what they print."""

from __future__ import annotations

from typing import Any

from schedcore import (
    InvalidOptionError,
    JobLookupError,
    Outcome,
    Run,
    RunLookupError,
    RunRecord,
    Scheduler,
    StoreError,
)
from schedcore.clock import from_us
from schedcore.history.query import RunQuery
from schedcore.stores.base import Entry
from schedcore.triggers import lint
from schedcore.triggers.combining import coming
from schedhttp import codec
from schedhttp.errors import BadRequest, Forbidden
from schedhttp.hiding import run_without_secrets
from schedhttp.request import Incoming, read_count, read_object
from schedhttp.run_paging import page_of_runs, read_job, read_run_id
from schedhttp.shown import (
    OUTPUT,
    RUN,
    RunShown,
)
from schedhttp.views.base import Reply, Service
from schedhttp.views.jobs import get_job, wanted

MOST_FIRE_TIMES = 1_000
MOST_AFTER = 10**11 - 1


def get_next(service: Service, request: Incoming, job_id: str) -> Reply:
    """List the next fire times of a job; none while it is paused."""
    if whole := _whole_id(service, job_id, "/next"):
        return get_job(service, request, whole)
    n = _how_many(request)
    entry = service.scheduler.entry(job_id)
    now_us = service.scheduler.clock.now_us()
    return Reply({"id": entry.job.id, **fire_times(entry, n, now_us)})


def preview(service: Service, request: Incoming) -> Reply:
    """Show how a job would be defined, its next fire times, and warnings about them.

    Nothing is stored, and `func` may be left out.  For read-only clients nothing is imported, so
    neither the function nor its arguments are checked.
    """
    n = _how_many(request)
    body = read_object(request)
    scheduler = service.scheduler
    fields, trigger = codec.read_new({"func": "", **body})
    fields.pop("replace_existing")
    if "func" not in body:
        fields["func"] = _anything
    elif request.may_change:
        fields["func"] = service.allowed.find(fields["func"], scheduler.registered)
    else:  # importing a module runs it, which who may only read is not to do
        service.allowed.check(fields["func"], scheduler.registered)
        fields["func"] = _anything
    entry = scheduler.draft_job(**wanted(service, fields, trigger))
    now_us = scheduler.clock.now_us()
    warnings = lint.warnings_of(entry.job.trigger, now_us)
    reply = {**fire_times(entry, n, now_us), "warnings": warnings}
    if "func" in body:
        if fields["func"] is _anything:
            entry = entry._replace(job=entry.job._replace(func=None, given_ref=body["func"]))
        reply["job"] = codec.job_to_dict(entry, False, service.job_json.hide)
    return Reply(reply)


def get_runs(service: Service, request: Incoming) -> Reply:
    """List runs of all jobs: ended ones, newest first, or open ones."""
    return _runs(service, request, read_job(request))


def get_job_runs(service: Service, request: Incoming, job_id: str) -> Reply:
    """List runs of a job, even if it was removed."""
    if whole := _whole_id(service, job_id, "/runs"):
        return get_job(service, request, whole)
    reply = _runs(service, request, job_id)
    if not reply.body:
        _check_known(service.scheduler, job_id)
    return reply


def get_run(service: Service, request: Incoming, run_id: str) -> Reply:
    """Show a run, from when it is due until the history drops it."""
    return _run(service, read_run_id("run_id", run_id))


def cancel_run(service: Service, request: Incoming, run_id: str) -> Reply:
    """End a run early, whichever process runs it: it is recorded as cancelled.

    A waiting run does not begin.  A function in a thread cannot be stopped: it continues, and its
    result is ignored.
    """
    read_object(request, required=False)
    number = read_run_id("run_id", run_id)
    before = _run(service, number)
    service.scheduler.cancel(number)
    try:
        return _run(service, number)
    except StoreError:  # it is cancelled: after an error, the client would cancel it again
        return before


def get_counts(service: Service, request: Incoming) -> Reply:
    """Return how many due times of one job, or of all, ended in each outcome so far."""
    job_id = read_job(request)
    counts = service.scheduler.counts(job_id)
    if job_id is not None and not counts:
        _check_known(service.scheduler, job_id)
    return Reply({outcome.value: counts.get(outcome, 0) for outcome in Outcome})


def fire_times(entry: Entry, n: int, now_us: int) -> dict[str, Any]:
    """Return up to *n* next fire times of a job, with the offset of its trigger's zone.

    ``remarks`` explains the effect of clock changes on some of them; ``truncated`` means that a
    search for more would take too long.
    """
    if entry.due_us is None or entry.fire_us is None:
        return {"next_fire_times": []}
    trigger = entry.job.trigger
    later, truncated = coming(trigger, entry.fire_us, n - 1)
    instants = [entry.due_us, *later]
    times = [from_us(instant, trigger.timezone).isoformat() for instant in instants[:n]]
    reply: dict[str, Any] = {"next_fire_times": times}
    # A first time before now is late; its remark is none of the clocks that changed since.
    found = lint.remarked(trigger, [entry.fire_us, *later][:n], min(now_us, entry.fire_us))
    if remarks := {at: f.remark for at, f in zip(times, found, strict=True) if f.remark}:
        reply["remarks"] = remarks
    return {**reply, **({"truncated": True} if truncated else {})}


def _whole_id(service: Service, job_id: str, ending: str) -> str | None:
    """Return the id that the whole address names: of a job that is called like an endpoint.

    Servers decode ``%2F`` before an app sees it.  Where both readings name a job, the one before
    the ending counts.
    """
    whole = job_id + ending
    scheduler = service.scheduler
    if scheduler.get_job(whole) is None or scheduler.get_job(job_id) is not None:
        return None
    return whole


def _anything(*_args: Any, **_kwargs: Any) -> None:
    """Stands for the function of a preview that names none."""


def _how_many(request: Incoming) -> int:
    return read_count(request, "n", 10, MOST_FIRE_TIMES) or 0


def _runs(service: Service, request: Incoming, job_id: str | None) -> Reply:
    page = page_of_runs(service.scheduler, request, job_id)
    return Reply([_shown(service, run) for run in page.items], headers=page.headers)


def _run(service: Service, run_id: int) -> Reply:
    run = service.scheduler.get_run(run_id)
    if run is None:
        raise RunLookupError(run_id)
    return Reply(_shown(service, run))


def _shown(service: Service, run: Run | RunRecord) -> dict[str, Any]:
    return RUN.to_dict(run_without_secrets(RunShown.of(run), service.scheduler.redact))


def _check_known(scheduler: Scheduler, job_id: str) -> None:
    """Refuse the id of a job that is not there, and of which nothing is kept.

    Raises:
        JobLookupError: naming it.
    """
    if scheduler.get_job(job_id) is None and not scheduler.kept(RunQuery(job_id), 1):
        raise JobLookupError(job_id)


def get_output(service: Service, request: Incoming, run_id: str) -> Reply:
    """Show a run's output so far, after a number of characters.

    Output of a run in another process appears about a second later.
    """
    number = read_run_id("run_id", run_id)
    if service.settings.api_hide_args and not request.may_change:
        raise Forbidden(
            "read-only users may not see the output of runs: SCHEDULER_API_HIDE_ARGS=false shows it"
        )
    after = read_count(request, "after", 0, MOST_AFTER) or 0
    try:
        output = service.scheduler.output(number, after)
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    return Reply(OUTPUT.to_dict(output, run_id=str(number)))
