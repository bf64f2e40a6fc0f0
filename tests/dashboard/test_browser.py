"""What people do in a browser: without an error in its console, with a keyboard, in any width."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import threading
import urllib.request
from datetime import datetime, timezone

import pytest

from schedcore import Scheduler, StoreError
from schedhttp import create_app
from schedhttp.dashboard import site
from tests.dashboard.chromium import Tab, chromium, need_chromium, served
from tests.dashboard.conftest import HOSTILE, USERS, spoil
from tests.http.conftest import Served


@pytest.fixture(scope="module")
def browser_program():
    need_chromium()
    with chromium() as program:
        yield program


@pytest.fixture
def serve(scheduler):
    """Serve a dashboard with the settings given; returns its address."""
    with_ends = []

    def start(**settings):
        settings = {"dashboard": True, "dashboard_prefix": "", **settings}
        app = create_app(scheduler, api_allowed_funcs=["math:*"], **settings)
        context = served(app)
        with_ends.append(context)
        return context.__enter__()

    yield start
    for context in with_ends:
        context.__exit__(None, None, None)


@pytest.fixture
def open_tab(browser_program):
    """Open a tab in a profile of its own; what went wrong in any is an error at the end."""
    contexts, tabs = [], []

    def make(base, **options):
        contexts.append(browser_program.new_context(**options))
        tabs.append(Tab(contexts[-1], base))
        return tabs[-1]

    yield make
    wrong = [each for tab in tabs for each in tab.wrong]
    for context in contexts:
        context.close()
    assert not wrong


def hears(scheduler):
    """Return the scheduler, which keeps what is printed from now on.

    pytest has given the test another sys.stdout since the fixture started it.
    """
    scheduler.shutdown()
    scheduler.start()
    return scheduler


@pytest.fixture
def much(scheduler):
    """A scheduler with jobs in each state, whose texts are hostile; the addresses of all pages."""
    scheduler.add_job(
        spoil, "interval", minutes=5, id=HOSTILE, name=HOSTILE, args=[HOSTILE], tags=[HOSTILE]
    )
    scheduler.add_job(lambda: 1, "cron", hour=2, minute=30, id="night", tags=["t"])
    scheduler.add_job(print, "interval", hours=3, id="paused")
    scheduler.pause_job("paused")
    run = scheduler.run_job(HOSTILE)
    scheduler.run_job("night")
    paths = ("/", "/jobs", "/job?id=night", "/ledger", "/system", "/job/new", "/job/edit?id=night")
    ahead = ("/timeline?view=30h", "/calendar", "/try", "/try?kind=cron&schedule=30+2+*+*+*")
    return [*paths, *ahead, f"/run?id={run.id}"]


def test_each_page_can_be_used_by_everybody(serve, open_tab, much):
    base = serve()
    light, dark = (open_tab(base, color_scheme=scheme) for scheme in ("light", "dark"))
    for path in much:
        light.goto(path)
        light.check_access()
        dark.goto(path)
        dark.check_access("color-contrast")  # nothing else depends on the scheme


def test_no_page_is_wider_than_a_small_telephone(serve, open_tab, much):
    tab = open_tab(serve(), viewport={"width": 320, "height": 640})
    for path in much:
        page = tab.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") == 320, path


def test_each_page_can_be_read_without_script(serve, open_tab, much):
    tab = open_tab(serve(), java_script_enabled=False)
    for path in much:
        page = tab.goto(path)
        assert page.locator("h1").count() == 1
    page = tab.goto("/job?id=night")
    page.get_by_role("button", name="Pause").click()
    tab.sees("night was paused.")


def test_what_is_hostile_is_text(serve, open_tab, much):
    tab = open_tab(serve())
    for path in much:
        page = tab.goto(path)
        assert page.locator("img").count() == 0, path
    assert HOSTILE in page.locator("pre.output").inner_text()


def test_a_job_that_fails_is_red_within_a_look_and_well_again(serve, open_tab, scheduler):
    fails = threading.Event()

    def task():
        if fails.is_set():
            raise ValueError("no luck")

    scheduler.add_job(task, "interval", hours=1, id="j")
    tab = open_tab(serve())
    tab.goto("/")
    tab.sees("Nothing: no job failed")
    fails.set()
    scheduler.run_job("j")
    tab.sees("ValueError: no luck")
    assert tab.page.title().startswith("(1) Now")
    fails.clear()
    scheduler.run_job("j")
    tab.sees("Nothing: no job failed")
    assert tab.page.title().startswith("Now")


def test_a_run_is_cancelled_where_it_is_seen(serve, open_tab, scheduler):
    goes_on = threading.Event()
    scheduler.add_job(lambda: goes_on.wait(60) and None, "interval", hours=1, id="j")
    tab = open_tab(serve())
    page = tab.goto("/")
    scheduler.run_job("j", wait=False)
    page.get_by_role("button", name="Cancel the run of j").click()
    tab.sees("The run of j was cancelled.")
    goes_on.set()
    assert [record.outcome.value for record in scheduler.history("j")] == ["cancelled"]


def test_three_of_fifty_jobs_are_paused_by_a_filter(serve, open_tab, scheduler):
    for number in range(50):
        scheduler.add_job(print, "interval", hours=1, id=f"j{number}", tags=["t"] * (number < 3))
    tab = open_tab(serve())
    page = tab.goto("/jobs")
    page.get_by_label("Tag").fill("t")
    page.get_by_role("button", name="Show").first.click()
    page.get_by_label("all with this filter (3)").check()
    page.get_by_role("button", name="Pause").click()
    tab.sees("Pause: 3 jobs?")
    page.get_by_role("button", name="Pause 3 jobs").click()
    tab.sees("3 jobs were paused.")
    assert sum(entry.due_us is None for entry in scheduler.entries()) == 3
    assert "tag=t" in page.url
    page.get_by_role("button", name="Resume").first.click()
    tab.sees("3 jobs were resumed.")


def test_what_was_ticked_stays_so_while_the_page_changes(serve, open_tab, scheduler):
    scheduler.add_job(lambda: 1, "interval", hours=1, id="j")
    tab = open_tab(serve())
    page = tab.goto("/jobs")
    page.get_by_role("checkbox", name="j", exact=True).check()
    page.get_by_label("Text").focus()
    scheduler.run_job("j")
    page.locator(".strip .good").wait_for()
    assert page.get_by_role("checkbox", name="j", exact=True).is_checked()


def test_an_edit_of_what_was_changed_meanwhile_is_refused(serve, open_tab, scheduler):
    scheduler.add_job(len, "interval", hours=1, id="j", args=["four"])
    tab = open_tab(serve())
    page = tab.goto("/job?id=j")
    page.get_by_role("link", name="Change", exact=True).click()
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_role("button", name="Preview").click()
    tab.sees("What changes")
    scheduler.modify_job("j", name="by somebody else")
    page.get_by_role("button", name="Save").click()
    tab.sees("was changed since")
    assert page.get_by_label("Name", exact=True).input_value() == "mine"
    tab.wrong = [text for text in tab.wrong if "412" not in text]  # which Chromium notes itself


def test_nothing_is_rendered_while_nothing_happens(serve, open_tab, scheduler):
    scheduler.add_job(lambda: 1, "interval", hours=1, id="j")
    tab = open_tab(serve())
    page = tab.goto("/")
    with page.expect_response(lambda answer: answer.status == 304):
        pass
    tab.asked.clear()
    with page.expect_response(lambda answer: answer.status == 304):
        pass
    assert {*tab.asked} == {(page.url, 304)}
    with page.expect_response(lambda answer: answer.status == 200):
        scheduler.run_job("j")
    assert {url for url, _ in tab.asked} == {page.url}


def test_a_server_that_is_gone_is_told_and_its_return_too(scheduler, open_tab):
    scheduler.add_job(lambda: 1, "interval", hours=1, id="j")
    app = create_app(scheduler, dashboard=True, dashboard_prefix="")
    with served(app) as base:
        tab = open_tab(base)
        page = tab.goto("/")
    offline = page.locator("#offline")
    offline.filter(has_text=re.compile("last heard .* ago")).wait_for()
    with served(app, int(base.rpartition(":")[2])):
        offline.wait_for(state="hidden")
    tab.wrong.clear()  # connections that were refused, which Chromium notes itself


def test_all_processes_are_killed_and_started_again_with_the_page_open(open_tab, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (sys.executable, "-m", "schedhttp", "--port", str(port), "--workers", "2")
    jobs = [{"id": "j", "func": "math:sqrt", "args": [4], "trigger": "interval", "hours": 1}]
    server = Served(tmp_path, *command, SCHEDULER_JOBS=json.dumps(jobs))
    try:
        server.all_answer(2)
        tab = open_tab(f"http://127.0.0.1:{port}")
        page = tab.goto("/")
        tab.sees("2 processes on one store")
        server.kill()
        page.locator("#offline").filter(has_text="last heard").wait_for()
        server.begin()
        server.all_answer(2)
        page.locator("#offline").wait_for(state="hidden")
        tab.asked.clear()
        for _ in range(3):
            with page.expect_response(lambda answer: answer.status in (200, 304)):
                pass
        assert [url for url, _ in tab.asked] == [page.url] * len(tab.asked)
        assert len(tab.asked) < 6  # one request for each look, and not one more by who was before
        page.get_by_role("button", name="Pause everything").click()  # by whichever worker
        tab.sees("No run is started until")
    finally:
        server.kill()
        shutil.rmtree(server.temporary)
    tab.wrong.clear()  # connections that were refused


def test_countdowns_are_those_of_the_servers_clock(serve, open_tab, scheduler):
    scheduler.add_job(lambda: 1, "interval", minutes=30, id="j")
    page = open_tab(serve()).goto("/")
    # By a clock that stands at 12:00; which of them depends on when the page asks what is new.
    away = "time[data-away^='in 29 min'], time[data-away^='in 30 min']"
    page.locator(away).first.wait_for()


def test_what_others_do_to_a_job_is_seen_and_typed_text_stays(serve, open_tab, scheduler):
    scheduler.add_job(len, "interval", hours=1, id="j", args=["four"])
    page = open_tab(serve()).goto("/job?id=j")
    page.get_by_text("Run now with other arguments").click()
    page.get_by_label("Arguments, a JSON array").fill('["typed"]')
    scheduler.pause_job("j")
    page.get_by_role("button", name="Resume").wait_for()
    page.locator("h1 .mark").filter(has_text="paused").wait_for()
    assert page.get_by_label("Arguments, a JSON array").input_value() == '["typed"]'


def test_times_in_the_zone_of_who_looks(serve, open_tab, scheduler):
    scheduler.add_job(print, "cron", hour=9, timezone="Asia/Tokyo", id="j")
    tab = open_tab(serve(), timezone_id="America/New_York")
    page = tab.goto("/jobs")
    tab.sees("09:00:00 JST")
    page.get_by_label("Times in").select_option("America/New_York")
    tab.sees("19:00:00 EST")


def test_a_night_job_on_the_spring_day_has_its_remark_in_each_zone(
    serve, open_tab, scheduler, clock
):
    clock.set(clock.now().replace(month=3, day=28))
    scheduler.add_job(print, "cron", hour=2, minute=30, timezone="Europe/Berlin", id="j")
    tab = open_tab(serve())
    page = tab.goto("/job?id=j")
    tab.sees("02:30 does not exist on this day")
    tab.sees("2026-03-29 03:00:00 CEST")
    page.get_by_label("Times in").select_option("UTC")
    tab.sees("2026-03-29 01:00:00 UTC")
    tab.sees("02:30 does not exist on this day")


def test_everything_is_reached_by_keyboard(serve, open_tab, much):
    page = open_tab(serve()).goto("/job?id=night")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    for _ in range(40):
        if page.evaluate("document.activeElement.textContent") == "Pause":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("night was paused.").wait_for()


def test_signing_in_and_looking_without_touching(serve, open_tab, much):
    tab = open_tab(serve(**USERS))
    page = tab.goto("/jobs")
    page.get_by_label("User").fill("rob")
    page.get_by_label("Password").fill("of rob")
    page.get_by_role("button", name="Sign in").click()
    tab.sees("read-only")
    assert page.get_by_role("button", name="Pause").count() == 0
    for path in much:
        if not path.startswith("/job/"):
            tab.goto(path)
    page.get_by_role("button", name="Sign out rob").click()
    page.get_by_label("Password").wait_for()
    tab.wrong = [text for text in tab.wrong if "401" not in text]


def test_ten_thousand_jobs_and_a_long_output_stay_small(serve, open_tab, scheduler):
    scheduler.add_jobs(
        {"func": len, "trigger": "interval", "hours": 1, "id": f"j{n}", "args": ["x"]}
        for n in range(10_000)
    )

    def talk():
        for number in range(145_000):
            print(f"line {number} <of the log>")

    scheduler.add_job(talk, "interval", hours=1, id="talks")
    scheduler.add_job(lambda: print("\n" * 145_000), "interval", hours=1, id="feeds")
    talks, feeds = (hears(scheduler).run_job(job_id) for job_id in ("talks", "feeds"))
    tab = open_tab(serve())
    output = [f"/run?id={run.id}" for run in (talks, feeds)]
    paths = ("/", "/jobs", "/jobs?q=j", "/ledger", "/timeline", "/calendar", "/system")
    for path in (*paths, "/job?id=j1", *output):
        page = tab.goto(path)
        assert page.evaluate("document.querySelectorAll('*').length") < 3_000, path
        assert len(page.content()) < 300_000, path
        loaded = page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
        others = {url for url in loaded if "/static/" not in url}
        assert others <= {tab.base + path}, path  # which is asked for again, and nothing else is
    page = tab.goto(output[0])
    shown = page.locator("pre.output").inner_text()
    assert shown.startswith("line 0 <of the log>\nline 1 ")
    assert shown.rstrip().endswith("\nline 144999 <of the log>")
    assert re.search(r"\[\.\.\. [\d,]+ characters are left out \.\.\.\]", shown)
    tab.sees("the first and the last 32,768 are kept")
    tab.goto(output[1])
    tab.sees("lines before these are not shown: the file has them")


def test_pages_cost_no_more_the_more_there_is(serve, scheduler):
    """What a look costs grows neither with what jobs have printed nor with how many there are."""

    def bytes_of(path):
        with urllib.request.urlopen(base + path, timeout=30) as answer:
            return len(answer.read())

    def talk(lines):
        print("x" * 70 + "\n" * lines)

    hears(scheduler).add_job(talk, "interval", hours=1, id="j", args=[1])
    base = serve()
    found = []
    for many, lines in ((100, 66_000), (1_000, 145_000)):
        scheduler.add_jobs(
            {"func": print, "trigger": "interval", "hours": 1, "id": f"{many}-{n:04}"}
            for n in range(many)
        )
        run = scheduler.run_job("j", args=[lines])
        paths = ("/", "/jobs?sort=id", "/timeline", "/ledger", "/calendar", f"/run?id={run.id}")
        found.append([bytes_of(path) for path in paths])
    for few, many, path in zip(*found, paths, strict=True):
        assert many < few * 1.25 + 2_000, path


def test_what_a_run_prints_is_seen_as_it_is_printed(serve, open_tab, scheduler):
    goes_on, ends = threading.Event(), threading.Event()

    def talk():
        print("first line")
        goes_on.wait(60)
        print("second line")
        ends.wait(60)
        print("third line")

    hears(scheduler).add_job(talk, "interval", hours=1, id="j")
    run = scheduler.run_job("j", wait=False)
    tab = open_tab(serve())
    page = tab.goto(f"/run?id={run.id}")
    tab.sees("first line")
    with page.expect_response(lambda answer: answer.status == 304):
        pass  # nothing is rendered while it prints nothing
    goes_on.set()
    tab.sees("second line")
    ends.set()
    tab.sees("third line")
    page.locator(".card.good").wait_for()
    assert page.evaluate("document.body.dataset.version") == ""  # it asks no more


def test_updates_are_turned_off_and_on(serve, open_tab, scheduler):
    scheduler.add_job(lambda: 1, "interval", hours=1, id="j")
    tab = open_tab(serve())
    page = tab.goto("/jobs")
    live = page.get_by_role("button", name="Live")
    assert live.get_attribute("aria-pressed") == "true"
    live.click()
    page = tab.goto("/job?id=j")
    assert live.get_attribute("aria-pressed") == "false"
    scheduler.run_job("j")
    live.click()  # and at once all that has happened is there
    page.locator(".strip .good").wait_for()


def test_all_jobs_that_are_shown_are_ticked(serve, open_tab, scheduler):
    for name in "abc":
        scheduler.add_job(print, "interval", hours=1, id=name)
    tab = open_tab(serve())
    page = tab.goto("/jobs")
    page.get_by_label("all (3)").check()
    page.get_by_role("button", name="Tick all that are shown").click()
    assert page.get_by_label("those ticked").is_checked()
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Pause 3 jobs").click()
    tab.sees("3 jobs were paused.")


def test_a_page_for_which_the_store_was_away_comes_by_itself(
    serve, open_tab, scheduler, monkeypatch
):
    tab = open_tab(serve())
    with monkeypatch.context() as patched:

        def show(visit):
            raise StoreError("sqlite:///jobs.db", "it is away")

        patched.setitem(site.PAGES, "/", site.PageRoute(show, "Now"))
        tab.goto("/")
        tab.sees("The store is away")
    tab.sees("No run is under way.")
    tab.wrong = [text for text in tab.wrong if "503" not in text]  # which Chromium notes itself


def test_a_narrow_window_shows_each_row_of_a_table_whole(serve, open_tab, much):
    tab = open_tab(serve(), viewport={"width": 320, "height": 640})
    a_try = "/try?kind=cron&schedule=30+2+*+*+*"
    for path in ("/jobs", "/ledger", "/system", "/calendar", "/timeline", a_try):
        page = tab.goto(path)
        wide = page.evaluate(
            "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
            ".map(e => e.ariaLabel)"
        )
        assert wide == [], path


def test_what_can_be_touched_is_large_enough(serve, open_tab, much):
    """24 pixels each way, but for links within text (WCAG 2.5.8)."""
    tab = open_tab(serve(), viewport={"width": 320, "height": 640})
    for path in [*much, "/job/new"]:
        page = tab.goto(path)
        small = page.evaluate(
            "[...document.querySelectorAll('button, .button, input, select, textarea, summary')]"
            ".filter(e => e.offsetParent && e.type !== 'hidden')"
            ".filter(e => Math.min(e.offsetWidth, e.offsetHeight) < 24).map(e => e.outerHTML)"
        )
        assert small == [], path


def test_two_tabs_leave_the_api_quick(serve, open_tab, scheduler: Scheduler):
    scheduler.add_job(lambda: 1, "interval", hours=1, id="j")
    base = serve()
    tabs = [open_tab(base) for _ in range(2)]
    pages = [tab.goto("/") for tab in tabs]
    for page in pages:
        with page.expect_response(lambda answer: answer.status == 304):
            pass
    # No request of theirs is left open, which would hold a thread.
    assert all(
        page.evaluate("fetch('/scheduler/live').then((r) => r.status)") == 200 for page in pages
    )


def test_a_schedule_is_tried_and_a_job_made_of_it(serve, open_tab, scheduler, clock):
    clock.set(datetime(2026, 3, 28, 12, tzinfo=timezone.utc))
    tab = open_tab(serve())
    page = tab.goto("/try")
    page.get_by_role("link", name="at 02:30, when clocks change too").click()
    tab.sees("02:30 does not exist on this day")
    page.get_by_role("link", name="Create a job").click()
    page.get_by_label("Id", exact=True).fill("night")
    page.get_by_label("Function").fill("math:sqrt")
    page.get_by_label("Arguments, a JSON array").fill("[4]")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Add").click()
    tab.sees("night was added.")
    assert scheduler.get_job("night").next_run_time.isoformat() == "2026-03-29T03:00:00+02:00"


def test_pictures_are_drawn_inside_their_lanes_and_tell_more_when_pointed_at(
    serve, open_tab, scheduler, clock
):
    """What ran stands left of now, what comes right of it, at any width of the window."""
    scheduler.add_job(lambda: clock.advance(1_800), "interval", hours=1, id="j")
    scheduler.run_job("j")
    for width in (1_200, 400):
        tab = open_tab(serve(), viewport={"width": width, "height": 800})
        page = tab.goto("/timeline?view=2h")
        lane, now, ran, due = (
            page.locator(f"svg.lane{each}").bounding_box()
            for each in ("", " line.now", " rect.good", " rect.coming")
        )
        assert lane["x"] <= ran["x"] < ran["x"] + ran["width"] <= now["x"] + 2 < due["x"]
        assert due["x"] + due["width"] <= lane["x"] + lane["width"] + 1  # its line
        assert ran["width"] == pytest.approx(lane["width"] / 4, abs=2)
        told = page.locator("svg.lane rect.good title").text_content()
        assert told == "due 2026-01-05 13:00:00 CET: executed: it took 1800.000 s"
