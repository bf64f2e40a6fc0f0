"""The probe: anybody is told whether the process is to be left alone, and nothing else."""

from __future__ import annotations

import json

import pytest

from schedcore import Scheduler, State
from schedhttp import create_app
from tests.http.conftest import wsgi

TOKEN = "a-token-that-is-long-enough"
FAR = {"REMOTE_ADDR": "192.0.2.7", "HTTP_HOST": "10.0.0.5:8080", "HTTP_X_FORWARDED_FOR": "1.2.3.4"}


@pytest.mark.parametrize("settings", [{}, {"api_tokens": {"robot": TOKEN}}], ids=["open", "tokens"])
@pytest.mark.parametrize("environ", [{}, FAR, {"HTTP_AUTHORIZATION": "Bearer wrong"}])
def test_anybody_may_ask(mount, scheduler, settings, environ):
    api = mount(**settings)
    for path in ("/live", "/live/"):
        for _ in range(20):  # it is no way to guess, and none is counted
            answer = api("GET", path, environ=environ)
            assert (answer.status, answer.json) == (200, {"ok": True})
    assert (api("HEAD", "/live", environ=environ).status, api("GET", "").status) in (
        (200, 200),
        (200, 401),
    )
    scheduler.shutdown()  # which somebody wants: a restart is not to undo it
    assert api("GET", "/live", environ=environ).status == 200


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.STANDBY])
def test_a_process_whose_loop_hangs_is_not_live(state):
    class Hung(Scheduler):
        state = None
        stalled = True

    Hung.state = state
    answer = wsgi(Hung(), {})("GET", "/live")
    assert (answer.status, answer.json) == (503, {"ok": False})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_else_is_open(mount, method):
    api = mount(api_tokens={"robot": TOKEN})
    assert api(method, "/live", environ=FAR).status == 401
    for path in ("/health", "/live/x", "/livery", ""):
        assert api("GET", path, environ=FAR).status == 401


def test_it_is_off_where_the_api_is(scheduler):
    app = create_app(scheduler, api_enabled=False)
    statuses = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/scheduler/live"}
    app(environ, lambda status, headers: statuses.append(status))
    assert statuses == ["404 Not Found"]


def test_many_workers_answer_it_without_credentials(gunicorn):
    served = gunicorn("--workers", "2", SCHEDULER_API_TOKENS=json.dumps({"robot": TOKEN}))
    served.until(served.ran)
    assert {answer.status for answer in served.burst("GET", "/scheduler/live")} == {200}
    assert served.call("GET", "/scheduler/health").status == 401
