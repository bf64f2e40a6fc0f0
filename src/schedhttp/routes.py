"""The one table of endpoints: name, method, path, view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from werkzeug.routing import BaseConverter, Map, Rule

from schedhttp import paging, run_paging
from schedhttp.views import (
    backfill,
    bulk,
    changes,
    jobs,
    running,
    runs,
    scheduler,
)
from schedhttp.views.base import Reply


class Route(NamedTuple):
    """One endpoint."""

    name: str
    """Flask-APScheduler's name; Flask's endpoint is this name after a prefix."""
    method: str
    path: str
    """Below the API's prefix."""
    view: Callable[..., Reply]
    changes: bool = True
    """Whether it changes anything: clients with read-only access may not use it."""
    takes: str | None = None
    """The schema of its body, if it takes one."""
    gives: str | None = "Job"
    """The schema of its answer; None: no content, with status 204."""
    query: tuple[str, ...] = ()
    """The parameters of its query."""
    open: bool = False
    """Whether it needs no credentials, from any address; only for endpoints that change nothing."""
    media: str = "application/json"
    """The content type of its answer."""


_JOB = "/jobs/<job_id:job_id>"

_BULK: Final[Mapping[str, Any]] = {"gives": "Done", "query": bulk.PARAMETERS}

ROUTES: tuple[Route, ...] = (
    Route("get_scheduler_info", "GET", "", scheduler.get_scheduler_info, False, gives="Info"),
    Route("start_scheduler", "POST", "/start", scheduler.start_scheduler, gives=None),
    Route("pause_scheduler", "POST", "/pause", scheduler.pause_scheduler, gives=None),
    Route("resume_scheduler", "POST", "/resume", scheduler.resume_scheduler, gives=None),
    Route(
        "shutdown_scheduler", "POST", "/shutdown", scheduler.shutdown_scheduler, True, "Wait", None
    ),
    Route("add_job", "POST", "/jobs", jobs.add_job, True, "NewJobs", "AddedJobs"),
    Route("get_jobs", "GET", "/jobs", jobs.get_jobs, False, None, "Jobs", paging.JOB_PARAMETERS),
    Route("get_job", "GET", _JOB, jobs.get_job, False),
    Route("delete_job", "DELETE", _JOB, jobs.delete_job, gives=None),
    Route("update_job", "PATCH", _JOB, jobs.update_job, True, "JobChanges"),
    Route("pause_job", "POST", _JOB + "/pause", jobs.pause_job),
    Route("resume_job", "POST", _JOB + "/resume", jobs.resume_job),
    Route("run_job", "POST", _JOB + "/run", running.run_job, True, "NewRun"),
    # Endpoints that Flask-APScheduler does not have
    Route("delete_jobs", "DELETE", "/jobs", bulk.delete_jobs, **_BULK),
    Route("pause_jobs", "POST", "/jobs/pause", bulk.pause_jobs, **_BULK),
    Route("resume_jobs", "POST", "/jobs/resume", bulk.resume_jobs, **_BULK),
    Route("run_jobs", "POST", "/jobs/run", bulk.run_jobs, gives="Begun", query=bulk.PARAMETERS),
    Route(
        "backfill_job",
        "POST",
        _JOB + "/backfill",
        backfill.backfill_job,
        True,
        "Backfill",
        "Backfilled",
        ("confirm",),
    ),
    Route("get_next", "GET", _JOB + "/next", runs.get_next, False, None, "Next", ("n",)),
    Route(
        "get_job_runs",
        "GET",
        _JOB + "/runs",
        runs.get_job_runs,
        False,
        None,
        "Runs",
        run_paging.PARAMETERS,
    ),
    Route(
        "get_runs",
        "GET",
        "/runs",
        runs.get_runs,
        False,
        None,
        "Runs",
        ("job", *run_paging.PARAMETERS),
    ),
    Route("get_run", "GET", "/runs/<run_id>", runs.get_run, False, gives="Run"),
    Route(
        "get_output",
        "GET",
        "/runs/<run_id>/output",
        runs.get_output,
        False,
        gives="Output",
        query=("after",),
    ),
    Route("cancel_run", "POST", "/runs/<run_id>/cancel", runs.cancel_run, gives="Run"),
    Route("get_counts", "GET", "/counts", runs.get_counts, False, gives="Counts", query=("job",)),
    Route(
        "get_changes",
        "GET",
        "/changes",
        changes.get_changes,
        False,
        None,
        "Changes",
        changes.CHANGE_PARAMETERS,
    ),
    Route(
        "get_audit",
        "GET",
        "/audit",
        changes.get_audit,
        False,
        None,
        "Audit",
        changes.AUDIT_PARAMETERS,
    ),
    Route("preview", "POST", "/preview", runs.preview, False, "Preview", "Previewed", ("n",)),
    Route(
        "get_forecast",
        "GET",
        "/forecast",
        scheduler.get_forecast,
        False,
        gives="Forecast",
        query=("hours",),
    ),
    Route("get_health", "GET", "/health", scheduler.get_health, False, gives="Health"),
    Route("get_live", "GET", "/live", scheduler.get_live, False, gives="Live", open=True),
    Route("get_ready", "GET", "/ready", scheduler.get_ready, False, gives="Ready", open=True),
    Route(
        "get_metrics",
        "GET",
        "/metrics",
        scheduler.get_metrics,
        False,
        None,
        "Metrics",
        media="text/plain",
    ),
    Route("get_openapi", "GET", "/openapi.json", scheduler.get_openapi, False, gives="OpenApi"),
)
BY_NAME = {route.name: route for route in ROUTES}
BELOW_JOB: dict[str, frozenset[str]] = {
    route.path.rpartition("/")[2]: frozenset(
        {"GET", "HEAD"} if route.method == "GET" else {route.method}
    )
    for route in ROUTES
    if route.path.startswith(_JOB + "/")
}
"""The last parts of paths below a job's, and their methods."""


class JobIdConverter(BaseConverter):
    """Any text as a job's id, slashes included."""

    regex = r"[\s\S]+?"
    part_isolating = False
    weight = 200


CONVERTERS = {"job_id": JobIdConverter}


def rule_of(route: Route, prefix: str, endpoint: str) -> Rule:
    """Return the routing rule of an endpoint; a trailing slash is allowed."""
    return Rule(
        prefix + route.path or "/",
        endpoint=endpoint,
        methods=[route.method],
        strict_slashes=False,
        merge_slashes=False,
    )


# Cached for further apps, as in tests: creating all rules of an app takes 0.05 s.
@lru_cache(maxsize=32)
def url_map(prefix: str, method: str | None = None) -> Map:
    """Return the map of the endpoints below *prefix*, by their bare names; do not modify it.

    Args:
        prefix: The beginning of all paths.
        method: Only endpoints of this method; None: all.
    """
    return Map(
        [rule_of(route, prefix, route.name) for route in ROUTES if method in (None, route.method)],
        converters=CONVERTERS,
        merge_slashes=False,
    )
