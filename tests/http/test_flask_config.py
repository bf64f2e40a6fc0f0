"""What a Flask app and the extension itself say: read once, by all their names, and watched."""

from __future__ import annotations

import logging

import pytest
from flask import Flask
from werkzeug.test import Client

from schedcore import InvalidOptionError, State
from schedhttp.flask import APScheduler, HTTPBasicAuth
from schedhttp.settings import FIELDS, variable

LOCAL = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
JOB = {"id": "j", "func": "math:sqrt", "args": (4,), "trigger": "interval", "hours": 1}


def app_with(**config):
    app = Flask("tests", root_path=".")
    app.config.update(config)
    return app


def made(**config):
    return APScheduler(app=app_with(**config))


def ask(extension, path="/scheduler", **environ):
    return Client(extension.app).get(path, environ_overrides=LOCAL | environ)


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


# Set on the extension

OPTIONS = {
    "api_enabled": (True, False),
    "api_prefix": ("/api/v1", "/other"),
    "endpoint_prefix": ("mine.", "other."),
    "auth": (HTTPBasicAuth(), print),
    "allowed_hosts": (["a", "b"], ["c"]),
    "host_name": ("a", "b"),
    "dashboard": (True, False),
    "dashboard_prefix": ("/pages", "/other"),
}


@pytest.mark.parametrize(("name", "values"), list(OPTIONS.items()), ids=list(OPTIONS))
def test_an_option_may_be_set_before_init_app_and_the_config_stands_over_it(name, values):
    extension = APScheduler()
    setattr(extension, name, values[0])
    assert getattr(extension, name) == values[0]
    extension.init_app(app_with())
    assert getattr(extension, name) == values[0]
    with pytest.raises(RuntimeError, match=rf"{name}.*set it before.*{variable(name)}"):
        setattr(extension, name, values[1])
    assert getattr(extension, name) == values[0]
    extension.init_app(app_with(**{variable(name): values[1]}))
    assert getattr(extension, name) == values[1]


@pytest.mark.parametrize(
    ("name", "wrong"), [("api_enabled", "maybe"), ("api_prefix", "x"), ("allowed_hosts", 5)]
)
def test_an_option_that_makes_no_sense_is_refused_where_it_is_set(name, wrong):
    extension = APScheduler()
    default = getattr(extension, name)
    with pytest.raises(InvalidOptionError, match=name):
        setattr(extension, name, wrong)
    assert getattr(extension, name) == default


def test_the_options_have_the_effect_of_the_settings():
    extension = APScheduler()
    extension.api_enabled = True
    extension.api_prefix = "/api/v1"
    extension.endpoint_prefix = "mine."
    extension.auth = HTTPBasicAuth()
    extension.allowed_hosts = ["elsewhere"]
    extension.init_app(app_with())
    with extension.app.test_request_context():
        assert extension.app.url_for("mine.get_jobs") == "/api/v1/jobs"
    assert ask(extension, "/api/v1").status_code == 401
    extension.start()
    assert extension.state is State.STOPPED, "another host may"


@pytest.mark.parametrize("name_of", [str, str.upper])
def test_a_name_of_the_host_is_the_one_that_is_asked_for(name_of):
    extension = APScheduler()
    extension.host_name, extension.allowed_hosts = name_of("me"), ["me"]
    extension.api_enabled = True
    extension.init_app(app_with())
    extension.start()
    assert extension.running
    assert ask(extension).json["current_host"] == name_of("me")
    extension.shutdown()


# Names that Flask-APScheduler reads


@pytest.mark.parametrize(
    ("config", "ids", "warned"),
    [
        ({"JOBS": [JOB]}, ["j"], "JOBS in the app's config is read as SCHEDULER_JOBS"),
        ({"JOBS": ({**JOB, "jobstore": "default"},)}, ["j"], "SCHEDULER_JOBS"),
        ({"JOBS": [JOB], "SCHEDULER_JOBS": []}, ["j"], "SCHEDULER_JOBS"),
        ({"JOBS": [JOB], "SCHEDULER_JOBS": [{**JOB, "id": "k"}]}, ["k"], None),
        ({"JOBS": []}, [], None),
        ({"JOBS": None}, [], None),
        # Somebody else's
        ({"JOBS": 4}, [], "JOBS in the app's config is not a list of jobs"),
        ({"JOBS": ["plumber"]}, [], "not a list of jobs"),
        ({"JOBS": {"a": 1}}, [], "not a list of jobs"),
    ],
)
def test_jobs_of_the_config(caplog, config, ids, warned):
    extension = made(**config)
    assert [job.id for job in extension.get_jobs()] == ids
    assert len(warnings(caplog)) == (warned is not None)
    assert warned is None or warned in warnings(caplog)[0]


