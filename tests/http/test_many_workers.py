"""Many workers on one store: real gunicorn, real signals, counted from what the jobs wrote."""

from __future__ import annotations

import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from threading import Thread

import pytest

from tests.patience import SOAK

SYNC = ("--workers", "3")
MANY = 4 if SOAK else 2
THREADS = ("--workers", str(MANY), "--threads", "4")
KINDS = [pytest.param(SYNC, id="sync"), pytest.param(THREADS, id="gthread")]
KEPT = {"schedcore.db", "schedcore.db-wal", "schedcore.db-shm"}
LATER = {"id": "j", "func": "chores:beat", "args": ["/dev/null"], "trigger": "cron", "year": 2999}


def check_the_beat(ran, seconds, lost=frozenset()):
    """Each occurrence from the first to the last ran, once, unless it was under way at a kill.

    Not how late: that is for the machine to say, which may be busy.

    Args:
        ran: What the job wrote.  It does not coalesce: what is late runs all the same.
        seconds: Its interval.
        lost: When those were due that the history tells of as lost.
    """
    due = [beat.due_us for beat in ran]
    assert len(set(due)) == len(due), f"doubled: {ran}"
    told = {*due, *lost}
    expected = set(range(min(told), max(told) + 1, round(seconds * 1_000_000)))
    assert told == expected, f"neither ran nor lost: {expected - told}; off: {told - expected}"


def lost_beats(server):
    """Return when those beats were due that were under way in a process that was killed."""
    lost = server.patiently("GET", "/scheduler/jobs/beat/runs?outcome=lost").json
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return {
        (datetime.fromisoformat(run["scheduled"]) - epoch) // timedelta(microseconds=1)
        for run in lost
    }


def kill_holder(server):
    """Kill the process that takes due jobs; return it, once another one does."""
    killed = server.holder()
    os.kill(killed, signal.SIGKILL)
    server.until(lambda: server.holder() != killed)
    return killed


# Every worker answers


@pytest.mark.parametrize("workers", KINDS)
def test_a_client_cannot_tell_which_worker_it_met(gunicorn, workers):
    """POST through one, GET through all: the same bytes, the same ETag."""
    server = gunicorn(*workers)
    server.all_answer(int(workers[1]))
    posted = server.patiently("POST", "/scheduler/jobs", LATER)
    assert posted.status == 200
    answers = server.burst("GET", "/scheduler/jobs/j")
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert {json.dumps(answer.json) for answer in answers} == {json.dumps(posted.json)}
    assert server.patiently("DELETE", "/scheduler/jobs/beat").status == 204
    assert len({answer.etag for answer in server.burst("GET", "/scheduler/jobs")}) == 1
    told = {answer.json["holder"]["pid"] for answer in server.burst("GET", "/scheduler")}
    assert told == {server.holder()}


def test_every_endpoint_answers_at_every_worker(gunicorn):
    server = gunicorn(*THREADS)
    server.all_answer(MANY)
    assert server.patiently("POST", "/scheduler/jobs", LATER).status == 200
    expected = {
        ("GET", "/scheduler"): 200,
        ("POST", "/scheduler/start"): 400,
        ("POST", "/scheduler/pause"): 204,
        ("POST", "/scheduler/resume"): 204,
        ("GET", "/scheduler/jobs"): 200,
        ("HEAD", "/scheduler/jobs"): 200,
        ("GET", "/scheduler/jobs?limit=1&fields=id"): 200,
        ("PATCH", "/scheduler/jobs/j"): 200,
        ("POST", "/scheduler/jobs/j/pause"): 200,
        ("POST", "/scheduler/jobs/j/resume"): 200,
        ("GET", "/scheduler/jobs/j/next"): 200,
        ("GET", "/scheduler/jobs/j/runs"): 200,
        ("GET", "/scheduler/runs"): 200,
        ("GET", "/scheduler/health"): 200,
        ("GET", "/scheduler/live"): 200,
        ("GET", "/scheduler/openapi.json"): 200,
        ("OPTIONS", "/scheduler/jobs"): 204,
        ("GET", "/scheduler/jobs/%ff%00%2f%C3%A9"): 404,
        ("GET", "/scheduler/nothing"): 404,
        ("PUT", "/scheduler/jobs"): 405,
    }
    for (method, path), status in expected.items():
        answers = server.burst(method, path, {} if method in ("PATCH", "POST") else None)
        assert {answer.status for answer in answers} == {status}, (method, path)


