"""The stand-alone WSGI app, and what both mounts share: from a request to its response."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response
from werkzeug.exceptions import NotFound
from werkzeug.http import HTTP_STATUS_CODES

from schedcore import InvalidOptionError, JobLookupError, Scheduler, acting
from schedhttp import connection, openapi
from schedhttp.conditions import missing
from schedhttp.job_json import JobJson, dumps
from schedhttp.problems import problem
from schedhttp.request import Incoming, check_query
from schedhttp.routes import Route
from schedhttp.routing import Router
from schedhttp.security.allowlist import AllowedFuncs
from schedhttp.security.authentication import Guard, Role
from schedhttp.security.cors import Cors
from schedhttp.settings import Settings
from schedhttp.views.base import Rendered, Reply, Service
from schedhttp.wait_limit import WaitLimit

if TYPE_CHECKING:
    from schedhttp.dashboard.site import Dashboard

PACKAGES = "pip install jinja2 itsdangerous"
"""How to install the packages that the dashboard needs."""


def create_app(scheduler: Scheduler, **settings: Any) -> App:
    """Return a WSGI app that serves the REST API of *scheduler*.

    It does not start the scheduler; the caller does that.

    Args:
        scheduler: Whose API it is.
        settings: By name, in lower case and without the prefix: ``api_prefix="/api"``.

    Raises:
        InvalidOptionError: if a setting is unknown, or its value is invalid.
    """
    return App(scheduler, Settings.of(api_enabled=True).changed(settings))


StartResponse = Callable[..., Any]


class App:
    """The REST API of one scheduler, as a WSGI app.

    Args:
        scheduler: Whose API it is.
        settings: All of them.
    """

    def __init__(self, scheduler: Scheduler, settings: Settings) -> None:
        self.settings = settings
        self.guard = Guard(settings, scheduler.clock)
        self.get_ready: Callable[[], object] | None = None
        """Called before each response: a worker of a server may have to start its scheduler
        first."""
        self.service = Service(
            scheduler,
            settings,
            AllowedFuncs(settings.api_allowed_funcs),
            JobJson(scheduler),
            lambda root: openapi.document(settings, root),
        )
        self._for_readers = self.service
        if settings.api_hide_args:
            self._for_readers = self.service._replace(job_json=JobJson(scheduler, hide_args=True))
        self.router = Router(
            settings.api_prefix, lambda job_id: scheduler.get_job(job_id) is not None
        )
        self._cors = Cors(settings.api_trusted_origins)
        self._wait_limit = WaitLimit(settings.threads)
        self.dashboard = self._dashboard() if settings.dashboard and settings.api_enabled else None

    def _dashboard(self) -> Dashboard:
        try:
            from schedhttp.dashboard.site import Dashboard
        except ImportError as error:
            raise InvalidOptionError(
                "SCHEDULER_DASHBOARD", True, f"what {PACKAGES} brings ({error}), or false"
            ) from error
        prefix = self.settings.dashboard_prefix
        if prefix == self.settings.api_prefix:
            raise InvalidOptionError(
                "SCHEDULER_DASHBOARD_PREFIX", prefix, "another path than the API's, /dashboard say"
            )
        return Dashboard(self.service, self.guard, self.perform, rendered)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as PEP 3333 defines."""
        request = Incoming(environ, self.settings.api_max_body)
        status, headers, body = self.answer(request)
        start_response(_STATUS_LINES[status], headers)
        return [] if request.method == "HEAD" else [body]

    def respond(self, request: Request) -> Response:
        """Return the response to *request*, for other frameworks."""
        incoming = Incoming(request.environ, self.settings.api_max_body, request)
        status, headers, body = self.answer(incoming)
        return Response(body, status, headers)

    def refuse(self, error: Exception) -> Response:
        """Return the response for *error*, for other frameworks."""
        status, headers, body = rendered(problem(error, self.settings.api_precise_errors, None))
        return Response(body, status, headers)

    def answer(self, request: Incoming) -> Rendered:
        """Return the status, the headers and the body of the response to a client's *request*."""
        if (get_ready := self.get_ready) is not None:
            get_ready()
        environ = request.environ
        request.came_by_own_socket = connection.is_own_socket(environ)
        connection.bound_wait(environ)
        try:
            if self.dashboard is not None and self.dashboard.has(request.path):
                return self.dashboard.answer(request)
            with self._wait_limit.place(request):
                return self._answer_to_site(request)
        finally:
            connection.end_reading(environ)

    def _answer_to_site(self, request: Incoming) -> Rendered:
        allowed = self._cors.preflight(request) if self.settings.api_enabled else None
        if allowed is not None:
            status, headers, body = rendered(Reply(None, 204, dict(allowed)))
        else:
            status, headers, body = self._answer(request)
        return status, [*headers, *self._cors.headers(request)], body

    def _answer(self, request: Incoming) -> Rendered:
        try:
            if not self.settings.api_enabled:
                raise NotFound("the API is off: SCHEDULER_API_ENABLED turns it on")
            if (anybodys := self.router.open_route(request)) is not None:
                check_query(request, anybodys.query)
                return rendered(anybodys.view(self.service, request))
            role = self.guard.admit(request)
            if request.method == "OPTIONS":
                methods = ", ".join(self.router.methods(request))
                return rendered(Reply(None, 204, {"Allow": methods}))
            route, values = self.router.match(request)
        except BaseException as error:  # noqa: BLE001 — no traceback reaches a client
            return self._last_resort(error, None)
        return self.perform(route, values, request, role)

    def perform(
        self, route: Route, values: Mapping[str, Any], request: Incoming, role: Role
    ) -> Rendered:
        """Return an endpoint's reply to *request* from a client with this *role*.

        Both requests to the API and the dashboard's pages pass here.
        """
        try:
            request.may_change = role is Role.ALL
            if route.changes:
                role.check_may_change()
            check_query(request, route.query)
            service = self.service if request.may_change else self._for_readers
            if not route.changes:
                return rendered(route.view(service, request, **values))
            with acting(request.user, request.environ.get("REMOTE_ADDR") or None):
                return rendered(route.view(service, request, **values))
        except JobLookupError as error:
            return self._last_resort(missing(request, error), route.name)
        except BaseException as error:  # noqa: BLE001 — no traceback reaches a client
            return self._last_resort(error, route.name)

    def _last_resort(self, error: BaseException, endpoint: str | None) -> Rendered:
        """Return the response to *error*; no exception leaves this method.

        Not even SystemExit, which would end the server's process with its active runs.  Only Ctrl-C
        passes, which reaches only the main thread.
        """
        if (
            isinstance(error, KeyboardInterrupt)
            and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            raise error
        return rendered(problem(error, self.settings.api_precise_errors, endpoint))


def rendered(reply: Reply) -> Rendered:
    """Return the status, the headers and the body of a response."""
    fields = {**_ALWAYS, **reply.headers}
    headers = [
        (name, line)
        for name, value in fields.items()
        for line in ((value,) if isinstance(value, str) else value)
    ]
    if reply.body is None:
        return reply.status, headers, b""
    body = reply.body if isinstance(reply.body, bytes) else dumps(reply.body)
    if "Content-Type" not in fields:
        headers.append(("Content-Type", "application/json"))
    headers.append(("Content-Length", str(len(body))))
    return reply.status, headers, body


_STATUS_LINES = {int(code): f"{int(code)} {text}" for code, text in HTTP_STATUS_CODES.items()}
_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
