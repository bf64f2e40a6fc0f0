"""The timeline, the forecast and the pictures of a job, on their pages."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from schedcore import Trigger
from schedhttp.dashboard.forecast_cache import ForecastCache
from schedhttp.dashboard.timeline_page import LANES
from tests.dashboard.conftest import HOSTILE, wsgi

BERLIN = "Europe/Berlin"


def pictures(page, kind):
    """Return what the pictures of a kind show, in words."""
    return [
        svg["aria-label"] for svg in page.tags("svg") if str(svg.get("class")) == f"picture {kind}"
    ]


def fail():
    """Fail as jobs do."""
    raise ValueError("no luck")


def test_what_ran_and_what_comes_is_in_the_lane_of_its_job(browser, scheduler, clock):
    scheduler.add_job(lambda: clock.advance(90), "interval", hours=1, id="fine")
    scheduler.add_job(
        fail, "date", run_date=datetime(2026, 1, 5, 18, tzinfo=timezone.utc), id="bad"
    )
    for job_id in ("fine", "fine", "bad"):
        scheduler.run_job(job_id)
    page = browser.get("/timeline")
    assert pictures(page, "lane") == ["2 executed; 6 to come", "1 failed; 1 to come"]
    assert "ValueError: no luck" in page.text
    assert "There are enough workers" in page.text
    assert pictures(browser.get("/timeline?view=2h"), "lane")[0] == "2 executed; 1 to come"


def test_what_goes_wrong_is_above_all_else(browser, scheduler):
    for n in range(LANES + 2):
        scheduler.add_job(print, "interval", minutes=n + 1, id=f"job-{n}")
    scheduler.add_job(fail, "interval", weeks=1, id=HOSTILE)
    scheduler.run_job(HOSTILE)
    scheduler.remove_job(HOSTILE)
    page = browser.get("/timeline")
    assert pictures(page, "lane")[0] == "1 failed; nothing to come"
    assert f"{HOSTILE} removed" in page.text
    assert len(pictures(page, "lane")) == LANES + 1
    assert len(pictures(browser.get("/timeline?page=2"), "lane")) == 2


def test_the_filter_is_in_the_links(browser, scheduler):
    for n in range(LANES + 2):
        scheduler.add_job(print, "interval", minutes=n + 1, id=f"job-{n}", name="a b")
    page = browser.get("/timeline?view=2d&q=a%20b")
    further = next(a["href"] for a in page.tags("a") if a.get("rel") == "next")
    assert further == f"{browser.base}/timeline?page=2&q=a+b&view=2d"
    assert "No job matches" in browser.get("/timeline?q=nothing").text


def test_more_runs_than_workers_are_foretold(browser, scheduler):
    moment = datetime(2026, 1, 5, 12, 30, tzinfo=timezone.utc)
    for n in range(12):
        scheduler.add_job(print, "date", run_date=moment, id=f"job-{n}")
    for path in ("/timeline", "/"):
        page = browser.get(path)
        told = "12 runs at once at 2026-01-05 13:30:00 CET, and 10 workers of default"
        assert told in page.text, path
        assert pictures(page, "load") == [
            "at most 12 runs at once, about 2026-01-05 13:30:00 CET; 10 can"
        ]


def test_moments_are_in_the_zone_that_was_chosen(browser, scheduler):
    scheduler.add_job(print, "cron", hour=20, timezone=BERLIN, id="j")
    assert "due 2026-01-05 20:00:00 CET" in browser.get("/timeline?view=30h").text
    browser.open("/")
    page = browser.follow(browser.send("/zone", {"zone": "UTC", "to": "/timeline?view=30h"}))
    assert "due 2026-01-05 19:00:00 UTC" in page.text
    assert "Times on this page are in UTC" in page.text


class Broken(Trigger):
    """One that cannot tell what comes after its first fire time."""

    def __init__(self, begin_us):
        self.begin_us = begin_us

    def next_us(self, after_us):
        if after_us < self.begin_us:
            return self.begin_us
        raise RuntimeError("no idea")


def test_of_a_trigger_that_raises_nothing_is_known(browser, scheduler, clock):
    scheduler.add_job(print, Broken(clock.now_us() + 10**9), id="odd")
    assert "No forecast for odd" in browser.get("/timeline").text


def test_without_jobs_the_timeline_teaches(browser):
    assert "There are no jobs yet" in browser.get("/timeline").text


def test_a_view_that_is_none_is_the_usual_one(browser, scheduler):
    scheduler.add_job(print, "interval", hours=1, id="j")
    assert "The next 6 hours" in browser.get(f"/timeline?view={HOSTILE}").text
    assert browser.open("/timeline?page=x").status_code == 400


def test_ten_thousand_jobs_are_a_page_of_bounded_size(scheduler):
    browser = wsgi(scheduler, {"dashboard": True})
    each = {"trigger": "interval", "seconds": 10, "func": print}
    scheduler.add_jobs([{**each, "id": f"job-{n}"} for n in range(10_000)])
    page = browser.get("/timeline?view=8d")
    assert "10,000 jobs" in page.text
    assert "only the mean is known for jobs that run often" in page.text
    assert len(page.elements) < 3_000


def test_a_forecast_of_many_jobs_is_kept_for_a_while(scheduler, clock):
    each = {"trigger": "interval", "minutes": 10, "func": print}
    scheduler.add_jobs([{**each, "id": f"job-{n}"} for n in range(501)])
    forecasts = ForecastCache(scheduler)
    first = forecasts.of(1)
    scheduler.add_job(print, "interval", minutes=10, id="another")
    assert forecasts.of(1) is first
    assert len(forecasts.of(2).jobs) == 502
    clock.advance(15)
    assert len(forecasts.of(1).jobs) == 502


# The job's page


def test_a_jobs_page_shows_how_long_how_late_and_when(browser, scheduler, clock):
    lengths = [1.0, 2.0, 4.0]
    scheduler.add_job(lambda: clock.advance(lengths.pop()), "interval", weeks=1, id="j")
    assert not pictures(browser.get("/job?id=j"), "spans")
    for _ in range(3):
        scheduler.run_job("j")
    page = browser.get("/job?id=j")
    assert pictures(page, "spans") == [
        "Durations of the last 3: half up to 2.0 s, the longest 4.0 s",
        "Lateness of the last 3: half up to 0 ms, the longest 0 ms",
    ]
    assert pictures(page, "heat") == ["most was due Mon at 13:00, 3 times; nothing went wrong"]


def test_pictures_name_the_jobs_own_zone(browser, scheduler):
    scheduler.add_job(print, "cron", hour=9, timezone="Asia/Tokyo", id="j")
    scheduler.run_job("j")
    page = browser.get("/job?id=j")
    assert pictures(page, "heat") == ["most was due Mon at 21:00, 1 time; nothing went wrong"]
    assert re.search(r"2026-01-05 21:00:00 JST: 0 ms, executed", page.text)
    assert "Hours are those of Asia/Tokyo" in page.text
