"""The endpoint that runs a job now."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from schedcore import InvalidOptionError, Outcome, Run, RunRecord, StoreError
from schedcore.changes.changing import Check
from schedcore.clock import Deadline
from schedcore.job import MAX_ID_LENGTH
from schedcore.output.text import Redact
from schedcore.stores.base import Entry
from schedhttp import connection
from schedhttp.codec import definition_to_dict
from schedhttp.conditions import check_of
from schedhttp.errors import BadRequest, RunFailed
from schedhttp.hiding import with_stored
from schedhttp.request import Incoming, check_fields, read_object
from schedhttp.views.base import Reply, Service
from schedhttp.views.jobs import show

_FIELDS: Final = ("wait", "args", "kwargs")
_POLL_EVERY: Final = 1.0
"""Seconds between two checks whether a client still waits."""


def run_job(service: Service, request: Incoming, job_id: str) -> Reply:
    """Run a job now and wait for the outcome, unless `wait` is false.

    `args` and `kwargs` apply to this run only.  The header `X-Run-Id` is the id of the run, and
    `X-Run-Outcome` its outcome, or `running` or `waiting`.  For a day, the same `Idempotency-Key`
    for the same job returns the same run.

    If too many requests wait for runs already, this one does not: the header `Preference-Applied:
    respond-async` says so.
    """
    body = read_object(request, required=False)
    wants_to_wait, call = _read(body)
    wait = wants_to_wait and request.may_wait
    scheduler = service.scheduler
    entry = scheduler.entry(job_id)
    if call:
        call = with_stored(call, definition_to_dict(entry.job, service.job_json.hide), entry.job)
    check, key = _check_of(service, request, call), read_key(request)
    run = scheduler.run_job(job_id, False, None, check, key=key, **call)
    if wait:
        _wait(run, request, min(service.settings.api_run_timeout, request.longest_wait))
    headers = _headers(service, request, run)
    if wait and run.record is not None and run.record.outcome is not Outcome.EXECUTED:
        raise RunFailed(_failure(run.record, scheduler.redact), headers)
    if wants_to_wait and not wait:
        headers["Preference-Applied"] = "respond-async"
    # Removed meanwhile, maybe by the run itself, or the store is away: shown as it was.
    with suppress(LookupError, StoreError):
        entry = scheduler.entry(job_id)
    reply = show(service, entry)
    return reply._replace(headers={**reply.headers, **headers})


def _wait(run: Run, request: Incoming, seconds: float) -> None:
    """Wait until a run has ended, at most so many seconds, and no longer than its client does.

    Raises:
        ClientDisconnected: if the client has disconnected; the run continues.
    """
    deadline = Deadline(seconds)
    while left := deadline.left():
        if run.wait(min(_POLL_EVERY, left)):
            return
        connection.check_client(request.environ)


def _read(body: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Return whether to wait, and the arguments for this run.

    Raises:
        InvalidOptionError: if something is not known, or not what it has to be.
    """
    check_fields(body, _FIELDS)
    wait = body.get("wait", True)
    if not isinstance(wait, bool):
        raise InvalidOptionError("wait", wait, "true or false")
    call = {name: body[name] for name in ("args", "kwargs") if body.get(name) is not None}
    for name, kind, expected in (("args", list, "an array"), ("kwargs", dict, "an object")):
        if name in call and not isinstance(call[name], kind):
            raise InvalidOptionError(name, call[name], expected)
    return wait, call


def read_key(request: Incoming) -> str | None:
    """Return the key that identifies repeated requests.

    Raises:
        BadRequest: if it is none.
    """
    key: str | None = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not (0 < len(key) <= MAX_ID_LENGTH and key.isascii() and key.isprintable()):
        raise BadRequest(
            f"Idempotency-Key={key[:80]!r}: expected 1 to {MAX_ID_LENGTH} printable ASCII"
            " characters, a UUID say"
        )
    return key


def _check_of(service: Service, request: Incoming, call: Mapping[str, Any]) -> Check | None:
    """Return a function that checks the job to run: its ETag, and whether it may be called so."""
    check = check_of(request, service.job_json)
    if not call:
        return check

    def check_both(entry: Entry) -> None:
        if check is not None:
            check(entry)
        service.allowed.check_call(entry.job, service.scheduler.registered)

    return check_both


def _headers(service: Service, request: Incoming, run: Run) -> dict[str, str | tuple[str, ...]]:
    """Return headers with the id, the address and the outcome of the run."""
    root = request.environ.get("SCRIPT_NAME", "").encode("latin-1", "replace")
    return {
        "Location": f"{quote(root)}{quote(service.settings.api_prefix)}/runs/{run.id}",
        "X-Run-Id": str(run.id),
        "X-Run-Outcome": run.state if run.outcome is None else run.outcome.value,
    }


def _failure(record: RunRecord, redact: Redact | None) -> str:
    if record.outcome is Outcome.FAILED:
        text = record.error_text or ""
        shown = text if redact is None else redact(text)
        return f"job {record.job_id!r} raised {record.error_type}: {shown}"
    return f"the run of job {record.job_id!r} did not take place: {record.outcome.value}"