def test_an_order_counts_at_once_whichever_worker_met_the_one_before(gunicorn):
    """Each 204 means it: the next request may go to any worker."""
    server = gunicorn(*THREADS)
    server.all_answer(MANY)
    assert server.patiently("POST", "/scheduler/jobs", LATER).status == 200
    for _ in range(10):
        for order, state in (
            ("pause", "paused"),
            ("resume", "running"),
            ("shutdown", "stopped"),
            ("start", "running"),
        ):
            assert server.call("POST", f"/scheduler/{order}").status == 204
            shown = server.call("GET", "/scheduler").json
            assert (shown["state"], shown["running"]) == (state, state != "stopped")
        assert server.call("POST", "/scheduler/jobs/j/run").status == 200
    runs = server.call("GET", "/scheduler/jobs/j/runs").json
    assert [run["outcome"] for run in runs] == ["executed"] * 10


def test_many_jobs_are_paused_and_resumed_all_or_none_whoever_asks_whom(gunicorn):
    """Clients of all workers pause and resume the same jobs; nobody ever sees half of it."""
    server = gunicorn(*THREADS)
    server.all_answer(MANY)
    jobs = [{**LATER, "id": f"j{n}", "tags": ["t"]} for n in range(30)]
    assert len(server.patiently("POST", "/scheduler/jobs", jobs).json) == 30

    def ask(verb):
        return [server.call("POST", f"/scheduler/jobs/{verb}?tag=t&confirm=30") for _ in range(10)]

    def look():
        return [server.call("GET", "/scheduler/jobs?tag=t&fields=state") for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, verb) for verb in ("pause", "resume") * 3]
        seen = [pool.submit(look) for _ in range(2)]
    for answer in [answer for each in asked for answer in each.result()]:
        # 409: others changed them all the time, and this request changed nothing.
        assert answer.status == 200 or answer.json["error_type"] == "JobChangedError", answer
    for answer in [answer for each in seen for answer in each.result()]:
        assert len(answer.json) == 30
        assert len({job["state"] for job in answer.json}) == 1
    assert server.call("DELETE", "/scheduler/jobs?tag=t&confirm=30").json["count"] == 30
    assert {len(answer.json) for answer in server.burst("GET", "/scheduler/jobs")} == {1}


def test_a_shutdown_waits_for_the_runs_of_all_workers(gunicorn):
    """The one that takes due jobs is seldom the one that is asked."""
    server = gunicorn(*THREADS, seconds=3600, SCHEDULER_SHUTDOWN_TIMEOUT="30")
    server.all_answer(MANY)
    for number in range(1, 5):
        job = {"id": "w", "func": "chores:work", "args": [str(server.beats)], "trigger": "date"}
        assert server.call("POST", "/scheduler/jobs", job).status == 200
        server.until(lambda number=number: len(server.ran()) >= 2 * number - 1)
        assert server.call("POST", "/scheduler/shutdown").status == 204
        assert len(server.ran()) == 2 * number
        assert server.call("POST", "/scheduler/start").status == 204
    runs = server.call("GET", "/scheduler/jobs/w/runs").json
    assert [run["outcome"] for run in runs] == ["executed"] * 4


def test_who_may_do_what_is_decided_at_every_worker(gunicorn):
    """Loopback, proxies, Host, sizes."""
    server = gunicorn(*THREADS, SCHEDULER_API_MAX_BODY="1000")
    server.all_answer(MANY)
    for _ in range(10):
        assert server.call("GET", "/scheduler", **{"X-Forwarded-For": "1.2.3.4"}).status == 403
        assert server.call("GET", "/scheduler", Host="evil.example").status == 403
        assert server.call("GET", "/scheduler", Origin="http://evil.example").status == 403
        assert server.call("POST", "/scheduler/jobs", {"id": "x" * 2000}).status == 413
        assert server.call("POST", "/scheduler/jobs", {"func": "os:system"}).status == 403


def test_wrong_passwords_are_counted_by_each_worker(gunicorn):
    server = gunicorn(*SYNC, SCHEDULER_API_TOKENS='{"ops": "a-token-of-sixteen"}')
    server.headers = right = {"Authorization": "Bearer a-token-of-sixteen"}
    server.all_answer(3)
    wrong = {"Authorization": "Bearer wrong"}
    answers = [server.call("GET", "/scheduler", **wrong).status for _ in range(60)]
    assert set(answers) == {401, 429}
    assert answers.count(401) <= 30, "ten for each"
    assert server.call("GET", "/scheduler", **right).status == 200


