"""Each row of the documented API: its status codes, its JSON, its examples."""

from __future__ import annotations

import socket
from threading import Event

import pytest

from tests.http.conftest import NO_RUNS, listed
from tests.patience import SOON

MONDAY_NOON = "2026-01-05T13:00:00+01:00"


def test_scheduler_info(api, scheduler):
    info = api("GET").json
    assert info["current_host"] == socket.gethostname()
    assert info["allowed_hosts"] == ["*"]
    assert info["running"] is True
    scheduler.shutdown()
    assert api("GET").json["running"] is False


def test_pause_and_resume_the_scheduler(api):
    assert (api("POST", "/pause").status, api("GET").json["state"]) == (204, "paused")
    assert (api("POST", "/resume").status, api("GET").json["state"]) == (204, "running")


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_pausing_what_is_not_running_is_500(api, scheduler, action):
    scheduler.shutdown()
    answer = api("POST", f"/{action}")
    assert (answer.status, answer.json["error_type"]) == (500, "SchedulerNotRunningError")


def test_start_is_204_and_then_400(api, scheduler):
    scheduler.shutdown()
    assert api("POST", "/start").status == 204
    assert scheduler.running
    answer = api("POST", "/start")
    assert (answer.status, answer.json["error_type"]) == (400, "SchedulerAlreadyRunningError")


@pytest.mark.parametrize("body", [None, {}, {"wait": True}, {"wait": False}])
def test_shutdown_is_204_and_then_400(api, scheduler, body):
    assert api("POST", "/shutdown", body).status == 204
    assert not scheduler.running
    answer = api("POST", "/shutdown", body)
    assert (answer.status, answer.json["error_type"]) == (400, "SchedulerNotRunningError")


def test_jobs_survive_a_shutdown_and_a_start(api):
    api.add("j")
    api("POST", "/shutdown")
    api("POST", "/start")
    assert [job["id"] for job in api("GET", "/jobs").json] == ["j"]


def test_an_interval_job_as_documented(api):
    job = api.add("test_job", trigger="interval", seconds=30, name="Test Job")
    assert job == {
        "id": "test_job",
        "name": "Test Job",
        "func": "math:sqrt",
        "args": [4],
        "kwargs": {},
        "trigger": "interval",
        "seconds": 30,
        "start_date": "2026-01-05T13:00:30+01:00",
        "timezone": "Europe/Berlin",
        "misfire_grace_time": None,
        "coalesce": True,
        "max_instances": 1,
        "executor": "default",
        "overlap": "skip",
        "timeout": None,
        "retry": None,
        "on_lost": "record",
        "tags": [],
        "on_failure": [],
        "on_recovery": [],
        "on_missed": [],
        "on_run": [],
        "next_run_time": "2026-01-05T13:00:30+01:00",
        "state": "scheduled",
        **NO_RUNS,
    }
    assert api("GET", "/jobs/test_job").json == job
    assert api("GET", "/jobs").json == [listed(job)]


def test_a_cron_job_as_documented(api):
    job = api.add("daily_task", trigger="cron", hour=2, minute=0, misfire_grace_time=300)
    assert (job["trigger"], job["hour"], job["minute"]) == ("cron", 2, 0)
    assert job["next_run_time"] == "2026-01-06T02:00:00+01:00"
    assert job["misfire_grace_time"] == 300


@pytest.mark.parametrize(
    ("run_date", "shown"),
    [
        ("2030-12-25T10:00:00", "2030-12-25T10:00:00+01:00"),
        ("2030-12-25T10:00:00.123456", "2030-12-25T10:00:00.123456+01:00"),
        ("2030-12-25T10:00:00Z", "2030-12-25T11:00:00+01:00"),
        ("2030-07-25T10:00:00-05:00", "2030-07-25T17:00:00+02:00"),
    ],
)
def test_a_date_job_as_documented(api, run_date, shown):
    job = api.add("delayed_task", trigger="date", run_date=run_date)
    assert (job["trigger"], job["run_date"], job["next_run_time"]) == ("date", shown, shown)


def test_a_date_that_has_passed_runs_at_once(api, scheduler):
    ran = Event()
    scheduler.add_listener(lambda event: ran.set())
    api.add("late", trigger="date", run_date="2024-12-25T10:00:00")
    assert ran.wait(SOON)


def test_a_trigger_as_an_object(api):
    """As older clients send it."""
    job = api.add("j", trigger={"type": "interval", "seconds": 30})
    assert (job["trigger"], job["seconds"]) == ("interval", 30)


def test_a_job_with_periods_below_a_second(api):
    assert api.add("j", trigger="interval", seconds=1.25)["seconds"] == 1.25


