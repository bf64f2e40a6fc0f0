"""A job moves from threads to processes, Dask and Celery by one word of its definition."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from schedcore import Scheduler
from tests.core.celery_workers import celery_workers
from tests.core.dask_cluster import dask_cluster
from tests.durable.processes import until
from tests.http.conftest import LOOPBACK, Api, create_app

SOON = 60
EVERYWHERE = ("threads", "processes", "dask", "celery")


@contextmanager
def served():
    """Start a scheduler that has all of them, behind its API.

    In the test: pytest gives a fixture a ``sys.stdout`` of its own.
    """
    workers = celery_workers()
    executors = {
        "threads": {"type": "threadpool", "max_workers": 2},
        "processes": {"type": "processpool", "max_workers": 2},
        "dask": {"type": "dask", "address": dask_cluster()},
        "celery": {"type": "celery", "broker": workers.broker, "backend": workers.broker},
    }
    scheduler = Scheduler(
        timezone="UTC", store=workers.store, executors=executors, capture_output=True
    )
    scheduler.start()
    for job in scheduler.get_jobs():
        job.remove()  # of the test before: the workers' store is the same
    app = create_app(scheduler, api_allowed_funcs=["tests.core.work:*"], dashboard=True)
    yield Api(app, "/scheduler")
    scheduler.shutdown(timeout=5)


def begun(api, func, executor, **parts):
    """Move a job to an executor, adding it there first, and begin a run of it; return its id."""
    job_id = func.partition(":")[2]
    job = {"id": job_id, "func": func, "trigger": "interval", "days": 1, "args": []}
    if api("GET", f"/jobs/{job_id}").status == 404:
        assert api("POST", "/jobs", {**job, "executor": executor, **parts}).status in (200, 201)
    else:  # the one word; and what belongs to this run
        assert api("PATCH", f"/jobs/{job_id}", {"executor": executor, **parts}).status == 200
    answer = api("POST", f"/jobs/{job_id}/run", {"wait": False})
    assert answer.status == 200, answer.text
    return answer.headers["X-Run-Id"]


def ended(api, run_id):
    """Return what is told of a run once it has ended, in the API and on its page."""

    def over():
        run = api("GET", f"/runs/{run_id}").json
        return run if run["outcome"] is not None else None

    run = until(over, f"the end of {run_id}", SOON)
    page = api._client.get(f"/dashboard/run?id={run_id}", environ_overrides=LOOPBACK).get_data(
        as_text=True
    )
    assert run["outcome"].replace("_", " ") in page.replace("_", " ")
    told = ("outcome", "result", "error_type", "error_text", "attempt")
    return {name: run.get(name) for name in told}


def same_everywhere(api, func, after=lambda _run_id: None, **parts):
    """Return what is told of a run: the same for each executor."""
    found = []
    for executor in EVERYWHERE:
        run_id = begun(api, func, executor, **parts)
        after(run_id)
        one = ended(api, run_id)
        output = api("GET", f"/runs/{run_id}/output")
        text = output.json["text"] if output.status == 200 else None
        found.append((one, text))
    assert found == [found[0]] * len(EVERYWHERE)
    return found[0]


def test_what_it_returns_and_prints():
    with served() as api:
        run, output = same_everywhere(api, "tests.core.work:prints")
    assert run["outcome"] == "executed"
    assert output == "printed\nwritten\nWARNING work: logged\n"


def test_what_it_raises():
    with served() as api:
        run, output = same_everywhere(api, "tests.core.work:raising", args=["ValueError"])
    assert (run["outcome"], run["error_type"], run["error_text"]) == ("failed", "ValueError", "no")
    assert "ValueError: no" in output


@pytest.fixture
def gate(tmp_path):
    """Where runs wait, and go on after the test, on executors that cannot end them."""
    gate = tmp_path / "gate"
    yield str(gate)
    gate.touch()


def test_its_time_out(gate):
    with served() as api:
        run, _ = same_everywhere(api, "tests.core.work:wait_for", args=[gate], timeout=0.5)
    assert run["outcome"] == "timed_out"


def test_a_cancel(gate):
    with served() as api:

        def cancel(run_id):
            until(lambda: api("GET", f"/runs/{run_id}").json["started"], "its begin", SOON)
            assert api("POST", f"/runs/{run_id}/cancel").status == 200

        run, _ = same_everywhere(api, "tests.core.work:wait_for", cancel, args=[gate])
    assert run["outcome"] == "cancelled"
