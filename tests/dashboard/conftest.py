"""A browser without script in front of each mount."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.security import generate_password_hash
from werkzeug.test import Client

from schedcore import ManualClock, Scheduler
from schedhttp import create_app
from schedhttp.flask import FlaskScheduler
from tests.http.conftest import START, tested  # noqa: F401 — a fixture

SAME_SITE = {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "http://localhost"}
USERS = {
    "api_users": {
        name: generate_password_hash(f"of {name}", "pbkdf2:sha256:1") for name in ("ann", "rob")
    },
    "api_read_only": ["rob"],
}
HOSTILE = '<img src=x onerror="alert(1)">'


class Document(HTMLParser):
    """What is in a page: its elements, its forms with their fields, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.forms: list[tuple[dict[str, str | None], dict[str, str]]] = []
        self.text = ""
        self._area: str | None = None
        self._is_chosen = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag == "form":
            self.forms.append((given, {}))
        name = given.get("name")
        if tag == "input" and self.forms and name:
            self.forms[-1][1].setdefault(name, given.get("value") or "")
        if tag in ("textarea", "select") and self.forms and name:
            self._area = name
            self.forms[-1][1][name] = ""
        self._is_chosen = tag == "option" and "selected" in given

    def handle_endtag(self, tag: str) -> None:
        if tag in ("textarea", "select"):
            self._area = None
        self._is_chosen = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._area is not None and (self.elements[-1][0] == "textarea" or self._is_chosen):
            self.forms[-1][1][self._area] += data.removeprefix("\n")

    def tags(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in names]

    def fields(self, action: str) -> dict[str, str]:
        """Return the fields of the last form whose action ends so."""
        return [f for given, f in self.forms if str(given.get("action")).endswith(action)][-1]

    def form(self, action: str) -> dict[str, str] | None:
        """Return the fields of the first form whose action ends so."""
        for attributes, fields in self.forms:
            if str(attributes.get("action")).endswith(action):
                return fields
        return None


class Browser:
    """A browser of one mount, that keeps cookies and follows no redirections by itself."""

    def __init__(self, app: Any, base: str) -> None:
        self.base = base
        self._client = Client(app)

    def open(self, path: str, method: str = "GET", environ: Any = None, **options: Any) -> Any:
        overrides = {"REMOTE_ADDR": "127.0.0.1", **(environ or {})}
        return self._client.open(
            self.base + path, method=method, environ_overrides=overrides, **options
        )

    def get(self, path: str, status: int = 200, **options: Any) -> Document:
        answer = self.open(path, **options)
        assert answer.status_code == status, answer.text
        return Document(answer.text)

    def send(self, path: str, data: Any = None, environ: Any = None, token: bool = True) -> Any:
        """Send a form, as one of our own pages would."""
        cookie = self._cookie("schedcore_form") if token else ""
        fields = {**(data or {}), "form_token": cookie}
        return self.open(path, "POST", {**SAME_SITE, **(environ or {})}, data=fields)

    def parsed(self, answer: Any) -> Document:
        return Document(answer.text)

    def follow(self, answer: Any) -> Document:
        """Return the page to which a form leads."""
        assert answer.status_code == 303, answer.text
        return self.get(answer.headers["Location"].removeprefix(self.base))

    def sign_in(self, user: str, password: str) -> Any:
        self.open("/")
        return self.send("/sign-in", {"user": user, "password": password, "to": "/jobs"})

    def _cookie(self, name: str) -> str:
        found = self._client.get_cookie(name, path=self.base or "/")
        return "" if found is None else found.value


def wsgi(scheduler: Scheduler, settings: dict[str, Any]) -> Browser:
    return Browser(create_app(scheduler, dashboard_prefix="", **settings), "")


def dispatched(scheduler: Scheduler, settings: dict[str, Any]) -> Browser:
    app = create_app(scheduler, api_prefix="/äpi", dashboard_prefix="/pages", **settings)
    return Browser(DispatcherMiddleware(None, {"/ops": app}), "/ops/pages")  # type: ignore[arg-type]


def flask(scheduler: Scheduler, settings: dict[str, Any]) -> Browser:
    app = Flask("tests", root_path=".")
    app.config["SCHEDULER_API_ENABLED"] = True
    app.config.update({f"SCHEDULER_{name.upper()}": value for name, value in settings.items()})
    FlaskScheduler(scheduler, app)
    return Browser(app, "/dashboard")


MOUNTS = [wsgi, dispatched, flask]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def scheduler(clock: ManualClock) -> Any:
    """A started scheduler whose time stands still."""
    scheduler = Scheduler(clock=clock, timezone="Europe/Berlin", capture_output=True)
    scheduler.start()
    yield scheduler
    if scheduler.running:
        scheduler.shutdown(timeout=10)


@pytest.fixture(params=MOUNTS, ids=lambda mount: mount.__name__)
def mount(request: pytest.FixtureRequest, scheduler: Scheduler) -> Callable[..., Browser]:
    """Make a browser of each mount in turn, with the settings given."""

    def make(**settings: Any) -> Browser:
        settings = {"api_allowed_funcs": ["math:sqrt"], "dashboard": True, **settings}
        return request.param(scheduler, settings)

    return make


@pytest.fixture
def browser(mount: Callable[..., Browser]) -> Browser:
    """A browser of each mount in turn, on this computer, of a scheduler without users."""
    return mount()


def spoil(text: str = HOSTILE) -> None:
    """Print, and raise, what is hostile."""
    print(text)
    raise ValueError(text)


@pytest.fixture
def hostile_run(scheduler: Scheduler) -> str:
    """The id of a run of a job all whose texts are hostile."""
    scheduler.add_job(
        spoil, "interval", minutes=5, id=HOSTILE, name=HOSTILE, args=[HOSTILE], tags=[HOSTILE]
    )
    return str(scheduler.run_job(HOSTILE).id)
