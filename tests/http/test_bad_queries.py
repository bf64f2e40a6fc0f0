"""Queries that make no sense, to every endpoint: 400, with the parameter and what was expected.

What is nonsense for a parameter, its schema tells: so those of new endpoints are tried as well, and
the description promises nothing that the server does not keep to.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from schedcore import Scheduler
from schedhttp import openapi
from schedhttp.routes import ROUTES
from schedhttp.settings import Settings
from tests.contract.conftest import STORES
from tests.http.conftest import wsgi

ODD = [
    *("", " ", "-1", "+1", "1.5", "1e3", "0x10", "1_000", "NaN", "null", "None", "true", "TRUE"),
    *(
        "9" * 30,
        "9" * 5000,
        "\u0663",
        "x",
        "nope",
        "id;drop",
        "a,b",
        "\0",
        "a\nb",
        "\u202e",
        "x" * 300,
    ),
    *("2026-13-45", "2026-01-05T25:00:00Z", "yesterday", "00:00", "[]", "{}", "%", "&", "../.."),
]
TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?")


NO_MOMENTS = [text for text in ODD if not TIME.fullmatch(text)]
EXTRA = {"since": NO_MOMENTS, "until": NO_MOMENTS}
"""Nonsense of which the schema does not tell."""


def is_nonsense(text, schema):
    """Tell whether a parameter with this schema cannot be *text*."""
    if schema["type"] == "array":
        return is_nonsense(text, schema["items"])
    if schema["type"] in ("integer", "number"):
        whole = re.fullmatch("[0-9]+", text) and len(text) < 12
        return not whole or int(text) > schema.get("maximum", 10**11)
    if schema["type"] == "boolean":
        return text not in ("true", "false")
    return not (
        text in schema.get("enum", [text])
        and re.search(schema.get("pattern", ""), text)
        and schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 10**6)
    )


DOCUMENT = openapi.document(Settings.of())
OPERATIONS = {
    operation["operationId"]: operation
    for path in DOCUMENT["paths"].values()
    for operation in path.values()
}
ALL = [
    (route, parameter["name"], parameter["schema"])
    for route in ROUTES
    for parameter in OPERATIONS[route.name].get("parameters", [])
    if parameter["in"] == "query"
]
BODIES = {"Preview": {"trigger": "interval", "seconds": 5}}
BESIDE = {"confirm": {"all": "true"}, "all": {"confirm": "0"}}
"""What has to stand beside a parameter, so that it is the only one that makes no sense."""


def ask(api, route, query):
    path = re.sub("<[^>]*:?job_id>", "j", route.path)
    path = re.sub("<[^>]*>", "1", path)
    return api(route.method, path, BODIES.get(route.takes), query_string=query)


def check(answer, name):
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest"), answer.text
    message = answer.json["error_message"]
    assert message.startswith(f"{name}="), message
    assert "expected" in message
    assert len(message) < 2_000


@pytest.mark.parametrize(
    ("route", "name", "schema"), ALL, ids=[f"{route.name}-{name}" for route, name, _ in ALL]
)
def test_a_parameter_that_makes_no_sense_is_named(api, scheduler, route, name, schema):
    api.add("j")
    before = scheduler.entries()
    beside = {k: v for k, v in BESIDE.get(name, {}).items() if k in route.query}
    tried = EXTRA.get(name) or [text for text in ODD if is_nonsense(text, schema)]
    for text in tried:
        check(ask(api, route, {**beside, name: text}), name)
    assert tried or schema == {"type": "string"}, "only what is any text takes all of these"
    assert scheduler.entries() == before
    assert scheduler.runs() == scheduler.history() == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_parameter_that_is_not_known_or_stands_twice_is_named(api, scheduler, route):
    api.add("j")
    before = scheduler.entries()
    check(ask(api, route, {"nonsense": "1"}), "nonsense")
    check(ask(api, route, {"": "1"}), "")
    for parameter in OPERATIONS[route.name].get("parameters", []):
        name = parameter["name"]
        if parameter["in"] == "query" and parameter["schema"]["type"] != "array":
            answer = ask(api, route, f"{name}=1&{name}=1")
            assert answer.status == 400
            assert f"{name}= stands 2 times" in answer.json["error_message"]
    assert scheduler.entries() == before


OF_A_JOB = [route for route in ROUTES if "job_id" in route.path]


@pytest.mark.parametrize("route", OF_A_JOB, ids=lambda route: route.name)
def test_an_id_that_no_job_can_have_is_nobodys(api, scheduler, route):
    body = {"name": "x"} if route.method == "PATCH" else None
    for job_id in [*ODD, "x" * 8000, "..%2f..", "\ud800"]:
        if job_id:
            quoted = quote(job_id, safe="", errors="surrogatepass")
            answer = api(route.method, route.path.replace("<job_id:job_id>", quoted), body)
            assert (answer.status, answer.json["error_type"]) == (404, "JobLookupError"), job_id
            assert len(answer.json["error_message"]) < 2_000
    assert scheduler.entries() == []
    assert scheduler.history() == []


OF_A_RUN = [route for route in ROUTES if "run_id" in route.path]


@pytest.mark.parametrize("route", OF_A_RUN, ids=lambda route: route.name)
def test_what_can_be_no_id_of_a_run_is_named(api, route):
    for run_id in ODD:
        if run_id and "/" not in run_id:
            answer = api(route.method, route.path.replace("<run_id>", quote(run_id, safe="")))
            check(answer, "run_id")
    answer = api(route.method, route.path.replace("<run_id>", "9" * 20))
    assert (answer.status, answer.json["error_type"]) == (404, "RunLookupError")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_database_is_asked_for_what_it_cannot_look_for(kind):
    """Where jobs in memory are 400 or 404, so are those in a database, and not 500 or 503."""
    store = STORES[kind]()
    scheduler = Scheduler(store=store, timezone="UTC")
    api = wsgi(scheduler, {})
    for route in ROUTES:
        if "<" not in route.path and not route.query:
            continue
        for text in [*ODD, "9" * 20]:
            part = quote(text, safe="") or "j"
            path = re.sub("<[^>]*>", part, route.path)
            body = {"name": "x"} if route.method == "PATCH" else BODIES.get(route.takes)
            queries = [{name: text, **BESIDE.get(name, {})} for name in route.query]
            for query in [{}, *queries]:
                answer = api(route.method, path, body, query_string=query)
                assert answer.status not in (500, 503) or answer.json["error_type"] in (
                    "SchedulerNotRunningError",
                    "InvalidOptionError",
                ), (route.name, text, query, answer.text)
    store.close()
