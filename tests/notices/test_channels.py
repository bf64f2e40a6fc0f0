"""Webhooks and pings, to a real server; and how channels are described."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime, timezone
from types import SimpleNamespace
from uuid import UUID

import pytest

from schedcore import InvalidOptionError, ManualClock, Notice, Outcome, RunRecord
from schedcore.clock import SECOND
from schedcore.notices.base import RefusedError
from schedcore.notices.channels import Function, Ping, Webhook, make_channels
from tests.notices.receiver import nobody

SECRET = "a secret of 16 bytes or more"
AT = datetime.fromtimestamp(1, timezone.utc)
"""When what the notices here tell happened."""
KEY = "whsec_" + base64.b64encode(SECRET.encode()).decode()


def notice(kind="failure", outcome="failed", **more):
    record = RunRecord(
        7, "job", Outcome(outcome), 0, 0, SECOND, error_type="ValueError", error_text="no"
    )
    given = {"record": record, "output": "the end of it", "id": "n1"} | more
    return Notice(kind, given.pop("job_id", "job"), SECOND, 7, **given)


# Webhooks


@pytest.mark.parametrize("secret", [SECRET, KEY], ids=["text", "base64"])
def test_a_webhook_is_signed_with_its_time_and_its_id(receiver, secret):
    server, clock = receiver(), ManualClock()
    Webhook(server.url + "/hook?a=1", secret, clock=clock).send(notice())
    asked = server.next()
    assert (asked.method, asked.path) == ("POST", "/hook?a=1")
    assert asked.headers["content-type"] == "application/json"
    stamp = asked.headers["webhook-timestamp"]
    assert (asked.headers["webhook-id"], stamp) == ("n1", str(clock.now_us() // SECOND))
    signed = f"n1.{stamp}.".encode() + asked.body
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    assert asked.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    told = json.loads(asked.body)
    assert (told["kind"], told["job_id"], told["outcome"]) == ("failure", "job", "failed")
    assert told["output"] == "the end of it"


def test_a_webhook_without_a_secret_has_no_signature(receiver):
    server = receiver()
    Webhook(server.url, headers={"Authorization": "Bearer x"}).send(notice())
    headers = server.next().headers
    assert "webhook-signature" not in headers
    assert headers["authorization"] == "Bearer x"


def test_a_redirection_is_not_followed(receiver):
    elsewhere = receiver()
    server = receiver((307, elsewhere.url + "/secret?token=1"))
    with pytest.raises(
        RefusedError, match=r"it answered 307 with a redirect to 127\.0\.0\.1:\d+, which"
    ):
        Webhook(server.url).send(notice())
    assert elsewhere.asked.empty()


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_what_is_refused_is_not_sent_again(receiver, status):
    with pytest.raises(RefusedError, match=f"it answered {status}"):
        Webhook(receiver(status).url).send(notice())


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_is_not_taken_now_is_sent_again(receiver, status):
    with pytest.raises(OSError, match=f"it answered {status}"):
        Webhook(receiver(status).url).send(notice())


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_server_has_a_limited_time_for_all_of_its_answer(receiver, how):
    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
        Webhook(receiver(how).url, timeout=0.2).send(notice())


def test_where_nobody_listens_is_an_error_to_be_tried_again():
    with pytest.raises(OSError, match="ConnectionRefusedError"):
        Webhook(nobody()).send(notice())


# Pings


@pytest.mark.parametrize(
    ("what", "path"),
    [
        pytest.param(notice("ended", "executed"), "/u1?rid=1", id="a success"),
        pytest.param(notice("recovery", "executed"), "/u1?rid=1", id="a recovery"),
        pytest.param(notice("ended"), "/u1/fail?rid=1", id="a failed run"),
        pytest.param(notice("failure"), "/u1/fail?rid=1", id="a failure"),
        pytest.param(notice("missed", "missed"), "/u1/fail?rid=1", id="a missed run"),
        pytest.param(notice("started", record=None), "/u1/start?rid=1", id="a start"),
    ],
)
def test_a_ping_goes_where_it_belongs(receiver, what, path):
    server = receiver()
    Ping(server.url + "/u1?rid=1", clock=ManualClock(AT)).send(what)
    asked = server.next()
    assert (asked.method, asked.path) == ("POST", path)
    assert asked.body.decode() == f"{what.text}\n\nthe end of it"


def test_the_job_and_the_run_stand_in_its_url(receiver):
    server = receiver()
    ping = Ping(server.url + "/{job_id}?rid={run_id}", method="GET", clock=ManualClock(AT))
    ping.send(notice("ended", job_id="a/b ü?"))
    asked = server.next()
    assert (asked.method, asked.body) == ("GET", b"")
    assert asked.path == f"/a%2Fb%20%C3%BC%3F/fail?rid={UUID(int=7)}"
    with pytest.raises(RefusedError, match=r"'\.\.' cannot be part of a URL"):
        ping.send(notice("ended", job_id=".."))


def test_an_old_success_is_not_pinged_and_an_old_failure_is(receiver):
    server = receiver()
    clock = ManualClock(AT)
    ping = Ping(server.url + "/u1", clock=clock)
    clock.advance(601)
    for what in (notice("ended", "executed"), notice("started", record=None)):
        with pytest.raises(RefusedError, match="it is 601 s old"):
            ping.send(what)
    ping.send(notice("ended"))
    assert server.next().path == "/u1/fail"


def test_a_ping_may_have_a_url_for_each_case(receiver):
    server = receiver()
    urls = [f"{server.url}/?s={state}" for state in ("ok", "in_progress", "error")]
    ping = Ping(*urls, clock=ManualClock(AT))
    for what in (notice("started", record=None), notice("ended", "executed"), notice("ended")):
        ping.send(what)
    assert [server.next().path for _ in range(3)] == ["/?s=in_progress", "/?s=ok", "/?s=error"]


# Described


def test_channels_are_described_by_tables():
    made = make_channels(
        {
            "hook": {"type": "webhook", "url": "https://example.com/x", "secret": SECRET},
            "ping": {"type": "ping", "url": "https://example.com/{job_id}"},
            "func": {"type": "function", "func": "builtins:print"},
            "call": print,
        }
    )
    assert [type(each) for each in made.values()] == [Webhook, Ping, Function, Function]


async def later(notice):
    pass


@pytest.mark.parametrize(
    ("described", "text"),
    [
        pytest.param([], "notices='...': expected a mapping", id="no mapping"),
        pytest.param({"a b": print}, "notices='a b': expected names", id="a name"),
        pytest.param({"": print}, "notices='': expected names", id="no name"),
        pytest.param({"x": 5}, "notices['x']=5: expected a plain function", id="no channel"),
        pytest.param(
            {"x": "https://e.com/secret"},
            """notices['x']='...': expected for a URL: {"type": "webhook", "url": ...}""",
            id="a URL",
        ),
        pytest.param(
            {"x": SimpleNamespace(send=print, patience=None)},
            "notices['x'].patience=None: expected seconds",
            id="an object with an odd patience",
        ),
        pytest.param({"x": later}, "expected a plain function", id="a coroutine function"),
        pytest.param({"x": {"type": "webbook"}}, "did you mean 'webhook'", id="a type"),
        pytest.param({"x": {}}, "type=None: expected one of function", id="no type"),
        pytest.param({"x": {"type": "ping"}}, "notices['x'].url=None: expected", id="no url"),
        pytest.param(
            {"x": {"type": "webhook", "url": "https://e.com", "secrte": "x" * 20}},
            "notices['x'].secrte='...': expected one of url, secret, headers, timeout"
            " (did you mean 'secret'?)",
            id="a mistyped option",
        ),
        pytest.param(
            {"x": {"type": "webhook", "url": "https://e.com", "secret": "short"}},
            "notices['x'].secret='...': expected 16 bytes",
            id="a short secret",
        ),
        pytest.param(
            {"x": {"type": "webhook", "url": "https://e.com", "secret": "whsec_!!!!!"}},
            "notices['x'].secret='...': expected 16 bytes",
            id="a secret that is no base64",
        ),
        pytest.param(
            {"x": {"type": "webhook", "url": "https://e.com", "headers": {"a": "b\r\nc: d"}}},
            "notices['x'].headers='...': expected",
            id="a header",
        ),
        pytest.param(
            {"x": {"type": "webhook", "url": "https://e.com", "timeout": 3600}},
            "notices['x'].timeout=3600: expected seconds, up to 60",
            id="a time-out",
        ),
        pytest.param(
            {"x": {"type": "function", "func": "nowhere:at_all"}},
            "notices['x'].func='nowhere:at_all': expected an importable module",
            id="a function that is not there",
        ),
        pytest.param(
            {"x": {"type": "ping", "url": "https://e.com", "method": "PUT"}},
            "notices['x'].method='PUT': expected 'POST' or 'GET'",
            id="a method",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(described, text):
    with pytest.raises(InvalidOptionError) as caught:
        make_channels(described)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "ftp://example.com", "file:///etc/passwd", "https://", None, 5),
        *("https://user:pass@example.com", "https://{job_id}.example.com/", "http://e.com:99999/"),
        *("http://e.com/a b", "http://e.com/\r\nX: y", "http://e.com/ü", "http://e.com:0/"),
    ],
)
def test_what_is_no_url_is_refused_and_not_shown(url):
    with pytest.raises(InvalidOptionError, match=r"url='\.\.\.': expected a URL"):
        Webhook(url)
