"""A scheduler with webhooks and pings: nothing waits for them, and each notice arrives."""

from __future__ import annotations

import json

import pytest

from tests.notices.test_telling import add, fails, run, work
from tests.patience import SOON


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("schedcore.notices.sender.pause_after", lambda attempt: 0.01)
    fails.clear()


def test_a_notice_that_was_not_taken_comes_again_under_the_same_id(store, schedulers, receiver):
    server = receiver(500, 503, 200)
    scheduler = schedulers(store=store, notices={"ops": {"type": "webhook", "url": server.url}})
    add(scheduler, on_failure="ops")
    run(scheduler, "failed")
    asked = [server.next() for _ in range(3)]
    assert len({each.headers["webhook-id"] for each in asked}) == 1
    assert len({each.body for each in asked}) == 1
    scheduler.shutdown(timeout=SOON)
    assert server.asked.empty()
    assert all(state.waiting == 0 for state in scheduler.notice_channels())


def test_what_is_refused_is_given_up_and_logged(schedulers, receiver, told, caplog):
    server = receiver(404)
    scheduler = schedulers(
        notices={"ops": {"type": "webhook", "url": server.url}, "me": told},
    )
    add(scheduler, on_failure=["ops"], on_recovery=["ops", "me"])
    run(scheduler, "failed")
    run(scheduler, "executed")
    kinds = [json.loads(server.next().body)["kind"] for _ in range(2)]
    assert kinds == ["failure", "recovery"]
    assert told.next().kind == "recovery"
    (line,) = [each for each in caplog.messages if "was given up" in each]
    assert line.startswith(
        "a notice was given up after 1 attempt(s), channel 'ops': it answered 404"
    )
    assert "job 'job': failed: ValueError: it broke" in line


def test_a_server_that_hangs_holds_up_no_run_and_no_other_channel(schedulers, receiver, told):
    server = receiver("hang", "hang")
    slow = {"type": "webhook", "url": server.url, "timeout": 0.3}
    scheduler = schedulers(notices={"slow": slow, "me": told})
    add(scheduler, on_failure=["slow", "me"], on_recovery=["slow", "me"])
    run(scheduler, "failed")
    server.next()  # it has the request, and does not answer
    run(scheduler, "executed")
    assert [told.next().kind for _ in range(2)] == ["failure", "recovery"]
    server.next()
    assert json.loads(server.next().body)["kind"] == "failure"
    assert json.loads(server.next().body)["kind"] == "recovery"


def test_each_run_is_pinged(store, schedulers, receiver):
    server = receiver()
    notices = {"hc": {"type": "ping", "url": server.url + "/{job_id}"}}
    scheduler = schedulers(store=store, notices=notices)
    scheduler.add_job(work, "interval", hours=1, id="job", on_run="hc")
    for outcome in ("executed", "failed"):
        run(scheduler, outcome)
        path = server.next().path
        if path.endswith("/start"):  # it was told while the run was under way
            path = server.next().path
        assert path == ("/job" if outcome == "executed" else "/job/fail")
