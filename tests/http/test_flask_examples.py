"""Apps as users of Flask-APScheduler write them, with nothing changed but the imports.

Each does what an example of that project shows, in words of our own.
"""

from __future__ import annotations

import sys
from threading import Event
from types import ModuleType

import pytest
from flask import Flask, current_app
from werkzeug.test import Client

from schedcore import (
    EVENT_JOB_ADDED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MISSED,
    EVENT_JOB_REMOVED,
    EVENT_JOB_SUBMITTED,
    JobLookupError,
    State,
)
from schedhttp.flask import APScheduler, HTTPBasicAuth
from tests.patience import SOON

LOCAL = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}


@pytest.fixture
def chores():
    """A module of jobs, which the settings name by its text."""
    module = ModuleType("chores_of_examples")
    module.done = []
    module.ran = Event()

    def greet(a, b):
        module.done.append((a, b))
        module.ran.set()

    greet.__module__ = module.__name__
    module.greet = greet
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.fixture
def scheduler():
    scheduler = APScheduler()
    yield scheduler
    if scheduler.state is not State.STOPPED:
        scheduler.shutdown()


def client_of(app, user=None):
    client = Client(app)

    def ask(method, path, **options):
        return client.open(path, method=method, environ_overrides=LOCAL, auth=user, **options)

    return ask


def test_jobs_in_a_config_class(scheduler, chores):
    class Config:
        JOBS = [  # noqa: RUF012
            {
                "id": "greeting",
                "func": "chores_of_examples:greet",
                "args": (1, 2),
                "trigger": "interval",
                "seconds": 0.05,
            }
        ]
        SCHEDULER_API_ENABLED = True

    app = Flask("shop", root_path=".")
    app.config.from_object(Config())
    scheduler.init_app(app)
    scheduler.start()
    assert chores.ran.wait(SOON)
    assert chores.done[0] == (1, 2)
    (job,) = client_of(app)("GET", "/scheduler/jobs").json
    assert (job["id"], job["func"], job["args"], job["trigger"]) == (
        "greeting",
        "chores_of_examples:greet",
        [1, 2],
        "interval",
    )


def test_pools_defaults_and_options_in_a_config_class(scheduler, chores):
    class Config:
        SCHEDULER_JOBS = [  # noqa: RUF012
            {
                "id": "greeting",
                "func": "chores_of_examples:greet",
                "args": (1, 2),
                "trigger": {"type": "cron", "second": "*/10"},
                "replace_existing": True,
                "jobstore": "default",
            }
        ]
        SCHEDULER_EXECUTORS = {"default": {"type": "threadpool", "max_workers": 20}}  # noqa: RUF012
        SCHEDULER_JOB_DEFAULTS = {"coalesce": False, "max_instances": 3}  # noqa: RUF012
        SCHEDULER_TIMEZONE = "Europe/Berlin"

    app = Flask("shop", root_path=".")
    app.config.from_object(Config())
    scheduler.init_app(app)
    job = scheduler.get_job("greeting")
    assert (job.coalesce, job.max_instances) == (False, 3)
    assert job.next_run_time.second % 10 == 0


@pytest.mark.parametrize("by", ["config", "attribute", "older name"])
def test_the_api_is_enabled_by_each_of_its_names(scheduler, by):
    app = Flask("shop", root_path=".")
    if by == "config":
        app.config["SCHEDULER_API_ENABLED"] = True
    elif by == "attribute":
        scheduler.api_enabled = True
    else:
        app.config["SCHEDULER_VIEWS_ENABLED"] = True
    scheduler.init_app(app)
    scheduler.start()
    assert scheduler.api_enabled is True
    assert client_of(app)("GET", "/scheduler").json["running"] is True


def test_decorated_functions(scheduler):
    ran = Event()

    @scheduler.task("interval", id="first", seconds=0.05, misfire_grace_time=900)
    def first():
        ran.set()

    @scheduler.task("cron", id="second", minute="*")
    def second():
        pass

    @scheduler.task("cron", id="third", week="*", day_of_week="sun")
    def third():
        pass

    @scheduler.task(
        "interval", id="fourth", seconds=10, max_instances=1, start_date="2000-01-01 12:19:00"
    )
    def fourth():
        pass

    scheduler.init_app(Flask("shop", root_path="."))
    scheduler.start()
    assert ran.wait(SOON)
    assert {job.id for job in scheduler.get_jobs()} == {"first", "second", "third", "fourth"}
    first()


