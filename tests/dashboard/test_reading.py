"""Pages can be read: by everybody whom the API serves, without script, whatever jobs are called."""

from __future__ import annotations

import csv
import re
import threading
from datetime import datetime, timezone
from urllib.parse import quote

import pytest

from schedcore import EVENT_JOB_MISSED
from schedhttp.dashboard import ledger_page
from schedhttp.dashboard.site import PAGES
from tests.dashboard.conftest import HOSTILE, USERS, Document
from tests.patience import SOON

JOB = f"/job?id={quote(HOSTILE)}"
TRY = f"/try?schedule={quote(HOSTILE)}"


READING = ("/jobs", "/ledger", "/timeline", "/calendar", "/try")
"""What forms that only filter lead to."""
_NO_PAGES = ("/output", "/sign-in")


def paths(run_id, may_change=True):
    """Return the addresses of all pages."""
    given = {"/job": JOB, "/run": f"/run?id={run_id}", "/try": TRY}
    given |= {"/job/edit": f"/job/edit?{JOB[5:]}", "/job/new": f"/job/new?from={JOB[8:]}"}
    return [
        given.get(path, path)
        for path in PAGES
        if "." not in path
        and path not in _NO_PAGES
        and (may_change or not path.startswith("/job/"))
    ]


def test_each_page_is_whole_and_escapes_what_is_hostile(browser, hostile_run):
    for path in paths(hostile_run):
        answer = browser.open(path)
        assert answer.status_code == 200, path
        assert answer.content_type == "text/html; charset=utf-8"
        page = Document(answer.text)
        assert not page.tags("img"), path
        assert len(page.tags("h1")) == 1, path
        assert len([a for a in page.tags("a") if "aria-current" in a]) <= 1
        if path != "/system" and not path.startswith("/job/new"):
            assert HOSTILE in page.text, path


def test_pages_have_no_inline_code(browser, hostile_run):
    for path in paths(hostile_run):
        page = browser.get(path)
        assert not page.tags("style"), path
        assert all(script.get("src") for script in page.tags("script")), path
        for tag, attributes in page.elements:
            assert not {name for name in attributes if name == "style" or name.startswith("on")}, (
                f"{path}: {tag}"
            )


def test_headers_keep_pages_to_themselves(browser):
    headers = browser.open("/").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_what_pages_link_is_there(browser, hostile_run):
    seen = set()
    for path in paths(hostile_run):
        page = browser.get(path)
        found = [*page.tags("a", "link"), *page.tags("script")]
        seen |= {str(each.get("href") or each.get("src")) for each in found}
    for link in seen:
        if link.startswith(("data:", "#")) or "openapi" in link:
            continue
        assert link.startswith(browser.base + "/"), link
        answer = browser.open(link.removeprefix(browser.base))
        assert answer.status_code == 200, link


def test_output_is_a_file_that_no_browser_runs(browser, hostile_run):
    answer = browser.open(f"/output?id={hostile_run}")
    assert answer.text.splitlines()[0] == HOSTILE
    assert answer.content_type == "text/plain; charset=utf-8"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_control_characters_are_made_visible(browser, scheduler):
    scheduler.add_job(print, "interval", hours=1, id="a\u202eb\x1b", name="n")
    text = browser.get("/jobs").text
    assert "a⟨U+202E⟩b␛" in text
    assert "\u202e" not in text


def test_without_jobs_the_pages_teach(browser):
    assert "There are no jobs yet" in browser.get("/").text
    assert "[[jobs]]" in browser.get("/jobs").text
    assert "Nothing was due yet" in browser.get("/ledger").text


def test_a_job_that_fails_is_told_first_until_it_is_well_again(browser, scheduler):
    fails = [True]

    def task():
        if fails:
            raise ValueError("no luck")

    scheduler.add_job(task, "interval", minutes=5, id="j")
    assert "Nothing: no job failed" in browser.get("/").text
    scheduler.run_job("j")
    scheduler.run_job("j")
    text = browser.get("/").text
    assert "failed, 2 in a row" in text
    assert "ValueError: no luck" in text
    fails.clear()
    scheduler.run_job("j")
    assert "Nothing: no job failed" in browser.get("/").text


