"""Conditional requests (RFC 9110, section 13): on what a client has seen, or has not.

A job's ETag has two parts, ``"definition.place"``.  ``If-Match`` compares the definition (with
paused or not) alone: the place changes with each run, and a job that runs each second could never
be changed otherwise.  ``If-None-Match`` compares all of it, so that 304 is never an old answer.
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
    """Return what checks a job by the conditions of *request*; None: there are none."""
    environ = request.environ
    if "HTTP_IF_MATCH" not in environ and "HTTP_IF_NONE_MATCH" not in environ:
        return None
    return lambda entry: check(request, job_json, entry)


def check(request: Incoming, job_json: JobJson, entry: Entry) -> None:
    """Refuse to do something to a job that is not the one that the client means.

    Raises:
        PreconditionFailed: if there is an ``If-Match`` that does not name the job's ETag, or an
            ``If-None-Match`` that does, while the method is one that changes something.
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
    """Return what to answer where there is no job: a condition on it cannot hold."""
    if "HTTP_IF_MATCH" in request.environ and request.method not in _SAFE:
        return PreconditionFailed(f"{error}; If-Match requires that it exists")
    return error


def wants_new(request: Incoming) -> bool:
    """Return whether a job is to be added only if there is none with its id: ``If-None-Match: *``.

    Raises:
        BadRequest: if there is another condition, since what is added has no ETag yet.
    """
    environ = request.environ
    if "HTTP_IF_MATCH" not in environ and "HTTP_IF_NONE_MATCH" not in environ:
        return False
    if "HTTP_IF_MATCH" in environ or environ["HTTP_IF_NONE_MATCH"].strip() != "*":
        raise BadRequest(
            "adding a job accepts only the condition If-None-Match: *; to change a job, use PATCH"
            " with If-Match"
        )
    return True


def is_known(request: Incoming, etag: str) -> bool:
    """Return whether the client has the version with this ETag already: 304 and no body will do."""
    return "HTTP_IF_NONE_MATCH" in request.environ and request.whole.if_none_match.contains_weak(
        etag
    )


def _matches(request: Incoming, job_json: JobJson, entry: Entry) -> bool:
    given = request.whole.if_match
    if given.star_tag:
        return True
    definition = job_json.definition_etag(entry)
    # Werkzeug makes None of "".
    return any((tag or "").partition(".")[0] == definition for tag in given.as_set())
