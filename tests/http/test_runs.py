"""Runs over HTTP: from due to done, listed in parts, cancelled, counted; over each store."""

from __future__ import annotations

import re
import socket
from threading import Event, Timer
from types import SimpleNamespace

import pytest

from schedcore import Outcome, RunRecord, Scheduler, StoreUnavailableError
from schedhttp.workers import gunicorn
from tests.contract.conftest import STORES
from tests.patience import SOON
from tests.stores.calls import put_records

HERE = __name__


class Gate:
    """Lets the runs that wait at it go on."""

    def __init__(self):
        self.begun, self.open = Event(), Event()


gate = Gate()


def block():
    """Say that it has begun, and wait to be let go."""
    gate.begun.set()
    assert gate.open.wait(SOON)
    return "let go"


def fail():
    """Do not succeed."""
    raise ValueError("no luck")


def add(a, b=2):
    """Return a sum."""
    return a + b


@pytest.fixture(autouse=True)
def closed():
    global gate
    gate = Gate()
    yield
    gate.open.set()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def scheduler(request):
    """A started scheduler on a store of each kind, whose jobs are due in a long time."""
    store = STORES[request.param]()
    scheduler = Scheduler(store=store, timezone="Europe/Berlin", name="tests")
    scheduler.start()
    yield scheduler
    gate.open.set()
    if scheduler.running:
        scheduler.shutdown(timeout=SOON)
    store.close()


@pytest.fixture
def api(mount, scheduler):
    api = mount(api_precise_errors=True, api_allowed_funcs=[f"{HERE}:add"])
    for func in (block, fail, add):
        name = func.__name__
        kwargs = {"args": (1,)} if func is add else {}
        scheduler.add_job(f"{HERE}:{name}", "interval", hours=1, id=name, **kwargs)
    return api


def begun(api, scheduler):
    """Start the job that blocks; return its run's id once it is under way."""
    assert api("POST", "/jobs/block/run", {"wait": False}).status == 200
    assert gate.begun.wait(SOON)
    (run,) = scheduler.runs()
    return str(run.id)


def error(answer):
    return answer.status, answer.json["error_type"]


def test_a_run_is_shown_while_it_runs_and_after_it_has_ended(api, scheduler):
    run_id = begun(api, scheduler)
    running = api("GET", f"/runs/{run_id}").json
    assert (running["run_id"], running["job_id"], running["state"]) == (run_id, "block", "running")
    assert (running["outcome"], running["ended"], running["result"]) == (None, None, None)
    assert (running["cause"], running["attempt"]) == ("manual", 1)
    assert running["why"] == f"running: since {running['started']}"
    run = scheduler.get_run(int(run_id))
    gate.open.set()
    assert run.wait(SOON)
    ended = api("GET", f"/runs/{run_id}").json
    assert (ended["state"], ended["outcome"], ended["result"]) == ("ended", "executed", "'let go'")
    assert {**ended, **dict.fromkeys(("state", "outcome", "ended", "result", "why"))} == {
        **running,
        **dict.fromkeys(("state", "outcome", "ended", "result", "why")),
    }
    assert api("GET", "/runs").json == api("GET", "/jobs/block/runs").json == [ended]


def test_a_client_that_is_gone_holds_no_thread_and_its_run_goes_on(api, scheduler):
    over = Timer(5, gate.open.set)
    over.start()
    here, there = socket.socketpair()
    with here, there:
        there.close()
        answer = api("POST", "/jobs/block/run", environ={"gunicorn.socket": here})
    over.cancel()
    assert error(answer) == (400, "ClientDisconnected")
    assert [run.job_id for run in scheduler.runs()] == ["block"]


class Sync:
    """gunicorn's worker without threads, which is killed if a request takes too long."""

    __module__ = "gunicorn.workers.sync"
    cfg = SimpleNamespace(timeout=0.1, threads=1)


