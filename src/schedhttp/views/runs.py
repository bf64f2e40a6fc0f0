"""The endpoints of runs: which ones come, and what became of others."""

from __future__ import annotations

from typing import Any

from schedcore import JobLookupError, RunRecord
from schedcore.clock import from_us
from schedcore.stores.base import Entry
from schedcore.triggers import lint
from schedcore.triggers.combining import coming
from schedhttp import codec, paging
from schedhttp.request import Incoming, read_count, read_object
from schedhttp.shapes import RUN
from schedhttp.views.base import Reply, Service
from schedhttp.views.jobs import get_job, wanted

MOST_FIRE_TIMES = 1_000


def get_next(service: Service, request: Incoming, job_id: str) -> Reply:
    """List the coming fire times of a job; none while it is paused."""
    if whole := _whole_id(service, job_id, "/next"):
        return get_job(service, request, whole)
    n = _how_many(request)
    entry = service.scheduler.entry(job_id)
    return Reply({"id": entry.job.id, **fire_times(entry, n)})


def preview(service: Service, request: Incoming) -> Reply:
    """Tell what a job would be, its coming fire times, and what may surprise about them.

    Nothing is stored, and `func` may be left out.  For who may only read nothing is imported, so
    that neither the function nor its arguments are looked at.
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
    warnings = lint.warnings_of(entry.job.trigger, scheduler.clock.now_us())
    told = {**fire_times(entry, n), "warnings": warnings}
    if "func" in body:
        if fields["func"] is _anything:
            entry = entry._replace(job=entry.job._replace(func=None, given_ref=body["func"]))
        told["job"] = codec.job_to_dict(entry, running=False)
    return Reply(told)


def get_runs(service: Service, request: Incoming) -> Reply:
    """List the recorded outcomes of all jobs, the latest first."""
    return _records(service.scheduler.history(), request)


def get_job_runs(service: Service, request: Incoming, job_id: str) -> Reply:
    """List the recorded outcomes of a job, the latest first; also of one that is gone."""
    if whole := _whole_id(service, job_id, "/runs"):
        return get_job(service, request, whole)
    records = service.scheduler.history(job_id)
    if not records and service.scheduler.get_job(job_id) is None:
        raise JobLookupError(job_id)
    return _records(records, request)


def fire_times(entry: Entry, n: int) -> dict[str, Any]:
    """Return up to *n* coming times of a job, with the offset of its trigger's zone.

    Where a search for more would take too long, ``truncated`` says so.
    """
    if entry.due_us is None or entry.fire_us is None:
        return {"next_fire_times": []}
    trigger = entry.job.trigger
    later, truncated = coming(trigger, entry.fire_us, n - 1)
    instants = [entry.due_us, *later]
    times = [from_us(instant, trigger.timezone).isoformat() for instant in instants[:n]]
    return {"next_fire_times": times, **({"truncated": True} if truncated else {})}


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


def _records(records: list[RunRecord], request: Incoming) -> Reply:
    page = paging.page_of_runs(records, request)
    return Reply([RUN.to_dict(record) for record in page.items], headers=page.headers)
