"""The examples: what `make serve` serves, called as the reference's curl lines do."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from werkzeug.test import Client

from schedhttp.settings import load
from schedhttp.workers.host import Hosted

EXAMPLES = Path(__file__).parents[2] / "examples"
LOCAL = {"REMOTE_ADDR": "127.0.0.1"}
MODULES = ("places", "probe", "backup", "rotation", "mymodule", "tasks")


@pytest.fixture
def var(tmp_path, monkeypatch):
    """The folder that the jobs write to; the examples' modules are importable meanwhile."""
    monkeypatch.setenv("EXAMPLES_VAR", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def call(var):
    """Call the API that `make serve` serves, but for gunicorn; the scheduler is paused."""
    store = {"SCHEDULER_STORE": f"sqlite:///{var / 'schedcore.db'}"}
    hosted = Hosted(load(str(EXAMPLES / "schedcore.toml"), store))
    hosted.scheduler.start(paused=True)
    client = Client(hosted.app)

    def call(method, path, body=None):
        answer = client.open(path, method=method, json=body, environ_overrides=LOCAL, buffered=True)
        return answer.status_code, answer.get_json(silent=True)

    yield call
    hosted.scheduler.shutdown(timeout=10)


def test_the_references_lines_as_printed(call, var):
    def status(*request):
        return call(*request)[0]

    assert status("GET", "/scheduler") == 200
    assert status("POST", "/scheduler/start") == 400
    assert status("POST", "/scheduler/pause") == 204
    assert status("POST", "/scheduler/resume") == 204
    test_job = {
        "id": "test_job",
        "func": "mymodule:my_function",
        "trigger": "interval",
        "seconds": 30,
        "name": "Test Job",
    }
    assert status("POST", "/scheduler/jobs", test_job) == 200
    assert "test_job" in {job["id"] for job in call("GET", "/scheduler/jobs")[1]}
    assert call("GET", "/scheduler/jobs/test_job")[1]["seconds"] == 30
    assert call("PATCH", "/scheduler/jobs/test_job", {"seconds": 60})[1]["seconds"] == 60
    assert call("POST", "/scheduler/jobs/test_job/pause")[1]["state"] == "paused"
    assert call("POST", "/scheduler/jobs/test_job/resume")[1]["state"] == "scheduled"
    assert status("POST", "/scheduler/jobs/test_job/run") == 200
    assert "test_job" in (var / "my_function.log").read_text()
    assert status("DELETE", "/scheduler/jobs/test_job") == 204
    daily = {
        "id": "daily_task",
        "func": "tasks:daily_cleanup",
        "trigger": "cron",
        "hour": 2,
        "minute": 0,
        "name": "Daily Cleanup Task",
        "misfire_grace_time": 300,
    }
    assert status("POST", "/scheduler/jobs", daily) == 200
    assert status("POST", "/scheduler/jobs/daily_task/run") == 200
    delayed = {
        "id": "delayed_task",
        "func": "tasks:process_data",
        "trigger": "date",
        "run_date": "2034-12-25T10:00:00",
        "args": ["data.json"],
        "kwargs": {"format": "json"},
    }
    assert status("POST", "/scheduler/jobs", delayed) == 200
    assert status("POST", "/scheduler/jobs/delayed_task/run") == 200
    assert json.loads((var / "summary-data.json").read_text()) == {"Bergen": 36.5, "Cairo": 0.2}
    assert status("POST", "/scheduler/shutdown", {"wait": True}) == 204


def test_a_backup_is_whole_and_old_ones_are_pruned(call, var):
    with closing(sqlite3.connect(var / "health.db")) as live, live:
        live.execute("PRAGMA journal_mode = WAL")
        live.execute("CREATE TABLE probe (n)")
        for n in range(7):
            live.execute("INSERT INTO probe VALUES (?)", (n,))
            live.commit()
            assert call("POST", "/scheduler/jobs/health_backup/run")[0] == 200
    copies = sorted((var / "backups").iterdir())
    assert len(copies) == 5
    with closing(sqlite3.connect(copies[-1])) as copy:
        assert copy.execute("SELECT count(*) FROM probe").fetchone() == (7,)


def test_a_log_that_is_too_long_is_rotated(call, var):
    log = var / "health.log"
    for n in range(5):
        log.write_text(f"{n}" * 20_001)
        assert call("POST", "/scheduler/jobs/health_log_rotation/run")[0] == 200
        assert not log.exists()
    assert [(var / f"health.log.{n}").read_text()[0] for n in (1, 2, 3)] == ["4", "3", "2"]
    log.write_text("short")
    call("POST", "/scheduler/jobs/health_log_rotation/run")
    assert log.read_text() == "short"


def test_a_probe_of_what_is_not_there_is_written_down(call, var):
    url = "http://127.0.0.1:1/"  # nobody listens at port 1
    call("PATCH", "/scheduler/jobs/health_probe", {"args": [url]})
    assert call("POST", "/scheduler/jobs/health_probe/run")[0] == 200
    line = json.loads((var / "health.log").read_text())
    assert (line["url"], line["ok"], line["status"]) == (url, False, None)
    with closing(sqlite3.connect(var / "health.db")) as database:
        assert database.execute("SELECT url, ok FROM probe").fetchall() == [(url, 0)]


@pytest.mark.parametrize(
    ("func", "args"),
    [
        ("tasks:process_data", ["../../etc/passwd"]),
        ("tasks:process_data", ["/etc/passwd"]),
        ("probe:check_address", ["file:///etc/passwd"]),
        ("probe:check_address", ["http://127.0.0.1:1/", "../x.log"]),
        ("backup:backup_database", ["../x.db"]),
        ("rotation:rotate", ["../x.log"]),
    ],
)
def test_names_that_lead_elsewhere_are_refused(call, func, args):
    body = {"id": "x", "func": func, "args": args, "trigger": "interval", "hours": 1}
    assert call("POST", "/scheduler/jobs", body)[0] == 200
    status, error = call("POST", "/scheduler/jobs/x/run")
    assert (status, error["error_type"]) == (500, "RunFailed")
    assert "ValueError" in error["error_message"]
