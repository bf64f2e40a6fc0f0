"""Jobs that send an HTTP request: what counts as a failure, and what is told of it."""

from __future__ import annotations

import json
import pickle
import threading

import pytest

from schedcore import InvalidOptionError, Outcome, Scheduler
from schedcore.jobs import UrlFailedError, call_url
from tests.notices.receiver import receivers
from tests.patience import SOON


@pytest.fixture
def receiver(monkeypatch):
    """Return what makes servers that answer as given."""
    monkeypatch.setenv("no_proxy", "*")
    with receivers() as make:
        yield make


def test_the_request_is_sent_as_given(receiver):
    server = receiver()
    assert call_url(server.url) == ""
    asked = server.asked.get(timeout=SOON)
    assert (asked.method, asked.body) == ("GET", b"")
    call_url(server.url, body="ä", headers={"X-Token": "secret"})
    asked = server.asked.get(timeout=SOON)
    assert (asked.method, asked.body) == ("POST", "ä".encode())
    assert asked.headers["x-token"] == "secret"
    assert asked.headers["content-type"] == "text/plain; charset=utf-8"
    call_url(server.url, method="PUT", body={"a": [1]}, headers={"content-type": "text/x"})
    asked = server.asked.get(timeout=SOON)
    assert (asked.method, json.loads(asked.body)) == ("PUT", {"a": [1]})
    assert asked.headers["content-type"] == "text/x"


def test_another_status_than_expected_is_a_failure(receiver):
    server = receiver(500, 204, 404, 200)
    with pytest.raises(UrlFailedError, match=r"^GET http://[^?]*: status 500$") as info:
        call_url(f"{server.url}?token=secret")
    assert info.value.status == 500
    assert "secret" not in str(pickle.loads(pickle.dumps(info.value)))
    call_url(server.url)
    call_url(server.url, expect=[404, 410])
    with pytest.raises(UrlFailedError, match="status 200"):
        call_url(server.url, expect=201)


def test_a_redirection_is_not_followed(receiver):
    other = receiver()
    server = receiver((302, other.url))
    with pytest.raises(UrlFailedError, match=f"status 302: it leads to {other.url}"):
        call_url(server.url)
    assert other.asked.empty()


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_an_answer_that_does_not_come_in_time_is_a_time_out(receiver, how):
    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
        call_url(receiver(how).url, timeout=0.2)


def test_a_server_that_is_not_there_is_an_oserror(receiver):
    server = receiver()
    server.close()
    with pytest.raises(OSError, match="ConnectionRefused"):
        call_url(server.url)


def test_a_run_that_is_cancelled_cuts_the_connection(receiver):
    server, ended = receiver("hang"), threading.Event()
    scheduler = Scheduler(timezone="UTC")
    scheduler.start()
    job = scheduler.add_job(called, args=[server.url, ended], next_run_time=None)
    run = scheduler.run_job(job.id, wait=False)
    server.asked.get(timeout=SOON)
    scheduler.cancel(run.id)
    assert ended.wait(SOON)
    assert run.outcome is Outcome.CANCELLED
    scheduler.shutdown()


def called(url, ended):
    try:
        call_url(url)
    finally:
        ended.set()


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("url", {"url": "ftp://example.com"}),
        ("url", {"url": "http://user:password@example.com"}),
        ("url", {"url": "file:///etc/passwd"}),
        ("url", {"url": None}),
        ("method", {"method": "GET / HTTP/1.1\r\n"}),
        ("headers", {"headers": {"a": "b\r\nc: d"}}),
        ("headers", {"headers": ["a"]}),
        ("expect", {"expect": "200"}),
        ("timeout", {"timeout": -1}),
    ],
)
def test_what_makes_no_request_is_refused(option, given):
    with pytest.raises(InvalidOptionError, match=f"^{option}="):
        call_url(**{"url": "http://127.0.0.1:9/", **given})
