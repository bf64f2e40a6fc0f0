"""Slashes that are one too many mean the same on each mount."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/{0}/jobs", 200),
        ("//{0}/jobs", 200),
        ("///{0}/jobs/", 200),
        ("/{0}/jobs//", 200),
        ("/{0}//jobs", 404),
        ("/{0}/nothing", 404),
        ("//{0}/nothing", 404),
    ],
)
def test_the_answer_is_the_same(api, path, status):
    mount, prefix = ("/ops", "api/v1") if api.base.startswith("/ops") else ("", "scheduler")
    answer = api("GET", environ={"PATH_INFO": mount + path.format(prefix)})
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
