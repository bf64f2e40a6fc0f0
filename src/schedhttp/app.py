"""The stand-alone WSGI app, and what both mounts share: from a request to its response."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.http import HTTP_STATUS_CODES

from schedcore import Scheduler
from schedhttp import codec, openapi, routes
from schedhttp.auth import AllowedFuncs
from schedhttp.guard import Guard, Role
from schedhttp.incoming import Incoming
from schedhttp.kept import KeptJobs
from schedhttp.problems import problem
from schedhttp.refusals import Unavailable
from schedhttp.settings import Settings
from schedhttp.views import Reply, Service


def create_app(scheduler: Scheduler, **settings: Any) -> App:
    """Return a WSGI app that serves the REST API of *scheduler*.

    It does not start the scheduler: that is up to whoever made it.

    Args:
        scheduler: Whose API it is.
        settings: By name, in lower case and without the prefix: ``api_prefix="/api"``.

    Raises:
        InvalidOptionError: if a setting is unknown, or its value makes no sense.
    """
    return App(scheduler, Settings.of(api_enabled=True).changed(settings))


StartResponse = Callable[..., Any]
Rendered = tuple[int, list[tuple[str, str]], bytes]
"""The status, the headers and the body of a response."""


class App:
    """The REST API of one scheduler, as a WSGI app.

    Args:
        scheduler: Whose API it is.
        settings: All of them.
    """

    def __init__(self, scheduler: Scheduler, settings: Settings) -> None:
        self.settings = settings
        self.guard = Guard(settings, scheduler.clock)
        self.forward: Callable[[Incoming], Rendered] | None = None
        """Answers in place of this process, where another one may hold the scheduler."""
        self.service = Service(
            scheduler,
            settings,
            AllowedFuncs(settings.api_allowed_funcs),
            KeptJobs(scheduler),
            lambda: openapi.document(settings),
        )
        # Bound once: binding for each request takes 7 us, more than most requests do.
        self._urls = routes.url_map(settings.api_prefix).bind("localhost")
        # Werkzeug tries the rules of a job's address one by one, 1.5 us each: first those of the
        # method alone; and clients come back to the same addresses.  What raises is not kept.
        self._urls_of = {
            method: routes.url_map(settings.api_prefix, method).bind("localhost")
            for method in {route.method for route in routes.ROUTES}
        }
        self._find_known = lru_cache(maxsize=1024)(self._find)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as PEP 3333 has it."""
        request = Incoming(environ, self.settings.api_max_body)
        status, headers, body = self.answer(request)
        start_response(_STATUS_LINES[status], headers)
        return [] if request.method == "HEAD" else [body]

    def respond(self, request: Request) -> Response:
        """Return the response to *request*, for a framework that wants one."""
        incoming = Incoming(request.environ, self.settings.api_max_body, request)
        status, headers, body = self.answer(incoming)
        return Response(body, status, headers)

    def refuse(self, error: Exception) -> Response:
        """Return the response that tells of *error*, for a framework that wants one."""
        status, headers, body = rendered(problem(error, self.settings.api_precise_errors, None))
        return Response(body, status, headers)

    def answer(self, request: Incoming) -> Rendered:
        """Return the status, the headers and the body of the response to *request*."""
        if self.forward is None:
            return self.answer_here(request)
        try:
            return self.forward(request)
        except BaseException as error:  # noqa: BLE001 — as below
            return self._last_resort(error, None)

    def answer_here(self, request: Incoming, unavailable: str | None = None) -> Rendered:
        """Return the same, from the scheduler of this process.

        Args:
            request: What is asked for.
            unavailable: Why this process cannot answer, for those who may know.
        """
        endpoint = None
        try:
            if not self.settings.api_enabled:
                raise NotFound("the API is off: SCHEDULER_API_ENABLED turns it on")
            role = self.guard.admit(request)
            request.may_change = role is Role.ALL
            if unavailable is not None:
                raise Unavailable(unavailable, {"Retry-After": "1"})
            if request.method == "OPTIONS":
                return rendered(self._options(request))
            endpoint, values = self._match(request)
            route = routes.BY_NAME[endpoint]
            if route.changes:
                role.check_may_change()
            return rendered(route.view(self.service, request, **values))
        except BaseException as error:  # noqa: BLE001 — no traceback reaches a client
            return self._last_resort(error, endpoint)

    def _last_resort(self, error: BaseException, endpoint: str | None) -> Rendered:
        """Return the response to *error*; nothing that goes wrong comes out of here.

        SystemExit neither: it would end the process of the server, with the runs under way in it.
        Only Ctrl-C passes, which reaches the main thread and no other.
        """
        if (
            isinstance(error, KeyboardInterrupt)
            and threading.current_thread() is threading.main_thread()
        ):
            raise error
        return rendered(problem(error, self.settings.api_precise_errors, endpoint))

    def _match(self, request: Incoming) -> tuple[str, Mapping[str, Any]]:
        try:
            path = self._path(request)
            find = self._find_known if len(path) <= _LONGEST_KEPT else self._find
            return find(path, request.method)
        except MethodNotAllowed as error:
            allowed = sorted({*(error.valid_methods or ()), "OPTIONS"})
            raise MethodNotAllowed(
                allowed,
                f"{request.method[:20]} is not for this address: {', '.join(allowed)} are",
            ) from None
        except NotFound:
            raise NotFound(
                f"there is nothing at {request.path[:200]!r};"
                f" {self.settings.api_prefix}/openapi.json tells what there is"
            ) from None

    def _find(self, path: str, method: str) -> tuple[str, Mapping[str, Any]]:
        """Return the endpoint and its values; raises NotFound or MethodNotAllowed."""
        if method in self._urls_of:
            with suppress(NotFound):
                return self._urls_of[method].match(path, method)
        return self._urls.match(path, method)

    def _path(self, request: Incoming) -> str:
        """Return the request's path without a slash at its end, unless that belongs to an id."""
        path = request.path
        if not path.endswith("/"):
            return path
        try:
            _, values = self._urls.match(path, "GET")
        except HTTPException:
            values = {}
        job_id = values.get("job_id", "")
        if job_id.endswith("/") and self.service.scheduler.get_job(job_id) is not None:
            return path
        return path[:-1] or "/"

    def _options(self, request: Incoming) -> Reply:
        allowed = set(self._urls.allowed_methods(self._path(request)))
        if not allowed:
            self._match(request)
        return Reply(None, 204, {"Allow": ", ".join(sorted(allowed | {"OPTIONS"}))})


def rendered(reply: Reply) -> Rendered:
    """Return the status, the headers and the body of a response."""
    headers = [*_ALWAYS, *reply.headers.items()]
    if reply.body is None:
        return reply.status, headers, b""
    body = reply.body if isinstance(reply.body, bytes) else codec.dump(reply.body)
    headers += (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    return reply.status, headers, body


_LONGEST_KEPT = 300
"""Characters of an address that is kept: 1,024 of them are 1 MB at most."""
_STATUS_LINES = {int(code): f"{int(code)} {text}" for code, text in HTTP_STATUS_CODES.items()}
_ALWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
