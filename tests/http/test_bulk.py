"""Many jobs at a time: what a query means, all of it or nothing."""

from __future__ import annotations

import pytest

from schedcore import Outcome, Scheduler
from schedcore.stores.memory import MemoryStore
from schedhttp import create_app
from tests.http.conftest import Api, listed
from tests.patience import SOON

BULK = [
    ("POST", "/jobs/pause"),
    ("POST", "/jobs/resume"),
    ("POST", "/jobs/run"),
    ("DELETE", "/jobs"),
]


@pytest.fixture
def five(api):
    """Five jobs: a, b, and c are tagged, and b and c have a name."""
    for job_id in "abcde":
        api.add(
            job_id,
            tags=["nightly"] if job_id in "abc" else [],
            name="Report" if job_id in "bc" else "Other",
        )
    return api


def states(api):
    return {job["id"]: job["state"] for job in api("GET", "/jobs").json}


def paused(api):
    return "".join(sorted(job_id for job_id, state in states(api).items() if state == "paused"))


# Which jobs


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("tag=nightly", "abc"),
        ("q=report", "bc"),
        ("q=OTHER&tag=nightly", "a"),
        ("id=a&id=e", "ae"),
        ("id=a&id=a", "a"),
        ("id=a&id=b&q=report", "b"),
        ("q=nobody", ""),
        ("all=true", "abcde"),
    ],
)
def test_the_jobs_that_the_query_means_are_paused_and_resumed(five, query, meant):
    done = five("POST", f"/jobs/pause?{query}&confirm={len(meant)}")
    assert (done.status, done.json) == (200, {"count": len(meant), "ids": [*meant]})
    assert paused(five) == meant
    if query != "all=true":
        listed = five("GET", f"/jobs?{query}&sort=id").json
        assert "".join(job["id"] for job in listed) == meant, "GET means the same"
    back = five("POST", f"/jobs/resume?{query}&confirm={len(meant)}")
    assert (back.status, back.json) == (200, {"count": len(meant), "ids": [*meant]})
    assert paused(five) == ""


def test_those_that_are_changed_are_counted(five):
    five("POST", "/jobs/pause?id=a&id=d&confirm=2")
    assert five("POST", "/jobs/pause?tag=nightly&confirm=3").json == {"count": 2, "ids": [*"bc"]}
    assert five("POST", "/jobs/resume?all=true&confirm=5").json["ids"] == [*"abcd"]
    assert five("POST", "/jobs/resume?all=true&confirm=5").json == {"count": 0, "ids": []}


def test_those_in_a_state_are_meant_as_in_the_list(five):
    five("POST", "/jobs/pause?id=a&id=d&confirm=2")
    assert five("POST", "/jobs/resume?state=paused&tag=nightly&confirm=1").json["ids"] == ["a"]
    assert five("POST", "/jobs/pause?state=scheduled&confirm=4").json["ids"] == [*"abce"]
    unknown = five("POST", "/jobs/resume?state=pausd&confirm=5")
    assert unknown.status == 400
    assert "did you mean 'paused'" in unknown.json["error_message"]
    assert five("DELETE", "/jobs?state=paused&confirm=5").json["count"] == 5


def test_they_are_removed(five):
    assert five("DELETE", "/jobs?tag=nightly&confirm=3").json == {"count": 3, "ids": [*"abc"]}
    assert set(states(five)) == {"d", "e"}
    assert five("DELETE", "/jobs?all=true&confirm=2").json == {"count": 2, "ids": ["d", "e"]}
    assert states(five) == {}


def test_they_are_run_and_nobody_waits(five, scheduler):
    answer = five("POST", "/jobs/run?tag=nightly&confirm=3").json
    assert (answer["count"], answer["ids"], answer["refused"]) == (3, ["a", "b", "c"], {})
    for job_id, run_id in answer["runs"].items():
        run = scheduler.get_run(int(run_id))
        assert run.job_id == job_id
        if hasattr(run, "wait"):
            run.wait(SOON)
    assert {record.job_id for record in scheduler.history()} == {"a", "b", "c"}