def test_a_job_of_the_config_that_makes_no_sense_is_refused_under_both_names():
    for name in ("JOBS", "SCHEDULER_JOBS"):
        with pytest.raises(InvalidOptionError, match="hour"):
            made(**{name: [{**JOB, "trigger": "cron", "hour": 25}]})


@pytest.mark.parametrize(
    ("config", "enabled"),
    [
        ({"SCHEDULER_VIEWS_ENABLED": True}, True),
        ({"SCHEDULER_VIEWS_ENABLED": True, "SCHEDULER_API_ENABLED": False}, False),
        ({"SCHEDULER_VIEWS_ENABLED": False, "SCHEDULER_API_ENABLED": True}, True),
    ],
)
def test_the_older_name_of_api_enabled(config, enabled):
    extension = made(**config)
    assert extension.api_enabled is enabled
    assert ask(extension).status_code == (200 if enabled else 404)


@pytest.mark.parametrize("none", [None, {}])
def test_no_job_stores_are_none(none):
    made(SCHEDULER_JOBSTORES=none)


def test_a_database_of_apscheduler_is_the_store(tmp_path):
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    extension = made(SCHEDULER_JOBSTORES={"default": {"type": "sqlalchemy", "url": url}})
    assert extension.scheduler.store_info().url == url


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"allowed_hosts", "api_enabled"}))
def test_none_is_no_value(name):
    assert getattr(made(**{variable(name): None})._settings, name) == FIELDS[name].default_factory()


# Names of the app's own


@pytest.mark.parametrize(
    "name",
    [
        "SCHEDULER_DB_URL",
        "SCHEDULER_DATABASE_URI",
        "SCHEDULER_LOCK_TIMEOUT",
        "SCHEDULER_INTERVAL",
        "SCHEDULER_HOST",
        "SCHEDULER_PORT_5000_TCP_ADDR",
        "SCHEDULER_",
        "SCHEDULER_" + "X" * 100_000,
    ],
)
def test_settings_of_the_apps_own_are_left_alone_and_told_once(caplog, name):
    extension = made(**{name: "secret", "SCHEDULER_TIMEZONE": "Asia/Tokyo"})
    assert str(extension.scheduler.timezone) == "Asia/Tokyo"
    assert len(warnings(caplog)) == 1
    assert name in warnings(caplog)[0]
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SCHEDULER_TIMEZON", "SCHEDULER_TIMEZONE"),
        ("SCHEDULER_TIME_ZONE", "SCHEDULER_TIMEZONE"),
        ("SCHEDULER_JOB", "SCHEDULER_JOBS"),
        ("SCHEDULER_EXECUTOR", "SCHEDULER_EXECUTORS"),
        ("SCHEDULER_JOB_DEFAULT", "SCHEDULER_JOB_DEFAULTS"),
        ("SCHEDULER_ALOWED_HOSTS", "SCHEDULER_ALLOWED_HOSTS"),
        ("SCHEDULER_VIEW_ENABLED", ""),
        # Whoever writes these means to close something.
        ("SCHEDULER_API_PREFX", "SCHEDULER_API_PREFIX"),
        ("SCHEDULER_API_SOMETHING", ""),
        ("SCHEDULER_USERS", "SCHEDULER_API_USERS"),
        ("SCHEDULER_TOKENS", "SCHEDULER_API_TOKENS"),
        ("SCHEDULER_READ_ONLY", "SCHEDULER_API_READ_ONLY"),
        ("SCHEDULER_AUTHENTICATE", ""),
    ],
)
def test_a_setting_that_looks_like_ours_is_an_error(name, meant):
    with pytest.raises(InvalidOptionError) as caught:
        made(**{name: "secret"})
    assert name in str(caught.value)
    assert meant in str(caught.value)
    assert "secret" not in str(caught.value)


