"""Lists in parts, fire times ahead, previews, recorded runs, health, and the API's description."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from threading import Event

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from schedcore import Trigger, register_trigger
from schedcore.clock import SECOND
from schedcore.triggers import factory
from schedcore.triggers.factory import KINDS, option_names
from schedhttp.codec import JOB_FIELDS
from schedhttp.routes import ROUTES
from tests.http.conftest import listed


def ids(answer):
    return [job["id"] for job in answer.json]


@pytest.fixture
def ten(api, scheduler):
    """Ten jobs, the later ones due later; the third is paused, the fourth broken."""
    for n in range(10):
        api.add(f"job-{n}", trigger="interval", minutes=n + 1, name=f"Name {9 - n}")
    scheduler.pause_job("job-2")
    return api


def test_the_plain_list_is_by_due_time_with_paused_jobs_last(ten):
    expected = [f"job-{n}" for n in (0, 1, 3, 4, 5, 6, 7, 8, 9, 2)]
    assert ids(ten("GET", "/jobs")) == expected
    assert ids(ten("GET", "/jobs?limit=4&offset=0")) == expected[:4]


def test_a_client_can_follow_the_links_through_the_whole_list(ten):
    seen, query = [], "?limit=3&sort=id"
    while query:
        page = ten("GET", "/jobs" + query)
        assert page.headers["X-Total-Count"] == "10"
        seen += ids(page)
        links = dict(
            reversed(link.strip().removeprefix("<").split('>; rel="'))
            for link in page.headers["Link"].split(",")
        )
        query = links.get('next"')
    assert seen == [f"job-{n}" for n in range(10)]
    assert ids(ten("GET", "/jobs" + links['last"'])) == ["job-9"]
    assert ids(ten("GET", "/jobs" + links['prev"'])) == ["job-6", "job-7", "job-8"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?state=paused", ["job-2"]),
        ("?state=broken", []),
        ("?q=NAME 7", ["job-2"]),
        ("?q=math:sqrt&limit=1", ["job-0"]),
        ("?q=nothing", []),
        ("?sort=-id&limit=2", ["job-9", "job-8"]),
        ("?sort=name&limit=2", ["job-9", "job-8"]),
        ("?sort=-next_run_time&limit=2", ["job-2", "job-9"]),
        ("?offset=9", ["job-2"]),
        ("?offset=99", []),
        ("?limit=0", []),
    ],
)
def test_a_query_narrows_the_list(ten, query, expected):
    assert ids(ten("GET", "/jobs" + query)) == expected


def test_fields_narrow_each_job(ten):
    jobs = ten("GET", "/jobs?fields=id,minutes,hour&limit=1").json
    assert jobs == [{"id": "job-0", "minutes": 1}]


@pytest.mark.parametrize("fields", ["nope", "id,nope", "", "id,,name", "Id"])
def test_a_field_that_no_job_can_have_is_400_with_those_that_one_can(ten, fields):
    answer = ten("GET", f"/jobs?fields={fields}")
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
    assert "crontab" in answer.json["error_message"]


class OfTheMoon(Trigger):
    """A trigger of a user's own, with an option of its own."""

    def next_us(self, after_us):
        return after_us + 1_000_000

    def to_dict(self):
        return {"trigger": "moon", "phase": "full"}


def test_a_field_of_a_users_own_trigger_can_be_asked_for(ten, scheduler):
    scheduler.add_job(print, OfTheMoon(), id="moon")
    assert {"phase": "full"} in ten("GET", "/jobs?fields=phase").json


class Counted:
    """An argument that JSON cannot carry, and that counts how often it is shown."""

    shown = 0

    def __repr__(self):
        Counted.shown += 1
        return "counted"


@pytest.mark.parametrize(
    ("query", "most"),
    [("?limit=3", 3), ("?limit=3&offset=90&sort=name", 3), ("?fields=id,state,name", 0)],
)
def test_only_what_is_asked_for_is_turned_into_json(api, scheduler, query, most):
    for n in range(100):
        scheduler.add_job(print, "interval", args=[Counted()], hours=1, id=str(n))
    Counted.shown = 0
    assert len(api("GET", "/jobs" + query).json) == (most or 100)
    assert Counted.shown == most


@pytest.mark.parametrize(
    "query",
    [
        "?limit=-1",
        "?limit=x",
        "?limit=1e3",
        "?offset=²",
        "?state=asleep",
        "?sort=due",
        "?limt=3",
        "?limit=",
    ],
)
def test_a_query_that_makes_no_sense_is_400(ten, query):
    answer = ten("GET", "/jobs" + query)
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")


