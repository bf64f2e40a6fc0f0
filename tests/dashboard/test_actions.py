"""Forms do what the API does, say what they did, and can be taken back."""

from __future__ import annotations

import json
import math
import threading
import time
from datetime import timedelta

import pytest

from schedcore import Scheduler
from schedhttp.dashboard.site import FORMS
from tests.dashboard.conftest import HOSTILE, START, USERS, wsgi
from tests.patience import SOON


@pytest.fixture
def job(scheduler):
    """A job that was added by hand."""
    return scheduler.add_job(math.sqrt, "interval", hours=1, id="j", args=[4], tags=["t"])


def test_a_job_is_run_now_and_its_run_shown(browser, scheduler, job):
    form = browser.get("/job?id=j").form("/job/run")
    page = browser.follow(browser.send("/job/run", form))
    assert "A run of j was started." in page.text
    assert len(scheduler.history("j")) + len(scheduler.runs()) == 1
    browser.send("/job/run", form)  # a second click
    assert len(scheduler.history("j")) + len(scheduler.runs()) == 1


def test_a_job_is_run_with_other_arguments(browser, scheduler, job):
    browser.get("/job?id=j")
    page = browser.follow(browser.send("/job/run", {"id": "j", "args": "[9]"}))
    assert "manual, by anybody" in page.text
    assert "Its own args[9]" in page.text
    (run,) = scheduler.runs() or [None]
    if run is not None:
        run.wait(SOON)
    assert scheduler.history("j")[0].result == "3.0"
    answer = browser.send("/job/run", {"id": "j", "args": "[9"})
    assert answer.status_code == 400
    assert "is not JSON" in answer.text


def test_pause_and_back_again(browser, scheduler, job):
    browser.get("/job?id=j")
    page = browser.follow(browser.send("/job/pause", {"id": "j"}))
    assert "j was paused." in page.text
    assert scheduler.entry("j").due_us is None
    page = browser.follow(browser.send("/job/resume", page.form("/job/resume")))
    assert "j was resumed." in page.text
    assert scheduler.entry("j").due_us is not None
    assert "j was resumed." not in browser.get("/job?id=j").text
    page = browser.follow(browser.send("/job/resume", {"id": "j"}))
    assert "j was not paused before; nothing was done." in page.text
    assert page.tags("form") == browser.get("/job?id=j").tags("form"), "nothing to take back"


def test_what_was_done_to_a_job_of_any_id_fits_into_a_cookie(browser, scheduler):
    job_id = "\N{GRINNING FACE}" * 255
    scheduler.add_job(math.sqrt, "interval", [4], hours=1, id=job_id)
    browser.get("/jobs")
    answer = browser.send("/job/pause", {"id": job_id})
    assert max(map(len, answer.headers.getlist("Set-Cookie"))) < 4_096
    page = browser.follow(answer)
    assert f"{job_id} was paused." in page.text
    assert page.form("/job/resume")["id"] == job_id


def test_a_job_is_removed_once_that_is_confirmed_and_added_again(browser, scheduler, job):
    browser.get("/job?id=j")
    question = browser.send("/job/remove", {"id": "j"})
    assert "Remove j?" in question.text
    assert scheduler.get_job("j") is not None
    page = browser.follow(browser.send("/job/remove", {"id": "j", "confirm": "1"}))
    assert scheduler.get_job("j") is None
    browser.follow(browser.send("/job/add", page.form("/job/add")))
    assert scheduler.entry("j").job.args == (4,)


def test_many_jobs_are_paused_by_a_filter_with_a_count_in_the_question(browser, scheduler):
    for number in range(50):
        scheduler.add_job(print, "interval", hours=1, id=f"j{number}", tags=["t"] * (number < 3))
    browser.get("/jobs")
    fields = {"do": "pause", "which": "filter", "tag": "t", "to": "/jobs?tag=t"}
    answer = browser.send("/jobs/change", fields)
    assert "Pause: 3 jobs?" in answer.text
    page = browser.parsed(answer)
    scheduler.add_job(print, "interval", hours=1, id="another", tags=["t"])
    again = browser.send("/jobs/change", page.form("/jobs/change"))
    assert "There are other jobs by now." in again.text
    assert "Pause: 4 jobs?" in again.text
    done = browser.follow(browser.send("/jobs/change", browser.parsed(again).form("/jobs/change")))
    assert "4 jobs were paused." in done.text
    assert sum(entry.due_us is None for entry in scheduler.entries()) == 4


