"""The Flask extension: the surface that users of Flask-APScheduler know."""

from __future__ import annotations

from threading import Event

import pytest
from flask import Flask, current_app, jsonify

from schedcore import EVENT_JOB_EXECUTED, JobLookupError, ManualClock, Scheduler, State
from schedhttp.flask import APScheduler, FlaskScheduler, HTTPBasicAuth
from schedhttp.routes import ROUTES

LOCAL = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}


def app_with(**config):
    app = Flask("tests", root_path=".")
    app.config.update({f"SCHEDULER_{name.upper()}": value for name, value in config.items()})
    return app


@pytest.fixture
def made():
    """Make extensions that are shut down after the test."""
    extensions = []

    def make(scheduler=None, **config):
        extension = FlaskScheduler(scheduler, app_with(**config))
        extensions.append(extension)
        return extension

    yield make
    for extension in extensions:
        if extension.running:
            extension.shutdown()


def test_the_documented_example():
    """Enable REST API, as the reference has it."""

    class Config:
        SCHEDULER_API_ENABLED = True
        SCHEDULER_API_PREFIX = "/api/scheduler"

    app = Flask("tests", root_path=".")
    app.config.from_object(Config())
    scheduler = APScheduler()
    scheduler.init_app(app)
    scheduler.start()
    info = app.test_client().get("/api/scheduler", environ_overrides=LOCAL).get_json()
    assert (info["running"], scheduler.running, scheduler.state) == (True, True, State.RUNNING)
    scheduler.shutdown()
    assert (scheduler.running, scheduler.state) == (False, State.STOPPED)


def test_what_the_config_says_can_be_asked(made):
    extension = made(api_enabled=True, api_prefix="/x", endpoint_prefix="s.", allowed_hosts=["h"])
    assert extension.api_enabled is True
    assert extension.api_prefix == "/x"
    assert extension.endpoint_prefix == "s."
    assert extension.allowed_hosts == ["h"]
    assert extension.auth is None
    assert extension.app.extensions["scheduler"] is extension
    assert extension.app.apscheduler is extension
    assert extension.host_name


def test_the_api_is_off_unless_enabled(made):
    client = made().app.test_client()
    assert client.get("/scheduler", environ_overrides=LOCAL).status_code == 404


def test_url_for_knows_every_endpoint(made):
    app = made(api_enabled=True).app
    with app.test_request_context():
        assert app.url_for("scheduler.get_jobs") == "/scheduler/jobs"
        assert app.url_for("scheduler.get_job", job_id="a b") == "/scheduler/jobs/a%20b"
        for route in ROUTES:
            values = {name: "5" for name in ("job_id", "run_id") if f"{name}>" in route.path}
            assert app.url_for(f"scheduler.{route.name}", **values).startswith("/scheduler")


def test_a_host_that_may_not_run_it_does_not(made):
    extension = made(api_enabled=True, allowed_hosts=["another"])
    extension.start()
    assert not extension.running
    answer = extension.app.test_client().post("/scheduler/start", environ_overrides=LOCAL)
    assert answer.status_code == 403
    assert "SCHEDULER_ALLOWED_HOSTS" in answer.get_json()["error_message"]


def test_the_app_keeps_its_own_errors(made):
    app = made(api_enabled=True).app
    app.register_error_handler(404, lambda error: (jsonify(own=True), 404))
    client = app.test_client()
    assert client.get("/elsewhere", environ_overrides=LOCAL).get_json() == {"own": True}
    assert client.get("/schedulers", environ_overrides=LOCAL).get_json() == {"own": True}
    assert "error_message" in client.get("/scheduler/x", environ_overrides=LOCAL).get_json()


def test_tasks_can_be_decorated_before_there_is_an_app():
    extension = FlaskScheduler()
    ran = Event()

    @extension.task("interval", id="early", seconds=60)
    def early():
        ran.set()

    extension.add_listener(lambda event: None)
    extension.init_app(app_with())
    extension.start()
    extension.run_job("early")
    assert ran.is_set()
    extension.shutdown()