def test_the_list_is_never_old(api, scheduler):
    """What is kept of it counts only while nothing changed."""
    api.add("a")
    assert [job["name"] for job in api("GET", "/jobs").json] == ["sqrt"]
    scheduler.modify_job("a", name="b")
    assert [job["name"] for job in api("GET", "/jobs").json] == ["b"]
    scheduler.pause_job("a")
    assert [job["state"] for job in api("GET", "/jobs").json] == ["paused"]
    scheduler.remove_job("a")
    assert api("GET", "/jobs").json == []
    scheduler.add_job(print, "interval", seconds=5, id="c")
    assert ids(api("GET", "/jobs")) == ["c"]
    scheduler.remove_all_jobs()
    assert api("GET", "/jobs").json == []


def test_a_job_that_runs_says_so(api, scheduler):
    began, let_go = Event(), Event()

    def block():
        began.set()
        assert let_go.wait(60)

    scheduler.add_job(block, "interval", hours=1, id="j")
    assert api("GET", "/jobs").json[0]["state"] == "scheduled"
    assert api("POST", "/jobs/j/run", {"wait": False}).status == 200
    assert began.wait(60)
    assert api("GET", "/jobs").json[0]["state"] == "running"
    assert api("GET", "/jobs/j").json["state"] == "running"
    assert ids(api("GET", "/jobs?state=running")) == ["j"]

    overlap = api("POST", "/jobs/j/run")
    assert (overlap.status, overlap.json["error_type"]) == (500, "MaxInstancesError")
    run = scheduler.runs()[0]
    let_go.set()
    assert run.wait(60)
    assert api("GET", "/jobs").json[0]["state"] == "scheduled"


def test_an_overlap_is_409_under_precise_errors(mount, scheduler):
    api = mount(api_precise_errors=True)
    let_go = Event()
    scheduler.add_job(lambda: let_go.wait(60), "interval", hours=1, id="j")
    api("POST", "/jobs/j/run", {"wait": False})
    assert api("POST", "/jobs/j/run").status == 409
    let_go.set()


def test_a_wait_longer_than_the_bound_is_200_and_the_run_goes_on(mount, scheduler):
    api = mount(api_run_timeout=0)
    let_go, ended = Event(), Event()

    def block():
        assert let_go.wait(60)
        ended.set()

    scheduler.add_job(block, "interval", hours=1, id="j")
    answer = api("POST", "/jobs/j/run")
    assert (answer.status, answer.json["state"]) == (200, "running")
    let_go.set()
    assert ended.wait(60)


def test_next_fire_times(api):
    api.add("j", trigger="cron", hour="3", timezone="Europe/Berlin")
    assert api("GET", "/jobs/j/next?n=2").json == {
        "id": "j",
        "next_fire_times": ["2026-01-06T03:00:00+01:00", "2026-01-07T03:00:00+01:00"],
    }
    assert len(api("GET", "/jobs/j/next").json["next_fire_times"]) == 10
    assert api("GET", "/jobs/j/next?n=1001").status == 400
    api("POST", "/jobs/j/pause")
    assert api("GET", "/jobs/j/next").json["next_fire_times"] == []


def test_a_date_has_one_fire_time(api):
    api.add("j", trigger="date", run_date="2030-01-01T00:00:00Z")
    assert api("GET", "/jobs/j/next").json["next_fire_times"] == ["2030-01-01T01:00:00+01:00"]


def test_a_preview_shows_fire_times_and_warnings_and_stores_nothing(api, scheduler):
    job = {"trigger": "cron", "hour": 2, "minute": 30, "timezone": "Europe/Berlin"}
    answer = api("POST", "/preview?n=1", job)
    assert answer.json["next_fire_times"] == ["2026-01-06T02:30:00+01:00"]
    assert any("does not exist on 2026-03-29" in warning for warning in answer.json["warnings"])
    assert scheduler.entries() == []
    assert "job" not in answer.json, "it has no function"
    assert api("POST", "/preview", job | {"hour": 99}).status == 500
    assert api("POST", "/preview", job | {"func": "os:system"}).status == 403


def test_a_preview_shows_the_job_as_it_would_be(api):
    job = {"id": "j", "func": "math:sqrt", "args": [4], "trigger": "cron", "hour": 2, "timeout": 3}
    planned = api("POST", "/preview", job).json["job"]
    assert listed(api("POST", "/jobs", job).json) == planned


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"trigger": {"type": "interval", "seconds": 30}, "seconds": 60},
            "seconds=60: expected no",
        ),
        (
            {"trigger": {"type": "interval", "trigger": "cron"}},
            "type='interval': expected no other",
        ),
        ({"seconds": 60}, "(did you mean trigger='interval'?)"),
        ({"hour": 3}, "(did you mean trigger='cron'?)"),
        ({"trigger": "cron"}, "second=None: expected a cron field such as"),
        ({"trigger": "cron", "hors": 3}, "(did you mean 'hour'?)"),
    ],
)
def test_triggers_that_say_two_things_or_nothing(api, body, message):
    told = api("POST", "/preview", body)
    assert (told.status, message in told.json["error_message"]) == (500, True), told.json
    api.add("j", trigger="cron", hour=1)
    before = api("GET", "/jobs/j").json
    if isinstance(body.get("trigger"), dict):
        assert api("PATCH", "/jobs/j", body).status == 500
    assert api("GET", "/jobs/j").json == before


