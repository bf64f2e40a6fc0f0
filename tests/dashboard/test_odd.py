"""Whatever stands in an address or a form, no page answers by a fault of ours."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.wrappers import Request

from schedhttp.dashboard.site import FORMS, PAGES
from tests.dashboard.conftest import wsgi
from tests.http.test_bad_queries import ODD

PARAMETERS = (
    *("id", "q", "tag", "state", "sort", "page", "outcome", "job", "since", "until", "before"),
    *("offset", "from", "view", "month", "kind", "schedule", "timezone"),
)
FIELDS = (
    *(
        "id",
        "args",
        "kwargs",
        "key",
        "confirm",
        "definition",
        "changes",
        "etag",
        "do",
        "which",
        "q",
    ),
    *("tag", "to", "run", "zone", "name", "func", "kind", "schedule", "options", "new", "since"),
    *("until", "again", "all", "n"),
)


@pytest.fixture
def odd(scheduler):
    """A browser of a dashboard with a job, whose mistakes are not documented as 500."""
    scheduler.add_job(len, "interval", hours=1, id="j", args=["four"])
    scheduler.run_job("j")
    browser = wsgi(scheduler, {"dashboard": True, "api_precise_errors": True})
    browser.get("/")
    return browser


@pytest.fixture
def read(monkeypatch):
    """The names of parameters and fields that were looked at: other ones are tried once."""
    names = set()

    class Noting(ImmutableMultiDict):
        def get(self, key, default=None, type=None):
            names.add(key)
            return super().get(key, default, type)

        def __getitem__(self, key):
            names.add(key)
            return super().__getitem__(key)

        def __contains__(self, key):
            names.add(key)
            return super().__contains__(key)

    monkeypatch.setattr(Request, "parameter_storage_class", Noting)
    return names


@pytest.mark.parametrize("path", PAGES)
def test_no_address_is_a_fault(odd, path, read):
    for name in PARAMETERS:
        for text in ODD:
            answer = odd.open(f"{path}?{urlencode({name: text})}")
            assert answer.status_code < 500, f"{path} {name}={text!r}"
            if name not in read:
                break


@pytest.mark.parametrize("path", FORMS)
def test_no_form_is_a_fault(odd, path, read):
    usual = {"id": "j", "do": "pause", "which": "chosen", "new": ""}
    usual |= {"args": "[]", "kwargs": "{}", "kind": "interval", "schedule": "hours = 1"}
    for name in FIELDS:
        for text in ODD:
            answer = odd.send(path, {**usual, name: text})
            assert answer.status_code < 500, f"{path} {name}={text!r}"
            if name not in read:
                break
    assert "form_token" in read


def test_cookies_of_others_are_no_fault(odd):
    for name in ("schedcore_session", "schedcore_form", "schedcore_zone", "schedcore_flash"):
        for text in ("", "x", "a" * 3000, "é", "../..", "WzFd", "Asia/Tokyo/x", "%00"):
            odd._client.set_cookie(name, text, path="/")
            assert odd.open("/jobs").status_code == 200, f"{name}={text!r}"
