"""A schedule can be tried: its coming times, with what clocks do to them, and nothing is stored."""

from __future__ import annotations

from datetime import datetime, timezone
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from schedhttp.dashboard.try_page import EXAMPLES
from tests.dashboard.conftest import HOSTILE, USERS

SPRING = datetime(2026, 3, 28, 12, tzinfo=timezone.utc)


def tried(browser, schedule, kind="cron", zone=""):
    query = urlencode({"kind": kind, "schedule": schedule, "timezone": zone})
    return browser.get(f"/try?{query}")


def test_a_time_that_does_not_exist_has_its_remark_in_all_zones(browser, clock):
    clock.set(SPRING)
    browser.get("/")
    browser.send("/zone", {"zone": "America/New_York", "to": "/"})
    text = tried(browser, "30 2 * * *", zone="Europe/Berlin").text
    assert "02:30 does not exist on this day: runs when the gap ends" in text
    for moment in ("03:00:00 CEST", "2026-03-28 21:00:00 EDT", "2026-03-29 01:00:00 UTC"):
        assert moment in text
    assert "02:00 to 03:00 does not exist on 2026-03-29: what falls into it runs at 03:00" in text


@pytest.mark.parametrize("kind", [kind for kind, _ in EXAMPLES.values()])
def test_each_example_runs(browser, scheduler, kind):
    for link in [a["href"] for a in browser.get("/try").tags("a") if f"kind={kind}" in a["href"]]:
        page = browser.get(link.removeprefix(browser.base))
        assert len(page.tags("time")) >= 20
    assert scheduler.get_jobs() == []


@pytest.mark.parametrize(
    ("schedule", "zone", "first"),
    [
        ("0 9 * * mon-fri", "", "2026-01-06 09:00:00 CET"),
        ("hour = 9\nminute = 30", "Asia/Tokyo", "2026-01-06 09:30:00 JST"),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", "", "2026-01-06 09:00:00 JST"),
        ("hour = 9\ntimezone = UTC", "Asia/Tokyo", "2026-01-06 09:00:00 UTC"),
    ],
)
def test_crontab_text_and_fields_are_understood(browser, schedule, zone, first):
    assert first in tried(browser, schedule, zone=zone).text


@pytest.mark.parametrize(
    ("schedule", "kind"),
    [
        (HOSTILE, "cron"),
        ("0 25 * * *", "cron"),
        ("hour = [[", "cron"),
        ("colour = red", "cron"),
        ("minutes = 5", HOSTILE),
        ("seconds = 0", "interval"),
        ("func = os:system", "cron"),
        ("x" * 10_000, "cron"),
        ("hour = " + "[" * 1_500, "cron"),
        ("trigger = date", "interval"),
    ],
)
def test_what_cannot_be_understood_is_told_beside_the_form(browser, schedule, kind):
    page = tried(browser, schedule, kind)
    (alert,) = [p for p in page.tags("p") if p.get("role") == "alert"]
    assert alert["id"] == "error"
    assert not page.tags("img", "time")
    assert page.tags("textarea")[0]["aria-describedby"] == "error"


def test_a_schedule_without_times_says_so(browser):
    page = tried(browser, "run_date = 2020-01-01", "date")
    assert "Never." in page.text or "does not fire any more" in page.text


def test_it_tells_what_else_is_due_in_that_minute(browser, scheduler):
    for n in range(3):
        scheduler.add_job(print, "cron", hour=15, second=n * 20, id=f"job-{n}")
    assert "no other runs are due" in tried(browser, "0 14 * * *").text
    assert "3 other runs are due" in tried(browser, "0 15 * * *").text


@pytest.mark.parametrize("schedule", ["0 9 * * mon-fri", "hour = 9\nday_of_week = mon-fri"])
def test_a_job_can_be_made_of_it(browser, schedule):
    """The form for a new job has what was tried, and its preview shows the same times."""
    page = tried(browser, schedule, zone="Asia/Tokyo")
    link = next(a["href"] for a in page.tags("a") if "/job/new?" in str(a["href"]))
    form = browser.get(link.removeprefix(browser.base))
    assert "timezone = Asia/Tokyo" in form.text
    fields = parse_qs(urlsplit(link).query)
    sent = {name: value[0] for name, value in fields.items()}
    answer = browser.send(
        "/job/edit", {**sent, "new": "1", "id": "j", "func": "math:sqrt", "args": "[4]"}
    )
    assert answer.text.count("09:00:00 JST") == 10


def test_the_preview_of_a_change_has_remarks_and_what_else_is_due(browser, scheduler, clock):
    clock.set(SPRING)
    for n in range(3):
        scheduler.add_job("math:sqrt", "cron", args=[4], hour=2, minute=30, id=f"j{n}")
    fields = {"kind": "cron", "schedule": "hour = 2", "id": "j0", "name": "n"}
    fields |= {"func": "math:sqrt", "args": "[4]"}
    browser.get("/")
    text = browser.send("/job/edit", fields).text
    assert "02:00 does not exist on this day: runs when the gap ends" in text
    assert "2 other runs are due" in text


def test_who_may_only_look_may_try(mount):
    browser = mount(**USERS)
    browser.sign_in("rob", "of rob")
    assert "2026-01-06 09:00:00 CET" in tried(browser, "0 9 * * *").text
