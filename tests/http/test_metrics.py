"""Metrics and readiness over HTTP."""

from __future__ import annotations

import json
import sys

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from schedcore import Scheduler, State, tracing
from schedcore.lifetime.health import Health
from schedhttp import build, create_app
from schedhttp.flask import FlaskScheduler
from schedhttp.settings import ConfigError, Settings
from tests.http.conftest import wsgi

TOKEN = "a-token-that-is-long-enough"
JOB = {"id": "j", "func": "math:sqrt", "args": [4], "trigger": "interval", "hours": 1}


def values(answer):
    """Return the values by the name of the metric and the values of the labels."""
    assert answer.status == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_are_in_the_text_format_of_prometheus(api):
    assert api("POST", "/jobs", JOB).status == 200
    assert api("POST", "/jobs/j/run").status == 200
    answer = api("GET", "/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert values(answer)["schedcore_job_runs_total", "j", "executed"] == 1
    assert values(answer)["schedcore_store_reachable",] == 1


def test_who_may_read_may_read_metrics(mount):
    api = mount(api_tokens={"robot": TOKEN}, api_read_only=["robot"])
    assert api("GET", "/metrics").status == 401
    environ = {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}
    assert api("GET", "/metrics", environ=environ).status == 200


def test_a_setting_bounds_the_jobs_with_series_of_their_own(mount):
    api = mount(metrics_jobs=1)
    for job_id in ("b", "a"):
        assert api("POST", "/jobs", {**JOB, "id": job_id}).status == 200
    due = [k for k in values(api("GET", "/metrics")) if k[0].startswith("schedcore_job_next_due")]
    assert due == [("schedcore_job_next_due_timestamp_seconds", "a")]


def test_without_the_package_it_is_told_what_to_install(api, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    answer = api("GET", "/metrics")
    assert (answer.status, answer.json["error_type"]) == (501, "NotInstalled")
    assert "pip install prometheus-client" in answer.json["error_message"]


def test_every_worker_tells_the_same_of_the_jobs(gunicorn):
    served = gunicorn("--workers", "3")
    served.until(served.ran)
    served.call("POST", "/scheduler/pause")
    scraped = [values(answer) for answer in served.burst("GET", "/scheduler/metrics")]
    shared = [
        {key: value for key, value in each.items() if key[0].startswith("schedcore_job_")}
        for each in scraped
    ]
    assert all(each == shared[0] for each in shared)
    assert any(key[0] == "schedcore_job_runs_total" for key in shared[0])


# Readiness


@pytest.mark.parametrize("environ", [{}, {"REMOTE_ADDR": "192.0.2.7"}], ids=["near", "far"])
def test_anybody_may_ask_whether_it_is_ready(mount, scheduler, environ):
    api = mount(api_tokens={"robot": TOKEN})
    answer = api("GET", "/ready", environ=environ)
    assert (answer.status, answer.json) == (200, {"ready": True})
    assert "Retry-After" not in answer.headers
    scheduler.pause()
    assert api("GET", "/ready", environ=environ).status == 200, "it does what is wanted"
    scheduler.shutdown()
    answer = api("GET", "/ready", environ=environ)
    assert (answer.status, answer.json) == (503, {"ready": False})
    assert answer.headers["Retry-After"] == "1"


HEALTHY = Health(True, State.RUNNING, 0.0, 0.0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("health", "wanted", "ready"),
    [
        pytest.param({}, State.RUNNING, True, id="runs"),
        pytest.param({"state": State.STANDBY}, State.RUNNING, True, id="stands by"),
        pytest.param({"state": State.PAUSED}, State.RUNNING, False, id="paused, not wanted"),
        pytest.param({}, State.PAUSED, False, id="runs, not wanted"),
        pytest.param({"behind": 9.0}, State.RUNNING, True, id="somewhat behind"),
        pytest.param({"behind": 10.0}, State.RUNNING, False, id="far behind"),
        pytest.param({"ok": False}, State.RUNNING, False, id="not well"),
    ],
)
def test_ready_is_who_does_in_time_what_all_are_to_do(health, wanted, ready):
    class Stub(Scheduler):
        def health(self):
            return HEALTHY._replace(**health)

        def shared_state(self):
            return wanted

    assert wsgi(Stub(), {})("GET", "/ready").json == {"ready": ready}


def test_both_are_off_where_the_api_is(scheduler):
    app = create_app(scheduler, api_enabled=False)
    for path in ("/scheduler/ready", "/scheduler/metrics"):
        statuses = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path}
        body = app(environ, lambda status, headers, said=statuses: said.append(status))
        assert statuses == ["404 Not Found"]
        assert "error_message" in json.loads(b"".join(body))


# Tracing


@pytest.mark.parametrize("asked", [True, False])
def test_a_setting_has_runs_traced(monkeypatch, asked):
    traced = []
    monkeypatch.setattr(tracing, "trace_runs", traced.append)
    settings = Settings.of(tracing=asked, store="memory")
    scheduler = build.make_scheduler(settings)
    app = Flask("app")
    app.config |= {"SCHEDULER_TRACING": asked, "SCHEDULER_STORE": "memory"}
    extension = FlaskScheduler(app=app)
    assert traced == ([scheduler, extension.scheduler] if asked else [])


def test_without_the_package_for_spans_nothing_starts(monkeypatch):
    monkeypatch.delitem(sys.modules, "schedcore.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r"SCHEDULER_TRACING: .*pip install opentelemetry-api"):
        build.make_scheduler(Settings.of(tracing=True, store="memory"))
