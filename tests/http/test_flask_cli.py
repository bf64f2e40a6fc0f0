"""Flask's command line: only what serves starts the scheduler of the app that it loads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from schedhttp.flask.cli import loading_command

APP = """
import atexit
import sys
import click
from flask import Flask
from flask.cli import FlaskGroup
from schedhttp.flask import APScheduler
from schedcore import SchedulerNotRunningError

scheduler = APScheduler()

@scheduler.task("date", id="now", run_date="2020-01-01")
def now():
    print("RAN", flush=True)

def create_app():
    app = Flask("shop", root_path=".")
    app.config["SCHEDULER_API_ENABLED"] = True
    scheduler.init_app(app)
    with app.app_context():
        scheduler.start()
    atexit.register(scheduler.shutdown)

    @app.cli.command("own")
    def own():
        print("STATE " + scheduler.state.name)

    @app.cli.command("work")
    def work():
        scheduler.start()
        print("STATE " + scheduler.state.name)

    @app.cli.group("serving")
    def serving():
        pass

    @serving.command("run")
    def run():
        print("STATE " + scheduler.state.name)

    return app

# A program of one's own, in which no command has the name of Flask's.
@click.group(cls=FlaskGroup, create_app=create_app, add_default_commands=False)
def manage():
    pass

@manage.command("run")
@click.pass_context
def run(context):
    from flask.cli import ScriptInfo
    context.find_object(ScriptInfo).load_app()
    print("STATE " + scheduler.state.name)

if __name__ == "__main__":
    manage()
"""


@pytest.fixture
def flask(tmp_path):
    """Run one command to its end; return what it printed and what it logged."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "run.py").write_text("from shop import create_app")

    def run(*words):
        ended = subprocess.run(  # noqa: PLW1510 — below, with what was logged
            [sys.executable, *words],
            cwd=tmp_path,
            env=os.environ | {"FLASK_APP": "shop", "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr, "also where a shutdown was registered for the end"
        return ended.stdout, ended.stderr

    return run


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["-m", "flask", "routes"], "flask routes"),
        (["-m", "flask", "own"], "flask own"),
        (["-m", "flask", "--app", "shop", "shell", "--help"], None),
        (["-m", "flask", "--help"], "flask"),
        (["-m", "flask", "--app", "run", "own"], "flask own"),
        (["shop.py", "own"], "flask own"),
    ],
)
def test_a_command_that_serves_nothing_starts_nothing_and_says_so_once(flask, words, named):
    printed, logged = flask(*words)
    assert "RAN" not in printed
    assert "RUNNING" not in printed
    lines = [line for line in logged.splitlines() if "the scheduler is not started" in line]
    assert len(lines) == (named is not None), logged
    assert named is None or f"`{named}`" in lines[0]


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "flask", "work"],
        ["-m", "flask", "serving", "run"],
        ["shop.py", "work"],
        ["shop.py", "run"],
    ],
)
def test_a_command_that_serves_or_starts_it_itself_does(flask, words):
    printed, logged = flask(*words)
    assert "STATE RUNNING" in printed, logged


def test_flask_run_starts_it(serve, tmp_path):
    (tmp_path / "shop.py").write_text(APP)
    server = serve(
        *(sys.executable, "-m", "flask", "--app", "shop", "run", "--port", "0"),
        PYTHONUNBUFFERED="1",
    )
    assert server.patiently("GET", "/scheduler").json["running"] is True
    server.until(lambda: "RAN" in server.log)


def test_outside_of_flasks_command_line_no_command_loads_the_app():
    """Other programs are made with Click too: servers, and what starts workers."""
    import click

    @click.command()
    def celery():
        assert loading_command() is None

    celery.main([], standalone_mode=False)
    assert loading_command() is None