def test_runs_that_are_asked_for_again_are_the_same(five, scheduler):
    path, key = "/jobs/run?tag=nightly&confirm=3", {"Idempotency-Key": "k"}
    first = five("POST", path, headers=key).json["runs"]
    assert five("POST", path, headers=key).json["runs"] == first
    other = five("POST", path, headers={"Idempotency-Key": "l"}).json["runs"]
    assert not {*first.values()} & {*other.values()}
    answer = five("POST", path, headers={"Idempotency-Key": "x" * 256})
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")


def test_a_job_that_cannot_be_run_is_refused_and_the_others_run(five, scheduler):
    entry = scheduler.entry("e")
    job = entry.job._replace(id="f", func=None, given_ref="no_such_module:work")
    scheduler.add_entry(entry._replace(job=job))  # as it comes from a store
    answer = five("POST", "/jobs/run?id=a&id=f&confirm=2").json
    assert (answer["ids"], [*answer["refused"]]) == (["a"], ["f"])
    assert "no_such_module" in answer["refused"]["f"]


# Confirmed


@pytest.mark.parametrize(("method", "path"), BULK)
def test_nothing_is_done_unless_the_right_number_is_confirmed(five, scheduler, method, path):
    before = scheduler.entries()
    for confirm in ("", "&confirm=2", "&confirm=4", "&confirm=0"):
        answer = five(method, f"{path}?tag=nightly{confirm}")
        assert (answer.status, answer.json["error_type"]) == (409, "NotConfirmed")
        assert (answer.json["count"], answer.json["ids"]) == (3, ["a", "b", "c"])
        assert "3 jobs: 'a', 'b', 'c'; expected confirm=3" in answer.json["error_message"]
    assert scheduler.entries() == before
    assert scheduler.runs() == scheduler.history() == []


def test_of_many_jobs_the_first_are_told(api):
    for n in range(12):
        api.add(f"job-{n:02}")
    answer = api("DELETE", "/jobs?all=true").json
    assert (answer["count"], len(answer["ids"])) == (12, 10)
    assert "would remove 12 jobs: 'job-00', " in answer["error_message"]
    assert "'job-09', ...; expected confirm=12" in answer["error_message"]


NONSENSE = [
    ("", "which jobs: expected q=, tag=, state= or id= in the query, or all=true"),
    ("?confirm=5", "which jobs: expected q=, tag=, state= or id="),
    ("?q=&confirm=5", "q='': expected text"),
    ("?q=&tag=nightly&confirm=3", "q='': expected text"),
    ("?tag=&confirm=5", "tag='': expected text"),
    ("?all=true&tag=nightly&confirm=3", "all='true': expected no q=, tag=, state= or id="),
    ("?all=false&confirm=5", "all='false': expected 'true'"),
    ("?all=1&confirm=5", "all='1': expected 'true'"),
    ("?all=&confirm=5", "all='': expected 'true'"),
    ("?tag=nightly&confirm=-3", "confirm='-3': expected a whole number"),
    ("?tag=nightly&confirm=three", "confirm='three': expected a whole number"),
    ("?tag=nightly&confirm=3&confirm=3", "confirm= stands 2 times"),
    ("?tag=nightly&q=a&q=b&confirm=3", "q= stands 2 times"),
    ("?tags=nightly&confirm=3", "did you mean 'tag'"),
    ("?limit=3&all=true&confirm=3", "limit=: expected one of the parameters"),
]


@pytest.mark.parametrize(("method", "path"), BULK)
def test_a_query_that_makes_no_sense_is_400(five, scheduler, method, path):
    before = scheduler.entries()
    for query, said in NONSENSE:
        answer = five(method, path + query)
        assert (answer.status, answer.json["error_type"]) == (400, "BadRequest"), query
        assert said in answer.json["error_message"]
    assert scheduler.entries() == before
    assert scheduler.runs() == scheduler.history() == []


