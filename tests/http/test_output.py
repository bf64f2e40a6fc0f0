"""What runs print, over HTTP; and what is hidden of it, and of arguments."""

from __future__ import annotations

import threading

import pytest
from flask import Flask

from schedcore import InvalidOptionError, Scheduler, State
from schedhttp.build import make_scheduler
from schedhttp.flask import FlaskScheduler
from schedhttp.settings import Settings
from tests.http.conftest import listed
from tests.patience import SOON

READER = {"Authorization": "Bearer the-token-of-the-reader"}
ANN = {"Authorization": "Bearer the-token-of-ann"}
TOKENS = {
    "api_tokens": {"reader": "the-token-of-the-reader", "ann": "the-token-of-ann"},
    "api_read_only": ["reader"],
}


@pytest.fixture
def scheduler(clock):
    """A scheduler that keeps what runs print; a test starts it, in which pytest's streams stay."""
    scheduler = Scheduler(
        clock=clock, timezone="UTC", capture_output=True, redact=[r"(?:password|pin)=(\w+)"]
    )
    yield scheduler
    if scheduler.state is not State.STOPPED:
        scheduler.shutdown(timeout=SOON)


def run(scheduler, func, *args, **kwargs):
    """Run a function as a job, and return the run."""
    if scheduler.state is State.STOPPED:
        scheduler.start()
    scheduler.add_job(func, "interval", args=args, kwargs=kwargs, hours=1, id="j")
    return scheduler.run_job("j", timeout=SOON)


# What a run prints


def test_the_output_of_a_run_is_followed_from_place_to_place(api, scheduler):
    printed, go = threading.Event(), threading.Event()

    def work():
        print("first")
        printed.set()
        assert go.wait(SOON)
        print("zweite ☃")

    scheduler.start()
    scheduler.add_job(work, "interval", hours=1, id="j")
    one = scheduler.run_job("j", wait=False)
    assert printed.wait(SOON)
    path = f"/runs/{one.id}/output"
    answer = api("GET", path)
    of_run = {"left_out": 0, "run_id": str(one.id)}
    assert answer.json == {"text": "first\n", "next": 6, "ended": False, **of_run}
    go.set()
    assert one.wait(SOON)
    answer = api("GET", f"{path}?after=6")
    assert answer.json == {"text": "zweite ☃\n", "next": 15, "ended": True, **of_run}
    assert api("GET", f"{path}?after=15").json["text"] == ""
    assert api("HEAD", path).status == 200


def test_a_run_that_printed_nothing(api, scheduler):
    one = run(scheduler, abs, 1)
    answer = api("GET", f"/runs/{one.id}/output")
    assert answer.json == {
        "text": "",
        "next": 0,
        "left_out": 0,
        "ended": True,
        "run_id": str(one.id),
    }


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("after=4", "after=4: expected a whole number from 0 to 3"),
        ("after=-1", "after='-1': expected a whole number from 0 to"),
        ("after=x", "after='x': expected a whole number"),
        ("after=1.0", "after='1.0': expected a whole number"),
        ("after=", "after='': expected a whole number"),
        (f"after={'9' * 50}", "expected a whole number"),
        ("after=1&after=1", "after= stands 2 times"),
        ("afer=1", "afer=: expected one of the parameters after"),
    ],
)
def test_a_place_that_is_none_is_400(api, scheduler, query, told):
    one = run(scheduler, lambda: print("abc", end=""))
    answer = api("GET", f"/runs/{one.id}/output?{query}")
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
    assert told in answer.json["error_message"]


def test_a_run_that_is_not_there(api, scheduler):
    scheduler.start()
    answer = api("GET", "/runs/5/output")
    assert (answer.status, answer.json["error_type"]) == (404, "RunLookupError")
    assert api("GET", "/runs/x/output").status == 400


def test_what_is_no_text_and_too_much_is_json_all_the_same(api, scheduler):
    one = run(scheduler, lambda: [print("\x00\ud800\x1b[31m"), print("x" * 10**6)])
    answer = api("GET", f"/runs/{one.id}/output")
    assert answer.json["text"].startswith("\\x00\\ud800\x1b[31m\n")
    assert answer.json["left_out"] == answer.json["next"] - 65_536
    assert len(answer.json["text"]) < 66_000


# Secrets