def test_all_that_failed_are_run_again_together(browser, scheduler):
    works = threading.Event()

    def task():
        if not works.is_set():
            raise ValueError("no luck")

    for name in "ab":
        scheduler.add_job(task, "interval", hours=1, id=name)
        scheduler.run_job(name)
    scheduler.add_job(works.set, "interval", hours=1, id="c")
    scheduler.run_job("c")
    form = browser.get("/").form("/jobs/change")
    question = browser.parsed(browser.send("/jobs/change", {**form, "id": ["a", "b"]}))
    assert "Run now: 2 jobs?" in question.text
    assert "c" not in [a.get("href", "")[-1:] for a in question.tags("a")]
    done = browser.follow(
        browser.send("/jobs/change", {**question.form("/jobs/change"), "id": ["a", "b"]})
    )
    assert "2 jobs were begun." in done.text
    for run in scheduler.runs():
        run.wait(SOON)
    page = browser.get("/")
    assert "Nothing: no job failed" in page.text
    assert page.form("/jobs/change") is None


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("", "abcd"),
        ("q=c", "c"),
        ("tag=t", "ab"),
        ("state=paused", "ac"),
        ("state=paused&tag=t", "a"),
        ("state=scheduled&q=d&tag=&sort=id", "d"),
    ],
)
def test_each_filter_of_the_list_can_be_acted_on_as_a_whole(browser, scheduler, wanted, meant):
    """The fields that the list's own form has are all that it takes."""
    for name in "abcd":
        scheduler.add_job(print, "interval", hours=1, id=name, tags=["t"] * (name in "ab"))
    scheduler.pause_jobs(["a", "c"])
    page = browser.get(f"/jobs?{wanted}")
    assert f"({len(meant)})" in page.text
    fields = {**page.fields("/jobs/change"), "which": "filter", "do": "remove"}
    question = browser.parsed(browser.send("/jobs/change", fields))
    browser.follow(browser.send("/jobs/change", question.form("/jobs/change")))
    assert "".join(sorted(entry.job.id for entry in scheduler.entries())) == "".join(
        sorted({*"abcd"} - {*meant})
    )


def test_many_jobs_are_chosen_one_by_one_and_taken_back(browser, scheduler):
    for name in "abc":
        scheduler.add_job(print, "interval", hours=1, id=name)
    browser.get("/jobs")
    fields = {"do": "pause", "id": ["a", "b"], "which": "chosen", "confirm": "2"}
    page = browser.follow(browser.send("/jobs/change", fields))
    assert "2 jobs were paused." in page.text
    assert scheduler.entry("c").due_us is not None
    undo = {"do": "resume", "id": ["a", "b"], "which": "chosen", "confirm": "2"}
    assert page.form("/jobs/change")["do"] == "resume"
    browser.follow(browser.send("/jobs/change", undo))
    assert all(entry.due_us is not None for entry in scheduler.entries())
    scheduler.pause_job("a")
    page = browser.follow(browser.send("/jobs/change", fields))
    assert "1 job was paused." in page.text
    undo = page.form("/jobs/change")
    assert (undo["id"], undo["confirm"]) == ("b", "1"), "the other one was paused before"
    browser.follow(browser.send("/jobs/change", undo))
    assert [entry.job.id for entry in scheduler.entries() if entry.due_us is None] == ["a"]
    nobody = browser.send("/jobs/change", {"do": "pause", "which": "chosen"})
    assert "no job was chosen" in nobody.text