def test_a_worker_without_threads_is_not_killed_since_it_waits_for_a_run(api):
    over = Timer(1, gate.open.set)
    over.start()
    gunicorn.post_fork(None, Sync())
    try:
        answer = api("POST", "/jobs/block/run")
    finally:
        gunicorn.post_fork(None, None)
        over.cancel()
    assert answer.headers["X-Run-Outcome"] == "running"


def test_a_run_of_a_shared_store_says_in_which_process_it_is(api, scheduler):
    run_id = begun(api, scheduler)
    shared = scheduler.store_info().kind != "memory"
    (node,) = [node.id for node in scheduler.nodes()] or [None]
    assert api("GET", f"/runs/{run_id}").json["node"] == node
    assert (node is not None) == shared
    api("POST", f"/runs/{run_id}/cancel")
    assert api("GET", f"/runs/{run_id}").json["node"] == node


def test_lists_of_what_has_not_ended(api, scheduler):
    run_id = begun(api, scheduler)
    shown = api("GET", f"/runs/{run_id}").json
    for query in ("state=running", "state=open", "state=running&job=block", "state=open&limit=1"):
        answer = api("GET", f"/runs?{query}")
        assert (answer.json, answer.headers["X-Total-Count"]) == ([shown], "1"), query
    assert api("GET", "/jobs/block/runs?state=open").json == [shown]
    for query in (
        *("state=waiting", "state=running&job=add", "state=ended", ""),
        *(f"state=open&before={run_id}", "state=open&until=2020-01-01", "state=open&offset=1"),
    ):
        assert api("GET", f"/runs?{query}").json == [], query
    refused = api("GET", "/runs?state=running&outcome=failed")
    assert error(refused) == (400, "BadRequest")
    assert "state=ended" in refused.json["error_message"]


def test_a_run_is_cancelled_and_its_place_is_free(api, scheduler):
    run_id = begun(api, scheduler)
    assert error(api("POST", "/jobs/block/run")) == (409, "MaxInstancesError")
    answer = api("POST", f"/runs/{run_id}/cancel")
    assert (answer.status, answer.json["state"], answer.json["outcome"]) == (
        *(200, "ended"),
        "cancelled",
    )
    assert answer.json == api("GET", f"/runs/{run_id}").json
    assert scheduler.runs() == []
    again = api("POST", f"/runs/{run_id}/cancel")
    assert error(again) == (409, "RunEndedError")
    assert run_id in again.json["error_message"]


def test_a_cancelled_run_is_shown_though_the_store_goes_away_after_it(api, scheduler, monkeypatch):
    run_id = begun(api, scheduler)
    cancel = Scheduler.cancel

    def gone(*_args):
        raise StoreUnavailableError("the store", "it is gone")

    def cancel_and_go_away(self, number):
        cancel(self, number)
        monkeypatch.setattr(Scheduler, "get_run", gone)

    monkeypatch.setattr(Scheduler, "cancel", cancel_and_go_away)
    answer = api("POST", f"/runs/{run_id}/cancel")
    assert answer.status == 200, answer.text
    assert answer.json["run_id"] == run_id
    assert scheduler.runs() == []


def test_a_run_that_is_not_known(api):
    for run_id in ("5", "9" * 20, "9" * 25):
        for answer in (api("GET", f"/runs/{run_id}"), api("POST", f"/runs/{run_id}/cancel")):
            assert error(answer) == (404, "RunLookupError")
            assert run_id[:9] in answer.json["error_message"]


def test_what_is_no_id_of_a_run(api):
    for run_id in ("x", "-1", "1.5", "1e3", "²", "9" * 26, "..", "%00", "0x1"):
        for answer in (api("GET", f"/runs/{run_id}"), api("POST", f"/runs/{run_id}/cancel")):
            assert answer.status in (400, 404), run_id
    assert error(api("GET", "/runs/x")) == (400, "BadRequest")
    assert error(api("GET", "/runs/5/cancel")) == (405, "MethodNotAllowed")
    assert error(api("POST", "/runs/5/retry")) == (404, "NotFound")


