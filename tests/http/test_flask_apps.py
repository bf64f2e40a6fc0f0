"""Several Flask apps in one process, one after or beside another: each has its own scheduler."""

from __future__ import annotations

import logging
from threading import Event, Semaphore

import pytest
from flask import Flask
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from schedcore import (
    EVENT_JOB_EXECUTED,
    InvalidOptionError,
    Scheduler,
    SchedulerAlreadyRunningError,
    SchedulerNotRunningError,
    State,
)
from schedhttp.flask import APScheduler, HTTPBasicAuth
from tests.patience import SOON

LOCAL = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
JOB = {"id": "of config", "func": "math:sqrt", "args": [4], "trigger": "interval", "hours": 1}


def app_with(name="tests", **config):
    app = Flask(name, root_path=".")
    app.config.update({f"SCHEDULER_{key.upper()}": value for key, value in config.items()})
    return app


def ask(app, path="/scheduler", **options):
    return Client(app).get(path, environ_overrides=LOCAL, **options)


@pytest.fixture
def started():
    """Start extensions, each with a job that tells of its runs; shut down after the test."""
    extensions = []

    def start(app, scheduler=None):
        extension, ran = APScheduler(scheduler), Semaphore(0)
        extension.init_app(app)
        extension.add_job("tick", ran.release, trigger="interval", seconds=0.05)
        extension.start()
        extensions.append(extension)
        return extension, ran

    yield start
    for extension in extensions:
        if extension.state is not State.STOPPED:
            extension.shutdown()


def runs_on(*semaphores):
    """Tell whether each of these jobs runs from now on."""
    for each in semaphores:
        while each.acquire(blocking=False):
            pass
    return all(each.acquire(timeout=SOON) for each in semaphores)


# Beside one another


@pytest.mark.parametrize("names", [("one", "two"), ("same", "same"), ("a", "b", "a")])
def test_each_of_the_extensions_in_a_process_runs_its_jobs(started, names):
    made = [started(app_with(name)) for name in names]
    assert [extension.state for extension, _ in made] == [State.RUNNING] * len(names)
    assert runs_on(*(ran for _, ran in made))
    made[0][0].shutdown()
    assert made[0][0].state is State.STOPPED
    assert runs_on(*(ran for _, ran in made[1:])), "the others go on"
    made[0][0].start()
    assert runs_on(*(ran for _, ran in made))


def test_a_dispatcher_of_two_apps_has_the_apis_of_both(started):
    one, _ = started(app_with("one", api_enabled=True, timezone="Asia/Tokyo"))
    two, _ = started(app_with("two", api_enabled=True, timezone="UTC"))
    both = DispatcherMiddleware(NotFound(), {"/one": one.app, "/two": two.app})
    for extension, base in ((one, "/one"), (two, "/two")):
        assert ask(both, base + "/scheduler").json["state"] == "running"
        zone = ask(both, base + "/scheduler/jobs/tick").json["timezone"]
        assert zone == str(extension.scheduler.timezone)


def test_schedulers_that_were_given_run_beside_those_that_were_made(started):
    made = [started(app_with(), given) for given in (None, Scheduler(), None, Scheduler())]
    assert runs_on(*(ran for _, ran in made))


def test_two_extensions_of_one_app_need_other_names_and_paths(started):
    app = app_with(api_enabled=True)
    started(app)
    with pytest.raises(InvalidOptionError, match=r"SCHEDULER_ENDPOINT_PREFIX = 'schedcore\.'"):
        APScheduler(app=app)
    second = APScheduler()
    second.endpoint_prefix = "second."
    with pytest.raises(InvalidOptionError, match="SCHEDULER_API_PREFIX='/scheduler'"):
        second.init_app(app)
    second.api_prefix = "/second"
    second.init_app(app)
    assert ask(app).json["state"] == "running"
    assert ask(app, "/second").json["state"] == "stopped"


# One after another


