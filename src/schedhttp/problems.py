"""Errors to responses, in one place: the status, and ``{"error_message": ..., "error_type": ...}``.

The documented API answers 500 where a client asks for something impossible.  With
``SCHEDULER_API_PRECISE_ERRORS`` the second column counts.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping

from werkzeug.exceptions import HTTPException

from schedcore import (
    ConflictingIdError,
    InvalidOptionError,
    JobChangedError,
    JobLookupError,
    MaxInstancesError,
    RunEndedError,
    RunLookupError,
    SchedError,
    SchedulerAlreadyRunningError,
    SchedulerNotRunningError,
    StoreError,
)
from schedhttp.errors import Refusal
from schedhttp.views.base import Reply

log = logging.getLogger(__name__)

STATUSES: tuple[tuple[type[SchedError], int, int], ...] = (
    # error                          documented  precise
    (ConflictingIdError, 409, 409),
    (JobChangedError, 409, 409),
    (JobLookupError, 404, 404),
    (RunEndedError, 409, 409),
    (RunLookupError, 404, 404),
    (SchedulerAlreadyRunningError, 400, 409),
    (SchedulerNotRunningError, 500, 409),
    (MaxInstancesError, 500, 409),
    (InvalidOptionError, 500, 422),
)
# Shutting down what is not running is documented as 400, while for pause and resume it is 500.
_NOT_RUNNING_AT_SHUTDOWN = 400
_TRY_AGAIN = "1"
"""Seconds after which a store that was away may be back."""


def problem(error: BaseException, precise: bool, endpoint: str | None) -> Reply:
    """Return the response to *error*, raised by the endpoint of this name.

    An error that nobody expected is logged in full, and the client gets a number to look it up by:
    its text may hold what is none of the client's business.
    """
    if isinstance(error, Refusal):
        name = type(error).__name__
        return _reply(error.status, str(error), name, error.headers, error.details)
    if isinstance(error, HTTPException) and error.code is not None:
        return _http_problem(error, error.code)
    if isinstance(error, StoreError):  # where the store is on this computer, no client is told
        text = f"the store cannot be used at the moment: {error.problem}"
        return _reply(503, text, type(error).__name__, {"Retry-After": _TRY_AGAIN})
    for kind, documented, precisely in STATUSES:
        if isinstance(error, kind):
            status = precisely if precise else documented
            if kind is SchedulerNotRunningError and endpoint == "shutdown_scheduler":
                status = _NOT_RUNNING_AT_SHUTDOWN
            return _reply(status, str(error), type(error).__name__)
    number = uuid.uuid4().hex[:12]
    log.error("error %s while answering %s", number, endpoint, exc_info=error)
    return _reply(500, f"internal error; the server's log has it as {number}", "InternalError")


def _http_problem(error: HTTPException, code: int) -> Reply:
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    return _reply(code, str(error.description or error.name), type(error).__name__, headers)


def _reply(
    status: int,
    message: str,
    error_type: str,
    headers: Mapping[str, str | tuple[str, ...]] | None = None,
    details: Mapping[str, object] | None = None,
) -> Reply:
    body = {"error_message": message, "error_type": error_type, **(details or {})}
    return Reply(body, status, headers or {})