def test_secrets_are_hidden_wherever_they_are_shown(mount, scheduler):
    api = mount(api_allowed_funcs=["*"])

    def work(*_args, **_kwargs):
        print("password=abc")
        raise ValueError("password=abc")

    one = run(scheduler, work, {"pin": 1234}, "password=abc", password="abc", n=3)
    job = api("GET", "/jobs/j").json
    assert job["args"] == [{"pin": "****"}, "password=***"]
    assert job["kwargs"] == {"password": "***", "n": 3}
    assert job["hidden"] == ["args[0]", "args[1]", "kwargs.password"]
    assert api("GET", "/jobs").json == [listed(job)]
    narrow = api("GET", "/jobs?fields=args,kwargs").json
    assert narrow == [{"args": job["args"], "kwargs": job["kwargs"]}]
    shown = api("GET", f"/runs/{one.id}").json
    assert (shown["error_text"], shown["why"]) == (
        "password=***",
        "failed: ValueError: password=***",
    )
    assert api("GET", "/jobs/j/runs").json == [shown]
    assert "password=***\n" in api("GET", f"/runs/{one.id}/output").json["text"]
    answer = api("POST", "/jobs/j/run")
    assert answer.status == 500
    assert answer.json["error_message"] == "job 'j' raised ValueError: password=***"


def test_what_is_shown_with_stars_changes_nothing_when_it_is_sent_back(api, scheduler):
    run(scheduler, dict, password="abc")
    job = api("GET", "/jobs/j").json
    assert api("PATCH", "/jobs/j", {**job, "name": "renamed"}).status == 200
    assert scheduler.get_job("j").kwargs == {"password": "abc"}


def anything(*_args, **kwargs):
    """Stands for what is called with secrets."""
    return kwargs


def test_stars_and_reprs_beside_a_change_stand_for_what_is_there(api, scheduler):
    thing = [(1, 2)]
    thing.append(thing)
    scheduler.register(anything)
    run(scheduler, anything, thing, {"pin": 1234, 5: (6,)}, password="abc", n=3)
    job = api("GET", "/jobs/j").json
    job["args"].append("new")
    job["kwargs"]["n"] = 4
    assert api("PATCH", "/jobs/j", job).status == 200
    now = scheduler.get_job("j")
    assert now.args[0] is thing
    assert now.args[1:] == ({"pin": 1234, 5: (6,)}, "new")
    assert now.kwargs == {"password": "abc", "n": 4}
    assert api("PATCH", "/jobs/j", {"kwargs": {"password": "xyz", "n": 4}}).status == 200
    assert scheduler.get_job("j").kwargs == {"password": "xyz", "n": 4}


def test_stars_in_the_arguments_of_a_run_stand_for_what_is_there(api, scheduler):
    scheduler.register(anything)
    run(scheduler, anything, password="abc", n=3)
    kwargs = {**api("GET", "/jobs/j").json["kwargs"], "n": 4}
    assert api("POST", "/jobs/j/run", {"kwargs": kwargs}).status == 200
    assert scheduler.history("j")[0].result == "{'n': 4, 'password': 'abc'}"
    assert api("POST", "/jobs/j/run", {"kwargs": {"n": "***"}}).status == 500
    assert len(scheduler.history("j")) == 2


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"args": [{"pin": "****"}]}, "args[0]"),
        ({"args": ["before", {"pin": "****"}]}, "args[1]"),
        ({"kwargs": {"n": 4, "other": "***"}}, "kwargs.other"),
        ({"kwargs": {"n": 4, "password": "*****"}}, "kwargs.password"),
    ],
)
def test_stars_anywhere_else_are_refused(api, scheduler, change, place):
    scheduler.register(anything)
    run(scheduler, anything, {"pin": 1234, "files": "*.csv"}, password="abc", n=3)
    assert api("PATCH", "/jobs/j", {"kwargs": {"password": "***", "n": "*.csv"}}).status == 200
    before = scheduler.entry("j").job
    answer = api("PATCH", "/jobs/j", change)
    assert answer.status == 500
    assert answer.json["error_message"].startswith(f"{place}=")
    assert scheduler.entry("j").job == before


def test_what_is_nested_too_deeply_to_be_searched_is_hidden(api, scheduler):
    deep = []
    for _ in range(900):
        deep = [deep]
    run(scheduler, anything, deep)
    (job,) = api("GET", "/jobs").json
    assert (job["args"], job["kwargs"], job["hidden"]) == ([], {}, ["args", "kwargs"])


def test_stars_make_no_new_job(api, scheduler):
    run(scheduler, dict, password="abc")
    job = api("GET", "/jobs/j").json
    answer = api("POST", "/jobs", {**job, "id": "k", "func": "math:sqrt"})
    assert answer.status == 500
    assert answer.json["error_type"] == "InvalidOptionError"
    assert answer.json["error_message"].startswith("hidden=['kwargs.password']: expected nothing")
    assert scheduler.get_job("k") is None
    api.add("shown")
    assert "hidden" not in api("GET", "/jobs/shown").json


def test_a_change_of_what_is_hidden_is_a_change(api, scheduler):
    run(scheduler, dict, password="abc")
    before = api("GET", "/jobs/j").headers["ETag"]
    scheduler.modify_job("j", kwargs={"password": "xyz"})
    after = api("GET", "/jobs/j").headers["ETag"]
    assert after != before
    assert api("DELETE", "/jobs/j", headers={"If-Match": before}).status == 412


