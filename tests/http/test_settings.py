"""Settings: one definition, four ways to give them, and errors that help."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask

from schedcore import InvalidOptionError, Retention, Scheduler
from schedhttp import create_app
from schedhttp.build import open_store
from schedhttp.flask import FlaskScheduler
from schedhttp.settings import FIELDS, Settings, load, variable

VALUES = {
    "api_enabled": True,
    "api_prefix": "/api/v1",
    "endpoint_prefix": "s.",
    "allowed_hosts": ["a", "b"],
    "host_name": "a",
    "jobs": [{"id": "j", "func": "math:sqrt", "args": [4], "trigger": "interval", "seconds": 5}],
    "job_defaults": {"max_instances": 3},
    "executors": {"default": {"type": "threadpool", "max_workers": 2}},
    "notices": {"ops": {"type": "webhook", "url": "https://ops.example/"}},
    "remind_every": 60,
    "timezone": "Europe/Berlin",
    "retention": {"per_job": 5, "audit_days": 365},
    "capture_output": False,
    "redact": ["password=.*"],
    "app_context": True,
    "api_allowed_funcs": ["tasks:*"],
    "api_users": {"ann": "scrypt:32768:8:1$salt$00"},
    "api_tokens": {"robot": "x" * 16},
    "api_read_only": ["ann"],
    "api_hide_args": True,
    "api_require_credentials": True,
    "api_loopback_only": False,
    "api_trusted_hosts": ["ops.example"],
    "api_trusted_origins": ["https://ops.example"],
    "api_precise_errors": True,
    "api_shortest_interval": 0.5,
    "api_max_body": 1000,
    "api_run_timeout": 1.5,
    "dashboard": True,
    "dashboard_prefix": "/pages",
    "dashboard_secret": "of all workers",
    "metrics_jobs": 5,
    "tracing": True,
    "autostart": False,
    "shutdown_timeout": 2.5,
    "bind": "0.0.0.0:80",
    "workers": 3,
    "threads": 2,
    "store": "sqlite:///shop.db",
    "name": "shop",
    "python_path": ["/x"],
    "log_level": "DEBUG",
    "log_format": "json",
}
EXPECTED = {k: tuple(v) if isinstance(v, list) else v for k, v in VALUES.items()}


def as_dict(settings):
    return {name: getattr(settings, name) for name in VALUES}


def toml(values):
    """Return a TOML file of values that are all JSON, which TOML's inline forms are near to."""

    def inline(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f'"{k}" = {inline(v)}' for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(inline, value)) + "]"
        return json.dumps(value)

    return "\n".join(f"{name} = {inline(value)}" for name, value in values.items())


def test_every_setting_is_in_this_test():
    assert set(VALUES) == set(FIELDS) - {"auth"}


def test_keyword_arguments():
    assert as_dict(Settings.of(**VALUES)) == EXPECTED


def test_environment_variables():
    environment = {
        variable(k): v if isinstance(v, str) else json.dumps(v) for k, v in VALUES.items()
    }
    assert as_dict(load(None, {**environment, "PATH": "x"})) == EXPECTED


@pytest.mark.parametrize("name_of", [str, variable])
def test_a_toml_file(tmp_path, name_of):
    file = tmp_path / "s.toml"
    file.write_text(toml({name_of(name): value for name, value in VALUES.items()}))
    assert as_dict(load(str(file), {})) == EXPECTED
    assert as_dict(load(None, {"SCHEDULER_CONFIG": str(file)})) == EXPECTED


