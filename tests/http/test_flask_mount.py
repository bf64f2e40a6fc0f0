"""The API beside what else is in a Flask app: its limits, its checks, its blueprints."""

from __future__ import annotations

import pytest
from flask import Blueprint, Flask, abort, request
from werkzeug.test import Client

from schedcore import InvalidOptionError
from schedhttp.flask import APScheduler

LOCAL = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
JOB = {"id": "j", "func": "math:sqrt", "args": [4], "trigger": "interval", "hours": 1}


def app_with(**config):
    app = Flask("tests", root_path=".")
    app.config.update({"SCHEDULER_API_ENABLED": True, "SCHEDULER_API_ALLOWED_FUNCS": ["math:*"]})
    app.config.update(config)
    return app


def post(app, path="/scheduler/jobs", **options):
    options = options or {"json": JOB}
    return Client(app).post(path, environ_overrides=LOCAL, **options)


# Bodies


@pytest.mark.parametrize(
    ("own", "ours", "length", "status"),
    [
        (200, 1_000_000, 200, 200),
        (200, 1_000_000, 201, 413),
        (200, 1_000_000, 100_000, 413),
        (1_000_000, 200, 200, 200),
        (1_000_000, 200, 201, 413),
        (None, 200, 201, 413),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_the_smaller_limit_of_bodies_counts(own, ours, length, status, chunked):
    app = app_with(MAX_CONTENT_LENGTH=own, SCHEDULER_API_MAX_BODY=ours)
    APScheduler(app=app)
    body = b'{"id": "j", "func": "math:sqrt", "args": [4], "trigger": "cron", "hour": 1'
    body = body + b" " * (length - len(body) - 1) + b"}"
    environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = post(app, data=body) if not chunked else _post_chunked(app, body, environ)
    assert answer.status_code == status
    if status == 413:
        assert "200 bytes" in answer.json["error_message"]
        assert "MAX_CONTENT_LENGTH" in answer.json["error_message"]


def _post_chunked(app, body, environ):
    from io import BytesIO

    return Client(app).post(
        "/scheduler/jobs",
        input_stream=BytesIO(body),
        environ_overrides=LOCAL | environ,
    )


def test_a_limit_of_one_request_counts_too():
    app = app_with()
    APScheduler(app=app)

    def tighten():
        request.max_content_length = 10

    app.before_request(tighten)
    assert post(app).status_code == 413


@pytest.mark.parametrize("path", ["/jobs", "/preview", "/jobs/j/run", "/shutdown", "/start"])
@pytest.mark.parametrize(
    ("content_type", "told"),
    [
        ("application/x-www-form-urlencoded", True),
        ("application/x-www-form-urlencoded; charset=utf-8", True),
        ("multipart/form-data; boundary=x", True),
        ("application/json", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("data", [b'{"wait": false}', b""])
def test_a_body_that_was_read_as_a_form_is_told_from_none(path, content_type, told, data):
    """Also where none is needed: what it says would be silently passed over."""
    app = app_with()
    APScheduler(app=app)
    app.before_request(lambda: print(len(request.form)))
    answer = post(app, "/scheduler" + path, data=data, content_type=content_type)
    told = told and (data != b"" or "multipart" in content_type)  # whose end is a body too
    assert ("send application/json" in answer.text) is told
    if told:
        assert answer.status_code == 400


def test_a_form_that_nobody_has_read_is_read_as_json():
    """As curl -d sends it."""
    app = app_with()
    APScheduler(app=app)
    body = b'{"func": "math:sqrt", "args": [4], "trigger": "interval", "hours": 1}'
    assert post(app, data=body, content_type="application/x-www-form-urlencoded").status_code == 200


# Checks that know a view by its name


class CsrfProtect:
    """Refuses what changes something, but for the views that were exempted, as Flask-WTF does."""

    def __init__(self, app):
        self.exempted = set()
        self.app = app
        app.before_request(self.protect)

    def exempt(self, view):
        name = view if isinstance(view, str) else f"{view.__module__}.{view.__name__}"
        self.exempted.add(name)

    def protect(self):
        view = self.app.view_functions.get(request.endpoint)
        if request.method == "GET" or view is None:
            return
        if f"{view.__module__}.{view.__name__}" not in self.exempted:
            abort(400)


@pytest.mark.parametrize("before", [False, True])
def test_the_api_can_be_exempted_by_its_documented_name(before):
    app = app_with()
    csrf = CsrfProtect(app)
    app.add_url_rule("/own", "own", lambda: "", methods=["POST"])
    if before:
        csrf.exempt("schedhttp.flask.api_view")
    APScheduler(app=app)
    if not before:
        assert post(app).status_code == 400
        csrf.exempt("schedhttp.flask.api_view")
    assert post(app).status_code == 200
    assert post(app, "/scheduler/jobs/j/pause").status_code == 200
    client = Client(app)
    assert client.patch("/scheduler/jobs/j", json={}, environ_overrides=LOCAL).status_code == 200
    assert client.delete("/scheduler/jobs/j", environ_overrides=LOCAL).status_code == 204
    assert post(app, "/own").status_code == 400, "nothing else is"


def test_one_view_exempts_all_of_them():
    app = app_with()
    csrf = CsrfProtect(app)
    APScheduler(app=app)
    csrf.exempt(app.view_functions["scheduler.add_job"])
    assert post(app).status_code == 200
    assert post(app, "/scheduler/jobs/j/run").status_code != 400


# Blueprints and endpoints


def blueprint(name):
    found = Blueprint(name, "tests", root_path=".")
    found.before_request(lambda: abort(418))
    return found


@pytest.mark.parametrize(
    ("name", "prefix"), [("scheduler", "scheduler."), ("a", "a.b."), ("x", "x.jobs_")]
)
def test_a_blueprint_of_the_apps_own_with_the_name_is_refused(name, prefix):
    app = app_with(SCHEDULER_ENDPOINT_PREFIX=prefix)
    app.register_blueprint(blueprint(name))
    with pytest.raises(InvalidOptionError, match=rf"SCHEDULER_ENDPOINT_PREFIX.*'{name}'"):
        APScheduler(app=app)
    app.config["SCHEDULER_ENDPOINT_PREFIX"] = "schedcore."
    APScheduler(app=app)
    assert post(app).status_code == 200


def test_one_that_is_registered_after_init_app_is_refused_at_the_start():
    app = app_with()
    extension = APScheduler(app=app)
    app.register_blueprint(blueprint("scheduler"))
    with pytest.raises(InvalidOptionError, match="SCHEDULER_ENDPOINT_PREFIX"):
        extension.start()
    assert not extension.running


def test_one_that_is_registered_after_the_start_is_told_once(caplog):
    app = app_with()
    extension = APScheduler(app=app)
    extension.start()
    app.register_blueprint(blueprint("scheduler"))
    for _ in range(3):
        assert post(app).status_code == 418
    assert caplog.text.count("SCHEDULER_ENDPOINT_PREFIX='scheduler.'") == 1
    extension.shutdown()


@pytest.mark.parametrize("name", ["schedulers", "other"])
def test_other_blueprints_are_no_matter(name):
    app = app_with()
    app.register_blueprint(blueprint(name))
    APScheduler(app=app)
    assert post(app).status_code == 200


def test_without_an_api_no_name_is_taken():
    app = app_with(SCHEDULER_API_ENABLED=False)
    app.register_blueprint(blueprint("scheduler"))
    extension = APScheduler(app=app)
    extension.start()
    extension.shutdown()


def test_an_endpoint_of_the_apps_own_is_not_taken_over():
    app = app_with(SCHEDULER_ENDPOINT_PREFIX="")
    app.add_url_rule("/mine", "get_jobs", lambda: "mine")
    before = list(app.url_map.iter_rules())
    with pytest.raises(InvalidOptionError, match="'get_jobs' is there"):
        APScheduler(app=app)
    assert list(app.url_map.iter_rules()) == before