def test_filters_of_what_has_ended(api, scheduler):
    for job_id in ("add", "fail", "add", "fail", "fail"):
        api("POST", f"/jobs/{job_id}/run")
    every = api("GET", "/runs").json
    assert [run["job_id"] for run in every] == ["fail", "fail", "add", "fail", "add"]
    failed = [run for run in every if run["outcome"] == "failed"]
    assert api("GET", "/runs?outcome=failed").json == failed
    assert api("GET", "/jobs/fail/runs?outcome=failed,lost").json == failed
    assert api("GET", "/runs?outcome=lost,failed&job=add").json == []
    assert api("GET", "/runs?job=add").json == [every[2], every[4]]
    third = every[2]["scheduled"]
    for moment in (third, third.replace("+", "%2B")):  # a plus sign is a space, as many write it
        assert api("GET", f"/runs?since={moment}").json == every[:3]
        assert api("GET", f"/runs?until={moment}").json == every[3:]
        assert api("GET", f"/runs?since={moment}&until={moment}").json == []
    assert api("GET", f"/runs?until={third}&outcome=failed").json == [every[3]]
    assert api("GET", f"/runs?before={every[2]['run_id']}").json == every[3:]


def test_parts_are_followed_to_the_end(api):
    for n in range(7):
        api("POST", f"/jobs/{('add', 'fail')[n % 2]}/run")
    since = api("GET", "/runs").json[-1]["scheduled"].replace("+", "%2B")
    for query in ("?limit=2", "?limit=3&outcome=executed", f"?limit=2&since={since}"):
        whole = api("GET", "/runs" + query.replace("limit=2", "").replace("limit=3", "")).json
        seen, ask = [], query
        while ask is not None:
            page = api("GET", "/runs" + ask)
            assert page.headers["X-Total-Count"] == str(len(whole))
            seen += page.json
            links = dict(re.findall(r'<([^>]*)>; rel="(\w+)"', page.headers["Link"]))
            ask = next((link for link, word in links.items() if word == "next"), None)
        assert seen == whole


NONSENSE = (
    *("state=ended,open", "state=", "state=over", "job=", "job=" + 256 * "x", "job=a%00"),
    *("outcome=", "outcome=failed,", "outcome=failed,lucky", "since=", "since=yesterday"),
    *("since=2026-13-01", "until=1e9", "until=0001-01-01T00:00:00+23:00", "before="),
    *("limit=1001", "limit=-1", "offset=100001", "before=x", "limit=1&limit=2", "n=3"),
)


def test_what_makes_no_sense_is_refused_with_the_parameter(api):
    for query in NONSENSE:
        answer = api("GET", "/runs?" + query)
        assert error(answer) == (400, "BadRequest"), query
        assert query.partition("=")[0] in answer.json["error_message"]


def test_occurrences_are_counted_by_outcome(api, scheduler):
    for job_id in ("add", "fail", "add"):
        api("POST", f"/jobs/{job_id}/run")
    zeros = dict.fromkeys((outcome.value for outcome in Outcome), 0)
    assert api("GET", "/counts").json == {**zeros, "executed": 2, "failed": 1}
    assert api("GET", "/counts?job=fail").json == {**zeros, "failed": 1}
    scheduler.remove_job("fail")
    assert api("GET", "/counts?job=fail").json == {**zeros, "failed": 1}
    assert api("GET", "/counts?job=block").json == zeros
    assert error(api("GET", "/counts?job=nobody")) == (404, "JobLookupError")
    assert api("GET", "/counts?job=").status == 400


def test_a_job_that_is_gone_keeps_its_runs(api, scheduler):
    api("POST", "/jobs/fail/run")
    scheduler.remove_job("fail")
    (run,) = api("GET", "/jobs/fail/runs").json
    assert api("GET", "/jobs/fail/runs?outcome=executed").json == []
    assert api("GET", f"/runs/{run['run_id']}").json == run
    assert error(api("GET", "/jobs/nobody/runs")) == (404, "JobLookupError")