def test_what_did_not_run_says_why(browser, scheduler, clock):
    scheduler.add_job(print, "interval", minutes=1, id="j", misfire_grace_time=5)
    is_missed = threading.Event()
    scheduler.add_listener(lambda _event: is_missed.set(), EVENT_JOB_MISSED)
    clock.advance(90)
    assert is_missed.wait(SOON)
    missed = browser.get("/ledger?outcome=missed")
    assert "30 s late" in missed.text


def test_jobs_are_filtered_and_given_in_parts(browser, scheduler):
    for number in range(60):
        scheduler.add_job(print, "interval", hours=1, id=f"j{number:02}", tags=["t"] * (number < 3))
    assert "3 jobs with this filter" in browser.get("/jobs?tag=t").text
    first = browser.get("/jobs?sort=id")
    assert "j49" in first.text
    assert "j50" not in first.text
    assert "j50" in browser.get("/jobs?sort=id&page=2").text
    assert "No job matches" in browser.get("/jobs?q=nothing").text


def test_coming_runs_have_remarks_where_clocks_change(browser, scheduler, clock):
    clock.set(datetime(2026, 3, 28, 12, tzinfo=timezone.utc))
    scheduler.add_job(print, "cron", hour=2, minute=30, timezone="Europe/Berlin", id="j")
    text = browser.get("/job?id=j").text
    assert "2026-03-29 03:00:00 CEST" in text
    assert "02:30 does not exist on this day" in text
    assert "comes twice on 2026-10-25" in text


def test_times_are_in_the_zone_that_was_chosen(browser, scheduler):
    scheduler.add_job(print, "cron", hour=9, timezone="Asia/Tokyo", id="j")
    assert "2026-01-06 09:00:00 JST" in browser.get("/jobs").text
    page = browser.follow(browser.send("/zone", {"zone": "America/New_York", "to": "/jobs"}))
    assert "2026-01-05 19:00:00 EST" in page.text
    page = browser.follow(browser.send("/zone", {"zone": "no zone", "to": "/jobs"}))
    assert "JST" in page.text


def test_a_ledger_for_other_programs(browser, scheduler, monkeypatch):
    scheduler.add_job(lambda: 1, "interval", hours=1, id="=1+1")
    scheduler.run_job("=1+1")
    scheduler.add_job(int, "interval", hours=1, id="text", args=["no number: \ud800"])
    scheduler.run_job("text")
    rows = list(csv.DictReader(browser.open("/ledger.csv").text.splitlines()))
    assert [(row["job_id"], row["outcome"]) for row in rows] == [
        ("text", "failed"),
        ("'=1+1", "executed"),
    ]
    assert browser.open("/ledger.json").json[1]["job_id"] == "=1+1"
    assert " · CSV · JSON" in browser.get("/ledger").text
    monkeypatch.setattr(ledger_page, "MOST_RUNS", 1)
    assert " · the latest 1 as CSV · JSON" in browser.get("/ledger").text


def test_what_is_not_there(browser):
    assert "there is no page" in browser.get("/nothing", 404).text
    assert "no job with id" in browser.get("/job?id=no", 404).text
    assert browser.open("/run?id=no").status_code == 400
    assert browser.open("/jobs", "DELETE").status_code == 405
    assert browser.open("/static/site.py").status_code == 404


def test_what_became_of_a_job_that_is_gone_is_found(browser, scheduler):
    scheduler.add_job(lambda: 1, "interval", hours=1, id="j")
    scheduler.run_job("j")
    scheduler.remove_job("j")
    page = browser.get("/job?id=j", 404)
    (link,) = [str(a["href"]) for a in page.tags("a") if "/ledger?" in str(a.get("href"))]
    assert "1 kept with this filter" in browser.get(link.removeprefix(browser.base)).text


def test_executors_tell_how_busy_they_are(browser, scheduler):
    began, ends = threading.Event(), threading.Event()
    scheduler.add_job(lambda: began.set() or ends.wait(SOON), "interval", hours=1, id="j")
    assert re.search(r"default\s+10\s+0\s+0\s", _spaced(browser.open("/system").text))
    run = scheduler.run_job("j", wait=False)
    assert began.wait(SOON)
    assert re.search(r"default\s+10\s+1\s+0\s", _spaced(browser.open("/system").text))
    ends.set()
    run.wait(SOON)


