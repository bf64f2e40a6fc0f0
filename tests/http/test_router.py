"""The router finds what Werkzeug finds with the rules that a Flask app gets."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule

from schedhttp.flask import JobIdConverter
from schedhttp.routes import ROUTES, Router

PREFIXES = ["/scheduler", "/api/v1", ""]
METHODS = ["GET", "HEAD", "POST", "PATCH", "DELETE", "PUT"]
WORDS = [
    "",
    "jobs",
    "start",
    "pause",
    "resume",
    "run",
    "runs",
    "next",
    "health",
    "openapi.json",
    "a",
    "a b",
    "größe",
    "x\ny",
    "\n",
    "..",
    "|",
    "<job_id>",
    "xnext",
]
paths = st.lists(st.sampled_from(WORDS), max_size=6).map(lambda words: "/" + "/".join(words))
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
of_jobs = st.tuples(ids, st.sampled_from(["", "/", "/pause", "/next", "/runs", "/next/"])).map(
    lambda drawn: "/jobs/" + "".join(drawn)
)


@cache
def rules_of(prefix):
    rules = [
        Rule(
            prefix + route.path or "/",
            endpoint=route.name,
            methods=[route.method],
            strict_slashes=False,
            merge_slashes=False,
        )
        for route in ROUTES
    ]
    converters = {"job_id": JobIdConverter}
    return Map(rules, converters=converters, merge_slashes=False).bind("localhost")


def found_by_rules(prefix, method, path):
    """What Werkzeug finds: the endpoint and its values, or the methods that there are."""
    try:
        endpoint, values = rules_of(prefix).match(path, method)
    except NotFound:
        return []
    except MethodNotAllowed as error:
        return sorted(error.valid_methods)
    return endpoint, values


@given(st.sampled_from(PREFIXES), st.sampled_from(METHODS), paths | of_jobs)
@example("/scheduler", "GET", "/jobs//next")
@example("/scheduler", "POST", "/jobs/a/next/pause")
@example("/scheduler", "HEAD", "/jobs/a/pause")
@example("/scheduler", "PUT", "/jobs/a/pause")
@example("/scheduler", "GET", "/jobs/ a\n/next")
@example("", "GET", "/")
def test_it_finds_what_the_rules_find(prefix, method, path):
    path = "/" + (prefix + path).lstrip("/")
    router = Router(prefix)
    found = router.find(method, path)
    if found is None:
        assert found_by_rules(prefix, method, path) == router.methods(path)
    else:
        route, values = found
        assert found_by_rules(prefix, method, path) == (route.name, values)
        assert method in router.methods(path)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_endpoint_is_found(prefix, route):
    path = prefix + route.path.replace("<job_id:job_id>", "a/b") or "/"
    values = {"job_id": "a/b"} if "<" in route.path else {}
    assert Router(prefix).find(route.method, path) == (route, values)


@pytest.mark.parametrize("path", ["/schedulerx", "/schedule", "/scheduler2/jobs/a", "/jobs/a", "/"])
def test_what_is_beside_the_prefix_is_not_found(path):
    router = Router("/scheduler")
    assert router.find("GET", path) is None
    assert router.methods(path) == []
