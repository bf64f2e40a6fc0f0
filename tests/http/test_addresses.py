"""Addresses: any id, any method, any path; always JSON."""

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
def test_any_id_can_be_addressed(api, job_id):
    path = "/jobs/" + quote(job_id, safe="")
    assert api.add(job_id)["id"] == job_id
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
        ("/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/jobs/j", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/jobs/j/pause", "DELETE, GET, HEAD, OPTIONS, PATCH, POST"),
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


def test_nothing_is_kept_by_caches_or_guessed_by_browsers(api):
    headers = api("GET", "/jobs").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