# Who may only look


def test_who_may_only_look_sees_neither_arguments_nor_output(mount, scheduler):
    api = mount(**TOKENS, api_hide_args=True)
    one = run(scheduler, lambda *what, end: print(*what, end=end), "secret", [object()], end="")
    for_ann = api("GET", "/jobs/j", headers=ANN).json
    assert (for_ann["args"][0], for_ann["shown_as_repr"]) == ("secret", ["func", "args[1]"])
    shown = api("GET", "/jobs/j", headers=READER).json
    assert shown == {
        **for_ann,
        "args": [],
        "kwargs": {},
        "hidden": ["args", "kwargs"],
        "shown_as_repr": ["func"],
    }
    assert api("GET", "/jobs", headers=READER).json == [listed(shown)]
    assert "secret" not in api("GET", "/jobs?fields=args,id", headers=READER).text
    path = f"/runs/{one.id}/output"
    answer = api("GET", path, headers=READER)
    assert (answer.status, answer.json["error_type"]) == (403, "Forbidden")
    assert "SCHEDULER_API_HIDE_ARGS" in answer.json["error_message"]
    assert "secret" in api("GET", path, headers=ANN).json["text"]


def test_unless_a_setting_says_so_they_see_both(mount, scheduler):
    api = mount(**TOKENS)
    one = run(scheduler, print, "seen")
    assert api("GET", "/jobs/j", headers=READER).json["args"] == ["seen"]
    assert api("GET", f"/runs/{one.id}/output", headers=READER).json["text"] == "seen\n"


# Settings


@pytest.mark.parametrize("on", [True, False])
def test_the_settings_say_whether_output_is_kept(on):
    settings = Settings.of(store="memory", redact=["secret"], capture_output=on)
    served = make_scheduler(settings)
    app = Flask("tests", root_path=".")
    app.config["SCHEDULER_CAPTURE_OUTPUT"] = on
    for scheduler in (served, FlaskScheduler(app=app).scheduler):
        scheduler.start()
        scheduler.add_job(print, "interval", args=["a secret"], hours=1, id="j")
        one = scheduler.run_job("j", timeout=SOON)
        text = scheduler.output(one.id).text
        scheduler.shutdown()
        hidden = "a ******\n" if scheduler is served else "a secret\n"
        assert text == (hidden if on else "")


def test_it_is_kept_by_default_where_it_is_served():
    assert Settings().capture_output is True


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ()),
        (r"password=(\w+), ", (r"password=(\w+), ",)),
        (r'["a", "b{1,2}"]', ("a", "b{1,2}")),
        ("[ab]c", ("[ab]c",)),
        (["a"], ("a",)),
    ],
)
def test_patterns_are_a_list_or_one(given, read):
    assert Settings.of(redact=given).redact == read


@pytest.mark.parametrize("given", ["(", ["a", "(a+)+"], [5], 5])
def test_patterns_that_are_none(given):
    with pytest.raises(InvalidOptionError, match=r"SCHEDULER_REDACT"):
        Settings().changed({"SCHEDULER_REDACT": given})


# Real servers

PRINTS = '''
import os, sys, time

def talk(gate):
    """Print, wait for a file, and print again."""
    print(f"in {os.getpid()}\\n", end="", flush=True)  # at once: other threads log
    while not os.path.exists(gate):
        time.sleep(0.02)
    sys.stderr.write("done\\n")
'''


def test_any_worker_shows_what_a_run_prints_while_it_goes_on(gunicorn, tmp_path):
    (tmp_path / "talks.py").write_text(PRINTS)
    server = gunicorn(
        *("--workers", "2", "--threads", "4"), SCHEDULER_API_ALLOWED_FUNCS="talks:talk"
    )
    server.all_answer(2)
    gate = tmp_path / "gate"
    job = {"id": "t", "func": "talks:talk", "args": [str(gate)], "trigger": "cron", "year": 2999}
    assert server.patiently("POST", "/scheduler/jobs", job).status == 200
    began = server.patiently("POST", "/scheduler/jobs/t/run", {"wait": False})
    assert began.status == 200
    (one,) = server.patiently("GET", "/scheduler/runs?state=open&job=t").json
    path = f"/scheduler/runs/{one['run_id']}/output"
    server.until(lambda: server.patiently("GET", path).json["next"])
    answers = server.burst("GET", path)
    assert len({answer.worker for answer in answers}) == 2
    (text,) = {answer.json["text"] for answer in answers}
    assert text == f"in {began.worker}\n"
    assert not any(answer.json["ended"] for answer in answers)
    gate.touch()
    server.until(lambda: server.patiently("GET", path).json["ended"])
    after = len(text)
    for answer in server.burst("GET", f"{path}?after={after}"):
        assert answer.json["text"] == "done\n"
        assert answer.json["ended"]
    assert text in server.log, "and all of it goes where it went"
