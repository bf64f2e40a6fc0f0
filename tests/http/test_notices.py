"""Notices over HTTP: jobs name channels, and only the operator makes them."""

from __future__ import annotations

import queue

import pytest
from flask import Flask

from schedhttp.build import make_scheduler
from schedhttp.flask import FlaskScheduler
from schedhttp.settings import ConfigError, Settings
from tests.patience import SOON

OPS = {"ops": {"type": "webhook", "url": "https://ops.example/", "secret": "x" * 16}}


@pytest.fixture
def scheduler():
    scheduler = make_scheduler(Settings.of(store="memory", notices=OPS))
    scheduler.start()
    yield scheduler
    scheduler.shutdown(timeout=10)


def test_a_job_names_channels(mount):
    api = mount()
    assert api.add(on_failure=["ops"])["on_failure"] == ["ops"]
    changed = api("PATCH", "/jobs/j", {"on_failure": None, "on_run": ["ops"]}).json
    assert (changed["on_failure"], changed["on_run"]) == ([], ["ops"])
    assert api("GET", "/jobs?fields=on_run").json == [{"on_run": ["ops"]}]


@pytest.mark.parametrize("channel", ["opps", "https://evil.example/", "math:sqrt"])
def test_and_none_that_the_operator_did_not_make(mount, channel):
    api = mount(api_precise_errors=True)
    job = {"func": "math:sqrt", "args": [4], "trigger": "interval", "minutes": 1}
    answer = api("POST", "/jobs", {**job, "id": "j", "on_failure": [channel]})
    assert answer.status == 422
    assert "expected one of the channels ops" in answer.json["error_message"]
    api.add()
    assert api("PATCH", "/jobs/j", {"on_run": [channel]}).status == 422
    assert api("GET", "/jobs/j").json["on_run"] == []


def test_an_app_has_functions_as_channels():
    told = queue.Queue()
    app = Flask("tests", root_path=".")
    app.config.update(SCHEDULER_STORE="memory", SCHEDULER_NOTICES={"me": told.put})
    extension = FlaskScheduler(app=app)
    extension.start()
    extension.add_job("j", "math:sqrt", trigger="date", args=[-1], on_failure="me")
    assert told.get(timeout=SOON).record.error_type == "ValueError"
    extension.shutdown()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"notices": {"x": {"type": "webhook", "url": "nothing", "secret": "s" * 16}}},
            "SCHEDULER_NOTICES: notices['x'].url='...': expected a URL",
        ),
        (
            {"remind_every": 0},
            "SCHEDULER_REMIND_EVERY: remind_every=0: expected a number of seconds",
        ),
        ({"job_defaults": {"on_run": "x"}}, "SCHEDULER_JOB_DEFAULTS: on_run='x': expected no"),
    ],
)
def test_what_makes_no_sense_in_the_settings_is_named(values, text):
    with pytest.raises(ConfigError) as caught:
        make_scheduler(Settings.of(store="memory", **values))
    assert str(caught.value).startswith(text)


def test_secrets_are_in_no_error():
    with pytest.raises(ConfigError) as caught:
        make_scheduler(Settings.of(store="memory", notices={"x": {**OPS["ops"], "typo": "secret"}}))
    assert "secret" not in str(caught.value).replace("one of url, secret", "")
    with pytest.raises(ValueError, match=r"notices='\.\.\.'"):
        Settings.of(notices="my secret")


def test_channels_are_shown_with_what_waits_for_them(mount):
    assert mount()("GET", "").json["channels"] == [
        {"name": "ops", "waiting": 0, "since": None, "problem": None}
    ]
