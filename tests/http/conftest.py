"""One scheduler behind each mount: the same tests ask them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from schedcore import ManualClock, Scheduler
from schedhttp import create_app
from schedhttp.flask import FlaskScheduler

START = datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc)  # a Monday
LOOPBACK = {"REMOTE_ADDR": "127.0.0.1"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    json: Any
    headers: Any
    text: str


class Api:
    """A client of one mount."""

    def __init__(self, app: Any, base: str) -> None:
        self.app = app
        self.base = base
        self._client = Client(app)

    def __call__(
        self, method: str, path: str = "", body: Any = None, *, environ: Any = None, **options: Any
    ) -> Answer:
        """Ask for *path* below the API's prefix, with *body* as JSON or, if it is bytes, as is."""
        if body is not None:
            options["data"] = body if isinstance(body, bytes) else json.dumps(body)
        answer = self._client.open(
            self.base + path,
            method=method,
            environ_overrides={**LOOPBACK, **(environ or {})},
            **options,
        )
        text = answer.get_data(as_text=True)
        if method == "HEAD" or not text:
            return Answer(answer.status_code, None, answer.headers, text)
        assert answer.content_type == "application/json", text
        return Answer(answer.status_code, json.loads(text), answer.headers, text)

    def add(self, job_id: str = "j", **job: Any) -> Any:
        """Add a job that runs every minute unless *job* says otherwise."""
        job = {"id": job_id, "func": "math:sqrt", "args": [4]} | job
        if "trigger" not in job:
            job |= {"trigger": "interval", "minutes": 1}
        answer = self("POST", "/jobs", job)
        assert answer.status == 200, answer.text
        return answer.json


def wsgi(scheduler: Scheduler, settings: dict[str, Any]) -> Api:
    return Api(create_app(scheduler, **settings), "/scheduler")


def dispatched(scheduler: Scheduler, settings: dict[str, Any]) -> Api:
    app = create_app(scheduler, **settings, api_prefix="/api/v1")
    return Api(DispatcherMiddleware(NotFound(), {"/ops": app}), "/ops/api/v1")


def flask(scheduler: Scheduler, settings: dict[str, Any]) -> Api:
    app = Flask("tests", root_path=".")
    app.config["SCHEDULER_API_ENABLED"] = True
    app.config.update({f"SCHEDULER_{name.upper()}": value for name, value in settings.items()})
    FlaskScheduler(scheduler, app)
    return Api(app, "/scheduler")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def scheduler(clock: ManualClock) -> Iterator[Scheduler]:
    """A started scheduler whose time stands still."""
    scheduler = Scheduler(clock=clock, timezone="Europe/Berlin")
    scheduler.start()
    yield scheduler
    if scheduler.running:
        scheduler.shutdown(timeout=10)


@pytest.fixture(params=[wsgi, dispatched, flask], ids=lambda mount: mount.__name__)
def mount(request: pytest.FixtureRequest, scheduler: Scheduler) -> Callable[..., Api]:
    """Make a client of each mount in turn, with the settings given."""

    def make(**settings: Any) -> Api:
        settings = {"api_allowed_funcs": ["math:sqrt"], **settings}
        return request.param(scheduler, settings)

    return make


@pytest.fixture
def api(mount: Callable[..., Api]) -> Api:
    """A client of each mount in turn; requests may name ``math:sqrt``."""
    return mount()
