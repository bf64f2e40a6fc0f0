"""The API described in OpenAPI 3.1, from the one table of routes."""

from __future__ import annotations

from typing import Any

from schedcore import Outcome, __version__
from schedcore.job import OVERLAPS
from schedhttp import listing
from schedhttp.insights import MOST_FIRE_TIMES
from schedhttp.routes import ROUTES, Route
from schedhttp.settings import Settings

Json = dict[str, Any]


def document(settings: Settings) -> Json:
    """Return the description of the API as these settings serve it."""
    paths: dict[str, Json] = {}
    for route in ROUTES:
        path = (settings.api_prefix + route.path or "/").replace("<job_id:job_id>", "{job_id}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, settings)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "schedcore",
            "version": __version__,
            "description": "Management of a job scheduler and its jobs.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        # One of them, where authentication is set up; none on this computer where it is not.
        "security": [{"basic": []}, {"bearer": []}, {}],
    }


def _operation(route: Route, settings: Settings) -> Json:
    operation: Json = {
        "operationId": route.name,
        "summary": (route.view.__doc__ or "").partition("\n")[0],
        "parameters": _parameters(route),
        "responses": _responses(route, settings),
    }
    if route.takes is not None:
        operation["requestBody"] = {
            "required": route.takes != "Wait",
            "content": {"application/json": {"schema": _ref(route.takes)}},
        }
    return operation


def _parameters(route: Route) -> list[Json]:
    parameters: list[Json] = []
    if "job_id" in route.path:
        parameters.append(_parameter("job_id", "path", _JOB_ID, required=True))
    parameters += [_parameter(name, "query", _QUERY[name]) for name in route.query]
    if route.name in ("update_job", "delete_job"):
        parameters.append(_parameter("If-Match", "header", {"type": "string"}))
    return parameters


def _parameter(name: str, place: str, schema: Json, required: bool = False) -> Json:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _responses(route: Route, settings: Settings) -> Json:
    if route.gives is None:
        responses: Json = {"204": {"description": "Done."}}
    else:
        shown: Json = {"description": "Done.", "content": _json(_ref(route.gives))}
        if route.gives == "Job":
            shown["headers"] = {"ETag": {"schema": {"type": "string"}}}
        responses = {"200": shown}
    if route.gives == "Health":
        responses["503"] = {"description": "It does not work.", "content": _json(_ref("Health"))}
    for status in sorted(_error_statuses(route, settings)):
        error = {"description": _ERRORS[status], "content": _json(_ref("Error"))}
        responses.setdefault(str(status), error)
    return responses


def _error_statuses(route: Route, settings: Settings) -> set[int]:
    """Return the statuses of errors that an endpoint can answer."""
    statuses = {401, 403, 429, 500, 503}
    if "job_id" in route.path:
        statuses.add(404)
    if route.query or route.takes or route.method == "POST":
        statuses |= {400, 413}
    if route.name == "add_job":
        statuses.add(409)
    if route.name in ("update_job", "delete_job"):
        statuses.add(412)
    if settings.api_precise_errors and (route.takes or route.method == "POST"):
        statuses |= {409, 422}
    return statuses


_ERRORS = {
    400: "The request cannot be read, or the scheduler is (not) running already.",
    401: "Credentials are needed.",
    403: "Not for this client, or not allowed by the settings.",
    404: "There is no such job.",
    409: "There is such a job already.",
    412: "The job was changed meanwhile.",
    413: "The body is too long.",
    422: "What is asked for makes no sense.",
    429: "Too many wrong passwords.",
    500: "What is asked for makes no sense, or the job failed.",
    503: "No process holds the scheduler at the moment.",
}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _object(properties: Json, required: list[str] | None = None, **more: Any) -> Json:
    return {"type": "object", "properties": properties, "required": required or [], **more}