def beat(seconds):
    return {"trigger": "interval", "seconds": seconds, "start_date": "2020-01-01T00:00:00Z"}


def both(*members):
    return {"trigger": "and", "triggers": list(members)}


def test_a_list_of_fire_times_that_takes_too_long_is_cut_short(api):
    """Two beats that meet after some 200 questions each: not all of a thousand are looked for."""
    api.add("j", trigger=both(beat(101), beat(103)))
    answers = [
        api("GET", "/jobs/j/next?n=1000").json,
        api("POST", "/preview?n=1000", {"trigger": both(beat(101), beat(103))}).json,
    ]
    for answer in answers:
        assert answer["truncated"] is True
        assert 10 < len(answer["next_fire_times"]) < 1000
    assert "truncated" not in api("GET", "/jobs/j/next?n=10").json


@pytest.mark.parametrize(
    "trigger",
    [
        both(both(beat(1009), beat(1013)), beat(1019)),
        both(both(both(beat(1009), beat(1013)), beat(1019)), beat(1021)),
        both({"trigger": "or", "triggers": [both(beat(1009), beat(1013)), beat(9973)]}, beat(9967)),
    ],
)
def test_a_search_without_an_end_is_refused(api, trigger):
    """At once, and with the bound: tests/triggers/test_budget.py counts what it costs."""
    answer = api("POST", "/preview", {"trigger": trigger})
    assert answer.status == 500
    assert "within 4096 fire times" in answer.json["error_message"]
    api.add("j")
    answer = api("PATCH", "/jobs/j", {"trigger": trigger})
    assert (answer.status, api("GET", "/jobs/j").json["trigger"]) == (500, "interval")


