"""From where a request may come: proxies, Hosts, origins, and a Unix socket of one's own."""

from __future__ import annotations

import pytest

PROXYS = """
Forwarded X-Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port
X-Forwarded-Server X-Forwarded-Prefix X-Forwarded-Ssl X-Forwarded-Scheme X-Forwarded-By
X-Forwarded-Client-Cert X-Forwarded-User X-Forwarded-Uri X-Forwarded-Anything Forwarded-For
Forwarded-For-Ip Forwarded-Proto X-Forward-For Via X-Via X-Bluecoat-Via X-Real-Ip X-Real-Port
X-Client-Ip X-Client-Port Client-Ip X-Cluster-Client-Ip X-Cluster-Id Cf-Connecting-Ip Cf-Ray
Cf-Connecting-Ipv6 Client-Cert X-Ssl-Client-Cert X-Cdn-Id Surrogate-Capability X-Fastly-Id
Cloudfront-Viewer-Address X-Upstream-Id X-Ingress-Id Cf-Visitor Cf-Ipcountry
Cf-Anything True-Client-Ip X-Envoy-External-Address
X-Envoy-Expected-Rq-Timeout-Ms X-Envoy-Anything X-Original-Forwarded-For X-Original-Host
X-Original-Uri X-Original-Url X-Original-Anything X-Originating-Ip X-Scheme X-Url-Scheme
X-Remote-Ip X-Remote-Addr X-Remote-User Remote-Addr X-Proxyuser-Ip X-Proxy-Id Proxy-Connection
Proxy-Authorization Wl-Proxy-Client-Ip Http-Client-Ip X-Host X-Rewrite-Url Front-End-Https
X-Arr-Log-Id X-Arr-Ssl X-Azure-Clientip X-Amzn-Trace-Id X-Amz-Cf-Id X-Appengine-User-Ip
X-Cloud-Trace-Context Fastly-Client-Ip Fly-Client-Ip Fly-Forwarded-Port Cdn-Loop
X-Nf-Client-Connection-Ip X-Vercel-Id Tailscale-User-Login Ngrok-Trace-Id X-Request-Start
Max-Forwards X-Coming-From
Incap-Client-Ip X-Sucuri-Clientip Akamai-Origin-Hop X-Nginx-Proxy X-Accel-Internal
"""
PLAIN = """
Accept Accept-Encoding Accept-Language Authorization Cache-Control Connection Cookie Date Dnt
Expect From If-Match If-None-Match Origin-Trial Pragma Priority Range Referer Te User-Agent
Upgrade-Insecure-Requests Sec-Ch-Ua Sec-Fetch-Mode Traceparent Tracestate X-Requested-With
X-Request-Id X-Correlation-Id Idempotency-Key Prefer Keep-Alive Sec-Gpc X-Csrf-Token
X-Client-Version X-Client-Id Client-Version
"""


def header(name, value="127.0.0.1"):
    return {"HTTP_" + name.upper().replace("-", "_"): value}


@pytest.mark.parametrize("name", PROXYS.split())
def test_what_tells_of_a_proxy_is_refused_without_credentials(api, scheduler, name):
    api.add("j")
    for value in ("127.0.0.1", "", "https"):
        answer = api("POST", "/jobs/j/run", environ=header(name, value))
        assert (answer.status, answer.json["error_type"]) == (403, "Forbidden")
        assert "came through a proxy" in answer.json["error_message"]
        assert name in answer.json["error_message"]
    assert scheduler.history() == []


@pytest.mark.parametrize("name", PLAIN.split())
def test_what_any_client_sends_is_taken(api, name):
    value = "*" if name == "If-Match" else "x"
    assert api("GET", "/jobs", environ=header(name, value)).status == 200


def test_with_credentials_a_proxy_is_welcome(mount):
    api = mount(api_tokens={"robot": "x" * 16})
    environ = header("X-Forwarded-For") | {"HTTP_AUTHORIZATION": "Bearer " + "x" * 16}
    assert api("GET", "/jobs", environ=environ).status == 200


HOSTS = [
    "localhost:evil",
    "[::1]evil.example",
    "LOCALHOST:1:2",
    "localhost:",
    "localhost:123456",
    "localhost:99999",
    "localhost:\u0663",
    "localhost/..",
    "x@localhost",
    "[localhost]",
    "[::1",
    "::1",
    "localhost ",
    " localhost",
    "local host",
    "127.0.0.1:80:80",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_no_client_sends_is_refused(mount, host):
    for settings in ({}, {"api_loopback_only": False}, {"api_trusted_hosts": ["*"]}):
        answer = mount(**settings)("GET", "/jobs", environ={"HTTP_HOST": host})
        assert answer.status == 403
        assert "Host" in answer.json["error_message"]


def test_everybody_who_can_connect_is_served_by_any_address(mount):
    api = mount(api_loopback_only=False)
    far = {"REMOTE_ADDR": "192.0.2.7"}
    for host in ("10.0.0.5:5000", "192.0.2.1", "[2001:db8::1]:5000", "localhost"):
        assert api("GET", "/jobs", environ={**far, "HTTP_HOST": host}).status == 200
    # A name may be anybody's, of a page in a browser that can connect.
    assert api("GET", "/jobs", environ={**far, "HTTP_HOST": "evil.example"}).status == 403


SITES = [
    # Origin, Sec-Fetch-Site, scheme of the server, status
    ("http://localhost", None, "http", 200),
    ("https://localhost", None, "http", 200),  # a proxy may have ended TLS
    ("https://localhost", None, "https", 200),
    ("http://localhost", None, "https", 403),
    ("ftp://localhost", None, "http", 403),
    ("file://localhost", None, "http", 403),
    ("localhost", None, "http", 403),
    ("//localhost", None, "http", 403),
    ("null", None, "http", 403),
    ("", None, "http", 403),
    ("http://evil.example", None, "http", 403),
    ("http://localhost", "cross-site", "http", 403),
    ("ftp://localhost", "cross-site", "http", 403),
    ("http://localhost", "same-site", "http", 403),
    ("http://localhost", "Same-Origin", "http", 403),
    ("http://localhost", "", "http", 403),
    ("http://localhost", "same-origin", "http", 200),
    ("http://localhost", "none", "http", 200),
    ("http://evil.example", "none", "http", 403),
    (None, "cross-site", "http", 403),
    (None, "none", "http", 200),
    ("https://ops.example", "cross-site", "http", 200),
    ("http://ops.example", "cross-site", "http", 403),
    ("https://ops.example.evil.example", "cross-site", "http", 403),
]


@pytest.mark.parametrize(("origin", "site", "scheme", "status"), SITES)
def test_which_pages_may_ask(mount, origin, site, scheme, status):
    api = mount(api_trusted_origins=["https://ops.example"])
    environ = {"wsgi.url_scheme": scheme, "HTTP_HOST": "localhost"}
    environ |= {} if origin is None else {"HTTP_ORIGIN": origin}
    environ |= {} if site is None else {"HTTP_SEC_FETCH_SITE": site}
    assert api("GET", "/jobs", environ=environ).status == status


def test_credentials_can_be_asked_from_everybody(mount):
    with pytest.raises(ValueError, match=r"SCHEDULER_API_REQUIRE_CREDENTIALS.*--make-token"):
        mount(api_require_credentials=True)
    api = mount(api_require_credentials=True, api_tokens={"robot": "x" * 16})
    assert api("GET", "/jobs").status == 401
    assert mount(api_require_credentials=True, auth=lambda auth: True)("GET", "/jobs").status == 401