@pytest.mark.parametrize("by", ["config", "attribute"])
@pytest.mark.parametrize("attribute_of", [lambda auth, name: auth[name], getattr])
def test_a_password(scheduler, by, attribute_of):
    app = Flask("shop", root_path=".")
    app.config["SCHEDULER_API_ENABLED"] = True
    if by == "config":
        app.config["SCHEDULER_AUTH"] = HTTPBasicAuth()
    else:
        scheduler.auth = HTTPBasicAuth()
    scheduler.init_app(app)
    scheduler.start()

    @scheduler.authenticate
    def authenticate(auth):
        return (attribute_of(auth, "username"), attribute_of(auth, "password")) == ("ann", "pw")

    assert client_of(app)("GET", "/scheduler").status_code == 401
    assert client_of(app, ("ann", "wrong"))("GET", "/scheduler").status_code == 401
    assert client_of(app, ("ann", "pw"))("GET", "/scheduler").status_code == 200


def test_an_allowed_host(scheduler):
    scheduler.allowed_hosts = ["some-other-server"]
    scheduler.init_app(Flask("shop", root_path="."))
    scheduler.start()
    assert not scheduler.running
    assert scheduler.host_name not in scheduler.allowed_hosts


def test_the_apps_context_in_jobs_and_listeners(scheduler):
    names, told = [], Event()

    def job():
        with scheduler.app.app_context():
            names.append(current_app.name)

    def listener(event):
        with scheduler.app.app_context():
            names.append(current_app.config["GREETING"])
        told.set()

    app = Flask("shop", root_path=".")
    app.config["GREETING"] = "hello"
    scheduler.init_app(app)
    scheduler.add_listener(listener, EVENT_JOB_EXECUTED)
    scheduler.start()
    scheduler.add_job(func=job, trigger="date", id="once")
    assert told.wait(SOON)
    assert names == ["shop", "hello"]


def test_an_application_factory_with_tasks_events_and_views():
    """The extension is a module's, the app is made by a function, a view adds jobs."""
    scheduler = APScheduler()
    heard, executed, failed = [], Event(), Event()

    def create_app():
        app = Flask("shop", root_path=".")
        app.config["SCHEDULER_API_ENABLED"] = True
        scheduler.init_app(app)
        with app.app_context():
            scheduler.start()

        @app.get("/add")
        def add():
            job = scheduler.add_job(
                func=heard.append,
                args=["ran"],
                trigger="interval",
                seconds=3600,
                id="added",
                name="by a view",
                replace_existing=True,
            )
            return f"{job.name} added!"

        return app

    for name, mask in (
        ("added", EVENT_JOB_ADDED),
        ("removed", EVENT_JOB_REMOVED),
        ("submitted", EVENT_JOB_SUBMITTED),
        ("missed", EVENT_JOB_MISSED),
    ):
        scheduler.add_listener(lambda event, name=name: heard.append((name, event.job_id)), mask)
    scheduler.add_listener(lambda event: executed.set(), EVENT_JOB_EXECUTED)
    scheduler.add_listener(lambda event: failed.set(), EVENT_JOB_ERROR)
    for _ in range(2):  # as a suite of tests does: an app for each
        heard.clear()
        executed.clear()
        failed.clear()
        app = create_app()
        ask = client_of(app)
        assert ask("GET", "/add").text == "by a view added!"
        assert ask("GET", "/add").text == "by a view added!"
        assert ask("GET", "/scheduler/jobs/added").json["name"] == "by a view"
        assert ask("POST", "/scheduler/jobs/added/run").status_code == 200
        assert executed.wait(SOON)
        scheduler.add_job("broken", lambda: 1 / 0, trigger="date")
        assert failed.wait(SOON)
        scheduler.remove_job("added")
        assert {("added", "added"), ("submitted", "added"), ("removed", "added"), "ran"} <= {*heard}
        with pytest.raises(JobLookupError):
            scheduler.run_job("added")
        scheduler.shutdown()


def test_what_a_script_does_over_the_api(scheduler, chores):
    app = Flask("shop", root_path=".")
    app.config.update(
        SCHEDULER_API_ENABLED=True, SCHEDULER_API_ALLOWED_FUNCS=["chores_of_examples:*"]
    )
    scheduler.init_app(app)
    scheduler.start()
    ask = client_of(app)
    job = {
        "id": "greeting",
        "func": "chores_of_examples:greet",
        "args": [1, 2],
        "trigger": "interval",
        "minutes": 10,
    }
    assert ask("POST", "/scheduler/jobs", json=job).json["id"] == "greeting"
    assert ask("POST", "/scheduler/jobs/greeting/pause").json["next_run_time"] is None
    assert ask("POST", "/scheduler/jobs/greeting/resume").json["next_run_time"] is not None
    changed = ask("PATCH", "/scheduler/jobs/greeting", json={"trigger": "interval", "minutes": 20})
    assert changed.json["minutes"] == 20
    assert ask("POST", "/scheduler/jobs/greeting/run").status_code == 200
    assert chores.done == [(1, 2)]
    assert ask("DELETE", "/scheduler/jobs/greeting").status_code == 204
    assert ask("GET", "/scheduler/jobs").json == []