# What the app's config says to Flask


@pytest.mark.parametrize("name", ["shop.example", "shop.example:8443", "Shop.Example"])
def test_the_apps_own_server_name_is_a_trusted_host(name):
    extension = made(SCHEDULER_API_ENABLED=True, SERVER_NAME=name)
    assert extension.app.test_client().get("/scheduler").status_code == 200
    assert ask(extension, HTTP_HOST=name.lower()).status_code == 200
    assert ask(extension, HTTP_HOST="localhost").status_code == 200
    for other in ("evil.example", "x.shop.example", "shop.example.evil.example", ""):
        assert ask(extension, HTTP_HOST=other).status_code == 403


def test_so_are_the_hosts_that_flask_is_told_to_trust():
    hosts = ["a.example", "b.example:8443", ".c.example"]
    extension = made(SCHEDULER_API_ENABLED=True, TRUSTED_HOSTS=hosts)
    for name, status in (("a.example", 200), ("b.example", 200), ("b.example:8443", 200)):
        assert ask(extension, HTTP_HOST=name).status_code == status
    assert ask(extension, HTTP_HOST="x.c.example").status_code == 403


# What comes too late

LATE = {
    "SCHEDULER_AUTH": HTTPBasicAuth(),
    "SCHEDULER_API_USERS": {"ann": "scrypt:32768:8:1$salt$00"},
    "SCHEDULER_API_TOKENS": {"robot": "x" * 16},
    "SCHEDULER_API_READ_ONLY": ["ann"],
    "SCHEDULER_API_ALLOWED_FUNCS": ["tasks:one"],
    "SCHEDULER_API_TRUSTED_HOSTS": ["a.example"],
    "SCHEDULER_API_LOOPBACK_ONLY": False,
    "SCHEDULER_API_MAX_BODY": 10,
    "SCHEDULER_API_ENABLED": False,
    "SCHEDULER_API_PREFIX": "/x",
}


@pytest.mark.parametrize("name", list(LATE))
def test_a_setting_of_the_api_that_changes_after_init_app_closes_it(name):
    """What was meant to protect it would protect nothing."""
    extension = made(SCHEDULER_API_ENABLED=True)
    assert ask(extension).status_code == 200
    extension.app.config[name] = LATE[name]
    for path in ("/scheduler", "/scheduler/jobs", "/scheduler/nothing"):
        answer = ask(extension, path)
        assert answer.status_code == 403
        assert name in answer.json["error_message"]
        assert "before" in answer.json["error_message"]


@pytest.mark.parametrize(
    ("name", "value", "change"),
    [
        ("SCHEDULER_API_TOKENS", {"robot": "x" * 16}, lambda value: value.clear()),
        ("SCHEDULER_API_READ_ONLY", [], lambda value: value.append("robot")),
        ("SCHEDULER_API_ALLOWED_FUNCS", {"tasks:*"}, lambda value: value.clear()),
    ],
)
def test_also_where_it_changes_in_its_place(name, value, change):
    extension = made(SCHEDULER_API_ENABLED=True, **{name: value})
    change(value)
    assert ask(extension).status_code == 403
    assert name in ask(extension).json["error_message"]


def test_the_same_value_again_is_no_change():
    extension = made(SCHEDULER_API_ENABLED=True, SCHEDULER_API_ALLOWED_FUNCS=["tasks:*"])
    extension.app.config["SCHEDULER_API_ALLOWED_FUNCS"] = ["tasks:*"]
    assert ask(extension).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCHEDULER_TIMEZONE", "Asia/Tokyo"),
        ("SCHEDULER_JOBS", [JOB]),
        ("JOBS", [JOB]),
        ("SCHEDULER_ALLOWED_HOSTS", ["another"]),
        ("SCHEDULER_AUTH", HTTPBasicAuth()),
        ("SCHEDULER_API_ENABLED", True),
    ],
)
def test_what_has_no_effect_any_more_is_told_at_the_start(caplog, name, value):
    extension = made()
    extension.app.config[name] = value
    extension.start()
    extension.shutdown()
    assert [name in told for told in warnings(caplog)] == [True]
