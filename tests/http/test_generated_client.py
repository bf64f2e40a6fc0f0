"""A client that is generated from the API's description can use the API."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from functools import cache
from itertools import count
from pathlib import Path

import httpx
import pytest

from schedcore.triggers.factory import KINDS, option_names
from schedhttp.routes import ROUTES

_NUMBERS = count(1)


@cache
def generated_from(document: str, folder: Path) -> tuple[str, str]:
    """Generate a package in *folder*; return its name, and what the generator said.  2 s each."""
    name = f"generated_{next(_NUMBERS)}"
    (folder / "openapi.json").write_text(document)
    (folder / "config.json").write_text(json.dumps({"post_hooks": []}))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", "openapi.json", "--config", "config.json", "--output-path", name),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return name, done.stdout + done.stderr


class Generated:
    """A generated package, and its client of one mount."""

    def __init__(self, api, folder: Path) -> None:
        answer = api("GET", "/openapi.json")
        (server,) = answer.json["servers"]
        document = json.dumps({**answer.json, "servers": []})  # the rest is the same at each mount
        self.name, self.said = generated_from(document, folder)
        self.folder = folder
        self.models = importlib.import_module(f"{self.name}.models")
        self.client = importlib.import_module(f"{self.name}.client").Client(
            base_url="http://localhost" + server["url"].rstrip("/"),
            httpx_args={"transport": httpx.WSGITransport(app=api.app)},
        )

    def operation(self, name):
        """Return the module of an operation."""
        (module,) = self.folder.glob(f"{self.name}/api/*/{name}.py")
        return importlib.import_module(f"{self.name}.api.{module.parent.name}.{name}")

    def __call__(self, name, *values, **options):
        """Return the parsed answer, and its status."""
        answer = self.operation(name).sync_detailed(*values, client=self.client, **options)
        return answer.parsed, answer.status_code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture
def generated(api, folder):
    return Generated(api, folder)


def test_a_job_is_added_changed_run_and_deleted(generated):
    models = generated.models
    new = models.NewJob(
        func="math:sqrt",
        id="a/b c",
        args=[9],
        trigger=models.NewJobTriggerType0.INTERVAL,
        seconds=30,
        retry=models.Retry(count=2),
    )
    job, status = generated("add_job", body=new)
    assert (status, job.id, job.seconds, job.retry.count) == (200, "a/b c", 30, 2)
    assert job.next_run_time.isoformat() == "2026-01-05T13:00:30+01:00"
    again, status = generated("add_job", body=new)
    assert (status, again.error_type) == (409, "ConflictingIdError")

    changes = models.JobChanges(seconds=60, name="Other", max_instances=None)
    job, _ = generated("update_job", "a/b c", body=changes)
    assert (job.seconds, job.name) == (60, "Other")
    refused, status = generated("update_job", "a/b c", body=changes, if_match='"stale"')
    assert (status, refused.error_type) == (412, "PreconditionFailed")

    body = models.NewRun(wait=True, args=[16])
    for _ in range(2):
        job, status = generated("run_job", "a/b c", body=body, idempotency_key="once")
        assert (status, job.state, job.last_run.outcome) == (200, "scheduled", "executed")
    (run,), _ = generated("get_job_runs", "a/b c", outcome="executed,failed")
    assert (run.outcome, run.result, run.job_id) == ("executed", "4.0", "a/b c")
    one, status = generated("get_run", job.last_run.run_id)
    assert (status, one) == (200, run)
    ended, status = generated("cancel_run", run.run_id)
    assert (status, ended.error_type) == (409, "RunEndedError")
    counts, _ = generated("get_counts", job="a/b c")
    assert counts.executed == 1
    paused, _ = generated("pause_job", "a/b c")
    assert (paused.state, paused.next_run_time) == ("paused", None)

    listed, _ = generated("get_jobs", limit=5, sort="id")
    assert [each.id for each in listed] == ["a/b c"]
    _, status = generated("delete_job", "a/b c")
    assert status == 204
    missing, status = generated("get_job", "a/b c")
    assert (status, missing.error_type) == (404, "JobLookupError")


TRIGGERS = [
    {"trigger": "date", "run_date": "2030-01-01T00:00:00"},
    {"trigger": "interval", "minutes": 5, "jitter": 2},
    {"trigger": "cron", "hour": "9-17", "day_of_week": "mon-fri", "minute": 30},
    {"trigger": "cron", "crontab": "0 9 * * mon-fri", "timezone": "Asia/Tokyo"},
    {"trigger": "calendarinterval", "months": 1, "hour": 3},
    {"trigger": "or", "triggers": [{"trigger": "cron", "hour": 2}, {"trigger": "cron", "hour": 3}]},
    {"trigger": "and", "triggers": [{"trigger": "interval", "days": 1}]},
]


def test_triggers_of_each_kind_are_typed(generated):
    """Nested as models, and beside the kind as options; and shown again as both."""
    models = generated.models
    assert {trigger["trigger"] for trigger in TRIGGERS} == set(KINDS)
    for trigger in TRIGGERS:
        name = trigger["trigger"].replace("calendarinterval", "calendarInterval")
        kind = getattr(models, name[0].upper() + name[1:] + "Trigger")
        nested = kind.from_dict(trigger)
        job, status = generated(
            "add_job", body=models.NewJob(func="math:sqrt", args=[4], trigger=nested)
        )
        assert status == 200, job
        flat = models.NewJob.from_dict({"func": "math:sqrt", "args": [4], **trigger})
        other, status = generated("add_job", body=flat)
        assert status == 200, other
        shown, other = job.to_dict(), other.to_dict()
        for option in option_names(trigger["trigger"]) - {"jitter"}:
            assert shown.get(option) == other.get(option)
        previewed, status = generated("preview", body=models.Preview(trigger=nested))
        assert (status, previewed.next_fire_times != []) == (200, True)


def test_every_operation_is_generated_and_its_answer_is_parsed(generated):
    assert "Warning" not in generated.said, generated.said
    for route in ROUTES:
        generated.operation(route.name)
    for name in (
        "get_scheduler_info",
        "get_health",
        "get_live",
        "get_ready",
        "get_metrics",
        "get_runs",
        "get_jobs",
    ):
        parsed, status = generated(name)
        assert status == 200
        assert parsed is not None
    assert generated("get_health")[0].loop_failing == 0
    assert generated("get_health")[0].additional_properties == {}
    assert generated("pause_scheduler")[1] == 204
    assert generated("get_scheduler_info")[0].state == "paused"
    assert generated("shutdown_scheduler", body=generated.models.Wait(wait=False))[1] == 204
