"""Behind a proxy that takes a part of the path away, all that a page leads to keeps it."""

from __future__ import annotations

import re

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from schedhttp import create_app
from tests.dashboard.conftest import USERS, Browser

PROXIED = {
    "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "ops.example",
    "HTTP_ORIGIN": "https://ops.example",
    "HTTP_SEC_FETCH_SITE": "same-origin",
}


class Proxied(Browser):
    """A browser that knows the outer path; what stands before the inner one never arrives."""

    def __init__(self, app, prefix, header):
        super().__init__(app, "")
        self.prefix = prefix
        self.headers = {**PROXIED, "HTTP_X_FORWARDED_PREFIX": header}

    def open(self, path, method="GET", environ=None, **options):
        assert path.startswith(self.prefix + "/"), path
        base_url = "https://ops.example"
        return super().open(
            path.removeprefix(self.prefix),
            method,
            {**self.headers, **(environ or {})},
            base_url=base_url,
            **options,
        )


@pytest.fixture(
    params=[("/ops/jobs", "/ops/jobs", ""), ("/ops", "/ops/", "/ui"), ("/ä b", "/ä b", "")],
    ids=["plain", "slash", "odd"],
)
def proxied(request, scheduler):
    """A browser behind such a proxy, for each way in which proxies write the path."""
    outer, header, own = request.param
    app = create_app(
        scheduler, dashboard=True, dashboard_prefix=own, api_allowed_funcs=["math:*"], **USERS
    )
    fixed = ProxyFix(app, x_for=1, x_proto=1, x_host=1, x_prefix=1)
    return Proxied(fixed, outer, header.encode().decode("latin-1")), outer + own


def quoted(path):
    return path.replace("ä", "%C3%A4").replace(" ", "%20")


def test_links_forms_files_redirects_and_cookies_keep_the_path(proxied, scheduler):
    browser, base = proxied
    scheduler.add_job(len, "interval", hours=1, id="j", args=["four"])
    asked = browser.open(base + "/jobs?q=j")
    (token,) = re.findall(r'name="form_token" value="([^"]+)"', asked.text)
    cookies = asked.headers.getlist("Set-Cookie")
    assert all(f"; Path={quoted(base)};" in f"{each};" for each in cookies), cookies
    assert all("Secure" in each for each in cookies)
    browser._client.set_cookie("schedcore_form", token, domain="ops.example", path="/")
    fields = {"user": "ann", "password": "of ann", "to": "/jobs?q=j", "form_token": token}
    signed_in = browser.open(base + "/sign-in", "POST", data=fields)
    assert signed_in.headers["Location"] == quoted(base) + "/jobs?q=j"
    (session,) = signed_in.headers.getlist("Set-Cookie")
    assert f"Path={quoted(base)}" in session
    name, _, value = session.partition(";")[0].partition("=")
    browser._client.set_cookie(name, value, domain="ops.example", path="/")

    seen = set()
    for path in ("/", "/jobs", "/job?id=j", "/ledger", "/timeline", "/calendar", "/system", "/try"):
        page = browser.parsed(browser.open(base + path))
        assert "Sign out ann" in page.text
        seen |= {str(each.get("href")) for each in page.tags("a", "link") if each.get("href")}
        seen |= {str(each["src"]) for each in page.tags("script")}
        seen |= {str(form["action"]) for form, _ in page.forms}
    seen = {each for each in seen if not each.startswith(("#", "data:"))}
    api = {each for each in seen if "openapi.json" in each}
    assert api == {quoted(browser.prefix) + "/scheduler/openapi.json"}
    assert all(each.startswith(quoted(base) + "/") for each in seen - api), seen

    done = browser.open(base + "/job/run", "POST", data={"id": "j", "form_token": token})
    assert done.headers["Location"].startswith(quoted(base) + "/run?id=")
