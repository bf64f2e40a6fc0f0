"""The same commands at each mount of the API, and at each prefix."""

from __future__ import annotations

import json
import threading

import pytest
from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from schedcore import Scheduler
from schedhttp import create_app
from schedhttp.flask import FlaskScheduler


def stand_alone(scheduler):
    return create_app(scheduler, api_allowed_funcs=["math:*"]), "/scheduler"


def prefixed(scheduler):
    app = create_app(scheduler, api_allowed_funcs=["math:*"], api_prefix="/api/v1")
    return DispatcherMiddleware(NotFound(), {"/ops": app}), "/ops/api/v1"


def flask(scheduler):
    app = Flask("tests", root_path=".")
    app.config.update(
        SCHEDULER_API_ENABLED=True, SCHEDULER_API_ALLOWED_FUNCS=["math:*"], TESTING=True
    )
    FlaskScheduler(scheduler, app)
    return app, "/scheduler"


@pytest.fixture(params=[stand_alone, prefixed, flask], ids=lambda mount: mount.__name__)
def url(request):
    scheduler = Scheduler(timezone="UTC", capture_output=True)
    scheduler.start()
    app, prefix = request.param(scheduler)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{prefix}"
    server.shutdown()
    thread.join()
    server.server_close()
    scheduler.shutdown(timeout=10)


@pytest.mark.usefixtures("home")
def test_a_job_from_its_addition_to_its_removal(run, url, monkeypatch):
    monkeypatch.setenv("SCHEDCORE_URL", url)
    assert run("add", "root", "func=math:sqrt", "args=[4]", "hours=1", 'tags=["x"]').status == 0
    assert run("edit", "root", "args=[9]").status == 0
    (record,) = json.loads(run("run", "root", "--wait", "--json").out)
    assert (record["outcome"], record["result"]) == ("executed", "3.0")
    (record,) = json.loads(run("run", "root", "--args", "[-1]", "--wait", "--json").out)
    assert record["outcome"] == "failed"
    assert "ValueError" in run("logs", "root").out
    assert [run["outcome"] for run in json.loads(run("runs", "--json").out)] == [
        "failed",
        "executed",
    ]
    assert run("pause", "--tag", "x", "--yes").out == "1 job paused\n"
    assert json.loads(run("ps", "--json").out) == []
    assert run("top").status == 0
    assert run("rm", "root").out == "1 job removed\n"