def test_a_job_that_is_added_paused(api):
    job = api.add("j", next_run_time=None)
    assert (job["next_run_time"], job["state"]) == (None, "paused")


def test_an_id_that_is_taken_is_409(api):
    job = api.add("j")
    body = {"id": "j", "func": "math:sqrt", "args": [9], "trigger": "date"}
    answer = api("POST", "/jobs", body)
    assert (answer.status, answer.json["error_type"]) == (409, "ConflictingIdError")
    assert api("GET", "/jobs/j").json == job
    assert api.add("j", args=[9], replace_existing=True)["args"] == [9]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs/none"),
        ("DELETE", "/jobs/none"),
        ("PATCH", "/jobs/none"),
        ("POST", "/jobs/none/pause"),
        ("POST", "/jobs/none/resume"),
        ("POST", "/jobs/none/run"),
    ],
)
def test_a_job_that_is_not_there_is_404(api, method, path):
    answer = api(method, path, {} if method == "PATCH" else None)
    assert (answer.status, answer.json["error_type"]) == (404, "JobLookupError")
    assert "'none'" in answer.json["error_message"]


def test_delete(api):
    api.add("j")
    assert api("DELETE", "/jobs/j").status == 204
    assert api("GET", "/jobs").json == []


def test_update_as_documented(api):
    api.add("test_job", trigger="interval", minutes=5)
    job = api("PATCH", "/jobs/test_job", {"seconds": 60}).json
    assert (job["trigger"], job["seconds"]) == ("interval", 60)
    assert "minutes" not in job


def test_pause_and_resume_a_job(api):
    api.add("j")
    paused = api("POST", "/jobs/j/pause").json
    assert (paused["state"], paused["next_run_time"]) == ("paused", None)
    resumed = api("POST", "/jobs/j/resume").json
    assert (resumed["state"], resumed["next_run_time"]) == (
        "scheduled",
        "2026-01-05T13:01:00+01:00",
    )


def test_run_is_200_with_the_job(api, scheduler):
    job = api.add("j")
    answer = api("POST", "/jobs/j/run")
    assert (answer.status, listed(answer.json)) == (200, listed(job))
    assert answer.json["last_run"]["run_id"] == answer.headers["X-Run-Id"]
    assert [record.result for record in scheduler.history("j")] == ["2.0"]


def test_run_is_500_if_the_job_raises(api, scheduler):
    api.add("j", args=[-1])
    answer = api("POST", "/jobs/j/run")
    assert (answer.status, answer.json["error_type"]) == (500, "RunFailed")
    assert "'j' raised ValueError" in answer.json["error_message"]
    assert api("GET", "/jobs/j").status == 200


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"func": "math:sqt"}, "math:sqt"),
        ({"trigger": "intervl"}, "did you mean 'interval'?"),
        ({"second": 5}, "did you mean 'seconds'?"),
        ({"max_instance": 5}, "did you mean 'max_instances'?"),
        ({"seconds": -5}, "seconds=-5"),
        ({"max_instances": 0}, "max_instances=0"),
        ({"executor": "defalt"}, "did you mean 'default'?"),
        ({"args": "text"}, "args='text'"),
        ({"args": [1, 2]}, "args="),
        ({"kwargs": []}, "kwargs=[]"),
        ({"timezone": "Europe/Berlim"}, "Europe/Berlin"),
        ({"trigger": "cron", "hour": 25}, "hour=25"),
        ({"trigger": "date", "run_date": "2026-03-29T02:30:00"}, "clocks go from"),
        ({"id": ""}, "id=''"),
        ({"id": 5}, "id=5"),
        ({"coalesce": "yes"}, "coalesce='yes'"),
        ({"replace_existing": 1}, "replace_existing=1"),
        ({"next_run_time": "soon"}, "next_run_time='soon'"),
    ],
)
def test_what_makes_no_sense_is_500_with_a_reason_or_422_if_asked(mount, job, message):
    body = {"id": "j", "func": "math:sqrt", "args": [4], "trigger": "interval", "minutes": 5} | job
    if "trigger" in job:
        del body["minutes"]
    for precise in (False, True):
        api = mount(api_precise_errors=precise, api_allowed_funcs=["math:sqrt", "math:sqt"])
        answer = api("POST", "/jobs", body)
        assert answer.status == (422 if precise else 500)
        assert message in answer.json["error_message"]
        assert api("GET", "/jobs").json == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[5]",
        b'"x"',
        b"null",
        b"5",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b"[" * 9000,
    ],
)
def test_a_body_that_is_no_json_object_is_400(api, body):
    answer = api("POST", "/jobs", body)
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
