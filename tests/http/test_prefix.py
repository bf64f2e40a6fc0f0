"""Where the API is mounted: paths with letters of any script, under each mount."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from schedcore import InvalidOptionError, Scheduler
from schedhttp import create_app
from schedhttp.flask import FlaskScheduler
from tests.http.conftest import Api

PREFIXES = ["/планировщик", "/größe/v1", "/日程", "/हिन्दी", "/a-b_c.d~e/1", ""]


def standing_alone(scheduler, prefix, **settings):
    return create_app(scheduler, api_prefix=prefix, **settings), ""


def dispatched(scheduler, prefix, **settings):
    app = create_app(scheduler, api_prefix=prefix, **settings)
    return DispatcherMiddleware(NotFound(), {"/ops": app}), "/ops"


def in_flask(scheduler, prefix, **settings):
    app = Flask("tests", root_path=".")
    app.config["SCHEDULER_API_ENABLED"] = True
    app.config["SCHEDULER_API_PREFIX"] = prefix
    app.config.update({f"SCHEDULER_{name.upper()}": value for name, value in settings.items()})
    FlaskScheduler(scheduler, app)
    return app, ""


@pytest.fixture(params=[standing_alone, dispatched, in_flask], ids=lambda mount: mount.__name__)
def mounted(request, scheduler):
    def make(prefix, **settings):
        app, below = request.param(scheduler, prefix, api_allowed_funcs=["math:sqrt"], **settings)
        return Api(app, below + quote(unquote(prefix)))

    return make


@pytest.mark.parametrize("written", ["as such", "encoded"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_api_is_below_its_prefix(mounted, prefix, written):
    api = mounted(prefix if written == "as such" else quote(prefix))
    api.add("j/ö")
    assert api("PATCH", "/jobs/j%2F%C3%B6", {"name": "n"}).json["name"] == "n"
    assert api("GET", "/jobs").json[0]["id"] == "j/ö"
    assert api("POST", "/jobs/j%2F%C3%B6/run").status == 200
    assert api("GET", "/live").status == 200
    if prefix:
        assert api("GET", "/nothing").json["error_type"] == "NotFound"
        assert api("PUT", "/jobs").json["error_type"] == "MethodNotAllowed"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_description_has_the_paths_as_clients_send_them(mounted, prefix):
    api = mounted(prefix)
    document = api("GET", "/openapi.json").json
    assert quote(prefix) + "/jobs/{job_id}" in document["paths"]
    below = api.base[: -len(quote(prefix))] if prefix else api.base
    assert document["servers"] == [{"url": below or "/"}]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_preflights_are_answered_there_too(mounted, prefix):
    origin = "https://ops.example.com"
    api = mounted(prefix, api_trusted_origins=[origin])
    asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
    answer = api("OPTIONS", "/jobs/j", headers=asked)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, origin)


@pytest.mark.parametrize(
    "prefix",
    [
        "x",
        "//",
        "/a//b",
        "/a/../b",
        "/..",
        "/.",
        "/a%2Fb",
        "/a%252Fb",
        "/%ff",
        "/a b",
        "/a%20b",
        "/<job_id:x>",
        "/a?b",
        "/a#b",
        "/a\u2028b",
        "/\ud800",
        "/a\nb",
        5,
    ],
)
def test_what_clients_would_read_in_another_way_is_refused(prefix):
    if prefix == "//":  # a slash at the end is tolerated
        assert create_app(Scheduler(), api_prefix=prefix).settings.api_prefix == ""
        return
    with pytest.raises(InvalidOptionError, match=r"(?i)api_prefix"):
        create_app(Scheduler(), api_prefix=prefix)