# Processes that end


@pytest.mark.parametrize("workers", KINDS)
def test_a_job_runs_once_while_holders_are_killed_one_after_the_other(gunicorn, workers):
    """kill -9, three times; from the beats of half a second each."""
    server = gunicorn(*workers)
    server.all_answer(int(workers[1]))
    killed = []
    for _ in range(3):
        server.new_beats(2)
        killed.append(kill_holder(server))
    ran = server.new_beats(2)
    check_the_beat(ran, 0.5, lost_beats(server))
    assert {beat.pid for beat in ran} >= set(killed)
    server.stop()
    assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", KINDS)
def test_with_preload_jobs_run_without_a_request(gunicorn, workers):
    server = gunicorn(*workers, "--preload", seconds=0.5)
    ran = server.new_beats(3)
    assert {beat.pid for beat in ran} == {server.holder()} != {server.process.pid}
    kill_holder(server)
    check_the_beat(server.new_beats(3), 0.5, lost_beats(server))
    server.all_answer(int(workers[1]))
    server.stop()
    assert set(server.left()) <= KEPT
    assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", [("--workers", "1", "--threads", "2"), SYNC])
def test_jobs_outlive_the_recycling_of_workers(gunicorn, workers):
    """--max-requests: jobs added over HTTP are there, and the beat goes on."""
    server = gunicorn(*workers, "--max-requests", "10", seconds=0.5)
    assert server.patiently("POST", "/scheduler/jobs", LATER).status == 200
    assert server.patiently("POST", "/scheduler/jobs/j/pause").status == 200
    holders = set()

    def three_held() -> bool:
        answer = server.patiently("GET", "/scheduler/jobs/j")
        assert (answer.status, answer.json["state"]) == (200, "paused")
        holders.add(server.holder())
        return len(holders) >= 3

    server.until(three_held)
    check_the_beat(server.new_beats(2), 0.5)


@pytest.mark.parametrize("workers", [("--workers", "1"), THREADS])
def test_a_reload_keeps_what_was_added_changed_and_removed(gunicorn, workers):
    server = gunicorn(*workers, seconds=0.5)
    before = {node["pid"] for node in server.all_answer(int(workers[1]))}
    assert server.patiently("POST", "/scheduler/jobs", LATER).status == 200
    extra = LATER | {"id": "k", "kwargs": {}, "name": "K", "retry": 2, "misfire_grace_time": 5}
    kept = server.patiently("POST", "/scheduler/jobs", extra).json
    server.new_beats(1)
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.holder() not in before)
    assert server.patiently("GET", "/scheduler/jobs/j").status == 200
    assert server.patiently("GET", "/scheduler/jobs/k").json == kept
    check_the_beat(server.new_beats(2), 0.5)


def test_a_paused_and_an_ended_scheduler_stay_so(gunicorn):
    """Another process does not go on with what a client has stopped, also after a kill."""
    server = gunicorn(*THREADS)
    server.all_answer(MANY)
    for order, state in (("pause", "paused"), ("shutdown", "stopped")):
        assert server.patiently("POST", f"/scheduler/{order}").status == 204
        before = server.all_answer(MANY)[0]["pid"]
        os.kill(before, signal.SIGKILL)
        server.until(lambda before=before: before not in pids(server))
        assert server.patiently("GET", "/scheduler").json["state"] == state
    assert server.patiently("POST", "/scheduler/start").status == 204
    server.new_beats(1)


def pids(server):
    nodes = server.patiently("GET", "/scheduler").json["nodes"]
    return {node["pid"] for node in nodes if node["state"] == "alive"}


def outcomes(server, job_id):
    """Return how the runs of a job ended, once there is one that did; the job may be gone."""

    def found():
        answer = server.patiently("GET", f"/scheduler/jobs/{job_id}/runs")
        return [run["outcome"] for run in answer.json] if answer.status == 200 else []

    return server.until(found)


