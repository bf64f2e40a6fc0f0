"""Finds the endpoint for the path and the method of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from schedcore import JobLookupError
from schedhttp import routes
from schedhttp.request import Incoming
from schedhttp.routes import Route

_LONGEST_KEPT: Final = 300
"""Maximum length of a cached path: 1,024 of them take at most 1 MB."""


class Router:
    """The paths below a prefix.

    Args:
        prefix: The beginning of all paths.
        has_job: Returns whether a job with an id exists: some paths can be read in two ways.
    """

    def __init__(self, prefix: str, has_job: Callable[[str], bool]) -> None:
        self._prefix = prefix
        self._jobs = f"{prefix}/jobs/"
        self._has_job = has_job
        self._open = {prefix + route.path: route for route in routes.ROUTES if route.open}
        # Bound once: binding for each request takes 7 us, more than most requests take.
        self._urls = routes.url_map(prefix).bind("localhost")
        # Werkzeug tries the rules of a job's path one by one, 1.5 us each: so those of the method
        # come first, and results are cached, since clients repeat paths.  Errors are not cached.
        self._urls_of = {
            method: routes.url_map(prefix, method).bind("localhost")
            for method in {route.method for route in routes.ROUTES}
        }
        self._find_known = lru_cache(maxsize=1024)(self._find)

    def open_route(self, request: Incoming) -> Route | None:
        """Return the endpoint of *request*, if it needs no credentials."""
        if request.method not in ("GET", "HEAD"):
            return None
        return self._open.get(request.path.rstrip("/"))

    def match(self, request: Incoming) -> tuple[Route, Mapping[str, Any]]:
        """Return the endpoint of *request*, and the values in its path.

        Raises:
            MethodNotAllowed: if the endpoint does not take this method.
            JobLookupError: if the part below a job does not exist.
            NotFound: if there is nothing at this path.
        """
        path, method = self._path(request), request.method
        self._check_below_job(path, method)
        try:
            find = self._find_known if len(path) <= _LONGEST_KEPT else self._find
            endpoint, values = find(path, method)
        except MethodNotAllowed as error:
            raise _not_allowed(method, error.valid_methods or ()) from None
        except NotFound:
            raise NotFound(
                f"there is nothing at {request.path[:200]!r};"
                f" {self._prefix}/openapi.json lists what there is"
            ) from None
        job_id = values.get("job_id", "")
        if "\0" in job_id:  # no job has it, and some databases refuse to search for it
            raise JobLookupError(job_id)
        return routes.BY_NAME[endpoint], values

    def methods(self, request: Incoming) -> list[str]:
        """Return the methods for the path of *request*.

        Raises:
            NotFound: if there is nothing at this path.
        """
        path = self._path(request)
        below = routes.BELOW_JOB.get(self._word_below_job(path) or "")
        if below is not None and not self._has_job(path[len(self._jobs) :]):
            return sorted({*below, "OPTIONS"})
        allowed = set(self._urls.allowed_methods(path))
        if not allowed:
            self.match(request)
        return sorted(allowed | {"OPTIONS"})

    def _find(self, path: str, method: str) -> tuple[str, Mapping[str, Any]]:
        """Return the endpoint and its values; raises NotFound or MethodNotAllowed."""
        if method in self._urls_of:
            with suppress(NotFound):
                return self._urls_of[method].match(path, method)
        return self._urls.match(path, method)

    def _path(self, request: Incoming) -> str:
        """Return the request's path without a trailing slash, unless it belongs to an id."""
        path = request.path
        if not path.endswith("/"):
            return path
        try:
            _, values = self._urls.match(path, "GET")
        except HTTPException:
            values = {}
        job_id = values.get("job_id", "")
        if job_id.endswith("/") and self._has_job(job_id):
            return path
        return path[:-1] or "/"

    def _word_below_job(self, path: str) -> str | None:
        """Return ``"next"`` for ``/jobs/<id>/next``; None: the path has no such part."""
        if not path.startswith(self._jobs):
            return None
        job_id, slash, word = path[len(self._jobs) :].rpartition("/")
        return word if slash and job_id else None

    def _check_below_job(self, path: str, method: str) -> None:
        """Check the part below a job, unless it belongs to another job's id.

        The router takes any text as an id, slashes included: ``/jobs/j/nxt`` as that of a
        job ``j/nxt``, and DELETE of ``/jobs/j/next`` as that of a job ``j/next``.
        """
        word = self._word_below_job(path)
        if word is None:
            return
        methods = routes.BELOW_JOB.get(word)
        whole = path[len(self._jobs) :]
        if (methods is not None and method in methods) or self._has_job(whole):
            return
        if methods is not None:
            raise _not_allowed(method, methods)
        error = JobLookupError(whole)
        job_id = whole.rpartition("/")[0]
        if self._has_job(job_id):
            known = ", ".join(sorted(routes.BELOW_JOB))
            error.args = (
                f"there is nothing called {word[:80]!r} below the job {job_id!r}, where there are"
                f" {known}, and no job with id {whole[:300]!r}",
            )
        raise error


def _not_allowed(method: str, methods: Iterable[str]) -> MethodNotAllowed:
    allowed = sorted({*methods, "OPTIONS"})
    return MethodNotAllowed(
        allowed, f"{method[:20]!r} is not allowed here: use {', '.join(allowed)}"
    )
