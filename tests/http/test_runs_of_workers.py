"""Runs of a real gunicorn with two workers: whichever is asked, it knows and reaches them all."""

from __future__ import annotations

import pytest

WORKERS = ("--workers", "2", "--threads", "4")
HANG = {"id": "hang", "func": "chores:hang", "trigger": "cron", "year": 2999}


@pytest.fixture
def server(gunicorn, tmp_path):
    server = gunicorn(*WORKERS, seconds=3600.0)
    server.all_answer(2)
    job = HANG | {"args": [str(tmp_path / "beats")]}
    assert server.patiently("POST", "/scheduler/jobs", job).status == 200
    return server


def by_another(server, worker, path, headers):
    """Post until a worker answers that is not the one given; return that answer."""

    def answer():
        found = server.call("POST", path, **headers)
        return found if found.worker != worker else None

    return server.until(answer)


def cancel_elsewhere(server):
    """Have one worker begin a run, and another cancel it; return what was shown before and after.

    Which worker a request meets is not for a client to choose: until it is another one.
    """
    for count in range(1, 50):
        began = server.call("POST", "/scheduler/jobs/hang/run", {"wait": False})
        assert began.status == 200
        server.until(lambda count=count: len(server.ran()) == count)
        path = began.headers["Location"]
        shown = server.until(lambda path=path: running(server.call("GET", path).json))
        cancelled = server.call("POST", f"{path}/cancel")
        if cancelled.worker != began.worker:
            assert server.ran()[-1].pid == began.worker  # it runs where it was asked for
            return path, shown, cancelled
    raise AssertionError("only one worker answers")


def begun(run):
    return run if run["started"] else None


def running(run):
    return run if run["state"] == "running" else None


def test_a_run_of_one_worker_is_cancelled_through_the_other(server):
    path, shown, cancelled = cancel_elsewhere(server)
    assert path == f"/scheduler/runs/{shown['run_id']}"
    assert (shown["cause"], shown["outcome"], shown["job_id"]) == ("manual", None, "hang")
    assert (cancelled.status, cancelled.json["outcome"]) == (200, "cancelled")
    for name in ("node", "scheduled", "cause", "run_id"):
        assert cancelled.json[name] == shown[name], name
    # When it began, its own worker adds: it alone knew that, and whether it had begun.
    ended = server.until(lambda: begun(server.call("GET", path).json))
    assert ended["started"] == shown["started"]
    assert ended["why"].startswith("cancelled: after ")
    answers = server.burst("GET", path)
    assert [answer.json for answer in answers] == [ended] * len(answers)
    assert server.call("POST", f"{path}/cancel").status == 409
    assert server.call("GET", "/scheduler/runs?state=open").json == []
    # Its place is free, at whichever worker.
    assert server.call("POST", "/scheduler/jobs/hang/run", {"wait": False}).status == 200


def test_a_key_is_one_run_over_workers_and_a_restart(server):
    path, key = "/scheduler/jobs/beat/run", {"Idempotency-Key": "pay 4711"}
    first = server.call("POST", path, **key)
    assert (first.status, first.headers["X-Run-Outcome"]) == (200, "executed")
    again = by_another(server, first.worker, path, key)
    assert again.status == 200
    assert again.headers["X-Run-Id"] == first.headers["X-Run-Id"]
    server.stop()
    server.begin()
    server.all_answer(2)
    later = server.call("POST", path, **key)
    assert later.headers["X-Run-Id"] == first.headers["X-Run-Id"]
    assert later.headers["X-Run-Outcome"] == "executed"
    assert len(server.ran()) == 1


def test_who_asks_again_elsewhere_waits_for_the_run_of_another_worker(server, tmp_path):
    path, key = "/scheduler/jobs/work/run", {"Idempotency-Key": "once"}
    job = HANG | {"id": "work", "func": "chores:work", "args": [str(tmp_path / "beats")]}
    assert server.call("POST", "/scheduler/jobs", job).status == 200
    first = server.call("POST", path, {"wait": False}, **key)
    again = by_another(server, first.worker, path, key)
    assert (again.status, again.headers["X-Run-Outcome"]) == (200, "executed")
    assert again.headers["X-Run-Id"] == first.headers["X-Run-Id"]
