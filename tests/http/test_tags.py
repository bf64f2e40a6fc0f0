"""Tags over HTTP: given, shown, changed, and asked for."""

from __future__ import annotations

import re

import pytest


def found(api, query):
    answer = api("GET", "/jobs" + query)
    assert answer.status == 200, answer.text
    return [job["id"] for job in answer.json]


@pytest.fixture
def tagged(api):
    for job_id, tags in {
        "a": ["billing", "nightly"],
        "b": ["nightly"],
        "c": [],
        "d": ["größe & mehr", "nightly"],
    }.items():
        api.add(job_id, tags=tags)
    return api


def test_they_are_shown_and_changed_as_other_fields_are(api):
    job = api.add("j", tags=["b", "a", "b"])
    assert job["tags"] == ["a", "b"]
    assert api("PATCH", "/jobs/j", job).json == job
    assert api("PATCH", "/jobs/j", {"tags": ["c"]}).json["tags"] == ["c"]
    assert api("PATCH", "/jobs/j", {"tags": None}).json["tags"] == []
    assert api("GET", "/jobs?fields=tags").json == [{"tags": []}]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?tag=nightly", ["a", "b", "d"]),
        ("?tag=nightly&tag=billing", ["a"]),
        ("?tag=billing&tag=billing", ["a"]),
        ("?tag=night", []),
        ("?tag=Nightly", []),
        ("?tag=nightly&q=b", ["b"]),
        ("?tag=gr%C3%B6%C3%9Fe%20%26%20mehr", ["d"]),
        ("?tag=nightly&sort=-id&limit=2", ["d", "b"]),
        ("?tag=nightly&state=paused", []),
    ],
)
def test_a_list_of_those_that_have_all_of_them(tagged, query, expected):
    assert found(tagged, query) == expected


def test_pages_keep_all_tags_in_their_links(tagged):
    tagged.add("z", tags=["größe & mehr", "nightly"])
    query = "?tag=nightly&tag=gr%C3%B6%C3%9Fe%20%26%20mehr&limit=1&sort=id"
    page = tagged("GET", "/jobs" + query)
    following = re.search(r'<([^>]*)>; rel="next"', page.headers["Link"]).group(1)
    assert found(tagged, query) + found(tagged, following) == ["d", "z"]


@pytest.mark.parametrize("query", ["?tag=", "?tag=a&tag=", "?tag=%0A", f"?tag={'x' * 65}"])
def test_what_can_be_no_tag_is_400(tagged, query):
    answer = tagged("GET", "/jobs" + query)
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
    assert re.match("tag=.*expected text of 1 to 64", answer.json["error_message"])


@pytest.mark.parametrize("tags", ["nightly", [""], [5], {"a": 1}, [str(n) for n in range(33)]])
def test_a_job_with_others_is_refused(mount, tags):
    api = mount(api_precise_errors=True)
    job = {"id": "j", "func": "math:sqrt", "args": [4], "trigger": "date", "tags": tags}
    answer = api("POST", "/jobs", job)
    assert answer.status == 422
    assert answer.json["error_message"].startswith("tags=")
    assert api("GET", "/jobs").json == []
