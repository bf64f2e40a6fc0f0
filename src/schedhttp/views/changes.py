"""The endpoints for changes: events for clients that follow them, and the audit."""

from __future__ import annotations

from functools import partial
from typing import Final

from schedcore import ChangesLostError, InvalidOptionError, RunRecord
from schedcore.clock import from_us
from schedcore.methods.changes import MOST_AT_ONCE
from schedcore.output.text import Redact
from schedhttp import connection
from schedhttp.errors import BadRequest, Forbidden, Gone
from schedhttp.hiding import change_without_secrets, run_without_secrets
from schedhttp.paging import link
from schedhttp.request import Incoming, read_count
from schedhttp.run_paging import read_job, read_moment
from schedhttp.shown import (
    AUDIT,
    EVENT,
    EventShown,
    RunShown,
)
from schedhttp.views.base import Reply, Service

LONGEST_WAIT: Final = 60
"""Maximum number of seconds that a request may wait for an event."""
AUDIT_PARAMETERS: Final = ("job", "since", "before", "limit")
CHANGE_PARAMETERS: Final = ("since", "wait", "limit")
_RECORDS: Final = 100
_MOST_ID: Final = 10**11


def get_changes(service: Service, request: Incoming) -> Reply:
    """Return what has happened since an earlier response; with `wait`, as soon as something has.

    If too many requests wait already, this one does not: `Retry-After` says when to ask again.
    """
    since = request.whole.args.get("since")
    wait = read_count(request, "wait", 0, LONGEST_WAIT) or 0
    limit = read_count(request, "limit", MOST_AT_ONCE, MOST_AT_ONCE)
    check = partial(connection.check_client, request.environ)
    try:
        position, events = service.scheduler.changes(
            since, wait if request.may_wait else 0, MOST_AT_ONCE if limit is None else limit, check
        )
    except ChangesLostError as error:
        raise Gone(str(error)) from None
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    headers = {} if events or request.may_wait or not wait else {"Retry-After": "1"}
    redact = service.scheduler.redact
    shown = [
        EVENT.to_dict(EventShown(event.event, event.at, event.job_id, _run(event.run, redact)))
        for event in events
    ]
    return Reply({"next": position, "events": shown}, headers=headers)


def _run(record: RunRecord | None, redact: Redact | None) -> RunShown | None:
    return None if record is None else run_without_secrets(RunShown.of(record), redact)


def get_audit(service: Service, request: Incoming) -> Reply:
    """Return who changed what, when and from where, newest first; not for read-only clients."""
    if not request.may_change:
        raise Forbidden(
            "the audit shows what users do, and from where: only credentials that may change"
            " things can read it, and SCHEDULER_API_READ_ONLY names these"
        )
    given = read_count(request, "limit", _RECORDS, MOST_AT_ONCE)
    limit = _RECORDS if given is None else given
    since_us = read_moment(service.scheduler, request, "since")
    try:
        records = service.scheduler.audit(
            read_job(request),
            None if since_us is None else from_us(since_us),
            read_count(request, "before", None, _MOST_ID),
            limit,
        )
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    headers = {}
    if len(records) == limit:
        others = {k: v for k, v in request.whole.args.items() if k != "before"}
        headers["Link"] = link("next", {**others, "before": records[-1].id})
    redact = service.scheduler.redact
    shown = [change_without_secrets(AUDIT.to_dict(record), redact) for record in records]
    return Reply(shown, headers=headers)