def test_the_environment_stands_over_the_file(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('threads = 3\ntimezone = "UTC"\npython_path = ["sub"]')
    settings = load(str(file), {"SCHEDULER_THREADS": "4"})
    assert (settings.threads, settings.timezone) == (4, "UTC")
    assert settings.python_path == (str(tmp_path / "sub"),)
    assert settings.changed({"workers": 2}).origins == {
        "threads": "environment",
        "timezone": "s.toml",
        "python_path": "s.toml",
        "workers": "code",
    }


def test_the_older_name_of_api_enabled_counts_where_the_newer_is_not_given():
    assert Settings.of(SCHEDULER_VIEWS_ENABLED=True).api_enabled is True
    assert load(None, {"SCHEDULER_VIEWS_ENABLED": "off"}).api_enabled is False
    for newer in ("api_enabled", "SCHEDULER_API_ENABLED"):
        for both in ({newer: False, "views_enabled": True}, {"views_enabled": True, newer: False}):
            assert Settings.of(**both).api_enabled is False


class JobStore:
    """As APScheduler's over SQLAlchemy: of both, the front imports neither."""

    def __init__(self, url):
        self.engine = SimpleNamespace(url=url)


class Url:
    """As SQLAlchemy's, whose text hides the password."""

    def __str__(self):
        return "postgresql+psycopg2://ann:***@db/shop"

    def render_as_string(self, hide_password):
        return str(self).replace("***", "***" if hide_password else "secret")


MemoryJobStore = type("MemoryJobStore", (), {})


@pytest.mark.parametrize(
    ("stores", "url"),
    [
        ({"default": JobStore("sqlite:///jobs.db")}, "sqlite:///jobs.db"),
        ({"default": JobStore(Url())}, "postgresql://ann:secret@db/shop"),
        ({"default": {"type": "sqlalchemy", "url": "sqlite:////jobs.db"}}, "sqlite:////jobs.db"),
        ('{"default": {"type": "sqlalchemy", "url": "sqlite:///jobs.db"}}', "sqlite:///jobs.db"),
        ({"default": {"type": "memory"}}, "memory"),
        ({"default": MemoryJobStore()}, "memory"),
        ({"default": JobStore("sqlite://")}, "memory"),
    ],
)
def test_apschedulers_table_of_one_database_is_read_as_a_store(caplog, stores, url):
    assert Settings.of(SCHEDULER_JOBSTORES=stores).store == url
    (record,) = caplog.records
    assert "is read as SCHEDULER_STORE" in record.getMessage()
    assert "secret" not in record.getMessage()
    assert ("import-apscheduler" in record.getMessage()) == (url != "memory")
    for both in (
        {"jobstores": stores, "store": "memory"},
        {"store": "memory", "jobstores": stores},
    ):
        assert Settings.of(**both).store == "memory"


@pytest.mark.parametrize(
    "stores",
    [
        {"default": object()},
        {"default": {"type": "redis", "password": "secret"}},
        {"other": JobStore("sqlite:///jobs.db")},
        {"default": JobStore("sqlite:///jobs.db"), "other": JobStore("sqlite:///secret.db")},
    ],
)
def test_other_tables_of_stores_are_refused(stores):
    with pytest.raises(InvalidOptionError, match="one store, 'default', of a database") as found:
        Settings.of(SCHEDULER_JOBSTORES=stores)
    assert "secret" not in str(found.value)


@pytest.mark.parametrize("text", ["a, b", '["a", "b"]', "a,b,"])
def test_a_list_in_the_environment(text):
    assert load(None, {"SCHEDULER_ALLOWED_HOSTS": text}).allowed_hosts == ("a", "b")


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("off", False), ("0", False)]
)
def test_a_flag_in_the_environment(text, value):
    assert load(None, {"SCHEDULER_AUTOSTART": text}).autostart is value


