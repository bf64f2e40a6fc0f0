"""The endpoints for jobs: add, show, change, pause, resume and remove them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from schedcore import (
    ConflictingIdError,
    InvalidOptionError,
    JobHandle,
    StoreError,
)
from schedcore.stores.base import Entry
from schedcore.triggers import factory, make_trigger
from schedhttp import codec, paging
from schedhttp.conditions import check_of, is_known, wants_new
from schedhttp.errors import BadRequest, Forbidden, PreconditionFailed
from schedhttp.request import Incoming, read_object, read_object_or_array
from schedhttp.security import bounds
from schedhttp.views.base import NOTHING, Reply, Service

MOST_ADDED: Final = 1_000
"""Maximum number of jobs that one request may add."""


def add_job(service: Service, request: Incoming) -> Reply:
    """Add a job, or the jobs of an array: all or none."""
    body = read_object_or_array(request, MOST_ADDED)
    only_new = wants_new(request)
    try:  # whether it is there is found out by adding it, in one step
        if isinstance(body, list):
            return _add_all(service, body, only_new)
        entry, replace = _draft(service, body)
        return _shown(service, service.scheduler.add_entry(entry, replace and not only_new))
    except ConflictingIdError as error:
        if not only_new:
            raise
        raise PreconditionFailed(
            f"job {error.job_id!r} exists, and If-None-Match requires that it does not"
        ) from None


def _draft(service: Service, body: Mapping[str, Any]) -> tuple[Entry, bool]:
    """Return the job that *body* describes, and whether it may replace another."""
    fields, trigger = codec.read_new(body)
    replace: bool = fields.pop("replace_existing")
    fields["func"] = service.allowed.find(fields["func"], service.scheduler.registered)
    given = wanted(service, fields, trigger)
    return service.scheduler.draft_job(**given), replace


def _add_all(service: Service, bodies: Sequence[Mapping[str, Any]], only_new: bool) -> Reply:
    entries, replaces = [], set()
    for place, body in enumerate(bodies):
        with _at(place):
            entry, replace = _draft(service, body)
        entries.append(entry)
        replaces.add(replace)
    if len(replaces) > 1:
        raise BadRequest("replace_existing: expected the same value in all jobs of an array")
    handles = service.scheduler.add_entries(entries, replaces == {True} and not only_new)
    added = [handle.last_seen for handle in handles]
    try:
        running = service.job_json.running()
    except StoreError:  # they are added: an error would have the client add them again
        running = frozenset()
    return Reply(service.job_json.some(added, running))


@contextmanager
def _at(place: int) -> Iterator[None]:
    """Let errors name the job of an array."""
    try:
        yield
    except InvalidOptionError as error:
        option = f"[{place}].{error.option}"
        raise type(error)(option, error.value, error.expected) from None
    except Forbidden as error:
        raise Forbidden(f"[{place}]: {error}") from None


def wanted(
    service: Service, fields: Mapping[str, Any], trigger: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the new job that a request describes, for ``add_job``, with its trigger created.

    Raises:
        InvalidOptionError: if it exceeds what a request may ask for.
    """
    shortest = service.settings.api_shortest_interval
    bounds.check_fields(fields, shortest)
    # Not one made of the function, which would be that of a job which other processes declare.
    job_id = uuid.uuid4().hex if fields.get("id") is None else fields["id"]
    options = dict(trigger)
    kind = options.pop("trigger", None)
    made = make_trigger(
        "date" if kind is None else kind, options, service.scheduler.timezone, job_id
    )
    bounds.check_trigger(made, shortest)
    return {**fields, "id": job_id, "trigger": made}


def get_jobs(service: Service, request: Incoming) -> Reply:
    """List jobs, earliest due first, paused ones last."""
    with_runs = request.has_query and paging.asks_for_runs(request)
    running = service.job_json.running()  # once: the ETag is of the jobs as they are shown
    # Before the jobs, so never younger than they are; and it tells nothing of runs.
    etag = None if with_runs else service.job_json.list_etag(running)
    headers = {} if etag is None else _to_be_asked_again(service, etag)
    if etag is not None and is_known(request, etag):
        return Reply(None, 304, headers)
    if not request.has_query:
        return Reply(service.job_json.all(running), headers=headers)
    found = paging.selected(service.scheduler.entries(), running, request)
    fields = paging.fields_of(request, found)
    page = paging.page_of_jobs(found, request)
    headers |= page.headers
    if with_runs and len(page.items) > paging.MOST_WITH_RUNS:
        raise BadRequest(
            f"the last runs of {len(page.items)} jobs: expected limit={paging.MOST_WITH_RUNS} or"
            " less beside include=runs"
        )
    if fields is None:
        shown = service.job_json.some(list(page.items), running, with_runs)
        return Reply(shown, headers=headers)
    hide = service.job_json.hide
    narrowed = [codec.fields_to_dict(e, e.job.id in running, fields, hide) for e in page.items]
    if with_runs:
        for entry, job in zip(page.items, narrowed, strict=True):
            runs = service.job_json.runs_of(entry.job.id)
            job |= {name: value for name, value in runs.items() if name in fields}
    return Reply(narrowed, headers=headers)


