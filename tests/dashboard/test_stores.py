"""Pages are the same over each store, and tell what other processes on it do."""

from __future__ import annotations

import pytest

from schedcore import Scheduler
from tests.contract.conftest import STORES
from tests.dashboard.conftest import wsgi


@pytest.fixture(params=STORES)
def store(request):
    store = STORES[request.param]()
    yield store
    store.close()


def is_asked_again(browser, path, etag, attempts=20):
    """Return whether a page that is known is not rendered again: it may be, now and then.

    PostgreSQL tells that something may have changed for as long as an older transaction is open,
    of a test that uses another schema, too.
    """
    for _ in range(attempts):
        answer = browser.open(path, headers={"If-None-Match": etag})
        if answer.status_code == 304:
            return True
        etag = answer.headers["ETag"]
    return False


def test_each_page_tells_what_has_happened_and_nothing_else_is_rendered(store, clock):
    scheduler = Scheduler(store=store, clock=clock, capture_output=True)
    scheduler.start()
    scheduler.add_job(print, "interval", hours=1, id="j", args=["a line"])
    browser = wsgi(scheduler, {"dashboard": True})
    browser.get("/")
    paths = ("/", "/jobs", "/job?id=j", "/ledger", "/system")
    etags = {path: browser.open(path).headers["ETag"] for path in paths}
    for path, etag in etags.items():
        assert is_asked_again(browser, path, etag), path
    run = scheduler.run_job("j")
    for path, etag in etags.items():
        assert browser.open(path, headers={"If-None-Match": etag}).status_code == 200, path
    assert "executed" in browser.get("/ledger").text
    assert "a line" in browser.get(f"/run?id={run.id}").text
    browser.follow(browser.send("/job/pause", {"id": "j"}))
    assert scheduler.entry("j").due_us is None
    scheduler.shutdown(timeout=10)
