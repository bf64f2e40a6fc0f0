"""The dashboard as a whole: from a request to a page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from werkzeug.exceptions import MethodNotAllowed, NotFound

from schedcore import StoreError
from schedhttp.conditions import is_known
from schedhttp.dashboard import (
    action_pages,
    calendar_page,
    edit_pages,
    jobs_pages,
    ledger_page,
    now_page,
    run_pages,
    session_pages,
    system_page,
    texts,
    timeline_page,
    try_page,
)
from schedhttp.dashboard.api_calls import ApiCalls, Perform, Refused
from schedhttp.dashboard.forecast_cache import ForecastCache
from schedhttp.dashboard.sessions import FORM, Sessions, Visitor, cookie, is_link
from schedhttp.dashboard.visit import (
    FLASH,
    Page,
    Raw,
    Redirect,
    Visit,
    base_of,
    flash_text,
    read_flash,
)
from schedhttp.problems import problem
from schedhttp.request import Incoming
from schedhttp.security.authentication import Guard, Role
from schedhttp.views.base import Rendered, Reply, Service

View = Callable[[Visit], "Page | Redirect | Raw"]


class PageRoute(NamedTuple):
    """One page, or the action of one form."""

    view: View
    title: str = ""
    """Its name in the navigation; empty if it is not there."""


PAGES: Final[Mapping[str, PageRoute]] = {
    "/": PageRoute(now_page.show, "Now"),
    "/jobs": PageRoute(jobs_pages.show_all, "Jobs"),
    "/job": PageRoute(jobs_pages.show),
    "/job/edit": PageRoute(edit_pages.show_edit),
    "/job/new": PageRoute(edit_pages.show_new),
    "/run": PageRoute(run_pages.show),
    "/output": PageRoute(run_pages.download),
    "/ledger": PageRoute(ledger_page.show, "Ledger"),
    "/ledger.csv": PageRoute(ledger_page.as_csv),
    "/ledger.json": PageRoute(ledger_page.as_json),
    "/timeline": PageRoute(timeline_page.show, "Timeline"),
    "/calendar": PageRoute(calendar_page.show),
    "/try": PageRoute(try_page.show, "Try a schedule"),
    "/system": PageRoute(system_page.show, "System"),
    "/sign-in": PageRoute(session_pages.go_on),
}
"""The pages, by path."""
FORMS: Final[Mapping[str, View]] = {
    "/job/run": action_pages.run_job,
    "/job/backfill": action_pages.backfill_job,
    "/job/pause": action_pages.pause_job,
    "/job/resume": action_pages.resume_job,
    "/job/remove": action_pages.remove_job,
    "/job/add": action_pages.add_job,
    "/job/change": action_pages.change_job,
    "/job/edit": edit_pages.edit,
    "/jobs/change": action_pages.change_jobs,
    "/run/cancel": action_pages.cancel_run,
    "/system/start": action_pages.start_scheduler,
    "/system/pause": action_pages.pause_scheduler,
    "/system/resume": action_pages.resume_scheduler,
    "/system/stop": action_pages.stop_scheduler,
    "/zone": session_pages.choose_zone,
    "/sign-out": session_pages.sign_out,
}
"""The actions of forms, by path."""

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    # With "no-referrer", browsers would send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SANDBOX: Final = {"Content-Security-Policy": "default-src 'none'; sandbox"}
_STATIC: Final = {
    "dashboard.css": "text/css",
    "pictures.css": "text/css",
    "dashboard.js": "text/javascript",
}
_HTML: Final = {"Content-Type": "text/html; charset=utf-8"}


class Dashboard:
    """The pages of one scheduler, beside its API.

    Args:
        service: The service of the API's views.
        guard: The guard with its users, tokens and roles.
        perform: Lets an endpoint answer.
        rendered: Turns a reply into a response.
    """

    def __init__(
        self,
        service: Service,
        guard: Guard,
        perform: Perform,
        rendered: Callable[[Reply], Rendered],
    ) -> None:
        self._scheduler = service.scheduler
        self._settings = settings = service.settings
        self._job_json = service.job_json
        self._perform = perform
        self._rendered = rendered
        self._prefix = settings.dashboard_prefix
        self.sessions = Sessions(settings, guard, service.scheduler.clock)
        self._forecasts = ForecastCache(service.scheduler)
        self._templates = _environment()

    def has(self, path: str) -> bool:
        """Return whether *path* belongs to the dashboard, not to the API."""
        ours, api = self._prefix, self._settings.api_prefix
        if not _is_below(path, ours):
            return False
        return len(ours) > len(api) or not _is_below(path, api)

    def answer(self, request: Incoming) -> Rendered:
        """Return the response to *request*."""
        try:
            return self._rendered(self._answer(request))
        except BaseException as error:  # noqa: BLE001 — no traceback reaches a client
            return self._rendered(self._problem(request, None, error))

    def _answer(self, request: Incoming) -> Reply:
        path = request.path[len(self._prefix) :] or "/"
        if path.startswith("/static/"):
            return _static(path.removeprefix("/static/"))
        visitor = self.sessions.admit(request)
        if visitor is None or (path == "/sign-in" and request.method == "POST"):
            return self._without_session(request, path)
        visit = self._visit(request, visitor)
        try:
            return self._answer_to(visit, path)
        except BaseException as error:  # noqa: BLE001 — as above, with the page's frame around it
            return self._problem(request, visit, error)

    def _answer_to(self, visit: Visit, path: str) -> Reply:
        request = visit.request
        if request.method == "POST":
            if path not in FORMS:
                raise MethodNotAllowed(["GET"]) if path in PAGES else _nothing_at(request)
            self.sessions.check_form(request)
            return self._reply(visit, FORMS[path](visit))
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(["GET", "HEAD", "POST"])
        if path not in PAGES:
            raise MethodNotAllowed(["POST"]) if path in FORMS else _nothing_at(request)
        version = self._version(visit) if path in LIVE else None
        if version is not None and is_known(request, version):
            return Reply(None, 304, {"ETag": f'"{version}"', "X-Now": str(visit.now_ms)})
        return self._reply(visit, PAGES[path].view(visit), path, version)

    # What is live

    def _version(self, visit: Visit) -> str | None:
        """Return a version that changes with anything that a page shows; None: unknown."""
        scheduler = self._scheduler
        jobs = self._job_json.list_etag(self._job_json.running())
        if jobs is None:
            return None
        printed = None
        if visit.path == "/run" and (printed := run_pages.printed(visit)) is None:
            return None  # it has ended: it does not change any more
        runs = [(run.id, run.state) for run in scheduler.runs()]
        shown = (
            *(jobs, runs, scheduler.changes().next, scheduler.state, scheduler.shared_state()),
            *(
                visit.visitor,
                visit.zone,
                visit.form_token,
                visit.path,
                [*visit.args.lists()],
                printed,
            ),
            # A run becomes late, or takes too long, without any event.
            visit.now_ms // _ANEW_MS,
        )
        return hashlib.blake2b(repr(shown).encode(errors="replace"), digest_size=12).hexdigest()

    # Answers

    def _visit(self, request: Incoming, visitor: Visitor) -> Visit:
        settings = self._settings
        api = ApiCalls(self._perform, request, visitor.role, settings.api_max_body)
        token = self.sessions.form_token(request)
        return Visit(request, visitor, api, self._scheduler, settings, token, self._forecasts)

    def _without_session(self, request: Incoming, path: str) -> Reply:
        """Answer a visitor who must sign in, or is doing so."""
        anybody = self._visit(request, Visitor(Role.READ, "", False))
        if request.method == "POST" and path == "/sign-in":
            self.sessions.check_form(request)
            return self._reply(anybody, session_pages.sign_in(anybody, self.sessions))
        if is_link(request.environ) and request.environ.get("HTTP_SEC_FETCH_SITE") == "cross-site":
            # The browser did not send the session, since the link was on another site's page.
            return self._page(anybody, Page("from_elsewhere.html", {}))
        return self._page(anybody, session_pages.ask_to_sign_in(anybody, 401))

    def _reply(
        self,
        visit: Visit,
        found: Page | Redirect | Raw,
        path: str = "",
        version: str | None = None,
    ) -> Reply:
        if isinstance(found, Page):
            return self._page(visit, found, path, version)
        if isinstance(found, Raw):
            disposition = f'attachment; filename="{found.filename}"' if found.filename else "inline"
            headers = {"Content-Type": found.media, "Content-Disposition": disposition}
            return Reply(found.body, 200, {**_HEADERS, **_SANDBOX, **headers})
        cookies = list(found.cookies)
        if found.message:
            cookies.append(cookie(visit.request, FLASH, flash_text(found), visit.root, 60))
        target = visit.base + found.path
        return Reply(b"", 303, {**_HEADERS, "Location": target, "Set-Cookie": tuple(cookies)})

    def _page(self, visit: Visit, page: Page, path: str = "", version: str | None = None) -> Reply:
        request = visit.request
        flash, cookies = None, []
        if "HTTP_X_LIVE" not in request.environ and (flash := read_flash(request)) is not None:
            cookies.append(cookie(request, FLASH, "", visit.root))
            text, undo = flash
            flash = text, undo if undo is not None and undo[1] in FORMS else None
        if request.whole.cookies.get(FORM) != visit.form_token:
            cookies.append(cookie(request, FORM, visit.form_token, visit.root))
        base = visit.base
        values = {
            "visit": visit,
            "key": visit.key,
            "base": base,
            "path": path,
            "here": texts.address(path or "/", visit.args.to_dict(flat=False)),
            "flash": flash,
            "version": version or "",
            "nav": [(p, route.title) for p, route in PAGES.items() if route.title],
            "api": base_of(request, self._settings.api_prefix),
            "needs_sign_in": self.sessions.needs_sign_in,
            "url": lambda to, **given: base + texts.address(to, given),
            "form_fields": lambda **given: texts.form_fields(
                {"form_token": visit.form_token, **given}
            ),
            "static": lambda name: f"{base}/static/{name}?v={_digest(name)}",
            **page.values,
        }
        body = self._templates.get_template(page.template).render(values).encode("utf-8", "replace")
        headers: dict[str, Any] = {**_HEADERS, **_HTML, "Set-Cookie": tuple(cookies)}
        if version is not None:
            headers["ETag"] = f'"{version}"'
        return Reply(body, page.status, headers)

    def _problem(self, request: Incoming, visit: Visit | None, error: BaseException) -> Reply:
        """Return the page that shows *error*."""
        if isinstance(error, Refused):
            status, headers, text = error.status, {}, str(error)
        else:
            reply = problem(error, self._settings.api_precise_errors, "the dashboard")
            assert isinstance(reply.body, dict)
            status, headers, text = reply.status, dict(reply.headers), reply.body["error_message"]
        headers.pop("WWW-Authenticate", None)  # otherwise the browser shows its own dialog
        visit = visit or self._visit(request, Visitor(Role.READ, "", False))
        template = "problem.html" if visit.visitor.user else "plain_problem.html"
        is_away = isinstance(error, StoreError) and request.method == "GET"
        gone = visit.args.get("id", "") if (visit.path, status) == ("/job", 404) else ""
        values = {"text": text, "status": status, "is_away": is_away, "gone": gone}
        if is_away:
            values["version"] = _AWAY
        reply = self._page(visit, Page(template, values, status))
        return reply._replace(headers={**headers, **reply.headers})


LIVE: Final = frozenset(
    {"/", "/jobs", "/job", "/run", "/ledger", "/timeline", "/calendar", "/system"}
)
"""Pages that browsers poll; the answer is 304 until something has changed."""
_ANEW_MS: Final = 15_000
_AWAY: Final = "away"
"""The version of the page that says that the store is unreachable: the script polls until it
changes."""


def _nothing_at(request: Incoming) -> NotFound:
    return NotFound(f"there is no page at {request.path[:200]!r}")


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


@cache  # also its compiled templates, which do not depend on an app
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("schedhttp.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=texts.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(
        marks=texts.MARKS,
        field=texts.field,
        schedule=texts.schedule,
        duration=texts.duration,
        as_json=texts.as_json,
        why=texts.why,
        zone_name=texts.zone_name,
    )
    return found


@cache
def _file(name: str) -> bytes:
    return resources.files("schedhttp.dashboard").joinpath("static").joinpath(name).read_bytes()


@cache
def _digest(name: str) -> str:
    return hashlib.blake2b(_file(name), digest_size=6).hexdigest()


def _static(name: str) -> Reply:
    """Return a static file, which needs no credentials."""
    if name not in _STATIC:
        raise NotFound(f"there is no file {name[:80]!r}")
    headers = {
        **_HEADERS,
        "Content-Type": f"{_STATIC[name]}; charset=utf-8",
        "Cache-Control": "public, max-age=31536000, immutable",
    }
    return Reply(_file(name), 200, headers)