def get_job(service: Service, request: Incoming, job_id: str) -> Reply:
    """Show a job, and how its last runs went."""
    entry = service.scheduler.entry(job_id)
    if (check := check_of(request, service.job_json)) is not None:
        check(entry)
    text, etag = service.job_json.one(entry)
    headers = _to_be_asked_again(service, etag)
    if is_known(request, etag):
        return Reply(None, 304, headers)
    return Reply(text, headers=headers)


def delete_job(service: Service, request: Incoming, job_id: str) -> Reply:
    """Remove a job; runs that have begun continue."""
    service.scheduler.remove_job(job_id, check_of(request, service.job_json))
    return NOTHING


def update_job(service: Service, request: Incoming, job_id: str) -> Reply:
    """Change a job: all changes in the body or, after an error, none."""
    body = read_object(request)
    scheduler, shortest = service.scheduler, service.settings.api_shortest_interval
    check = check_of(request, service.job_json)

    def changes(entry: Entry) -> Mapping[str, Any]:
        if check is not None:
            check(entry)
        now_us = scheduler.clock.now_us()
        fields, trigger = codec.read_changes(body, entry, now_us, service.job_json.hide)
        bounds.check_fields(fields, shortest)
        if "func" in fields:
            fields["func"] = service.allowed.find(fields["func"], scheduler.registered)
        elif not fields.keys().isdisjoint(("args", "kwargs")):
            service.allowed.check_call(entry.job, scheduler.registered)
        if trigger:  # merged now, into the trigger that is there now
            now = entry.job.trigger
            fields["trigger"] = made = factory.merge(now, trigger, scheduler.timezone, job_id)
            bounds.check_trigger(made, shortest, now)
        return fields

    try:
        return _shown(service, scheduler.update_job(job_id, changes))
    except InvalidOptionError as error:
        if _is_of_null(error, body):
            raise BadRequest(
                f"null resets a field to its default, which is not possible here: {error}"
            ) from None
        raise


def _is_of_null(error: InvalidOptionError, body: Mapping[str, Any]) -> bool:
    """Return whether *error* is about something that null took away, and not what was given."""
    if error.value is None:
        return True
    trigger = body.get("trigger")
    given = dict(body)
    if isinstance(trigger, dict):
        given |= {"trigger": trigger.get("type", ""), **trigger}
    if None not in given.values() and not _has_null(given.get("triggers", ())):
        return False
    lacks = error.option == "trigger" and error.value in factory.KINDS  # which need options
    return lacks or given.get(error.option) is None


def _has_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(_has_null, value)))


def pause_job(service: Service, request: Incoming, job_id: str) -> Reply:
    """Stop scheduling a job; runs that have begun continue."""
    read_object(request, required=False)
    return _shown(service, service.scheduler.pause_job(job_id, check_of(request, service.job_json)))


def resume_job(service: Service, request: Incoming, job_id: str) -> Reply:
    """Schedule a paused job again."""
    read_object(request, required=False)
    return _shown(
        service, service.scheduler.resume_job(job_id, check_of(request, service.job_json))
    )


def _shown(service: Service, handle: JobHandle) -> Reply:
    return show(service, handle.last_seen)


def show(service: Service, entry: Entry) -> Reply:
    """Return the reply to an order that was carried out: the job.

    If its last runs cannot be read, they and the ETag are missing: after an error, the client would
    repeat the order.
    """
    try:
        text, etag = service.job_json.one(entry)
    except StoreError:
        return Reply(service.job_json.without_runs(entry))
    return Reply(text, headers={"ETag": f'"{etag}"'})


def _to_be_asked_again(service: Service, etag: str) -> dict[str, str | tuple[str, ...]]:
    """Return the headers of what may be kept, and shown again after a 304."""
    by_rights = {"Vary": "Authorization"} if service.settings.api_hide_args else {}
    return {"ETag": f'"{etag}"', "Cache-Control": "no-cache", **by_rights}