def test_what_kubernetes_sets_beside_a_service_called_scheduler_is_left_alone():
    load(
        None,
        {
            "SCHEDULER_PORT": "tcp://10.0.0.1:5000",
            "SCHEDULER_PORT_5000_TCP_ADDR": "10.0.0.1",
            "SCHEDULER_SERVICE_HOST": "10.0.0.1",
            "SCHEDULER_SERVICE_PORT_HTTP": "5000",
            "SCHEDULER_API_SERVICE_HOST": "10.0.0.1",
            "SCHEDULER_API_PORT": "tcp://10.0.0.1:5000",
        },
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "SCHEDULER_API_PREFX",
            "secret",
            "SCHEDULER_API_PREFX=...: expected the name of a setting"
            " (did you mean 'SCHEDULER_API_PREFIX'?)",
        ),
        ("SCHEDULER_JOBSTORES", "x", "JSON"),
        ("SCHEDULER_JOBSTORES", '{"default": {"url": "x://a:secret@h"}', "JSON, when it is given"),
        ("SCHEDULER_EXECUTORS", '["redis://:secret@h"]', "a table of names to values"),
        ("SCHEDULER_STORE", {"url": "x://a:secret@h"}, "a store, or a URL"),
        ("SCHEDULER_ELECTION_NAME", "x", "processes share one store"),
        ("SCHEDULER_STORE", " ", "a store, or a URL: memory, sqlite:///"),
        ("SCHEDULER_API_ENABLED", "maybe", "SCHEDULER_API_ENABLED='maybe': expected true or false"),
        ("SCHEDULER_API_PREFIX", "scheduler", "a path such as"),
        ("SCHEDULER_API_PREFIX", "/a b", "a path such as"),
        ("SCHEDULER_THREADS", "many", "a whole number of 1 or more"),
        ("SCHEDULER_THREADS", "1.5", "a whole number of 1 or more"),
        ("SCHEDULER_API_RUN_TIMEOUT", "-1", "seconds"),
        ("SCHEDULER_API_RUN_TIMEOUT", "nan", "seconds"),
        ("SCHEDULER_BIND", "5000", "host:port"),
        ("SCHEDULER_BIND", "x:99999", "host:port"),
        ("SCHEDULER_JOBS", "{", "JSON"),
        ("SCHEDULER_JOBS", "5", "a list of tables"),
        ("SCHEDULER_JOB_DEFAULTS", "[]", "a table"),
        ("SCHEDULER_API_TOKENS", "secret-secret", "a table of names to texts"),
        ("SCHEDULER_API_TOKENS", '{"a": 5}', "a table of names to texts"),
    ],
)
def test_a_wrong_setting_is_an_error_with_a_way_out(name, value, message):
    with pytest.raises(InvalidOptionError) as caught:
        load(None, {name: value})
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_prefx": "/x"}, "did you mean 'api_prefix'"),
        ({"port": 5000}, "bind"),
        ({"api_users": {"a": "x"}}, "--hash-password"),
    ],
)
def test_create_app_refuses_what_it_does_not_know(settings, message):
    with pytest.raises(InvalidOptionError, match=message):
        create_app(Scheduler(), **settings)


@pytest.mark.parametrize(
    ("executors", "message"),
    [
        ({"x": {"type": "treadpool"}}, "did you mean 'threadpool'"),
        ({"x": {"type": "threadpool", "max_worker": 2}}, "did you mean 'max_workers'"),
        ({"x": {"max_workers": 0}}, "max_workers=0"),
        ({"x": 5}, "an executor"),
    ],
)
def test_executors_that_make_no_sense(executors, message):
    app = Flask("tests", root_path=".")
    app.config["SCHEDULER_EXECUTORS"] = executors
    with pytest.raises(InvalidOptionError, match=message):
        FlaskScheduler(app=app)


DOCS = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", list(FIELDS))
def test_every_setting_is_documented_as_it_is_defined(name):
    default = getattr(Settings(), name)
    shown = json.dumps(list(default) if isinstance(default, tuple) else default)
    row = f"| `{variable(name)}` | `{name}` | `{shown}` | {FIELDS[name].metadata['doc']} |"
    assert row in (DOCS / "settings.md").read_text().splitlines()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"day": 5}, "retention['day']=5: expected one of per_job, days, overall"),
        ({"days": 0}, "retention['days']=0: expected a whole number of 1 or more"),
        ({"days": "5"}, "retention['days']='5'"),
        ([5], "retention=[5]: expected a table"),
    ],
)
def test_bounds_of_what_is_kept_that_make_no_sense_are_refused(given, message):
    with pytest.raises(InvalidOptionError, match=re.escape(message)):
        Settings.of(retention=given)


def test_a_store_on_disk_keeps_what_a_setting_says(tmp_path):
    url = f"sqlite:///{tmp_path}/jobs.db"
    store = open_store(Settings.of(store=url, retention={"days": 7, "audit_days": 365}))
    assert store.keep == Retention(days=7, audit_days=365)
    store.close()
    assert open_store(Settings.of(store="memory", retention={"days": 7}))