def test_a_change_is_previewed_saved_and_taken_back(browser, scheduler, job):
    form = browser.get("/job/edit?id=j").fields("/job/edit")
    assert form["schedule"].startswith("hours = 1")
    form |= {"schedule": "minutes = 30", "name": "half"}
    preview = browser.send("/job/edit", {**form, "do": "preview"})
    assert "2026-01-05 13:30:00 CET" in preview.text
    assert scheduler.entry("j").job.name != "half"
    saved = browser.send("/job/edit", {**browser.parsed(preview).form("/job/edit"), "do": "save"})
    page = browser.follow(saved)
    assert "Changed: " in page.text
    assert scheduler.entry("j").job.name == "half"
    assert scheduler.entry("j").job.trigger.interval.total_seconds() == 1800
    browser.follow(browser.send("/job/change", page.form("/job/change")))
    assert scheduler.entry("j").job.trigger.interval.total_seconds() == 3600


def connect(*args, password="", sep=""):
    """Stands for what is called with a secret."""


@pytest.fixture
def secretive():
    """A scheduler that hides passwords, with a job that has one, and an object that is no JSON."""
    scheduler = Scheduler(redact=[r"password=(\S+)"])
    scheduler.add_job(
        connect,
        "interval",
        hours=1,
        id="j",
        args=[object(), 5],
        kwargs={"password": "x", "sep": "y"},
    )
    return scheduler


def test_what_is_not_shown_is_never_stored_as_it_is_shown(secretive):
    browser = wsgi(
        secretive, {"dashboard": True, "api_allowed_funcs": ["tests.dashboard.test_actions:*"]}
    )
    fields = browser.get("/job/edit?id=j").form("/job/edit")
    assert "<object" in fields["args"]
    assert '"password": "*"' in fields["kwargs"]
    thing = secretive.entry("j").job.args[0]
    moved = browser.send("/job/edit", {**fields, "kwargs": '{"sep": "*"}', "do": "save"})
    assert "kwargs.sep=" in moved.text
    changed = {"args": fields["args"][:-2] + "6]", "kwargs": '{"password": "*"}', "do": "save"}
    browser.follow(browser.send("/job/edit", {**fields, **changed}))
    now = secretive.entry("j").job
    assert (now.args, now.kwargs) == ((thing, 6), {"password": "x"})
    fields = browser.get("/job/edit?id=j").form("/job/edit")
    done = browser.follow(
        browser.send("/job/edit", {**fields, "kwargs": '{"password": "z"}', "do": "save"})
    )
    assert secretive.entry("j").job.kwargs == {"password": "z"}
    assert "Undo" not in done.text
    named = {**fields, "name": "n", "do": "save"}
    etag = browser.get("/job/edit?id=j").form("/job/edit")["etag"]
    browser.follow(
        browser.send("/job/edit", {**named, "kwargs": '{"password": "*"}', "etag": etag})
    )
    assert secretive.entry("j").job.kwargs == {"password": "z"}


def test_what_is_not_shown_is_neither_copied_nor_run_as_it_is_shown(secretive):
    browser = wsgi(secretive, {"dashboard": True})
    page = browser.get("/job/new?from=j")
    assert "args and kwargs: some values are not shown" in page.text
    copied = page.form("/job/edit")
    assert (copied["args"], copied["kwargs"]) == ("[]", "{}")
    run = browser.get("/job?id=j").fields("/job/run")
    assert (run["args"], run["kwargs"]) == ("", "")


def test_a_form_that_is_saved_as_it_is_changes_nothing(browser, scheduler):
    scheduler.add_job(
        print, "cron", id="j", args=["5", " x"], minute="5", hour="*/2", tags=["a"], timeout=3
    )
    before = scheduler.entry("j").job
    form = browser.get("/job/edit?id=j").fields("/job/edit")
    assert "Nothing." in browser.send("/job/edit", {**form, "do": "preview"}).text
    browser.follow(browser.send("/job/edit", {**form, "do": "save"}))
    assert scheduler.entry("j").job == before


def test_values_that_are_equal_only_in_python_are_changes(browser, scheduler):
    scheduler.add_job(math.sqrt, "interval", hours=1, id="j", args=[{"a": [1, 2]}])
    form = browser.get("/job/edit?id=j").fields("/job/edit")
    args = '[{"a": [true, 2.0]}]'
    page = browser.follow(browser.send("/job/edit", {**form, "args": args, "do": "save"}))
    assert "Changed: args." in page.text
    assert json.dumps(scheduler.entry("j").job.args) == args