# The whole server ends


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_server_that_is_started_again_goes_on(gunicorn, how):
    """Jobs, their beat, their history, what is paused; killed at once, or told to end."""
    server = gunicorn(*THREADS, seconds=0.5)
    server.all_answer(MANY)
    posted = server.patiently("POST", "/scheduler/jobs", LATER).json
    assert server.patiently("POST", "/scheduler/jobs", LATER | {"id": "k"}).status == 200
    assert server.patiently("POST", "/scheduler/jobs/k/pause").status == 200
    server.new_beats(2)
    getattr(server, how)()
    ran_before = len(server.ran())
    server.begin()
    server.all_answer(MANY)
    server.new_beats(2)
    assert server.patiently("GET", "/scheduler/jobs/j").json == posted
    assert server.patiently("GET", "/scheduler/jobs/k").json["state"] == "paused"
    history = server.patiently("GET", "/scheduler/jobs/beat/runs").json
    assert len(history) >= ran_before, "what ran before is told of"
    check_the_beat(server.ran(), 0.5, lost_beats(server))
    server.stop()
    assert set(server.left()) <= KEPT


def test_a_pause_outlives_the_server(gunicorn):
    server = gunicorn(*THREADS)
    server.new_beats(1)
    assert server.patiently("POST", "/scheduler/pause").status == 204
    server.kill()
    server.begin()
    assert server.patiently("GET", "/scheduler").json["state"] == "paused"
    assert server.patiently("POST", "/scheduler/resume").status == 204
    server.new_beats(1)


def test_what_ran_in_a_killed_process_is_recorded_as_lost(gunicorn):
    server = gunicorn(*THREADS, seconds=60)
    server.all_answer(MANY)
    hang = {"id": "h", "func": "chores:hang", "args": [str(server.beats)], "trigger": "date"}
    assert server.patiently("POST", "/scheduler/jobs", hang).status == 200
    (run,) = server.until(server.ran)
    os.kill(run.pid, signal.SIGKILL)
    assert outcomes(server, "h") == ["lost"]
    assert len(server.ran()) == 1, "and not run again"


def test_a_request_whose_worker_is_killed_is_not_carried_out_again(gunicorn):
    server = gunicorn(*THREADS, seconds=60)
    server.all_answer(MANY)
    hang = LATER | {"func": "chores:hang", "args": [str(server.beats)]}
    assert server.patiently("POST", "/scheduler/jobs", hang).status == 200

    def run_somewhere() -> None:
        with suppress(OSError):
            server.call("POST", "/scheduler/jobs/j/run")

    thread = Thread(target=run_somewhere)
    thread.start()
    (run,) = server.until(server.ran)
    os.kill(run.pid, signal.SIGKILL)
    thread.join()
    assert outcomes(server, "j") == ["lost"]
    assert len(server.ran()) == 1


def test_a_worker_that_is_told_to_end_answers_who_waits_for_a_run(gunicorn):
    """The run is given up in time, so that the request is not cut off."""
    server = gunicorn("--workers", "1", "--threads", "4", seconds=60)
    hang = LATER | {"func": "chores:hang", "args": [str(server.beats)]}
    assert server.patiently("POST", "/scheduler/jobs", hang).status == 200
    answers = []
    thread = Thread(target=lambda: answers.append(server.call("POST", "/scheduler/jobs/j/run")))
    thread.start()
    server.until(server.ran)
    server.process.send_signal(signal.SIGTERM)
    thread.join()
    assert [(answer.status, answer.json["error_type"]) for answer in answers] == [
        (500, "RunFailed")
    ]
    server.process.wait()


# In memory


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_several_workers_do_not_run_jobs_in_memory(gunicorn, preload):
    server = gunicorn(*THREADS, *preload, SCHEDULER_STORE="memory")
    server.until(
        lambda: "SCHEDULER_STORE=sqlite:///schedcore.db, or start one worker" in server.log
    )
    assert server.ran() == []


def test_one_worker_does(gunicorn):
    server = gunicorn("--workers", "1", SCHEDULER_STORE="memory")
    server.new_beats(1)
    assert server.left() == []


def test_the_command_serves_with_many_workers_and_leaves_the_store_alone(serve, tmp_path):
    (tmp_path / "config.toml").write_text(
        f"""
        python_path = ["."]
        bind = "127.0.0.1:0"
        workers = 2
        api_allowed_funcs = ["chores:*"]
        [[jobs]]
        id = "beat"
        func = "chores:beat"
        args = ["{tmp_path / "beats"}"]
        trigger = "interval"
        seconds = 0.5
        coalesce = false
        """
    )
    server = serve(sys.executable, "-m", "schedhttp", "--config", "config.toml")
    server.all_answer(2)
    assert server.patiently("POST", "/scheduler/jobs", LATER).status == 200
    check_the_beat(server.new_beats(2), 0.5)
    server.stop()
    assert server.process.returncode == 0
    assert set(server.left()) <= KEPT
    assert "Traceback" not in server.log