def test_before_there_is_an_app_there_is_no_scheduler():
    with pytest.raises(RuntimeError, match="init_app"):
        FlaskScheduler().add_job("j", print)


def test_jobs_by_code(made):
    extension = made(Scheduler(clock=ManualClock(), timezone="UTC"))
    extension.start(paused=True)
    assert extension.state is State.PAUSED
    extension.resume()
    extension.pause()
    job = extension.add_job(id="j", func="math:sqrt", args=[4], trigger="interval", minutes=5)
    assert extension.get_job("j") == job
    assert extension.get_jobs() == [job]
    assert extension.pause_job("j").next_run_time is None
    assert extension.resume_job("j").next_run_time is not None
    changed = extension.modify_job("j", trigger="cron", hour=5, name="Other")
    assert (changed.name, changed.trigger.kind) == ("Other", "cron")
    assert extension.modify_job("j", minute=7).trigger.to_dict()["hour"] == 5
    assert extension.run_job("j").record.result == "2.0"
    extension.remove_job("j", jobstore="default")
    assert extension.get_job("j") is None
    extension.add_job("k", print)
    extension.remove_all_jobs()
    assert extension.get_jobs() == []
    with pytest.raises(JobLookupError):
        extension.remove_job("j")
    with pytest.raises(ValueError, match="one store"):
        extension.get_jobs(jobstore="redis")


def test_jobs_and_options_of_the_config(made):
    extension = made(
        jobs=[{"id": "j", "func": print, "trigger": {"type": "interval", "seconds": 5}}],
        job_defaults={"max_instances": 3},
        executors={"default": {"type": "threadpool", "max_workers": 2}},
        timezone="Asia/Tokyo",
    )
    job = extension.get_job("j")
    assert (job.max_instances, job.trigger.to_dict()["timezone"]) == (3, "Asia/Tokyo")


@pytest.mark.parametrize("coroutine", [False, True])
def test_jobs_run_inside_the_apps_context_if_asked(made, coroutine):
    extension = made(app_context=True)
    torn_down = Event()
    extension.app.teardown_appcontext(lambda error: torn_down.set())
    extension.start()

    def name():
        return current_app.name

    async def name_later():
        return current_app.name

    extension.add_job("j", name_later if coroutine else name, trigger="interval", hours=1)
    record = extension.run_job("j").record
    assert (record.error_text, record.result) == (None, "'tests'")
    assert torn_down.is_set()


def test_a_callback_decides_who_is_let_in(made):
    extension = made(api_enabled=True, auth=HTTPBasicAuth())
    client = extension.app.test_client()

    def status(*pair):
        return client.get("/scheduler", environ_overrides=LOCAL, auth=pair or None).status_code

    assert status("guest", "guest") == 401, "as long as there is no callback, nobody"

    @extension.authenticate
    def authenticate(auth):
        return auth.username == "guest" and auth["password"] == "guest"

    assert (status("guest", "guest"), status("guest", "x"), status()) == (200, 401, 401)


def test_a_body_that_the_app_has_read_is_read(made):
    extension = made(api_enabled=True, api_allowed_funcs=["math:sqrt"])
    extension.app.before_request(lambda: print(len(current_app.ensure_sync(_read)())))
    answer = extension.app.test_client().post(
        "/scheduler/jobs", json={"func": "math:sqrt", "args": [4]}, environ_overrides=LOCAL
    )
    assert answer.status_code == 200


def _read():
    from flask import request

    return request.get_data()


def test_listeners(made):
    extension = made()
    heard = []
    extension.add_listener(heard.append, EVENT_JOB_EXECUTED)
    extension.start()
    ended = Event()
    extension.add_listener(lambda event: ended.set(), EVENT_JOB_EXECUTED)
    extension.add_job("j", print, trigger="interval", hours=1)
    extension.run_job("j")
    assert ended.wait(60)
    assert [event.job_id for event in heard] == ["j"]
    extension.remove_listener(heard.append)
