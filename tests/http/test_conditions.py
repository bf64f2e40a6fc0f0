"""Conditional requests: on what a client has seen; 304, and 412."""

from __future__ import annotations

import os
from threading import Event
from types import SimpleNamespace

import pytest

from schedcore import Scheduler
from schedhttp.job_json import JobJson

CHANGES = [
    pytest.param("PATCH", "", {"name": "changed"}, id="patch"),
    pytest.param("DELETE", "", None, id="delete"),
    pytest.param("POST", "/pause", None, id="pause"),
    pytest.param("POST", "/resume", None, id="resume"),
    pytest.param("POST", "/run", None, id="run"),
]


def match(etag):
    return {"If-Match": etag}


def none_match(etag):
    return {"If-None-Match": etag}


def state_of(scheduler):
    return scheduler.entries(), scheduler.history()


# If-Match


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize(
    "condition", ['"stale"', "stale", '"a", "b"', 'W/"stale"', "", '""', '".", "."']
)
def test_a_job_that_is_not_what_the_client_saw_is_left_alone(
    api, scheduler, method, path, body, condition
):
    api.add("j")
    before = state_of(scheduler)
    answer = api(method, f"/jobs/j{path}", body, headers=match(condition))
    assert (answer.status, answer.json["error_type"]) == (412, "PreconditionFailed")
    assert state_of(scheduler) == before


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize("how", ["{}", '"other", {}', "*"])
def test_a_job_that_is_what_the_client_saw_is_changed(api, method, path, body, how):
    api.add("j")
    etag = api("GET", "/jobs/j").headers["ETag"]
    assert api(method, f"/jobs/j{path}", body, headers=match(how.format(etag))).status in (200, 204)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_weak_tag_matches_nothing(api, method, path, body):
    """RFC 9110, 13.1.1: If-Match compares strongly."""
    api.add("j")
    etag = api("GET", "/jobs/j").headers["ETag"]
    assert api(method, f"/jobs/j{path}", body, headers=match("W/" + etag)).status == 412


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize("condition", ["*", '"seen"'])
def test_no_condition_holds_for_a_job_that_is_not_there(api, method, path, body, condition):
    answer = api(method, f"/jobs/none{path}", body, headers=match(condition))
    assert (answer.status, answer.json["error_type"]) == (412, "PreconditionFailed")
    assert "there is no job with id 'none'" in answer.json["error_message"]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_run_does_not_stop_a_change_that_expects_the_definition(
    api, scheduler, clock, method, path, body
):
    """A job that runs each second could never be changed with If-Match otherwise."""
    api.add("j", trigger="interval", seconds=1, start_date="2026-01-01", max_instances=9)
    seen = api("GET", "/jobs/j")
    scheduler.modify_job("j", next_run_time="2026-02-01")  # moves its place, as a run does
    moved = api("GET", "/jobs/j")
    assert seen.json["next_run_time"] != moved.json["next_run_time"]
    answer = api(method, f"/jobs/j{path}", body, headers=match(seen.headers["ETag"]))
    assert answer.status in (200, 204), answer.text


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize("change", [{"name": "x"}, {"next_run_time": None}, {"args": [9]}])
def test_a_change_by_somebody_else_does(api, scheduler, method, path, body, change):
    api.add("j")
    seen = api("GET", "/jobs/j").headers["ETag"]
    scheduler.modify_job("j", **change)
    assert api(method, f"/jobs/j{path}", body, headers=match(seen)).status == 412


def test_of_two_changes_with_one_etag_the_first_is_made(api):
    api.add("j")
    seen = api("GET", "/jobs/j").headers["ETag"]
    first = api("PATCH", "/jobs/j", {"name": "first"}, headers=match(seen))
    second = api("PATCH", "/jobs/j", {"name": "second"}, headers=match(seen))
    assert (first.status, second.status) == (200, 412)
    assert api("GET", "/jobs/j").json["name"] == "first"
    latest = first.headers["ETag"]
    assert api("POST", "/jobs/j/pause", headers=match(latest)).status == 200


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_change_between_the_look_and_the_deed_is_noticed(
    api, scheduler, monkeypatch, method, path, body
):
    """The condition and what it guards are one step: what comes between is seen."""
    api.add("j")
    if path == "/resume":  # of a job that is not paused it changes nothing
        scheduler.pause_job("j")
    etag = api("GET", "/jobs/j").headers["ETag"]
    store, changed = scheduler._engine.store, []
    get = store.get

    def change(job_id):
        """Change the job once, right after it was read by the request's own thread."""
        entry = get(job_id)
        if not changed:
            changed.append(True)
            scheduler.modify_job("j", name="changed by another")
        return entry

    monkeypatch.setattr(store, "get", change)
    answer = api(method, f"/jobs/j{path}", body, headers=match(etag))
    monkeypatch.setattr(store, "get", get)
    assert changed
    # A run was of the definition that was checked, or there was none.
    assert answer.status == 412 or path == "/run"
    assert scheduler.entry("j").job.name == "changed by another"


