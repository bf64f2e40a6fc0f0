"""What happens, for programs that follow it, and who changed what: over every mount."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest
from werkzeug.security import generate_password_hash

from schedcore import History, Scheduler
from schedhttp import create_app
from tests.http.conftest import Api
from tests.patience import SOON

TOKENS = {"robot": "a-token-of-more-than-16", "viewer": "a-token-only-to-look-with"}


def follow(api, since, **query):
    """Return what has happened, in short, and where to go on."""
    asked = "&".join(f"{k}={v}" for k, v in ({"since": since} | query).items())
    answer = api("GET", f"/changes?{asked}")
    assert answer.status == 200, answer.text
    return [(e["event"], e["job_id"]) for e in answer.json["events"]], answer.json["next"]


def begin(api):
    answer = api("GET", "/changes")
    assert (answer.status, answer.json["events"]) == (200, [])
    return answer.json["next"]


# What happens


def test_a_client_sees_each_event_once_in_order(api):
    place = begin(api)
    api.add("j")
    api("PATCH", "/jobs/j", {"name": "Other"})
    api("POST", "/jobs/j/run")
    api("POST", "/jobs/j/pause")
    first, place = follow(api, place, limit=2)
    assert first == [("job_added", "j"), ("job_changed", "j")]
    api("POST", "/jobs/j/resume")
    api("DELETE", "/jobs/j")
    api("POST", "/pause")
    events, place = follow(api, place)
    assert events == [
        ("run_ended", "j"),
        ("job_paused", "j"),
        ("job_resumed", "j"),
        ("job_removed", "j"),
        ("scheduler_paused", None),
    ]
    assert follow(api, place) == ([], place)


def test_an_event_of_a_run_has_the_run(api):
    api.add("j")
    place = begin(api)
    api("POST", "/jobs/j/run")
    (event,) = api("GET", f"/changes?since={place}").json["events"]
    assert event.keys() == {"event", "at", "job_id", "run"}
    run = event["run"]
    assert run == api("GET", f"/runs/{run['run_id']}").json
    assert (run["outcome"], event["at"]) == ("executed", run["ended"])


def test_a_request_waits_for_what_happens(api):
    place = begin(api)
    found = []
    waiting = threading.Thread(target=lambda: found.append(follow(api, place, wait=60)))
    waiting.start()
    api.add("j")
    waiting.join(SOON)
    assert found[0][0] == [("job_added", "j")]


def test_a_wait_ends_with_its_time(api):
    place = begin(api)
    assert follow(api, place, wait=1) == ([], place)


def test_more_requests_than_there_is_room_for_do_not_wait(mount):
    api = mount(threads=4)  # one may wait
    place = begin(api)
    waiting = [
        threading.Thread(
            target=lambda: answers.append(api("GET", f"/changes?since={place}&wait=60"))
        )
        for _ in range(2)
    ]
    answers = []
    for thread in waiting:
        thread.start()
    while not answers:  # one of the two
        assert any(thread.is_alive() for thread in waiting)
    assert (answers[0].json["events"], answers[0].headers["Retry-After"]) == ([], "1")
    api.add("j")
    for thread in waiting:
        thread.join(SOON)
    assert [e["event"] for e in answers[1].json["events"]] == ["job_added"]
    assert "Retry-After" not in answers[1].headers


def test_with_few_threads_nobody_waits(mount):
    api = mount(threads=3)
    answer = api("GET", f"/changes?since={begin(api)}&wait=60")
    assert (answer.json["events"], answer.headers["Retry-After"]) == ([], "1")


def test_a_client_that_is_gone_holds_no_thread(api):
    here, there = socket.socketpair()
    place = begin(api)
    there.close()
    answer = api("GET", f"/changes?since={place}&wait=60", environ={"gunicorn.socket": here})
    assert answer.status == 400
    here.close()


def test_a_client_that_is_there_is_waited_for(api):
    here, there = socket.socketpair()
    here.settimeout(5)
    place = begin(api)
    there.send(b"GET /next")  # it asks ahead: that is no end
    answer = api("GET", f"/changes?since={place}&wait=1", environ={"gunicorn.socket": here})
    assert (answer.status, answer.json["events"], here.gettimeout()) == (200, [], 5)
    assert here.recv(100) == b"GET /next"
    here.close()
    there.close()


@pytest.mark.parametrize(
    "query", ["since=x", "since=", "wait=61", "wait=-1", "wait=x", "limit=0", "limit=1001", "x=1"]
)
def test_what_makes_no_sense_is_refused(api, query):
    answer = api("GET", f"/changes?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in answer.json["error_message"]


def test_what_is_not_kept_any_more_is_gone():
    scheduler = Scheduler(timezone="UTC", history=History(overall=1))
    api = Api(create_app(scheduler, api_allowed_funcs=["*"]), "/scheduler")
    scheduler.start(paused=True)
    place = begin(api)
    scheduler.add_job("math:sqrt", "interval", hours=1, args=[4], id="j")
    for _ in range(4):
        scheduler.run_job("j", timeout=SOON)
    answer = api("GET", f"/changes?since={place}")
    assert (answer.status, answer.json["error_type"]) == (410, "Gone")
    assert "read jobs and runs again" in answer.json["error_message"]
    other = Api(create_app(Scheduler(timezone="UTC")), "/scheduler")
    assert other("GET", f"/changes?since={place}").status == 410
    scheduler.shutdown()


def test_a_client_sees_each_event_once_over_the_kill_of_a_worker(gunicorn):
    """It asks whichever worker answers, and keeps nothing but `next`."""
    server = gunicorn("--workers", "2", "--threads", "8")
    server.all_answer(2)
    place = server.patiently("GET", "/scheduler/changes").json["next"]
    events, killed = [], []

    def read(wait=1):
        nonlocal place
        found = server.patiently("GET", f"/scheduler/changes?since={place}&wait={wait}")
        assert found.status == 200, found.text
        place = found.json["next"]
        events.extend(found.json["events"])
        return found.json["events"]

    for n in range(4):
        job = {"id": f"j{n}", "func": "chores:beat", "args": ["/dev/null"], "trigger": "date"}
        # 409: it was added, and the worker was killed before it said so.
        assert server.patiently("POST", "/scheduler/jobs", job).status in (200, 409)
        if n in (1, 2):
            holder = server.until(lambda: (pid := server.holder()) not in killed and pid)
            os.kill(holder, signal.SIGKILL)
            killed.append(holder)
        server.until(lambda: [e for e in read() if e["event"] == "run_ended"])
    assert server.patiently("POST", "/scheduler/pause").status == 204
    while "scheduler_paused" not in {e["event"] for e in events}:
        read()
    server.until(lambda: server.patiently("GET", "/scheduler/runs?state=open").json == [])
    while read(wait=0):
        pass
    added = [e["job_id"] for e in events if e["event"] == "job_added"]
    assert added == [f"j{n}" for n in range(4)]
    ended = [e["run"]["run_id"] for e in events if e["event"] == "run_ended"]
    recorded = [r["run_id"] for r in server.patiently("GET", "/scheduler/runs?limit=1000").json]
    assert ended == recorded[::-1][-len(ended) :]
    assert len(ended) >= 4


# The audit


def test_the_audit_tells_who_changed_what_from_where(mount):
    api = mount(
        api_users={"alice": generate_password_hash("secret", "pbkdf2:sha1:1")}, api_tokens=TOKENS
    )
    alice = {"auth": ("alice", "secret"), "environ": {"REMOTE_ADDR": "10.0.0.3"}}
    robot = {"headers": {"Authorization": f"Bearer {TOKENS['robot']}"}}
    job = {"id": "j", "func": "math:sqrt", "args": [4], "trigger": "interval", "minutes": 1}
    assert api("POST", "/jobs", job, **alice).status == 200
    assert api("PATCH", "/jobs/j", {"minutes": 2}, **robot).status == 200
    assert api("POST", "/jobs/j/run", {"args": [9]}, **alice).status == 200
    assert api("POST", "/pause", **robot).status == 204
    assert api("DELETE", "/jobs/j", **alice).status == 204
    records = api("GET", "/audit", **alice).json
    assert [(r["who"], r["address"], r["verb"], r["job_id"]) for r in records][:5] == [
        ("alice", "10.0.0.3", "removed", "j"),
        ("robot", "127.0.0.1", "paused", None),
        ("alice", "10.0.0.3", "run", "j"),
        ("robot", "127.0.0.1", "changed", "j"),
        ("alice", "10.0.0.3", "added", "j"),
    ]
    assert records[0]["before"]["minutes"] == 2
    assert isinstance(records[2]["run_id"], str)
    assert records[2]["after"] == {"args": [9]}
    assert (records[3]["before"]["minutes"], records[3]["after"]["minutes"]) == (1, 2)
    assert records[4]["after"]["args"] == [4]


def test_without_credentials_the_address_is_all_that_is_known(api):
    api.add("j")
    record = api("GET", "/audit?job=j").json[0]
    assert (record["who"], record["address"]) == ("anybody", "127.0.0.1")


def test_who_may_only_read_does_not_see_the_audit(mount):
    api = mount(api_tokens=TOKENS, api_read_only=["viewer"])
    viewer = {"headers": {"Authorization": f"Bearer {TOKENS['viewer']}"}}
    assert api("GET", "/audit", **viewer).status == 403
    assert api("GET", "/changes", **viewer).status == 200


def test_secrets_are_hidden_in_the_audit_and_in_events(clock):
    scheduler = Scheduler(clock=clock, timezone="UTC", redact=[r"password\W+(\w+)"])
    api = Api(create_app(scheduler, api_allowed_funcs=["*"]), "/scheduler")
    scheduler.start()
    place = begin(api)
    api.add("k", func="builtins:dict", args=[], kwargs={"password": "abc"})
    assert api("PATCH", "/jobs/k", {"kwargs": {"password": "xyz"}}).status == 200
    assert api("POST", "/jobs/k/run", {"kwargs": {"password": "xyz"}}).status == 200
    shown = api("GET", "/audit").text + api("GET", f"/changes?since={place}").text
    assert "***" in shown
    assert "abc" not in shown
    assert "xyz" not in shown
    scheduler.shutdown()


def test_what_is_refused_is_not_kept(api):
    before = len(api("GET", "/audit").json)
    assert api("POST", "/jobs/j/pause").status == 404
    assert api("POST", "/jobs", {"func": "os:system", "trigger": "interval"}).status == 403
    api.add("j")
    assert api("PATCH", "/jobs/j", {"minutes": 1}, headers={"If-Match": '"x"'}).status == 412
    assert len(api("GET", "/audit").json) == before + 1


def test_the_audit_has_parts(api, clock):
    for n in range(3):
        clock.advance(60)
        api.add(f"j{n}")
    first = api("GET", "/audit?limit=2")
    assert [r["job_id"] for r in first.json] == ["j2", "j1"]
    link = first.headers["Link"]
    assert 'rel="next"' in link
    rest = api("GET", "/audit" + link[1 : link.index(">")])
    assert rest.json[0]["job_id"] == "j0"
    assert [r["job_id"] for r in api("GET", "/audit?job=j1").json] == ["j1"]
    since = first.json[1]["at"].replace("+", "%2B")
    assert [r["job_id"] for r in api("GET", f"/audit?since={since}").json] == ["j2", "j1"]
    assert "Link" not in api("GET", "/audit?job=j1").headers


@pytest.mark.parametrize(
    "query", ["before=0", "before=x", "limit=0", "limit=1001", "since=x", "job="]
)
def test_a_query_of_the_audit_that_makes_no_sense_is_refused(api, query):
    answer = api("GET", f"/audit?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in answer.json["error_message"]