def test_many_are_not_counted_to_the_end(api, scheduler):
    store = scheduler._engine.store
    put_records(store, [RunRecord(None, "often", Outcome.MISSED, n) for n in range(10_050)])
    api("POST", "/jobs/add/run")
    page = api("GET", "/runs?limit=5")
    memory = scheduler.store_info().kind == "memory"  # it keeps 10,000
    assert page.headers.get("X-Total-Count") == ("10000" if memory else None)
    assert 'rel="next"' in page.headers["Link"]
    assert api("GET", "/runs?limit=5&job=add").headers["X-Total-Count"] == "1"


# Running a job now


def test_a_run_by_hand_says_which_run_it_was_and_what_it_came_to(api, scheduler):
    answer = api("POST", "/jobs/add/run")
    assert (answer.status, answer.json["id"]) == (200, "add")
    (run,) = api("GET", "/runs").json
    assert answer.headers["X-Run-Id"] == run["run_id"]
    assert answer.headers["X-Run-Outcome"] == "executed"
    assert answer.headers["Location"] == f"{api.base}/runs/{run['run_id']}"
    failed = api("POST", "/jobs/fail/run")
    assert error(failed) == (500, "RunFailed")
    assert failed.headers["X-Run-Outcome"] == "failed"
    assert api("GET", f"/runs/{failed.headers['X-Run-Id']}").json["error_text"] == "no luck"
    under_way = api("POST", "/jobs/block/run", {"wait": False})
    assert gate.begun.wait(SOON)
    assert under_way.headers["X-Run-Outcome"] in ("waiting", "running")
    assert api("GET", f"/runs/{under_way.headers['X-Run-Id']}").json["state"] == "running"


def test_arguments_for_one_run(api, scheduler):
    def result(body):
        answer = api("POST", "/jobs/add/run", body)
        assert answer.status == 200, answer.text
        return api("GET", f"/runs/{answer.headers['X-Run-Id']}").json["result"]

    assert result({"args": [3]}) == "5"
    assert result({"args": [3], "kwargs": {"b": 4}}) == "7"
    assert result({"kwargs": {"b": 10}}) == "11"
    assert result({"args": None, "kwargs": None}) == result(None) == "3"
    assert api("GET", "/jobs/add").json["args"] == [1]


def test_arguments_that_the_function_does_not_take_are_refused(api, scheduler):
    for body, named in (
        ({"args": []}, "args"),
        ({"args": [1, 2, 3]}, "args"),
        ({"kwargs": {"c": 1}}, "c"),
        ({"args": "ab"}, "args"),
        ({"kwargs": [1]}, "kwargs"),
        ({"argss": [1]}, "args"),
        ({"wait": "no"}, "wait"),
    ):
        answer = api("POST", "/jobs/add/run", body)
        assert answer.status == 422, (body, answer)
        assert named in answer.json["error_message"], body
    assert (scheduler.history(), scheduler.runs()) == ([], [])


def test_only_functions_that_a_request_may_name_get_other_arguments(api, scheduler):
    for body in ({"args": []}, {"kwargs": {}}, {"args": [5], "wait": False}):
        answer = api("POST", "/jobs/fail/run", body)
        assert error(answer) == (403, "Forbidden")
        assert "SCHEDULER_API_ALLOWED_FUNCS" in answer.json["error_message"]
    assert (scheduler.history(), scheduler.runs()) == ([], [])
    scheduler.register(fail)
    assert error(api("POST", "/jobs/fail/run", {"args": []})) == (500, "RunFailed")


KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def test_a_client_that_asks_again_with_its_key_gets_the_same_run(api, scheduler):
    first = api("POST", "/jobs/add/run", {"args": [2]}, headers=KEY)
    again = api("POST", "/jobs/add/run", {"args": [2]}, headers=KEY)
    for name in ("X-Run-Id", "X-Run-Outcome", "Location", "ETag"):
        assert first.headers[name] == again.headers[name]
    assert (again.status, again.json) == (200, first.json)
    other = api("POST", "/jobs/add/run", headers={"Idempotency-Key": "another"})
    assert other.headers["X-Run-Id"] != first.headers["X-Run-Id"]
    assert len(scheduler.history()) == 2


