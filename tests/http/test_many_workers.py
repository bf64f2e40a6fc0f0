"""Many workers, one engine: real gunicorn, real signals, counted from what the jobs wrote."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from threading import Thread

import pytest

SYNC = ("--workers", "3")
THREADS = ("--workers", "3", "--threads", "4")
KINDS = [pytest.param(SYNC, id="sync"), pytest.param(THREADS, id="gthread")]
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
    """Return when those beats were due that were under way in the holder that was killed last."""
    lost = server.patiently("GET", "/scheduler/jobs/beat/runs?outcome=lost").json
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return {
        (datetime.fromisoformat(run["scheduled"]) - epoch) // timedelta(microseconds=1)
        for run in lost
    }


@pytest.mark.parametrize("workers", KINDS)
def test_a_job_runs_once_while_holders_are_killed_one_after_the_other(gunicorn, workers):
    """kill -9, three times; from the beats of a second each."""
    server = gunicorn(*workers)
    killed, lost = [], set()
    for _ in range(3):
        server.new_beats(2)
        lost |= lost_beats(server)  # the next kill takes the history along
        killed.append(server.holder())
        os.kill(killed[-1], signal.SIGKILL)
    ran = server.new_beats(2)
    check_the_beat(ran, 1.0, lost | lost_beats(server))
    assert {beat.pid for beat in ran} == {*killed, ran[-1].pid}
    assert len({*killed, ran[-1].pid}) == 4
    server.stop()
    assert server.left() == [".estate"]
    assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", KINDS)
def test_a_client_cannot_tell_which_worker_it_met(gunicorn, workers):
    """POST through one, GET through all: the same bytes, the same ETag."""
    server = gunicorn(*workers)
    posted = server.patiently("POST", "/scheduler/jobs", LATER)
    assert posted.status == 200
    answers = server.burst("GET", "/scheduler/jobs/j")
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert {json.dumps(answer.json) for answer in answers} == {json.dumps(posted.json)}
    told = {answer.json["holder"]["pid"] for answer in server.burst("GET", "/scheduler")}
    assert told == {server.holder()}


def test_every_endpoint_answers_at_every_worker(gunicorn):
    server = gunicorn(*THREADS)
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
        ("GET", "/scheduler/openapi.json"): 200,
        ("OPTIONS", "/scheduler/jobs"): 204,
        ("GET", "/scheduler/jobs/%ff%00%2f%C3%A9"): 404,
        ("GET", "/scheduler/nothing"): 404,
        ("PUT", "/scheduler/jobs"): 405,
    }
    for (method, path), status in expected.items():
        answers = server.burst(method, path, {} if method in ("PATCH", "POST") else None)
        assert {answer.status for answer in answers} == {status}, (method, path)


def test_who_may_do_what_is_decided_as_if_the_holder_was_met(gunicorn):
    """Loopback, proxies, Host, sizes; and wrong passwords are counted for all workers together."""
    server = gunicorn(*THREADS, SCHEDULER_API_MAX_BODY="1000")
    server.patiently("GET", "/scheduler")
    for _ in range(10):
        assert server.call("GET", "/scheduler", **{"X-Forwarded-For": "1.2.3.4"}).status == 403
        assert server.call("GET", "/scheduler", Host="evil.example").status == 403
        assert server.call("GET", "/scheduler", Origin="http://evil.example").status == 403
        assert server.call("POST", "/scheduler/jobs", {"id": "x" * 2000}).status == 413
        assert server.call("POST", "/scheduler/jobs", {"func": "os:system"}).status == 403


def test_wrong_passwords_are_counted_for_all_workers_together(gunicorn):
    server = gunicorn(*THREADS, SCHEDULER_API_TOKENS='{"ops": "a-token-of-sixteen"}')
    server.until(lambda: server.new_beats(1))
    wrong = {"Authorization": "Bearer wrong"}
    answers = [server.call("GET", "/scheduler", **wrong).status for _ in range(30)]
    assert answers == [401] * 10 + [429] * 20
    right = {"Authorization": "Bearer a-token-of-sixteen"}
    assert server.call("GET", "/scheduler", **right).status == 200


@pytest.mark.parametrize("workers", KINDS)
def test_with_preload_jobs_run_without_a_request(gunicorn, workers):
    server = gunicorn(*workers, "--preload", seconds=0.5)
    ran = server.new_beats(3)
    assert {beat.pid for beat in ran} == {server.holder()} != {server.process.pid}
    os.kill(server.holder(), signal.SIGKILL)
    check_the_beat(server.new_beats(3), 0.5, lost_beats(server))
    server.stop()
    assert server.left() == [], "here the master tidies up"
    assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", [("--workers", "1", "--threads", "2"), SYNC])
def test_jobs_outlive_the_recycling_of_workers(gunicorn, workers):
    """--max-requests: jobs added over HTTP are handed on, and the beat goes on."""
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
def test_a_reload_hands_on_what_was_added_changed_and_removed(gunicorn, workers):
    server = gunicorn(*workers, seconds=0.5)
    before = server.holder()
    assert server.patiently("POST", "/scheduler/jobs", LATER).status == 200
    extra = LATER | {"id": "k", "kwargs": {}, "name": "K", "retry": 2, "misfire_grace_time": 5}
    kept = server.patiently("POST", "/scheduler/jobs", extra).json
    server.new_beats(1)
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.holder() != before)
    assert server.patiently("GET", "/scheduler/jobs/j").status == 200
    assert server.patiently("GET", "/scheduler/jobs/k").json == kept
    check_the_beat(server.new_beats(2), 0.5)

    assert server.patiently("DELETE", "/scheduler/jobs/beat").status == 204
    before = server.holder()
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.holder() != before)
    assert server.patiently("GET", "/scheduler/jobs/beat").status == 404, "declared, and removed"


def test_a_paused_and_an_ended_scheduler_stay_so(gunicorn):
    """Another process does not go on with what a client has stopped, also after a kill."""
    server = gunicorn(*THREADS)
    for order, state in (("pause", "paused"), ("shutdown", "stopped")):
        assert server.patiently("POST", f"/scheduler/{order}").status == 204
        before = server.holder()
        os.kill(before, signal.SIGKILL)
        server.until(lambda before=before: server.holder() != before)
        assert server.patiently("GET", "/scheduler").json["state"] == state
    assert server.patiently("POST", "/scheduler/start").status == 204
    server.new_beats(1)


def test_a_later_start_begins_afresh(gunicorn):
    """After the end of the server, jobs that were added over HTTP do not come back."""
    server = gunicorn(*THREADS)
    assert server.patiently("POST", "/scheduler/jobs", LATER).status == 200
    server.stop()
    server.begin()
    assert server.patiently("GET", "/scheduler/jobs/j").status == 404
    server.new_beats(1)


def test_what_a_crash_leaves_does_not_hinder_the_next_start(gunicorn):
    """All processes killed at once: a stale socket, a lock's file, and somebody's notes."""
    server = gunicorn(*SYNC)
    server.new_beats(1)
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()
    assert ".sock" in server.left()
    server.until(server.gone)
    server.begin()
    server.new_beats(1)
    assert server.left().count(".sock") == 1
    server.stop()
    assert server.left() == [".estate"]


def test_what_ran_in_a_killed_process_is_recorded_as_lost(gunicorn):
    server = gunicorn(*THREADS, seconds=60)
    hang = {"id": "h", "func": "chores:hang", "args": [str(server.beats)], "trigger": "date"}
    assert server.patiently("POST", "/scheduler/jobs", hang).status == 200
    (run,) = server.until(server.ran)
    os.kill(run.pid, signal.SIGKILL)
    server.until(lambda: server.holder() != run.pid)
    (record,) = server.patiently("GET", "/scheduler/jobs/h/runs").json
    assert record["outcome"] == "lost"
    assert len(server.ran()) == 1, "and not run again"


def test_a_request_whose_holder_is_killed_is_not_carried_out_again(gunicorn):
    """Wherever it was met: there it is answered with 503, or that worker is the one killed."""
    server = gunicorn(*THREADS, seconds=60)
    hang = LATER | {"func": "chores:hang", "args": [str(server.beats)]}
    assert server.patiently("POST", "/scheduler/jobs", hang).status == 200
    answers = []

    def run_somewhere() -> None:
        with suppress(OSError):
            answers.append(server.call("POST", "/scheduler/jobs/j/run"))

    thread = Thread(target=run_somewhere)
    thread.start()
    (run,) = server.until(server.ran)
    os.kill(run.pid, signal.SIGKILL)
    thread.join()
    assert [(answer.status, answer.retry_after) for answer in answers] in ([], [(503, "1")])
    server.until(lambda: server.holder() != run.pid)
    assert len(server.ran()) == 1


def test_the_command_serves_with_many_workers_and_leaves_nothing(serve, tmp_path):
    (tmp_path / "config.toml").write_text(
        f"""
        python_path = ["."]
        bind = "127.0.0.1:0"
        workers = 3
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
    assert server.patiently("POST", "/scheduler/jobs", LATER).status == 200
    check_the_beat(server.new_beats(2), 0.5)
    server.stop()
    assert server.process.returncode == 0
    assert server.left() == []
    assert "Traceback" not in server.log
