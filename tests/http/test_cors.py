"""Pages of sites that are trusted can use the API from a browser; others are told nothing."""

from __future__ import annotations

import json
from http.client import HTTPConnection

import pytest

from schedcore import InvalidOptionError
from tests.patience import SOON

TRUSTED = "https://ops.example.com"
ALSO = "http://localhost:3000"
TOKEN = "a-token-that-is-long-enough"
OTHERS = [
    "https://evil.example",
    "http://ops.example.com",
    "https://ops.example.com:8443",
    "https://ops.example.com.evil.example",
    "https://OPS.example.com",
    "null",
    "*",
    "",
]
ASKED = {"Access-Control-Request-Method": "PATCH"}


def of(origin, **headers):
    return {"headers": {"Origin": origin, "Sec-Fetch-Site": "cross-site", **headers}}


def told(answer):
    return {k: v for k, v in answer.headers.items() if k.startswith("Access-Control-")}


@pytest.fixture
def trusting(mount):
    return mount(api_trusted_origins=[TRUSTED, ALSO])


@pytest.mark.parametrize("origin", [TRUSTED, ALSO])
@pytest.mark.parametrize("path", ["", "/jobs", "/jobs/j", "/jobs/j/run", "/nothing"])
@pytest.mark.parametrize("guarded", [True, False], ids=["with tokens", "without"])
def test_a_preflight_of_a_trusted_site_is_answered_without_credentials(
    mount, origin, path, guarded
):
    settings = {"api_tokens": {"robot": TOKEN}} if guarded else {}
    api = mount(api_trusted_origins=[TRUSTED, ALSO], **settings)
    asked = {**ASKED, "Access-Control-Request-Headers": "authorization,content-type"}
    answer = api("OPTIONS", path, **of(origin, **asked))
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in answer.headers.getlist("Vary")
    methods = set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert methods == {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}
    headers = set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    conditions = {"If-Match", "If-None-Match", "Idempotency-Key"}
    assert headers == {"Authorization", "Content-Type", *conditions}
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "settings", "status"),
    [
        ("GET", "/jobs", {}, 200),
        ("GET", "/jobs/none", {}, 404),
        ("GET", "/nothing", {}, 404),
        ("PUT", "/jobs", {}, 405),
        ("POST", "/jobs", {}, 400),
        ("POST", "/jobs/odd/run", {}, 500),
        ("POST", "/jobs", {"api_max_body": 1, "body": {"a": 1}}, 413),
        ("POST", "/jobs", {"body": {"func": "os:system"}}, 403),
        ("POST", "/jobs", {"body": {"func": "math:sqrt", "coalesce": 5}}, 500),
        ("GET", "/jobs", {"api_tokens": {"robot": TOKEN}}, 401),
        ("GET", "/health", {}, 200),
        ("GET", "/live", {}, 200),
        ("OPTIONS", "/jobs", {}, 204),
    ],
)
def test_every_answer_to_a_trusted_site_can_be_read(
    mount, scheduler, method, path, settings, status
):
    settings = dict(settings)
    body = settings.pop("body", None)
    api = mount(api_trusted_origins=[TRUSTED], **settings)
    scheduler.add_job("math:sqrt", "interval", [-1], hours=1, id="odd")
    answer = api(method, path, body, **of(TRUSTED))
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == TRUSTED
    shown = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert shown >= {"ETag", "Link", "X-Total-Count", "Retry-After", "Location"}
    assert "Origin" in answer.headers.getlist("Vary")


def test_429_can_be_read_too(mount):
    api = mount(api_trusted_origins=[TRUSTED], api_tokens={"robot": TOKEN})
    while (answer := api("GET", "/jobs", **of(TRUSTED, Authorization="Bearer x"))).status == 401:
        assert answer.headers["Access-Control-Allow-Origin"] == TRUSTED
    assert answer.status == 429
    assert answer.headers["Access-Control-Allow-Origin"] == TRUSTED


@pytest.mark.parametrize("origin", OTHERS)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/jobs"), ("OPTIONS", "/jobs"), ("GET", "/live"), ("POST", "/jobs")],
)
def test_other_sites_are_told_nothing(trusting, origin, method, path):
    answer = trusting(method, path, **of(origin, **ASKED))
    assert told(answer) == {}
    assert "Origin" in answer.headers.getlist("Vary")
    if path != "/live":
        assert answer.status == 403


def test_without_an_origin_nothing_is_told_and_caches_know_why(trusting):
    answer = trusting("GET", "/jobs")
    assert (answer.status, told(answer)) == (200, {})
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", [TRUSTED, *OTHERS, "http://localhost"])
def test_where_no_site_is_trusted_none_is_told_anything(api, origin):
    answer = api("OPTIONS", "/jobs", **of(origin, **ASKED))
    assert told(answer) == {}
    assert "Vary" not in answer.headers


def test_a_trusted_page_can_change_a_job_and_read_the_etag(trusting):
    trusting.add("j")
    answer = trusting("PATCH", "/jobs/j", {"name": "changed"}, **of(TRUSTED))
    assert (answer.status, answer.json["name"]) == (200, "changed")
    assert "ETag" in answer.headers
    kept = trusting("GET", "/jobs", **of(TRUSTED))
    again = trusting("GET", "/jobs", **of(TRUSTED, **{"If-None-Match": kept.headers["ETag"]}))
    assert (again.status, again.headers["Access-Control-Allow-Origin"]) == (304, TRUSTED)


@pytest.mark.parametrize("written", ["https://ops.example.com/", "https://OPS.example.com"])
def test_a_site_is_known_however_the_setting_writes_it(mount, written):
    answer = mount(api_trusted_origins=[written])("OPTIONS", "/jobs", **of(TRUSTED, **ASKED))
    assert answer.headers["Access-Control-Allow-Origin"] == TRUSTED


@pytest.mark.parametrize(
    "written", ["*", "null", "ops.example.com", "https://ops.example.com/app", "https://*.x", ""]
)
def test_what_no_browser_would_send_is_no_site(mount, written):
    with pytest.raises(InvalidOptionError, match=r"(?i)trusted_origins"):
        mount(api_trusted_origins=[written])


def test_401_offers_bearer_beside_basic(mount):
    """RFC 6750; a browser that is offered Basic alone opens its own dialog."""
    api = mount(api_tokens={"robot": TOKEN})
    challenges = api("GET", "/jobs").headers.getlist("WWW-Authenticate")
    assert [challenge.partition(" ")[0] for challenge in challenges] == ["Basic", "Bearer"]


def test_many_workers_tell_it_once(gunicorn):
    """Whichever worker is asked, and whichever answers."""
    served = gunicorn(
        "--workers",
        "2",
        SCHEDULER_API_TRUSTED_ORIGINS=TRUSTED,
        SCHEDULER_API_TOKENS=json.dumps({"robot": TOKEN}),
    )
    served.until(served.ran)
    workers = set()
    while len(workers) < 2:
        for method, status in (("OPTIONS", 204), ("GET", 401)):
            connection = HTTPConnection("127.0.0.1", served.port, timeout=SOON)
            connection.request(method, "/scheduler/jobs", headers={"Origin": TRUSTED, **ASKED})
            response = connection.getresponse()
            response.read()
            connection.close()
            assert response.status == status
            assert response.headers.get_all("Access-Control-Allow-Origin") == [TRUSTED]
            assert response.headers.get_all("Vary") == ["Origin"]
            if status == 401:
                assert len(response.headers.get_all("WWW-Authenticate")) == 2
            workers.add(response.headers["X-Worker"])