def _spaced(html):
    return re.sub(r"<[^>]*>", " ", html)


def test_nothing_is_sent_again_while_nothing_happens(browser, scheduler):
    scheduler.add_job(lambda: 1, "interval", hours=1, id="j")
    for path in ("/", "/jobs", "/job?id=j", "/ledger", "/timeline", "/system"):
        browser.get(path)
        etag = browser.open(path).headers["ETag"]
        again = browser.open(path, headers={"If-None-Match": etag})
        assert again.status_code == 304, path
        assert again.headers["X-Now"] == "1767614400000"
        scheduler.run_job("j")
        assert browser.open(path, headers={"If-None-Match": etag}).status_code == 200, path


@pytest.mark.parametrize("user", ["ann", "rob"])
def test_only_who_has_all_rights_sees_buttons_and_the_audit(mount, hostile_run, user):
    browser = mount(**USERS)
    browser.sign_in(user, f"of {user}")
    for path in paths(hostile_run, user == "ann"):
        page = browser.get(path)
        actions = {str(form["action"]).removeprefix(browser.base) for form, _ in page.forms}
        if user == "rob":
            assert actions <= {"/zone", "/sign-out", *READING}, path
            assert "/job/edit" not in str(page.elements), path
    assert ("Who changed what" in browser.get("/system").text) == (user == "ann")


def test_functions_that_may_be_named_are_told_and_offered(browser, scheduler):
    assert "math:sqrt" in browser.get("/system").text
    name = next(iter(scheduler.registered), None)
    assert name is None
    scheduler.register(known_function)
    (name,) = scheduler.registered
    assert name in browser.get("/system").text
    assert {"value": name} in browser.get("/job/new").tags("option")


def test_settings_tell_where_they_come_from(browser):
    settings = browser.get("/system").text
    origin = "Flask's config" if browser.base == "/dashboard" else "code"
    assert f"api_allowed_funcsmath:sqrt{origin}Functions" in settings
    assert "threads8defaultNumber" in settings


def known_function():
    """Stands for one that a program registers."""


def test_arguments_are_hidden_from_who_may_only_look(mount, scheduler):
    scheduler.add_job(print, "interval", hours=1, args=["sesame"], id="j")
    run_id = scheduler.run_job("j", args=["open sesame"]).id
    browser = mount(**USERS, api_hide_args=True)
    browser.sign_in("rob", "of rob")
    assert "sesame" not in browser.get("/job?id=j").text
    assert "sesame" not in browser.get(f"/run?id={run_id}").text
    assert "SCHEDULER_API_HIDE_ARGS" in browser.get(f"/run?id={run_id}").text


def test_what_is_counted_is_what_its_link_leads_to(browser, scheduler, clock):
    """The first page's counts are of one day, and so are the lists behind them."""
    scheduler.add_job(lambda: 1, "interval", weeks=1, id="j")
    scheduler.run_job("j")
    clock.advance(2 * 86_400)
    scheduler.run_job("j")
    page = browser.get("/")
    (link,) = [a["href"] for a in page.tags("a") if "outcome=executed" in str(a.get("href"))]
    assert "1 kept with this filter" in browser.get(link.removeprefix(browser.base)).text


def test_the_ledger_of_jobs_with_a_tag(browser, scheduler):
    for name, tags in (("a", ["t"]), ("b", ["t", "u"]), ("c", [])):
        scheduler.add_job(lambda: 1, "interval", weeks=1, id=name, tags=tags)
        scheduler.run_job(name)
    assert "2 kept with this filter" in browser.get("/ledger?tag=t").text
    assert "1 kept with this filter" in browser.get("/ledger?tag=t&job=b").text
    assert "No stored outcome matches" in browser.get("/ledger?tag=nobody").text
    csv_link = next(
        a["href"] for a in browser.get("/ledger?tag=u").tags("a") if ".csv" in a["href"]
    )
    rows = browser.open(csv_link.removeprefix(browser.base)).text.splitlines()
    assert len(rows) == 2