def test_it_is_told_again_of_a_failure_and_of_what_still_runs(api, scheduler):
    failed = [api("POST", "/jobs/fail/run", headers=KEY) for _ in range(2)]
    assert [error(answer) for answer in failed] == [(500, "RunFailed")] * 2
    assert failed[0].json == failed[1].json
    assert failed[0].headers["X-Run-Id"] == failed[1].headers["X-Run-Id"]
    running = [api("POST", "/jobs/block/run", {"wait": False}, headers=KEY) for _ in range(2)]
    assert running[0].headers["X-Run-Id"] == running[1].headers["X-Run-Id"]
    gate.open.set()
    done = api("POST", "/jobs/block/run", headers=KEY)
    assert done.headers["X-Run-Id"] == running[0].headers["X-Run-Id"]
    assert done.headers["X-Run-Outcome"] == "executed"


def test_a_key_that_is_none(api, scheduler):
    for key in ("", "x" * 256, "a\tb", "ü"):
        answer = api("POST", "/jobs/add/run", headers={"Idempotency-Key": key})
        assert error(answer) == (400, "BadRequest"), key
        assert "Idempotency-Key" in answer.json["error_message"]
    assert scheduler.history() == []


# How the last runs of a job went


def test_a_job_shows_how_its_last_runs_went(api):
    def shown(path="/jobs/fail"):
        job = api("GET", path).json
        return job["last_run"], job["failures_in_a_row"], job["mean_duration"], job["p95_duration"]

    assert shown() == (None, 0, None, None)
    etag = api("GET", "/jobs/fail").headers["ETag"]
    for n in (1, 2):
        api("POST", "/jobs/fail/run")
        (latest, *_) = api("GET", "/jobs/fail/runs").json
        last = {"run_id": latest["run_id"], "outcome": "failed", "at": latest["ended"]}
        assert shown() == (last, n, None, None)
    assert api("GET", "/jobs/fail", headers={"If-None-Match": etag}).status == 200
    assert api("PATCH", "/jobs/fail", {"name": "x"}, headers={"If-Match": etag}).status == 200
    etag = api("GET", "/jobs/fail").headers["ETag"]
    assert api("GET", "/jobs/fail", headers={"If-None-Match": etag}).status == 304
    api("POST", "/jobs/add/run")
    last, failures, mean, p95 = shown("/jobs/add")
    assert (last["outcome"], failures) == ("executed", 0)
    assert 0 <= mean == p95 < SOON


def test_what_is_shown_of_runs_can_be_sent_back(api):
    api("POST", "/jobs/fail/run")
    job = api("GET", "/jobs/fail").json
    api("POST", "/jobs/fail/run")
    answer = api("PATCH", "/jobs/fail", job)
    assert (answer.status, answer.json["failures_in_a_row"]) == (200, 2)


def test_lists_show_them_where_they_are_asked_for(api):
    api("POST", "/jobs/fail/run")
    ones = {job_id: api("GET", f"/jobs/{job_id}").json for job_id in ("add", "block", "fail")}
    answer = api("GET", "/jobs?include=runs&sort=id")
    assert answer.json == list(ones.values())
    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert all("last_run" not in job for job in api("GET", "/jobs").json)
    assert api("GET", "/jobs?fields=id,failures_in_a_row&sort=id").json == [
        {"id": job_id, "failures_in_a_row": int(job_id == "fail")} for job_id in ones
    ]
    assert error(api("GET", "/jobs?include=run")) == (400, "BadRequest")


def test_they_are_looked_up_for_some_jobs_at_a_time(api, scheduler):
    scheduler.add_jobs(
        {"func": f"{HERE}:add", "args": (1,), "id": f"j{n}", "trigger": "interval", "hours": 1}
        for n in range(200)
    )
    refused = api("GET", "/jobs?include=runs")
    assert error(refused) == (400, "BadRequest")
    assert "limit=200" in refused.json["error_message"]
    assert len(api("GET", "/jobs?include=runs&limit=200").json) == 200
