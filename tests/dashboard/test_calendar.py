"""A month: what became of its past days, and what comes on the others."""

from __future__ import annotations

from datetime import datetime, timezone
from urllib.parse import quote

import pytest

from schedcore.clock import SECOND
from tests.dashboard.conftest import HOSTILE
from tests.dashboard.test_timeline import Broken, fail

HOUR = 3_600


def test_past_days_tell_what_became_of_them_and_lead_to_the_ledger(browser, scheduler, clock):
    scheduler.add_job(fail, "interval", weeks=9, id="j")
    scheduler.run_job("j")
    clock.advance(86_400)
    scheduler.run_job("j")
    page = browser.get("/calendar")
    links = [a["href"] for a in page.tags("a") if "mark bad" in str(a.get("class"))]
    assert len(links) == 2, "the failures of two days"
    for link in links:
        assert "1 kept with this filter" in browser.get(link.removeprefix(browser.base)).text


def test_what_became_of_a_whole_month_is_one_question(browser, scheduler, clock, monkeypatch):
    scheduler.add_job(fail, "interval", weeks=9, id="j")
    for _ in range(3):
        scheduler.run_job("j")
        clock.advance(86_400)
    asked = []
    for name in ("records", "kept", "tally"):
        ask = getattr(type(scheduler), name)
        monkeypatch.setattr(
            type(scheduler),
            name,
            lambda *args, _ask=ask, _name=name: asked.append(_name) or _ask(*args),
        )
    page = browser.get("/calendar")
    assert len([a for a in page.tags("a") if "mark bad" in str(a.get("class"))]) == 3
    assert asked == ["tally"]


def test_what_comes_is_on_its_day_with_its_job(browser, scheduler):
    scheduler.add_job(print, "cron", day=20, hour=9, id="monthly")
    scheduler.add_job(print, "cron", hour="*", id="hourly")
    scheduler.add_job(print, "cron", minute="*", id="often")
    scheduler.add_job(print, "interval", hours=1, id="paused")
    scheduler.pause_job("paused")
    text = " ".join(browser.get("/calendar?month=2026-01").text.split())
    assert "2025 to comemonthlyhourly" in text  # 25 on the 20th
    assert "2124 to comehourly" in text
    assert "run too often, or whose triggers fail: often." in text
    assert "paused" not in text
    assert "31 to come" not in " ".join(browser.get("/calendar?month=2025-12").text.split())


def test_days_are_those_of_the_zone_and_tell_what_its_clocks_do(browser, scheduler, clock):
    clock.set(datetime(2026, 3, 1, 12, tzinfo=timezone.utc))
    scheduler.add_job(print, "cron", day=29, hour=23, minute=30, timezone="UTC", id="late")
    text = " ".join(browser.get("/calendar").text.split())
    assert "29clocks go forward by 60 min" in text
    assert "301 to comelate" in text
    browser.send("/zone", {"zone": "UTC", "to": "/"})
    text = " ".join(browser.get("/calendar").text.split())
    assert "291 to comelate" in text
    assert "clocks go" not in text


def test_the_filter_and_the_month_are_in_the_links(browser, scheduler):
    scheduler.add_job(print, "cron", day=20, hour=9, id=HOSTILE)
    page = browser.get(f"/calendar?month=2026-12&q={quote(HOSTILE)}")
    further = next(str(a["href"]) for a in page.tags("a") if a.get("rel") == "next")
    assert further.startswith(f"{browser.base}/calendar?month=2027-01&q=")
    assert "No job matches" in browser.get("/calendar?q=nothing").text


def test_a_trigger_that_raises_is_named(browser, scheduler, clock):
    scheduler.add_job(print, Broken(clock.now_us() + HOUR * SECOND), id="odd")
    assert "triggers fail: odd" in " ".join(browser.get("/calendar").text.split())


@pytest.mark.parametrize("month", ["x", "2026-13", "0001-01", "9999-12", "2026-1", "2026-011"])
def test_a_month_that_is_none_is_refused(browser, month):
    assert "expected a month such as 2026-01" in browser.get(f"/calendar?month={month}", 400).text


def test_without_jobs_it_teaches(browser):
    assert "There are no jobs yet" in browser.get("/calendar").text