@pytest.mark.parametrize(("method", "path"), BULK)
def test_an_id_that_is_nobodys_is_404(five, scheduler, method, path):
    before = scheduler.entries()
    answer = five(method, path + "?id=a&id=nobody&confirm=1")
    assert (answer.status, answer.json["error_type"]) == (404, "JobLookupError")
    assert "'nobody'" in answer.json["error_message"]
    assert scheduler.entries() == before


@pytest.mark.parametrize(("method", "path"), BULK)
def test_a_condition_on_one_job_is_refused(five, scheduler, method, path):
    before = scheduler.entries()
    for name in ("If-Match", "If-None-Match"):
        answer = five(method, path + "?tag=nightly&confirm=3", headers={name: "*"})
        assert answer.status == 400
        assert "no condition but confirm=" in answer.json["error_message"]
    assert scheduler.entries() == before


@pytest.mark.parametrize(("method", "path"), BULK)
def test_a_filter_in_the_body_is_refused(mount, scheduler, method, path):
    api = mount(api_precise_errors=True)
    api.add("a")
    before = scheduler.entries()
    answer = api(method, path + "?all=true&confirm=1", {"tag": "nightly"})
    assert answer.status == 422
    assert "tag='nightly': expected nothing in the body" in answer.json["error_message"]
    assert api(method, path + "?all=true&confirm=1", [{"id": "a"}]).status == 400
    assert scheduler.entries() == before


# All or none


def test_one_that_cannot_be_resumed_leaves_all_as_they_are(five, scheduler, clock):
    five.add("over", trigger="interval", minutes=1, end_date="2026-01-05T13:10:00")
    five("POST", "/jobs/pause?all=true&confirm=6")
    clock.advance(3600)
    before = scheduler.entries()
    answer = five("POST", "/jobs/resume?all=true&confirm=6")
    assert (answer.status, answer.json["error_type"]) == (500, "InvalidTriggerError")
    assert answer.json["error_message"].startswith("jobs['over'].trigger=")
    assert scheduler.entries() == before


class Meanwhile(MemoryStore):
    """A store in which something happens just before the next write."""

    happens = None

    def write(self, changes, *more):
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return super().write(changes, *more)


@pytest.fixture
def meanwhile(clock):
    """Return an API, and what has something happen before its next write."""
    store = Meanwhile(clock=clock)
    scheduler = Scheduler(store=store, clock=clock, timezone="UTC")
    scheduler.start()
    app = create_app(scheduler, api_allowed_funcs=["math:sqrt"])
    api = Api(app, "/scheduler")
    for job_id in "abc":
        api.add(job_id, tags=["nightly"])

    def happen(action):
        store.happens = lambda: action(scheduler)

    yield api, scheduler, happen
    scheduler.shutdown(timeout=10)


@pytest.mark.parametrize(
    "action",
    [
        lambda scheduler: scheduler.modify_job("b", tags=["weekly"]),
        lambda scheduler: scheduler.remove_job("b"),
    ],
    ids=["changed", "removed"],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/jobs/pause"), ("DELETE", "/jobs")], ids=["pause", "delete"]
)
def test_one_that_is_not_meant_any_more_leaves_all_as_they_are(meanwhile, action, method, path):
    api, _, happen = meanwhile
    happen(action)
    answer = api(method, path + "?tag=nightly&confirm=3")
    assert (answer.status, answer.json["error_type"]) == (409, "NotConfirmed")
    assert "'b'" in answer.json["error_message"]
    assert {"a", "c"} <= set(states(api))
    assert paused(api) == ""


def test_one_that_is_changed_otherwise_keeps_that_change(meanwhile):
    api, scheduler, happen = meanwhile
    happen(lambda scheduler: scheduler.modify_job("b", name="Another"))
    assert api("POST", "/jobs/pause?tag=nightly&confirm=3").status == 200
    assert paused(api) == "abc"
    assert scheduler.get_job("b").name == "Another"


# Router