def test_a_changed_unit_of_an_interval_leaves_the_others(browser, scheduler):
    scheduler.add_job(math.sqrt, "interval", hours=1, minutes=30, id="j", args=[4])
    form = browser.get("/job/edit?id=j").fields("/job/edit")
    schedule = form["schedule"].replace("minutes = 30", "minutes = 45")
    saved = browser.send("/job/edit", {**form, "schedule": schedule, "do": "save"})
    page = browser.follow(saved)
    assert "Changed: minutes." in page.text
    assert scheduler.get_job("j").trigger.interval == timedelta(minutes=105)
    browser.follow(browser.send("/job/change", page.form("/job/change")))
    assert scheduler.get_job("j").trigger.interval == timedelta(minutes=90)


def test_an_edit_of_what_was_changed_meanwhile_is_refused(browser, scheduler, job):
    form = browser.get("/job/edit?id=j").fields("/job/edit")
    scheduler.modify_job("j", name="by somebody else")
    answer = browser.send("/job/edit", {**form, "name": "mine", "do": "save"})
    assert answer.status_code == 412
    assert "was changed since" in answer.text
    assert browser.parsed(answer).fields("/job/edit")["name"] == "mine"
    assert scheduler.entry("j").job.name == "by somebody else"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("schedule", "hours = -1", "hours=-1"),
        ("schedule", "hours", "expected name = value"),
        ("schedule", "hours = 1\nhours = 2", "appears twice"),
        ("schedule", "func = os:system", "does not belong there"),
        ("options", "max_instances = none", "max_instances"),
        ("args", "[", "is not JSON"),
        ("kwargs", '{"x": 1, "x": 2}', "stands twice"),
        ("options", 'retry = {"count": 1, "count": 2}', "retry="),
        ("func", "os:system", "SCHEDULER_API_ALLOWED_FUNCS"),
    ],
)
def test_what_cannot_be_saved_is_told_with_the_form_as_it_was(browser, job, field, value, told):
    form = browser.get("/job/edit?id=j").fields("/job/edit")
    answer = browser.send("/job/edit", {**form, field: value, "do": "preview"})
    assert answer.status_code >= 400
    assert told in answer.text
    assert browser.parsed(answer).fields("/job/edit")[field] == value


def test_a_job_is_duplicated_and_a_new_one_added(browser, scheduler, job):
    form = browser.get("/job/new?from=j").fields("/job/edit")
    assert (form["id"], form["args"]) == ("", "[4]")
    assert browser.send("/job/edit", {**form, "id": "j", "do": "save"}).status_code == 412
    browser.follow(browser.send("/job/edit", {**form, "id": "k", "do": "save"}))
    assert scheduler.entry("k").job.options == scheduler.entry("j").job.options
    empty = browser.get("/job/new").fields("/job/edit")
    preview = browser.send(
        "/job/edit", {**empty, "id": "n", "func": "math:sqrt", "args": "[4]", "do": "preview"}
    )
    assert "2026-01-05 13:05:00" in preview.text


def test_a_run_is_cancelled(browser, scheduler, job):
    scheduler.shutdown(timeout=10)
    scheduler.start()
    run = scheduler.run_job("j")
    browser.get("/")
    ended = browser.send("/run/cancel", {"run": str(run.id)})
    assert ended.status_code == 409
    assert "Not done" in ended.text


def test_the_scheduler_is_paused_resumed_stopped_and_started(browser, scheduler):
    browser.get("/")
    page = browser.follow(browser.send("/system/pause"))
    assert scheduler.state.name == "PAUSED"
    assert page.form("/system/resume") is not None
    browser.follow(browser.send("/system/resume"))
    assert "Stop the scheduler" in browser.send("/system/stop").text
    assert scheduler.state.name == "RUNNING"
    browser.follow(browser.send("/system/stop", {"confirm": "1"}))
    assert scheduler.state.name == "STOPPED"
    browser.follow(browser.send("/system/start"))
    assert scheduler.state.name == "RUNNING"


