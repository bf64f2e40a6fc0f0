"""The one table of endpoints: name, method, path, view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from schedhttp import insights, listing, views
from schedhttp.views import Reply


class Route(NamedTuple):
    """One endpoint."""

    name: str
    """As Flask-APScheduler calls it; Flask's endpoint is this behind a prefix."""
    method: str
    path: str
    """Below the API's prefix."""
    view: Callable[..., Reply]
    changes: bool = True
    """Whether it changes anything: those who may only read may not use it."""
    takes: str | None = None
    """The schema of its body, if it takes one."""
    gives: str | None = "Job"
    """The schema of what it answers; None: nothing, with 204."""
    query: tuple[str, ...] = ()
    """The parameters it knows."""


_JOB = "/jobs/<job_id:job_id>"
_PAGE = listing.PAGE_PARAMETERS

ROUTES: tuple[Route, ...] = (
    Route("get_scheduler_info", "GET", "", views.get_scheduler_info, False, gives="Info"),
    Route("start_scheduler", "POST", "/start", views.start_scheduler, gives=None),
    Route("pause_scheduler", "POST", "/pause", views.pause_scheduler, gives=None),
    Route("resume_scheduler", "POST", "/resume", views.resume_scheduler, gives=None),
    Route("shutdown_scheduler", "POST", "/shutdown", views.shutdown_scheduler, True, "Wait", None),
    Route("add_job", "POST", "/jobs", views.add_job, True, "NewJob"),
    Route("get_jobs", "GET", "/jobs", views.get_jobs, False, None, "Jobs", listing.JOB_PARAMETERS),
    Route("get_job", "GET", _JOB, views.get_job, False),
    Route("delete_job", "DELETE", _JOB, views.delete_job, gives=None),
    Route("update_job", "PATCH", _JOB, views.update_job, True, "JobChanges"),
    Route("pause_job", "POST", _JOB + "/pause", views.pause_job),
    Route("resume_job", "POST", _JOB + "/resume", views.resume_job),
    Route("run_job", "POST", _JOB + "/run", views.run_job, True, "Wait"),
    # What Flask-APScheduler does not have
    Route("get_next", "GET", _JOB + "/next", insights.get_next, False, None, "Next", ("n",)),
    Route(
        "get_job_runs",
        "GET",
        _JOB + "/runs",
        insights.get_job_runs,
        False,
        None,
        "Runs",
        (*_PAGE, "outcome"),
    ),
    Route("get_runs", "GET", "/runs", insights.get_runs, False, None, "Runs", (*_PAGE, "outcome")),
    Route("preview", "POST", "/preview", insights.preview, False, "Preview", "Previewed", ("n",)),
    Route("get_health", "GET", "/health", insights.get_health, False, gives="Health"),
    Route("get_openapi", "GET", "/openapi.json", insights.get_openapi, False, gives="OpenApi"),
)

Found = tuple[Route, Mapping[str, str]]
"""An endpoint, and the values that the path gives to its view."""
_NO_VALUES: Mapping[str, str] = {}


class Router:
    """Finds the endpoint of a path, in 0.5 us.

    A job's id may be any text, slashes included; where a path can be read in two ways, the endpoint
    with the longer ending counts.  A slash at the end of the other paths is tolerated.  Flask finds
    the same by its own rules (``tests/http/test_router.py`` compares them), in 10 us.

    Args:
        prefix: What all paths begin with.
    """

    def __init__(self, prefix: str) -> None:
        self._plain: dict[tuple[str, str], Found] = {}
        self._of_jobs: dict[str, list[tuple[str, Route]]] = {}
        self._begin_of_jobs = prefix + _JOB.partition("<")[0]
        self._methods: list[str] = []
        # The longest first: any path of a job fits the one that ends with its id.
        for route in sorted(ROUTES, key=lambda route: len(route.path), reverse=True):
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                self._add(method, route, prefix + route.path)

    def _add(self, method: str, route: Route, path: str) -> None:
        if method not in self._methods:
            self._methods.append(method)
        if route.path.startswith(_JOB):
            ending = route.path.removeprefix(_JOB)
            self._of_jobs.setdefault(method, []).append((ending, route))
        else:
            for same in {path, path.rstrip("/") + "/"}:
                self._plain[method, same] = route, _NO_VALUES

    def find(self, method: str, path: str) -> Found | None:
        """Return the endpoint and its values, if there is one."""
        found = self._plain.get((method, path))
        if found is None and path.startswith(self._begin_of_jobs):
            rest = path[len(self._begin_of_jobs) :]
            for ending, route in self._of_jobs.get(method, ()):
                if rest.endswith(ending) and len(rest) > len(ending):
                    return route, {"job_id": rest.removesuffix(ending)}
        return found

    def methods(self, path: str) -> list[str]:
        """Return the methods that there are for a path, in alphabetical order."""
        return sorted(method for method in self._methods if self.find(method, path) is not None)