def test_an_extension_takes_all_that_the_next_app_says(started):
    extension = APScheduler()
    for number, zone in enumerate(("UTC", "Asia/Tokyo"), start=1):
        app = app_with(
            api_enabled=True,
            timezone=zone,
            api_prefix=f"/s{number}",
            endpoint_prefix=f"s{number}.",
            allowed_hosts=["*", f"host{number}"],
            job_defaults={"max_instances": number},
            executors={f"pool{number}": {"type": "threadpool", "max_workers": number}},
            auth=HTTPBasicAuth() if number == 2 else None,
            jobs=[JOB, {**JOB, "id": f"j{number}", "executor": f"pool{number}"}],
        )
        extension.init_app(app)
        extension.start()
        assert extension.app is app
        assert str(extension.scheduler.timezone) == zone
        assert extension.get_job(f"j{number}").max_instances == number
        assert extension.get_job(JOB["id"]).trigger.to_dict()["timezone"] == zone
        assert extension.allowed_hosts == ["*", f"host{number}"]
        assert ask(app, f"/s{number}").status_code == (401 if number == 2 else 200)
        with app.test_request_context():
            assert app.url_for(f"s{number}.get_jobs") == f"/s{number}/jobs"
        extension.shutdown()
    assert {job.id for job in extension.get_jobs()} == {JOB["id"], "j2"}


def test_what_was_decorated_holds_for_each_app_and_what_was_added_for_its_own():
    """A module with decorated functions is imported once, however many apps are made."""
    extension = APScheduler()
    heard, gone, ran = [], [], Event()
    extension.add_listener(heard.append, EVENT_JOB_EXECUTED)
    extension.add_listener(gone.append)

    @extension.task("interval", id="before", hours=1)
    def before():
        ran.set()

    extension.register(before)
    for number in (1, 2):
        extension.init_app(app_with(jobs=[JOB]))
        if number == 1:

            @extension.task("interval", id="between", hours=1)
            def between():
                pass

            @extension.authenticate
            def authenticate(auth):
                return False

            extension.remove_listener(gone.append)
            gone.clear()
        extension.start()
        assert {job.id for job in extension.get_jobs()} == {JOB["id"], "before", "between"}
        extension.add_job(f"added {number}", print, trigger="interval", hours=1)
        extension.run_job("before")
        assert before in extension.scheduler.registered.values()
        extension.shutdown()
    assert [event.job_id for event in heard] == ["before", "before"]
    assert gone == []
    assert ran.is_set()


def test_while_it_runs_no_other_app_is_taken_and_nothing_changes(started):
    extension, ran = started(app_with(api_enabled=True))
    first, scheduler = extension.app, extension.scheduler
    other = app_with(api_enabled=True, timezone="Asia/Tokyo")
    for pause in (False, True):
        if pause:
            extension.pause()
        with pytest.raises(SchedulerAlreadyRunningError, match="an extension of its own"):
            extension.init_app(other)
    extension.resume()
    assert (extension.app, extension.scheduler) == (first, scheduler)
    assert ask(other).status_code == 404
    assert runs_on(ran)


def test_an_app_that_is_refused_leaves_the_extension_as_it_was():
    extension = APScheduler(app=app_with(jobs=[JOB]))
    first = (extension.app, extension.scheduler, extension.get_jobs())
    for wrong in ({"api_prefix": "x"}, {"jobs": [{"id": "j"}]}, {"auth": 5}):
        app = app_with(api_enabled=True, **wrong)
        with pytest.raises(InvalidOptionError):
            extension.init_app(app)
        assert (extension.app, extension.scheduler, extension.get_jobs()) == first
        assert not hasattr(app, "apscheduler")
        assert ask(app).status_code == 404


def test_the_jobs_of_each_config_in_a_scheduler_that_was_given(caplog):
    extension = APScheduler(Scheduler(timezone="UTC"))
    for number in (1, 2):
        app = app_with(jobs=[JOB, {**JOB, "id": f"j{number}"}], timezone="Asia/Tokyo")
        extension.init_app(app)
        extension.start()
        extension.shutdown()
    assert {job.id for job in extension.get_jobs()} == {JOB["id"], "j2"}
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(told) == 2
    assert "SCHEDULER_TIMEZONE" in told[0], "what is not taken is said"


def test_a_shutdown_needs_a_start():
    extension = APScheduler(app=app_with())
    with pytest.raises(SchedulerNotRunningError):
        extension.shutdown()
