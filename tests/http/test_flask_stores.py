"""Where a Flask app keeps its jobs, and what becomes of them when it starts again."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace

import pytest
from flask import Flask
from werkzeug.test import Client

from schedcore import (
    ConflictingIdError,
    InvalidOptionError,
    Scheduler,
    SchedulerNotRunningError,
    State,
)
from schedhttp.flask import APScheduler
from tests.patience import SOON

LOCAL = {"HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
RAN = {name: Semaphore(0) for name in ("one", "two")}


def tick(name="one"):
    RAN[name].release()


def runs_on(name):
    """Tell whether the job that calls ``tick(name)`` runs from now on."""
    while RAN[name].acquire(blocking=False):
        pass
    return RAN[name].acquire(timeout=SOON)


@pytest.fixture
def app_of(tmp_path):
    """Make apps that are not tested ones, with an instance folder below the test's own."""

    def make(name="shop", folder="instance", **config):
        app = Flask(name, root_path=".", instance_path=str(tmp_path / folder))
        app.testing = False
        app.config.update({f"SCHEDULER_{key.upper()}": value for key, value in config.items()})
        return app

    return make


@pytest.fixture
def made():
    """Make extensions that are shut down after the test."""
    extensions = []

    def make(app, scheduler=None):
        extension = APScheduler(scheduler, app)
        extensions.append(extension)
        return extension

    yield make
    for extension in extensions:
        with suppress(SchedulerNotRunningError):  # one that was stopped for all leaves as well
            extension.shutdown()


def path_of(extension):
    return Path(extension.scheduler.store_info().url.removeprefix("sqlite:///"))


def test_jobs_are_kept_in_the_apps_instance_folder_which_is_made(made, app_of, tmp_path):
    extension = made(app_of())
    assert path_of(extension) == tmp_path / "instance" / "schedcore.db"
    assert path_of(extension).is_file()


@pytest.mark.parametrize("script", ["/bin/uvicorn", "/lib/uvicorn/__main__.py"])
def test_a_program_is_called_like_its_command_however_it_is_started(tmp_path, monkeypatch, script):
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=script))
    scheduler = Scheduler(store=f"sqlite:///{tmp_path / 'jobs.db'}")
    scheduler.start()
    assert [node.app for node in scheduler.nodes()] == ["uvicorn"]
    scheduler.shutdown()


@pytest.mark.parametrize(
    "jobs",
    [
        pytest.param([], id="imported later"),
        pytest.param([{"func": "late_tasks:other", "id": "other"}], id="imported by the config"),
    ],
)
def test_a_decorated_job_is_declared_at_each_start_whoever_imports_its_module(
    app_of, tmp_path, monkeypatch, jobs
):
    """A factory calls init_app() first, and imports the jobs then; the store knows them already."""
    (tmp_path / "late_tasks.py").write_text(
        "from late_extension import scheduler\n"
        "def other(): pass\n"
        "@scheduler.task('interval', hours=1, id='late')\n"
        "def late(): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for _ in ("the first start", "the second start"):
        extension = APScheduler()
        monkeypatch.setitem(sys.modules, "late_extension", SimpleNamespace(scheduler=extension))
        monkeypatch.delitem(sys.modules, "late_tasks", raising=False)
        extension.init_app(app_of(jobs=jobs, store="sqlite:///late.db"))
        import_module("late_tasks")
        extension.start()
        assert extension.scheduler.entry("late").broken is None
        extension.shutdown()


def test_an_app_that_is_tested_keeps_them_in_memory(made, app_of, tmp_path):
    app = app_of()
    app.testing = True
    assert made(app).scheduler.store_info().kind == "memory"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///jobs.db", "instance/jobs.db"),
        ("sqlite:////{tmp}/jobs.db", "jobs.db"),
    ],
)
def test_a_relative_path_is_relative_to_the_instance_folder(made, app_of, tmp_path, url, path):
    url = url.replace("/{tmp}", str(tmp_path))
    assert path_of(made(app_of(store=url))) == tmp_path / path


def test_a_store_may_be_given_as_such(made, app_of, tmp_path):
    store = Scheduler(store=f"sqlite:///{tmp_path / 'own.db'}")._engine.store
    assert path_of(made(app_of(store=store))) == tmp_path / "own.db"
    assert made(app_of(store="memory")).scheduler.store_info().kind == "memory"


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("mysql://db/shop", "SCHEDULER_STORE: store='mysql://db/shop': expected memory, sqlite://"),
        ("sqlite://jobs.db", "SCHEDULER_STORE: store='sqlite://jobs.db': expected sqlite:///"),
        (5, "SCHEDULER_STORE=5: expected a store, or a URL"),
    ],
)
def test_a_store_that_there_is_not(app_of, store, message):
    with pytest.raises(InvalidOptionError) as caught:
        APScheduler(app=app_of(store=store))
    assert str(caught.value).startswith(message)