# If-None-Match


def test_what_the_client_has_is_not_sent_again(api):
    api.add("j")
    for path in ("/jobs", "/jobs/j", "/jobs?state=scheduled&limit=5", "/jobs?fields=id"):
        seen = api("GET", path)
        etag = seen.headers["ETag"]
        assert seen.headers["Cache-Control"] == "no-cache"
        for condition in (etag, f'"other", {etag}', "*", "W/" + etag):
            for method in ("GET", "HEAD"):
                again = api(method, path, headers=none_match(condition))
                assert (again.status, again.text) == (304, "")
                assert again.headers["ETag"] == etag
                assert again.headers["Cache-Control"] == "no-cache"
        assert api("GET", path, headers=none_match('"other"')).json == seen.json


@pytest.mark.parametrize("path", ["/jobs", "/jobs/j", "/jobs?limit=9", "/jobs?state=paused"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s.modify_job("j", name="x"), id="a name"),
        pytest.param(lambda s: s.modify_job("j", next_run_time="2026-02-01"), id="a place"),
        pytest.param(lambda s: s.pause_job("j"), id="paused"),
        pytest.param(
            lambda s: (s.remove_job("j"), s.add_job(abs, "cron", [2], id="j", hour=3)), id="new"
        ),
    ],
)
def test_304_is_never_an_old_answer(api, scheduler, path, change):
    api.add("j")
    seen = api("GET", path)
    change(scheduler)
    again = api("GET", path, headers=none_match(seen.headers["ETag"]))
    assert again.status == 200
    assert again.json == api("GET", path).json


def test_a_job_that_runs_is_another_answer(api, scheduler):
    began, let_go = Event(), Event()

    def block():
        began.set()
        assert let_go.wait(60)

    scheduler.add_job(block, "interval", hours=1, id="j")
    seen = {path: api("GET", path).headers["ETag"] for path in ("/jobs", "/jobs/j")}
    api("POST", "/jobs/j/run", {"wait": False})
    assert began.wait(60)
    run = scheduler.runs()[0]
    for path, etag in seen.items():
        again = api("GET", path, headers=none_match(etag))
        assert again.status == 200
        assert "running" in again.text
    let_go.set()
    assert run.wait(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_the_list_of_another_process_is_another_one():
    """Versions begin where the parent was, and may be equal by chance."""
    kept = JobJson(Scheduler())
    etag = kept.list_etag(frozenset())
    assert etag == kept.list_etag(frozenset()) != JobJson(Scheduler()).list_etag(frozenset())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(kept.list_etag(frozenset())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert told
    assert told != etag


def test_a_job_that_ends_between_the_looks_at_it_has_the_etag_that_its_list_shows(api, monkeypatch):
    """The ETag of a list without a running job is not that of a list with one."""
    api.add("j")
    looks = iter([[], [SimpleNamespace(job_id="j")]])
    with monkeypatch.context() as patched:
        patched.setattr(Scheduler, "runs", lambda self: next(looks, []))
        first = api("GET", "/jobs")
    again = api("GET", "/jobs", headers=none_match(first.headers["ETag"]))
    assert again.status == 304
    assert [job["state"] for job in first.json] == ["scheduled"]


def test_a_list_whose_store_cannot_tell_is_sent_each_time(api, monkeypatch):
    api.add("j")
    monkeypatch.setattr(Scheduler, "jobs_version", lambda self: None)
    seen = api("GET", "/jobs")
    assert "ETag" not in seen.headers
    assert seen.headers["Cache-Control"] == "no-store"
    assert api("GET", "/jobs", headers=none_match("*")).status == 200


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_a_job_can_be_added_only_if_it_is_not_there(api, there, replace):
    body = {"id": "j", "func": "math:sqrt", "args": [9], "trigger": "cron", "hour": 3}
    before = api.add("j") if there else None
    answer = api("POST", "/jobs", body | {"replace_existing": replace}, headers=none_match("*"))
    if there:
        assert (answer.status, answer.json["error_type"]) == (412, "PreconditionFailed")
        assert api("GET", "/jobs/j").json == before
    else:
        assert (answer.status, answer.json["args"]) == (200, [9])


@pytest.mark.parametrize("headers", [match("*"), match('"x"'), none_match('"x"'), none_match("")])
def test_another_condition_on_a_new_job_is_400(api, headers):
    body = {"id": "j", "func": "math:sqrt", "args": [9], "trigger": "cron", "hour": 3}
    assert api("POST", "/jobs", body, headers=headers).status == 400
    assert api("GET", "/jobs").json == []


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_change_of_what_must_not_be_there_is_412(api, scheduler, method, path, body):
    api.add("j")
    before = state_of(scheduler)
    for condition in ("*", api("GET", "/jobs/j").headers["ETag"]):
        answer = api(method, f"/jobs/j{path}", body, headers=none_match(condition))
        assert (answer.status, answer.json["error_type"]) == (412, "PreconditionFailed")
    assert state_of(scheduler) == before