@pytest.mark.parametrize("path", [path for path in FORMS if path not in ("/zone", "/sign-out")])
def test_who_may_only_look_is_refused_whatever_is_sent(mount, scheduler, job, path):
    browser = mount(**USERS)
    browser.sign_in("rob", "of rob")
    before = scheduler.entries()
    fields = {"id": "j", "do": "pause", "run": "1", "definition": "{}", "changes": "{}", "new": ""}
    answer = browser.send(path, {**fields, "which": "chosen", "confirm": "1"})
    assert answer.status_code == 403
    assert "SCHEDULER_API_READ_ONLY" in answer.text
    assert scheduler.entries() == before
    assert scheduler.state.name == "RUNNING"
    assert browser.open("/job/edit?id=j").status_code == 403


def test_who_did_it_is_in_the_audit(mount, scheduler, job):
    browser = mount(**USERS)
    browser.sign_in("ann", "of ann")
    browser.send("/job/pause", {"id": "j"})
    record = scheduler.audit("j")[0]
    assert (record.who, record.address, record.verb) == ("ann", "127.0.0.1", "paused")


def test_what_was_done_is_told_without_being_believed(browser, scheduler):
    scheduler.add_job(print, "interval", hours=1, id=HOSTILE)
    browser.get("/jobs")
    page = browser.follow(browser.send("/job/pause", {"id": HOSTILE}))
    assert f"{HOSTILE} was paused." in page.text
    assert not page.tags("img")
    for garbage in ("x", "bnVsbA==", "WzEsMl0=", "WyJhIiwgWzEsMiwzXV0="):
        browser._client.set_cookie("schedcore_flash", garbage, path=browser.base or "/")
        browser.get("/")


def test_a_job_is_run_for_due_times_that_have_passed_once_their_number_is_confirmed(
    browser, scheduler
):
    scheduler.add_job(
        math.sqrt, "interval", hours=1, start_date="2026-01-05T00:00", id="j", args=[4]
    )
    asked = browser.get("/job?id=j").form("/job/backfill")
    del asked["again"]  # which is not ticked
    asked |= {"since": "2026-01-05T09:00", "until": "2026-01-05 11:00"}  # in the job's own zone
    answer = browser.send("/job/backfill", asked)
    assert "Run j for 2 due times that passed?" in answer.text
    assert "From 2026-01-05 09:00:00 CET to 2026-01-05 10:00:00 CET" in answer.text
    assert len(scheduler.runs()) + len(scheduler.history()) <= 1, "what is due now, and no more"
    confirmed = browser.parsed(answer).form("/job/backfill")
    page = browser.follow(browser.send("/job/backfill", confirmed))
    assert "2 runs of j for past due times." in page.text
    for run in scheduler.runs():
        run_ended(scheduler, run.id)
    assert [record.cause for record in scheduler.history("j", until=START)] == ["backfill"] * 2
    again = browser.follow(browser.send("/job/backfill", asked))
    assert "j has no due times in this range that were not executed." in again.text
    assert (
        "There are others by now."
        in browser.send("/job/backfill", {**confirmed, "again": "1", "confirm": "3"}).text
    )
    assert "since=" in browser.send("/job/backfill", {"id": "j", "since": "soon"}).text


def run_ended(scheduler, run_id):
    """Wait until a run has ended."""
    deadline = time.monotonic() + SOON
    while scheduler.get_run(run_id).outcome is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_few_jobs_that_were_removed_together_are_added_again(browser, scheduler):
    for name in "abc":
        scheduler.add_job(math.sqrt, "interval", hours=1, id=name, args=[4], tags=["t"])
    before = {entry.job.id: entry.job.options for entry in scheduler.entries()}
    browser.get("/jobs")
    fields = {"do": "remove", "which": "filter", "tag": "t", "confirm": "3"}
    page = browser.follow(browser.send("/jobs/change", fields))
    assert "3 jobs were removed." in page.text
    assert scheduler.get_jobs() == []
    page = browser.follow(browser.send("/job/add", page.form("/job/add")))
    assert "3 jobs were added." in page.text
    assert {entry.job.id: entry.job.options for entry in scheduler.entries()} == before