def test_a_trigger_of_the_users_own(api, monkeypatch):
    monkeypatch.setattr(factory, "_registered", {})

    @register_trigger
    class Steady(Trigger):
        kind = "steady"

        def __init__(self, every: int) -> None:
            self.every = every * SECOND

        def next_us(self, after_us: int) -> int:
            return after_us - after_us % self.every + self.every

        def to_dict(self) -> dict[str, object]:
            return {"trigger": self.kind, "every": self.every // SECOND}

    api.add("j", trigger="steady", every=3600)
    job = api("GET", "/jobs/j").json
    assert (job["trigger"], job["every"]) == ("steady", 3600)
    assert "shown_as_repr" not in job
    assert api("PATCH", "/jobs/j", {"every": 7200}).json["every"] == 7200
    assert api("PATCH", "/jobs/j", {"every": 0}).status == 500
    assert len(api("GET", "/jobs/j/next?n=3").json["next_fire_times"]) == 3


@pytest.mark.parametrize(
    "trigger",
    [
        {"trigger": "moon", "phase": "full", "hour": [1, 2]},
        {"trigger": {"trigger": "moon", "phase": "full", "hour": [1, 2]}},
        {"trigger": {"trigger": "or", "triggers": [{"trigger": "moon", "phase": None}]}},
        {"trigger": "cron", "hour": 5},
    ],
)
def test_a_registered_trigger_is_described_with_its_options(api, monkeypatch, trigger):
    """Also where an option is called like that of another kind, and takes something else."""
    monkeypatch.setattr(factory, "_registered", {})

    @register_trigger
    class Moon(Trigger):
        kind = "moon"

        def __init__(self, phase: str, hour: object = None) -> None:
            self.data = {"phase": phase, "hour": hour}

        def next_us(self, after_us: int) -> int:
            return after_us + SECOND

        def to_dict(self) -> dict[str, object]:
            return {"trigger": self.kind, **self.data}

    components = api("GET", "/openapi.json").json["components"]
    new = {"components": components, "$ref": "#/components/schemas/NewJob"}
    Draft202012Validator(new).validate({"func": "math:sqrt", **trigger})


def test_recorded_runs(api, scheduler):
    api.add("a")
    api.add("b", args=[-1])
    api("POST", "/jobs/a/run")
    api("POST", "/jobs/b/run")
    (a,) = api("GET", "/jobs/a/runs").json
    assert (a["outcome"], a["result"], a["scheduled"]) == (
        "executed",
        "2.0",
        "2026-01-05T12:00:00+00:00",
    )
    (b,) = api("GET", "/jobs/b/runs").json
    assert (b["outcome"], b["error_type"]) == ("failed", "ValueError")
    assert [run["job_id"] for run in api("GET", "/runs").json] == ["b", "a"]
    assert api("GET", "/runs?outcome=failed").json == [b]
    assert api("GET", "/runs?limit=1&offset=1").json == [a]
    assert api("GET", "/runs?outcome=lucky").status == 400
    scheduler.remove_job("a")
    assert api("GET", "/jobs/a/runs").json == [a]
    assert api("GET", "/jobs/none/runs").status == 404


def test_health_is_200_while_the_loop_works_and_503_otherwise(api, scheduler):
    health = api("GET", "/health")
    assert (health.status, health.json["ok"], health.json["state"]) == (200, True, "running")
    scheduler.shutdown()
    health = api("GET", "/health")
    assert (health.status, health.json["ok"], health.json["state"]) == (503, False, "stopped")


def test_the_api_describes_itself_in_valid_openapi(api):
    document = api("GET", "/openapi.json").json
    validate(document)
    described = {
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert described == {route.name for route in ROUTES}
    assert "internal" not in json.dumps(document)


def test_the_description_names_every_field_that_is_shown(api, scheduler):
    """And every one that may be given, with no others beside."""
    schemas = api("GET", "/openapi.json").json["components"]["schemas"]
    for kind in KINDS:
        trigger = {"trigger": kind}
        if kind in ("and", "or"):
            trigger["triggers"] = [{"trigger": "interval", "days": 1}]
        elif "days" in option_names(kind):
            trigger["days"] = 1
        elif kind == "cron":
            trigger["hour"] = 3
        job = api.add(kind, **trigger, **({"next_run_time": None} if kind == "date" else {}))
        assert set(job) <= set(schemas["Job"]["properties"])
        assert set(schemas["Job"]["required"]) <= set(job)
    api("POST", "/jobs/interval/run")
    for name, shown in (
        ("Info", api("GET").json),
        ("Health", api("GET", "/health").json),
        ("Run", api("GET", "/runs").json[0]),
        ("Retry", api.add("retried", retry=1)["retry"]),
        ("Error", api("GET", "/nothing").json),
    ):
        assert set(shown) == set(schemas[name]["properties"]), name
    options = set().union(*map(option_names, KINDS))
    changes = schemas["JobChanges"]
    assert set(changes["properties"]) == JOB_FIELDS - {"id"} | options | {"jobstore"}
    for name in ("NewJob", "Preview", "JobChanges", "Wait", "Retry", "CronTrigger"):
        assert schemas[name]["additionalProperties"] is False
    for kind, reference in schemas["Trigger"]["discriminator"]["mapping"].items():
        named = schemas[reference.rpartition("/")[2]]["properties"]
        assert set(named) == option_names(kind) | {"trigger"}
        assert named["trigger"]["const"] == kind


def test_the_description_names_the_headers_that_are_sent(api):
    """Each of them where it is sent."""
    paths = api("GET", "/openapi.json").json["paths"]
    job = next(path for path in paths if path.endswith("/{job_id}"))

    def headers(path, method, status):
        return set(paths[path][method]["responses"][status].get("headers", ()))

    assert headers(job, "get", "200") == headers(job, "get", "304") == {"ETag"}
    assert headers(job.removesuffix("/{job_id}"), "get", "200") == {
        "ETag",
        "Link",
        "X-Total-Count",
    }
    for method in ("get", "patch", "delete"):
        assert headers(job, method, "401") == {"WWW-Authenticate"}
        assert headers(job, method, "405") == {"Allow"}
        assert headers(job, method, "429") == headers(job, method, "503") == {"Retry-After"}


def test_the_description_says_how_mistakes_are_told(api):
    assert "SCHEDULER_API_PRECISE_ERRORS" in api("GET", "/openapi.json").json["info"]["description"]


def test_what_changes_of_clocks_do_is_told_beside_the_times(api, clock):
    clock.set(datetime(2026, 3, 28, 12, tzinfo=timezone.utc))
    nightly = {"trigger": "cron", "hour": 2, "minute": 30, "timezone": "Europe/Berlin"}
    expected = {
        "2026-03-29T03:00:00+02:00": "02:30 does not exist on this day: runs when the gap ends"
    }
    assert api("POST", "/preview", nightly).json["remarks"] == expected
    api.add("nightly", **nightly)
    assert api("GET", "/jobs/nightly/next").json["remarks"] == expected
    noon = api("POST", "/preview", {**nightly, "hour": 12}).json["remarks"]
    assert noon == {"2026-03-29T12:30:00+02:00": "clocks went forward by 1:00"}
    assert "remarks" not in api("POST", "/preview", {**nightly, "timezone": "UTC"}).json
