"""A store that cannot be used at the moment: 503 and when to try again; health tells why."""

from __future__ import annotations

import sqlite3

import pytest
from werkzeug.test import Client

from schedcore import Scheduler, SqliteStore, StoreUnavailableError
from schedcore.stores import sqlite_file
from schedhttp import create_app
from schedhttp.routes import ROUTES

JOB = {"id": "j", "func": "math:sqrt", "args": [4], "trigger": "cron", "year": 2999}


@pytest.fixture
def store(tmp_path):
    return SqliteStore(tmp_path / "jobs.db")


@pytest.fixture
def scheduler(store):
    scheduler = Scheduler(store=store)
    scheduler.start()
    yield scheduler
    scheduler.shutdown(timeout=10)


@pytest.fixture
def away(store, tmp_path):
    """Take the file away, as a disk that is unmounted does; it is put back after the test."""
    moved = []

    def take_away():
        with store.file.data_lock():  # at once, for the threads that look at it
            store.close()
            for file in tmp_path.glob("jobs.db*"):
                if file.suffix != ".lock":
                    moved.append((file, file.rename(tmp_path / f"moved-{file.name}")))
            (tmp_path / "jobs.db").mkdir()

    yield take_away
    with store.file.data_lock():
        (tmp_path / "jobs.db").rmdir()
        for file, elsewhere in moved:
            elsewhere.rename(file)


WITHOUT_STORE = {"get_health", "get_live", "get_ready", "get_metrics", "get_openapi", "preview"}

BODIES = {
    "add_job": {**JOB, "id": "k"},
    "update_job": {"name": "x"},
    "backfill_job": {"since": "2026-01-05T08:00Z"},
}


def test_every_endpoint_answers_503_and_when_to_try_again(api, away):
    assert api("POST", "/jobs", JOB).status == 200
    away()
    for route in ROUTES:
        if route.name in WITHOUT_STORE:
            continue
        body = BODIES.get(route.name)
        query = "?confirm=1" if "confirm" in route.query else ""
        query += "&all=true" if "all" in route.query else ""
        path = route.path.replace("<job_id:job_id>", "j").replace("<run_id>", "1")
        answer = api(route.method, path + query, body)
        assert (answer.status, answer.json["error_type"]) == (503, "StoreUnavailableError"), (
            route.name
        )
        assert answer.headers["Retry-After"] == "1"
        assert answer.json["error_message"].startswith("the store cannot be used at the moment: ")
        assert "jobs.db:" not in answer.text, "where it is, is none of the client's business"


def test_an_order_is_answered_though_the_store_goes_away_after_it(api, scheduler, monkeypatch):
    """A client that gets 503 orders it again."""
    assert api("POST", "/jobs", JOB).status == 200
    read = [scheduler.entry("j")]

    def gone(*_args, **_options):
        raise StoreUnavailableError("the store", "it is gone")

    for name in ("records", "runs"):
        monkeypatch.setattr(Scheduler, name, gone)
    monkeypatch.setattr(Scheduler, "entry", lambda *_: read.pop() if read else gone())
    for method, path, body in (
        ("POST", "/jobs", {**JOB, "id": "l"}),
        ("PATCH", "/jobs/j", {"name": "x"}),
        ("POST", "/jobs/j/pause", None),
        ("POST", "/jobs/j/resume", None),
        ("POST", "/jobs/j/run", None),
    ):
        answer = api(method, path, body)
        assert (answer.status, answer.json["func"]) == (200, "math:sqrt"), (path, answer.text)
        assert "ETag" not in answer.headers
        assert "last_run" not in answer.json
    assert answer.headers["X-Run-Id"]
    assert answer.headers["X-Run-Outcome"] == "executed"
    answer = api("POST", "/jobs", [{**JOB, "id": "m"}, {**JOB, "id": "n"}])
    assert [job["id"] for job in answer.json] == ["m", "n"]


def test_health_tells_why_and_a_probe_that_it_is_not_ready(api, away):
    assert api("GET", "/health").json["reason"] is None
    away()
    answer = api("GET", "/health")
    assert (answer.status, answer.json["ok"], answer.json["runs"]) == (503, False, None)
    assert "it cannot be opened" in answer.json["reason"]
    answer = api("GET", "/live")
    assert (answer.status, answer.json) == (200, {"ok": True}), "a restart would not help"
    answer = api("GET", "/ready")
    assert (answer.status, answer.json) == (503, {"ready": False})
    assert answer.headers["Retry-After"] == "1"
    assert "\nschedcore_store_reachable 0.0\n" in api("GET", "/metrics").text


def test_what_needs_no_store_goes_on(api, away):
    away()
    job = {"trigger": "interval", "seconds": 5}
    assert api("POST", "/preview?n=2", job).status == 200


def test_while_another_process_writes_for_long_nothing_is_changed(api, store, monkeypatch):
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.05)
    other = sqlite3.connect(store.file.path, isolation_level=None)
    other.execute("begin immediate")
    answer = api("POST", "/jobs", JOB)
    assert (answer.status, answer.json["error_type"]) == (503, "StoreUnavailableError")
    # Another thread of the scheduler may be waiting for the file, and has the connection then.
    answers = (api("GET", "/jobs") for _ in range(200))
    assert next(answer.json for answer in answers if answer.status == 200) == []
    other.execute("rollback")
    other.close()
    monkeypatch.undo()
    assert api("POST", "/jobs", JOB).status == 200


def test_the_store_and_its_processes_are_shown(api):
    info = api("GET").json
    assert info["store"].pop("schema") >= 1
    assert info["store"] == {
        "kind": "sqlite",
        "reachable": True,
        "clock_offset": None,
        "notifications": False,
    }
    (node,) = info["nodes"]
    assert (node["state"], node["takes"], node["pid"]) == ("alive", True, info["holder"]["pid"])


def test_a_list_that_shows_less_has_another_etag(store, tmp_path):
    """The processes on a store share the ETags of what they show alike, and no others."""
    tokens = {"ann": "the-token-of-ann", "reader": "the-token-of-the-reader"}
    rights = {
        "api_tokens": tokens,
        "api_read_only": ["reader"],
        "api_hide_args": True,
        "api_allowed_funcs": ["math:sqrt"],
    }
    stores = [store, *(SqliteStore(tmp_path / "jobs.db") for _ in range(2))]
    patterns = ([], [], ["4"])
    first, like_it, redacting = (
        Client(create_app(Scheduler(store=each, redact=redact), **rights))
        for each, redact in zip(stores, patterns, strict=True)
    )
    ann, reader = ({"Authorization": f"Bearer {token}"} for token in tokens.values())
    assert first.post("/scheduler/jobs", json=JOB, headers=ann).status_code == 200
    for path in ("/scheduler/jobs", "/scheduler/jobs/j", "/scheduler/jobs?fields=args"):
        seen = first.get(path, headers=ann)
        assert seen.headers["Vary"] == "Authorization"
        condition = {"If-None-Match": seen.headers["ETag"]}
        assert like_it.get(path, headers=ann | condition).status_code == 304
        assert first.get(path, headers=reader | condition).status_code == 200
        assert redacting.get(path, headers=ann | condition).status_code == 200
    for each in stores[1:]:
        each.close()