@pytest.mark.parametrize("job_id", ["pause", "resume", "run"])
def test_a_job_that_is_called_like_it_is_reached_as_ever(api, scheduler, job_id):
    api.add(job_id)
    api.add("other")
    assert api("GET", f"/jobs/{job_id}").json["id"] == job_id
    assert api("PATCH", f"/jobs/{job_id}", {"name": "N"}).json["name"] == "N"
    assert api("POST", f"/jobs/{job_id}/pause").json["state"] == "paused"
    assert states(api)["other"] == "scheduled"
    assert api("POST", f"/jobs/{job_id}/resume").json["state"] == "scheduled"
    assert api("POST", f"/jobs/{job_id}/run").status == 200
    assert scheduler.history(job_id)[0].outcome is Outcome.EXECUTED
    assert api("DELETE", f"/jobs/{job_id}").status == 204
    assert set(states(api)) == {"other"}


# Arrays


def new(job_id, **fields):
    job = {"id": job_id, "func": "math:sqrt", "args": [4], "trigger": "interval", "minutes": 1}
    return {**job, **fields}


def test_an_array_adds_all_of_its_jobs(api):
    jobs = [new("a"), new("b", tags=["x"]), new("c", next_run_time=None)]
    answer = api("POST", "/jobs", jobs)
    assert answer.status == 200, answer.text
    assert [job["id"] for job in answer.json] == ["a", "b", "c"]
    assert answer.json == [listed(api("GET", f"/jobs/{job_id}").json) for job_id in "abc"]
    assert api("POST", "/jobs", []).json == []


def test_ids_are_made_up_where_they_are_left_out(api):
    jobs = [{k: v for k, v in new("").items() if k != "id"}] * 2
    ids = [job["id"] for job in api("POST", "/jobs", jobs).json]
    assert len(set(ids)) == 2
    assert set(states(api)) == set(ids)


@pytest.mark.parametrize(
    ("job", "status", "said"),
    [
        (new("x", minutes=-1), 422, "[1].minutes=-1: expected"),
        (new("x", trigger="cron", hour=25, minutes=None), 422, "[1]."),
        (new("x", max_instance=2), 422, "[1].max_instance=2: expected"),
        (new("a\n"), 422, "[1].id='a\\n': expected text without control"),
        (new("x", func="os:system"), 403, "[1]: func='os:system' may not be named"),
        (new("x", func=5), 422, "[1].func=5: expected"),
        (5, 400, "[1] is a JSON number: expected a JSON object"),
        ([], 400, "[1] is a JSON array"),
        (new("x", replace_existing=True), 400, "replace_existing: expected the same"),
        (new("a"), 409, "a job with id 'a' exists"),
        (new("there"), 409, "a job with id 'there' exists"),
    ],
)
def test_one_that_cannot_be_added_is_named_and_none_is(mount, job, status, said):
    api = mount(api_precise_errors=True)
    api.add("there")
    answer = api("POST", "/jobs", [new("a"), job, new("b")])
    assert answer.status == status, answer.text
    assert said in answer.json["error_message"]
    assert set(states(api)) == {"there"}


def test_they_replace_others_if_all_say_so(api):
    api.add("a", name="Old")
    jobs = [new("a", name="New", replace_existing=True), new("b", replace_existing=True)]
    only_new = api("POST", "/jobs", jobs, headers={"If-None-Match": "*"})
    assert only_new.status == 412
    assert set(states(api)) == {"a"}
    assert [job["name"] for job in api("POST", "/jobs", jobs).json] == ["New", "sqrt"]
    twice = [new("c", replace_existing=True)] * 2
    assert api("POST", "/jobs", twice).status == 409
    assert set(states(api)) == {"a", "b"}


def test_an_array_is_bounded(api):
    answer = api("POST", "/jobs", [{}] * 1001)
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
    assert "an array of 1001: expected 1,000 at most" in answer.json["error_message"]


# Who may


@pytest.mark.parametrize(("method", "path"), BULK)
def test_who_may_only_read_changes_nothing(mount, method, path):
    api = mount(auth=lambda auth: "read")
    for query in ("?all=true&confirm=0", "?all=true"):
        answer = api(method, path + query, auth=("eve", "password"))
        assert (answer.status, answer.json["error_type"]) == (403, "Forbidden")
