"""The API described in OpenAPI 3.1, from the one table of routes."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from schedcore import __version__
from schedcore.load_forecast import MOST_HOURS
from schedcore.methods.changes import MOST_AT_ONCE
from schedhttp import codec, paging, run_paging
from schedhttp.job_examples import NEW_JOBS
from schedhttp.routes import ROUTES, Route
from schedhttp.schemas import COUNT, JOB_ID, MOMENT, OUTCOME, TAG, TEXT, schemas
from schedhttp.settings import Settings
from schedhttp.shapes import (
    Json,
    ref,
)
from schedhttp.views import changes
from schedhttp.views.runs import MOST_AFTER, MOST_FIRE_TIMES
from schedhttp.views.scheduler import HOURS

_DESCRIPTION = """\
Management of a job scheduler and its jobs.

A client's mistake is answered with 500, as the documented API of Flask-APScheduler has it, unless
the setting SCHEDULER_API_PRECISE_ERRORS is on: then a mistake is 422, and a conflict 409.  Turn it
on for new clients: what retries after a 500, or raises an alarm, then does so for faults alone.
Without it, `error_type` tells them apart: `InternalError` is a fault.
"""


def document(settings: Settings, root: str = "") -> Json:
    """Return the description of the API as these settings serve it.

    Args:
        settings: Of the API.
        root: The path below which the app is mounted, as PEP 3333 has it.
    """
    paths: dict[str, Json] = {}
    for route in ROUTES:
        path = (quote(settings.api_prefix) + route.path) or "/"
        path = path.replace("<job_id:job_id>", "{job_id}").replace("<run_id>", "{run_id}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, settings)
    return {
        "openapi": "3.1.0",
        "info": {"title": "schedcore", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": quote(root.encode("latin-1", "replace")) or "/"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "headers": _HEADERS,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        # One of them, where authentication is set up; none on this computer where it is not.
        "security": _ANY_SECURITY,
    }


_ANY_SECURITY: Final[list[Json]] = [{"basic": []}, {"bearer": []}, {}]
_TAGS: Final = {
    "scheduler": "The scheduler itself: its state and its health.",
    "jobs": "Jobs: add, show, change, run and remove them.",
    "runs": "Open, ended and future runs.",
}


def _operation(route: Route, settings: Settings) -> Json:
    operation: Json = {
        "operationId": route.name,
        "summary": (route.view.__doc__ or "").partition("\n")[0],
        "tags": [_tag(route)],
        "parameters": _parameters(route),
        "responses": _responses(route, settings),
    }
    if route.open:
        operation["security"] = [{}]
    if route.takes is not None:
        content: Json = {"schema": ref(route.takes)}
        if route.takes == "NewJobs":
            content["examples"] = {name: {"value": job} for name, job in NEW_JOBS.items()}
        operation["requestBody"] = {
            "required": route.takes in _NEEDED,
            "content": {"application/json": content},
        }
    return operation


_NEEDED: Final = ("NewJobs", "JobChanges", "Preview", "Backfill")


def _tag(route: Route) -> str:
    if route.gives in ("Run", "Runs", "Output", "Counts", "Next", "Previewed", "Forecast"):
        return "runs"
    return "jobs" if "/jobs" in route.path else "scheduler"


def _parameters(route: Route) -> list[Json]:
    parameters: list[Json] = []
    if "job_id" in route.path:
        description = "Encoded as one part of a path: a slash in it is %2F."
        parameters.append(_parameter("job_id", "path", JOB_ID, description) | {"required": True})
    if "<run_id>" in route.path:
        description = "As in the lists of runs."
        parameters.append(_parameter("run_id", "path", _RUN_ID, description) | {"required": True})
    known = _QUERY | _QUERY_OF.get(route.gives or "", {})
    parameters += [_parameter(name, "query", *known[name]) for name in route.query]
    parameters += [
        _parameter(name, "header", TEXT, description)
        for name, description in _REQUEST_HEADERS.items()
        if name in _headers_of(route)
    ]
    return parameters


def _parameter(name: str, place: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": place, "schema": schema, "description": description}


_REQUEST_HEADERS: Final = {
    "Idempotency-Key": "A text of the client's own, 1 to 255 characters: for a day, the same key"
    " for the same job returns the same run.",
    "If-Match": "An ETag: acts only if the job is unchanged; 412 if not.",
    "If-None-Match": "An ETag: 304 if nothing has changed; * for a new job: 412 if it exists.",
}


def _headers_of(route: Route) -> tuple[str, ...]:
    if route.name in ("get_job", "get_jobs", "add_job"):
        return ("If-None-Match",)
    if route.name == "run_job":
        return ("If-Match", "Idempotency-Key")
    if route.name == "run_jobs":
        return ("Idempotency-Key",)
    return ("If-Match",) if route.name in _ON_ONE_JOB else ()


_ON_ONE_JOB: Final = ("update_job", "delete_job", "pause_job", "resume_job", "run_job")


def _responses(route: Route, settings: Settings) -> Json:
    if route.gives is None:
        responses: Json = {"204": {"description": "Done."}}
    else:
        responses = {"200": _shown(route, _DONE.get(route.name, "Done."))}
    if "If-None-Match" in _headers_of(route) and route.method == "GET":
        responses["304"] = {"description": "Nothing has changed.", **_with_headers("ETag")}
    if route.gives in ("Health", "Live", "Ready"):
        description = "No: it does not work, or its store cannot be used."
        responses["503"] = _shown(route, description)
        if route.gives == "Health":
            responses["503"]["content"] = _json({"anyOf": [ref("Health"), ref("Error")]})
        responses["503"] |= _with_headers("Retry-After")
    if "confirm" in route.query:
        description = (
            "An action on many jobs or due times is not confirmed, or others changed them."
        )
        content = _json({"anyOf": [ref("NotConfirmed"), ref("Error")]})
        responses["409"] = {"description": description, "content": content}
    for status in sorted(_error_statuses(route, settings)):
        error = {"description": _ERRORS[status], "content": _json(ref("Error"))}
        headers = _ERROR_HEADERS.get(status, ())
        responses.setdefault(str(status), {**error, **_with_headers(*headers)})
    return responses


_DONE: Final = {
    "run_job": "It ran, and succeeded; or it still runs, as X-Run-Outcome says: `wait` is"
    " false, or the run takes longer than SCHEDULER_API_RUN_TIMEOUT.",
    "get_jobs": "The jobs that the query selects.",
}
_SHOWN_HEADERS: Final = {
    "Job": ("ETag",),
    "AddedJobs": ("ETag",),
    "Jobs": ("ETag", "X-Total-Count", "Link"),
    "Runs": ("X-Total-Count", "Link"),
    "Changes": ("Retry-After",),
    "Audit": ("Link",),
}


def _shown(route: Route, description: str) -> Json:
    assert route.gives is not None
    headers = _SHOWN_HEADERS.get(route.gives, ())
    if route.name == "run_job":
        headers += ("Location", "X-Run-Id", "X-Run-Outcome", "Preference-Applied")
    return {
        "description": description,
        "content": {route.media: {"schema": ref(route.gives)}},
        **_with_headers(*headers),
    }


def _error_statuses(route: Route, settings: Settings) -> set[int]:
    """Return the statuses of errors that an endpoint can answer."""
    if route.open:
        return {400, 405}
    statuses = {400, 401, 403, 405, 429, 500, 503}
    if "_id>" in route.path or ("job" in route.query and route.gives != "Audit"):
        statuses.add(404)
    if route.name == "cancel_run":
        statuses.add(409)
    if route.name == "get_changes":
        statuses.add(410)
    if route.name == "get_metrics":
        statuses.add(501)
    if route.method in ("POST", "PATCH"):
        statuses |= {413}
    if route.name == "add_job":
        statuses |= {409, 412}
    if "confirm" in route.query:
        statuses.add(404)
    if route.name in _ON_ONE_JOB:
        statuses |= {409, 412}
    if settings.api_precise_errors and route.method in ("POST", "PATCH"):
        statuses |= {409, 422}
    return statuses


_ERRORS: Final = {
    400: "The request cannot be read, or the scheduler is (not) running already.",
    401: "Credentials are required.",
    403: "This client, or this request, is not allowed by the settings.",
    404: "There is no such job, or no such run.",
    405: "This address does not allow this method.",
    409: "The job exists already, the request conflicts with other changes, or the run has ended.",
    410: "Some events since then are no longer stored: start again, without since.",
    412: "A condition failed: the job was changed meanwhile.",
    413: "The body is too long.",
    422: "What is asked for makes no sense.",
    429: "Too many wrong passwords.",
    500: "What is asked for makes no sense, or the job failed.",
    501: "A required package is missing.",
    503: "The store cannot be used at the moment.",
}
_ERROR_HEADERS: Final = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_RUN_ID: Final[Json] = {"type": "string", "pattern": "^[0-9]{1,25}$"}
_HEADERS: Final[Json] = {
    "ETag": {"schema": TEXT, "description": "For If-Match and If-None-Match."},
    "X-Total-Count": {
        "schema": COUNT,
        "description": "The total number, whatever the limit; left out beyond 10,000 runs.",
    },
    "Link": {
        "schema": TEXT,
        "description": "Links to the first, prev, next and last part (RFC 8288); for runs, to the"
        " first and the next.",
    },
    "Location": {"schema": TEXT, "description": "The address of the run."},
    "X-Run-Id": {"schema": _RUN_ID, "description": "The run_id of the run."},
    "X-Run-Outcome": {
        "schema": {"type": "string", "enum": [*OUTCOME["enum"], "running", "waiting"]},
        "description": "The outcome of the run, or its state.",
    },
    "Preference-Applied": {
        "schema": TEXT,
        "description": "respond-async: too many requests wait for runs, and this one did not.",
    },
    "Retry-After": {"schema": COUNT, "description": "Seconds to wait before the next try."},
    "WWW-Authenticate": {"schema": TEXT, "description": "The accepted kinds of credentials."},
    "Allow": {"schema": TEXT, "description": "The allowed methods."},
}


def _with_headers(*names: str) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {"headers": headers} if headers else {}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _counted(most: int, **more: Any) -> Json:
    return {"type": "integer", "minimum": 0, "maximum": most, **more}


_QUERY: Final[dict[str, tuple[Json, str]]] = {
    "n": (_counted(MOST_FIRE_TIMES, default=10), "Number of fire times."),
    "limit": (_counted(paging.MOST), "How many there are in this part."),
    "offset": (_counted(paging.MOST, default=0), "How many to skip."),
    "after": (TEXT, "The id after which the part begins; with sort=id, or -id."),
    "state": ({"type": "string", "enum": list(codec.STATES)}, "Only jobs in this state."),
    "q": (TEXT, "Only jobs with this text in the id, the name or the function."),
    "tag": (
        {"type": "array", "items": TAG},
        "Only jobs that have this tag; if repeated, all of them.",
    ),
    "id": ({"type": "array", "items": JOB_ID}, "Only jobs that have one of these ids."),
    "all": ({"type": "string", "enum": ["true"]}, "All jobs, instead of q, tag, state and id."),
    "confirm": (
        COUNT,
        "The number of jobs, or due times; if it is wrong, 409, and nothing is done.",
    ),
    "sort": (
        {"type": "string", "pattern": "^-?(next_run_time|id|name)$"},
        "The order; with - before it, descending.  Pages are stable with id and -id.",
    ),
    "fields": (TEXT, "Only these fields of each job, separated by commas."),
    "include": (
        {"type": "string", "enum": ["runs"]},
        f"Adds fields about the last runs of each job; at most {paging.MOST_WITH_RUNS} jobs.",
    ),
    "job": (JOB_ID, "Only of this job."),
    "hours": (
        {"type": "integer", "minimum": 1, "maximum": MOST_HOURS, "default": HOURS},
        "How far to look ahead.",
    ),
}
_QUERY_OF_CHANGES: Final[dict[str, tuple[Json, str]]] = {
    "since": (
        {"type": "string", "pattern": "^[0-9a-f.-]{1,200}$"},
        "`next` of an earlier response; default: from now on, without events.",
    ),
    "wait": (
        _counted(changes.LONGEST_WAIT, default=0),
        "Seconds to wait for an event, if there is none yet.",
    ),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE, "default": MOST_AT_ONCE},
        "Maximum number of events.",
    ),
}
_QUERY_OF_AUDIT: Final[dict[str, tuple[Json, str]]] = {
    "since": (TEXT, f"Only changes at this time or later: {MOMENT}."),
    "before": (
        {"type": "integer", "minimum": 1, "maximum": 10**11},
        "The id after which the part begins: the newest comes first.",
    ),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE, "default": 100},
        "How many there are in this part.",
    ),
}
_OUTCOMES: Final = "|".join(OUTCOME["enum"])
_QUERY_OF_RUNS: Final[dict[str, tuple[Json, str]]] = {
    "limit": (_counted(run_paging.MOST_RUNS, default=100), "How many there are in this part."),
    "before": (_RUN_ID, "The run_id after which the part begins: the newest comes first."),
    "state": (
        {"type": "string", "enum": list(run_paging.STATES), "default": "ended"},
        "Only runs in this state; open is waiting or running.",
    ),
    "outcome": (
        {"type": "string", "pattern": f"^({_OUTCOMES})(,({_OUTCOMES}))*$"},
        "Only runs with this outcome, or with one of several, separated by commas.",
    ),
    "since": (
        TEXT,
        f"Only runs that were due at this time or later: {MOMENT}; then in the order of due times.",
    ),
    "until": (
        TEXT,
        f"Only runs that were due before this time: {MOMENT}; then in the order of due times.",
    ),
}
_QUERY_OF: Final = {
    "Runs": _QUERY_OF_RUNS,
    "Changes": _QUERY_OF_CHANGES,
    "Audit": _QUERY_OF_AUDIT,
    "Output": {
        "after": (
            _counted(MOST_AFTER, default=0),
            "How many characters to skip: `next` of the previous response.",
        )
    },
}
"""Parameters that mean something of their own where these are given."""
