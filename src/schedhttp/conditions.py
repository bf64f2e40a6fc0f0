"""Conditional requests (RFC 9110, section 13).

A job's ETag has two parts, ``"definition.place"``.  ``If-Match`` compares only the definition (and
whether the job is paused): the place changes with each run, so otherwise a job that runs every
second could never be changed.  ``If-None-Match`` compares both, so 304 never means an old answer.
"""

from __future__ import annotations

from schedcore import JobLookupError
from schedcore.changes.changing import Check
from schedcore.stores.base import Entry
from schedhttp.errors import BadRequest, PreconditionFailed
from schedhttp.job_json import JobJson
from schedhttp.request import Incoming

_SAFE = ("GET", "HEAD")


def check_of(request: Incoming, job_json: JobJson) -> Check | None:
    """Return a function that checks a job by the conditions of *request*; None: there are none."""
    if not _has_condition(request):
        return None
    return lambda entry: check(request, job_json, entry)


def check(request: Incoming, job_json: JobJson, entry: Entry) -> None:
    """Refuse to change a job that is not in the state that the client expects.

    Raises:
        PreconditionFailed: if ``If-Match`` does not contain the job's ETag, or ``If-None-Match``
            does and the method is one that changes something.
    """
    environ, job_id = request.environ, entry.job.id
    if "HTTP_IF_MATCH" in environ and not _matches(request, job_json, entry):
        raise PreconditionFailed(
            f"job {job_id!r} was changed since: get it again, and send its ETag as If-Match"
        )
    if (
        "HTTP_IF_NONE_MATCH" in environ
        and request.method not in _SAFE
        and request.whole.if_none_match.contains_weak(job_json.etag(entry))
    ):
        raise PreconditionFailed(
            f"job {job_id!r} exists, and If-None-Match requires that it does not"
        )


def missing(request: Incoming, error: JobLookupError) -> Exception:
    """Return the error for a missing job: no condition on it can hold."""
    if "HTTP_IF_MATCH" in request.environ and request.method not in _SAFE:
        return PreconditionFailed(f"{error}; If-Match requires that it exists")
    return error


def refuse(request: Incoming, what: str) -> None:
    """Refuse conditions where none is checked, since ignoring one would do what it forbids.

    Raises:
        BadRequest: if there is one; *what* says what accepts none.
    """
    if _has_condition(request):
        raise BadRequest(f"{what} accepts no condition but confirm=: expected no If-Match")


def wants_new(request: Incoming) -> bool:
    """Return whether to add a job only if none has its id: ``If-None-Match: *``.

    Raises:
        BadRequest: if there is another condition, since a new job has no ETag yet.
    """
    environ = request.environ
    if not _has_condition(request):
        return False
    if "HTTP_IF_MATCH" in environ or environ["HTTP_IF_NONE_MATCH"].strip() != "*":
        raise BadRequest(
            "adding a job accepts only the condition If-None-Match: *; to change a job, use PATCH"
            " with If-Match"
        )
    return True


def is_known(request: Incoming, etag: str) -> bool:
    """Return whether the client already has the version with this ETag, so that 304 suffices."""
    return "HTTP_IF_NONE_MATCH" in request.environ and request.whole.if_none_match.contains_weak(
        etag
    )


def _has_condition(request: Incoming) -> bool:
    return "HTTP_IF_MATCH" in request.environ or "HTTP_IF_NONE_MATCH" in request.environ


def _matches(request: Incoming, job_json: JobJson, entry: Entry) -> bool:
    given = request.whole.if_match
    if given.star_tag:
        return True
    definition = job_json.definition_etag(entry)
    # Werkzeug turns "" into None.
    return any((tag or "").partition(".")[0] == definition for tag in given.as_set())
