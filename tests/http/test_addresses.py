"""Router: any id, any method, any path; always JSON."""

from __future__ import annotations

from urllib.parse import quote

import pytest

IDS = [
    "a b",
    "a/b",
    "/a",
    "a/",
    "a//b",
    "100%",
    "%2F",
    "größe ☃ 日本",
    "?x=1#y",
    "..",
    "a\\b",
    "x\ny",
    "+",
    "'\"<>",
]


@pytest.mark.parametrize("job_id", [*IDS, "jobs", "next", "x/pause", "x/next", "é" * 255])
def test_any_id_can_be_addressed(api, scheduler, job_id):
    """Those too that only Python and the settings may give."""
    path = "/jobs/" + quote(job_id, safe="")
    scheduler.add_job("math:sqrt", "interval", [4], minutes=1, id=job_id)
    assert api("GET", path).json["id"] == job_id
    assert api("PATCH", path, {"name": "n"}).json["name"] == "n"
    assert api("POST", path + "/pause").json["state"] == "paused"
    assert api("POST", path + "/resume").json["state"] == "scheduled"
    assert api("POST", path + "/run").status == 200
    assert len(api("GET", path + "/runs").json) == 1
    assert len(api("GET", path + "/next?n=2").json["next_fire_times"]) == 2
    assert api("DELETE", path).status == 204
    assert api("GET", "/jobs").json == []


def test_of_two_readings_of_an_address_the_job_before_the_last_part_counts(api):
    api.add("x")
    api.add("x/next")
    assert api("GET", "/jobs/x/next").json["id"] == "x"
    assert "next_fire_times" in api("GET", "/jobs/x/next").json


@pytest.mark.parametrize("path", ["", "/jobs", "/jobs/j", "/jobs/j/runs", "/health"])
def test_a_slash_at_the_end_is_tolerated(api, path):
    api.add("j")
    assert api("GET", path + "/").json == api("GET", path).json


def test_head_is_get_without_a_body(api):
    api.add("j")
    get, head = api("GET", "/jobs"), api("HEAD", "/jobs")
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert api("HEAD", "/jobs/none").status == 404


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("", "GET, HEAD, OPTIONS"),
        ("/start", "OPTIONS, POST"),
        ("/jobs", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("/jobs/j", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/jobs/j/pause", "OPTIONS, POST"),
        ("/jobs/j/next", "GET, HEAD, OPTIONS"),
        ("/jobs/a/b/run", "OPTIONS, POST"),
    ],
)
def test_options_and_405_tell_what_is_allowed(api, path, methods):
    options = api("OPTIONS", path)
    assert (options.status, options.headers["Allow"], options.text) == (204, methods, "")
    for method in ("PUT", "TRACE", "FROBNICATE"):
        answer = api(method, path)
        assert (answer.status, answer.json["error_type"]) == (405, "MethodNotAllowed")
        assert answer.headers["Allow"] == methods


@pytest.mark.parametrize("path", ["/nothing", "/jobss", "/jobs//pause/x/..", "/openapi"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_the_routers_own_404_is_json_too(api, method, path):
    answer = api(method, path)
    if not path.startswith("/jobs/"):
        assert (answer.status, answer.json["error_type"]) == (404, "NotFound")


BELOW = {"pause": "POST", "resume": "POST", "run": "POST", "next": "GET", "runs": "GET"}


@pytest.mark.parametrize("job_id", ["j", "none", "a/b"])
@pytest.mark.parametrize("word", BELOW)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "BREW"])
def test_below_a_job_each_word_has_its_method(api, scheduler, job_id, word, method):
    api.add("j")
    api.add("a/b")
    before = scheduler.entries()
    own = {"GET": "GET, HEAD, OPTIONS", "POST": "OPTIONS, POST"}[BELOW[word]]
    if method not in own.split(", "):
        answer = api(method, f"/jobs/{job_id}/{word}", {} if method == "PATCH" else None)
        assert (answer.status, answer.headers["Allow"]) == (405, own)
        if method != "HEAD":
            assert own in answer.json["error_message"]
        assert scheduler.entries() == before


@pytest.mark.parametrize("job_id", ["j", "a/b", "j/"])
@pytest.mark.parametrize("word", ["logs", "Next", "pauses", "", "next ", "j"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_another_word_below_a_job_is_404_and_says_which_there_are(api, job_id, word, method):
    api.add(job_id)
    answer = api(method, f"/jobs/{job_id}/{word}/x", {} if method == "PATCH" else None)
    assert (answer.status, answer.json["error_type"]) == (404, "JobLookupError")
    assert "there is no job" in answer.json["error_message"]
    if word:
        answer = api(method, f"/jobs/{job_id}/{word}", {} if method == "PATCH" else None)
        assert (answer.status, answer.json["error_type"]) == (404, "JobLookupError")
        for part in (repr(word), repr(job_id), "next, pause, resume, run, runs"):
            assert part in answer.json["error_message"]


def test_a_job_that_is_called_like_an_address_below_another_has_all_methods(api):
    api.add("j/run")
    assert api("OPTIONS", "/jobs/j/run").headers["Allow"] == (
        "DELETE, GET, HEAD, OPTIONS, PATCH, POST"
    )
    assert api("PATCH", "/jobs/j/run", {"name": "x"}).json["name"] == "x"
    assert api("GET", "/jobs/j/run").json["id"] == "j/run"
    assert api("PUT", "/jobs/j/run").status == 405
    assert api("DELETE", "/jobs/j/run").status == 204


def test_nothing_is_kept_by_caches_or_guessed_by_browsers(api):
    for path in ("", "/runs", "/health", "/jobs/none"):
        headers = api("GET", path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