def _optional(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_JOB_ID: Json = {"type": "string", "minLength": 1, "maxLength": 255}
_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}
_CUT: Json = {"const": True, "description": "The search for more was cut short."}
_NUMBER: Json = {"type": "number"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TIME: Json = {"type": "string", "format": "date-time"}
_OUTCOMES: Json = {"type": "string", "enum": [outcome.value for outcome in Outcome]}
_QUERY: dict[str, Json] = {
    "n": {"type": "integer", "minimum": 0, "maximum": MOST_FIRE_TIMES, "default": 10},
    "limit": {"type": "integer", "minimum": 0, "maximum": listing.MOST},
    "offset": {"type": "integer", "minimum": 0, "maximum": listing.MOST, "default": 0},
    "state": {"type": "string", "enum": list(listing.STATES)},
    "q": _TEXT,
    "sort": {"type": "string", "pattern": "^-?(next_run_time|id|name)$"},
    "fields": _TEXT,
    "outcome": _OUTCOMES,
}


def _options() -> Json:
    """Return the options that tell how a job is run."""
    seconds = _optional({"type": "number", "exclusiveMinimum": 0})
    return {
        "misfire_grace_time": seconds,
        "coalesce": _FLAG,
        "max_instances": {"type": "integer", "minimum": 1},
        "executor": _TEXT,
        "overlap": {"type": "string", "enum": list(OVERLAPS)},
        "timeout": seconds,
        "retry": {"anyOf": [{"type": "integer"}, {"type": "object"}, {"type": "null"}]},
    }


def _writable() -> Json:
    """Return what a client may give of a job; options of its trigger stand beside these."""
    return {
        "name": _optional(_TEXT),
        "func": {"type": "string", "examples": ["package.module:function"]},
        "args": {"type": "array"},
        "kwargs": {"type": "object"},
        "trigger": {"anyOf": [_TEXT, {"type": "object"}]},
        "next_run_time": _optional(_TEXT),
        **_options(),
    }


def _schemas() -> Json:
    new = {"id": _JOB_ID, **_writable(), "replace_existing": _FLAG}
    shown = {
        "id": _JOB_ID,
        **_writable(),
        "next_run_time": _optional(_TIME),
        "state": {"type": "string", "enum": list(listing.STATES)},
        "broken": _TEXT,
        "shown_as_repr": {"type": "array", "items": _TEXT},
    }
    times = {"type": "array", "items": _TIME}
    return {
        "Error": _object({"error_message": _TEXT, "error_type": _TEXT}, ["error_message"]),
        "Info": _object(
            {
                "current_host": _TEXT,
                "allowed_hosts": {"type": "array", "items": _TEXT},
                "running": _FLAG,
                "state": {"type": "string", "enum": ["stopped", "running", "paused", "standby"]},
                "holder": _optional(
                    _object(
                        {"pid": _COUNT, "host": _TEXT, "since": _TIME}, ["pid", "host", "since"]
                    )
                ),
            },
            ["current_host", "allowed_hosts", "running"],
        ),
        "Job": _object(shown, ["id", "name", "func", "args", "kwargs", "trigger", "state"]),
        # With ?fields= a job in a list has those alone.
        "Jobs": {"type": "array", "items": _object(shown)},
        "NewJob": _object(new, ["func"]),
        "JobChanges": _object(_writable()),
        "Preview": _object(new),
        "Previewed": _object(
            {
                "next_fire_times": times,
                "truncated": _CUT,
                "warnings": {"type": "array", "items": _TEXT},
            },
            ["next_fire_times", "warnings"],
        ),
        "Next": _object(
            {"id": _JOB_ID, "next_fire_times": times, "truncated": _CUT}, ["id", "next_fire_times"]
        ),
        "Wait": _object({"wait": {"type": "boolean", "default": True}}),
        "Runs": {"type": "array", "items": _run()},
        "Health": _object(
            {
                "ok": _FLAG,
                "state": _TEXT,
                "stalled_for": _NUMBER,
                "behind": _NUMBER,
                "loop_failures": _COUNT,
                "loop_restarts": _COUNT,
                "listener_failures": _COUNT,
                "runs": _COUNT,
            },
            ["ok", "state"],
        ),
        "OpenApi": {"type": "object"},
    }


def _run() -> Json:
    return _object(
        {
            "run_id": _optional(_COUNT),
            "job_id": _TEXT,
            "outcome": _OUTCOMES,
            "scheduled": _TIME,
            "started": _optional(_TIME),
            "ended": _optional(_TIME),
            "lateness": _NUMBER,
            "occurrences": _COUNT,
            "result": _optional(_TEXT),
            "error_type": _optional(_TEXT),
            "error_text": _optional(_TEXT),
            "attempt": _COUNT,
        },
        ["job_id", "outcome", "scheduled"],
    )