def test_a_folder_that_cannot_be_made_is_one_error_that_names_the_setting(app_of, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InvalidOptionError, match=r"^SCHEDULER_STORE: the folder .* cannot be created"
    ):
        APScheduler(app=app_of(folder="file/instance"))


def test_so_is_a_file_that_is_no_database(app_of, tmp_path):
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "schedcore.db").write_text("something else, and not short either" * 9)
    with pytest.raises(InvalidOptionError, match=r"^SCHEDULER_STORE: store .* it is no SQLite"):
        APScheduler(app=app_of())


# Several extensions


@pytest.mark.parametrize("names", [("one", "two"), ("same", "same")])
def test_extensions_that_live_at_the_same_time_have_a_file_each(made, app_of, names):
    extensions = [made(app_of(name)) for name in names]
    for job, extension in zip(("one", "two"), extensions, strict=True):
        extension.add_job("tick", tick, args=[job], trigger="interval", seconds=0.1)
        extension.start()
    assert [path_of(each).name for each in extensions] == ["schedcore.db", "schedcore-2.db"]
    assert runs_on("one")
    assert runs_on("two")
    extensions[0].shutdown()
    assert runs_on("two"), "the other one goes on"
    extensions[0].start()
    assert runs_on("one")


def test_one_extension_has_one_file_however_many_apps_it_serves(made, app_of):
    extension = made(app_of())
    before = path_of(extension)
    extension.init_app(app_of())
    assert path_of(extension) == before


# Started again


def started_again(made, app_of, *declared, **config):
    """Return an extension as a later process would make it, with jobs declared before its start."""
    extension = made(app_of(store="sqlite:///jobs.db", **config))
    for job_id, options in declared:
        extension.add_job(job_id, tick, **options)
    extension.start()
    return extension


HOURLY = {"trigger": "interval", "hours": 1}


def test_declared_jobs_keep_their_beat_and_their_pause(made, app_of):
    first = started_again(made, app_of, ("a", HOURLY), ("b", HOURLY))
    due = first.get_job("a").next_run_time
    first.pause_job("b")
    first.shutdown()
    second = started_again(made, app_of, ("a", HOURLY), ("b", HOURLY))
    assert second.get_job("a").next_run_time == due
    assert second.get_job("b").next_run_time is None


def test_a_job_that_is_declared_no_more_is_parked_and_one_that_was_added_stays(made, app_of):
    first = started_again(made, app_of, ("a", HOURLY))
    first.add_job("later", tick, **HOURLY)
    first.shutdown()
    second = started_again(made, app_of)
    assert "no longer declares it" in second.scheduler.entry("a").broken
    assert second.get_job("a").next_run_time is None
    assert second.get_job("later").next_run_time is not None


def test_a_job_added_right_after_the_start_is_added_again_without_a_conflict(made, app_of):
    first = started_again(made, app_of)
    due = first.add_job("a", tick, **HOURLY).next_run_time
    first.shutdown()
    second = started_again(made, app_of)
    assert second.add_job("a", tick, **HOURLY).next_run_time == due
    with pytest.raises(ConflictingIdError):
        second.add_job("a", tick, trigger="interval", hours=2)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_decorated_function_without_an_id_is_one_job_however_often_it_starts(made, app_of, after):
    for _ in range(2):
        extension = made(app_of(store="sqlite:///jobs.db"))
        if after:
            extension.start()
        extension.task("interval", hours=1)(tick)
        extension.task("interval", hours=1)(tick)  # asked for twice, it is two
        if not after:
            extension.start()
        assert len(extension.get_jobs()) == 2
        extension.shutdown()


def test_over_http_a_taken_id_is_a_conflict_also_for_the_same_job(made, app_of):
    extension = made(app_of(api_enabled=True, api_allowed_funcs=["math:sqrt"]))
    extension.start()
    client = Client(extension.app)
    job = {"id": "j", "func": "math:sqrt", "args": [4], "trigger": "interval", "hours": 1}
    statuses = [
        client.post("/scheduler/jobs", json=job, environ_overrides=LOCAL).status_code
        for _ in range(2)
    ]
    assert statuses == [200, 409]
    replaced = client.post(
        "/scheduler/jobs",
        json={**job, "hours": 2, "replace_existing": True},
        environ_overrides=LOCAL,
    )
    assert (replaced.status_code, replaced.json["hours"]) == (200, 2)


def test_a_pause_outlives_the_process(made, app_of):
    first = started_again(made, app_of)
    first.pause()
    first.shutdown()
    second = started_again(made, app_of)
    assert second.state is State.PAUSED
    second.resume()
    assert second.state is State.RUNNING


def test_a_start_follows_the_others_and_one_in_a_request_is_an_order(made, app_of):
    first = started_again(made, app_of)
    first.scheduler.shutdown(leave=False)
    second = started_again(made, app_of)
    assert second.state is State.STOPPED, "somebody has stopped it for all"
    with second.app.test_request_context():
        second.start()
    assert first.scheduler.shared_state() is State.RUNNING
    first.scheduler.run_job(second.add_job("a", tick, **HOURLY).id)
