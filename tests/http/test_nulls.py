"""PATCH: null takes any field back to its default; where there is none, 400, and never 500."""

from __future__ import annotations

import pytest

from schedcore import ManualClock, Scheduler
from schedcore.job import OPTION_NAMES
from schedcore.triggers.factory import KINDS, option_names
from schedhttp import build
from schedhttp.codec import JOB_FIELDS, READ_ONLY
from tests.http.conftest import START, listed

DEFAULTS = {
    "misfire_grace_time": 5,
    "coalesce": False,
    "max_instances": 3,
    "overlap": "queue",
    "timeout": 60,
    "retry": {"count": 2, "delay": 3},
    "on_lost": "rerun",
    "tags": ["nightly"],
    "on_failure": ["a"],
    "on_recovery": ["a"],
    "on_missed": ["a"],
    "on_run": ["a"],
}
OPTIONS = {
    "misfire_grace_time": 7,
    "coalesce": True,
    "max_instances": 9,
    "overlap": "cancel",
    "timeout": 90,
    "retry": 1,
    "on_lost": "record",
    "tags": ["billing"],
    "on_failure": ["b"],
    "on_recovery": ["b"],
    "on_missed": ["b"],
    "on_run": ["b"],
    "executor": "coroutines",
}
CALL = {"name": "Named", "args": [[["k", 1]]], "kwargs": {"a": 2}}
# With an offset: a moment stays the same moment when the zone is taken away.
SHARED = {"start_date": "2026-02-01T00:00:00+09:00", "timezone": "Asia/Tokyo", "jitter": 3}
# Each option of each kind is in one of these.
TRIGGERS = {
    "date": {"trigger": "date", "run_date": "2030-01-01T00:00:00+09:00", "timezone": "Asia/Tokyo"},
    "interval": {
        "trigger": "interval",
        **dict.fromkeys(("weeks", "days", "hours", "minutes", "seconds"), 1),
        **SHARED,
        "end_date": "2040-01-01T00:00:00+09:00",
    },
    "cron": {
        "trigger": "cron",
        "year": "*",
        "month": 2,
        "day": 3,
        "week": "*",
        "day_of_week": "*",
        "hour": 4,
        "minute": 5,
        "second": 6,
        **SHARED,
        "end_date": "2040-01-01T00:00:00+09:00",
    },
    "crontab": {"trigger": "cron", "crontab": "5 4 * * *", "timezone": "Asia/Tokyo"},
    "calendarinterval": {
        "trigger": "calendarinterval",
        **dict.fromkeys(("years", "months", "weeks", "days"), 1),
        "hour": 4,
        "minute": 5,
        "second": 6,
        **SHARED,
        "start_date": "2026-02-01",
        "end_date": "2040-01-01",
    },
    "or": {"trigger": "or", "triggers": [{"trigger": "interval", "days": 1}], "jitter": 2},
    "and": {"trigger": "and", "triggers": [{"trigger": "interval", "days": 1}], "jitter": 2},
}
NO_DEFAULT = {"func", "id", "trigger", "triggers"}
FIELDS = [
    pytest.param(name, field, id=f"{name}-{field}")
    for name, trigger in TRIGGERS.items()
    for field in trigger
    if field != "trigger"
]


@pytest.fixture
def scheduler():
    scheduler = Scheduler(
        clock=ManualClock(START),
        timezone="Europe/Berlin",
        job_defaults=DEFAULTS,
        notices={"a": print, "b": print},
    )
    scheduler.start(paused=True)
    yield scheduler
    scheduler.shutdown()


@pytest.fixture
def api(mount):
    return mount(api_allowed_funcs=["builtins:print", "builtins:dict"])


def body(**more):
    return {"func": "builtins:dict", "trigger": "cron", "hour": 3} | more


def without(field, job):
    return {name: value for name, value in job.items() if name != field}


def fixed(job):
    """What is not made up, or left to chance: where there is jitter, the due time is."""
    named = {"id", "next_run_time"} if job.get("jitter") else {"id"}
    return {name: value for name, value in job.items() if name not in named}


def test_the_table_has_every_field():
    in_table = {field for trigger in TRIGGERS.values() for field in trigger}
    assert in_table >= set().union(*map(option_names, KINDS))
    assert {*OPTIONS} == OPTION_NAMES
    assert {*OPTIONS, *CALL, *NO_DEFAULT, "next_run_time"} - {"triggers"} == JOB_FIELDS


@pytest.mark.parametrize("field", [*OPTIONS, "name", "args", "kwargs"])
def test_a_field_of_the_job_is_what_it_is_when_nobody_gives_it(api, field):
    given = {**OPTIONS, **CALL}
    job = api.add("j", **body(**given))
    expected = api("POST", "/jobs", body(**without(field, given), id="expected")).json
    answer = api("PATCH", "/jobs/j", {field: None})
    assert answer.status == 200, answer.text
    assert answer.json[field] == expected[field]
    assert answer.json[field] != job[field]
    assert fixed(answer.json) == fixed(expected)


@pytest.mark.parametrize(("name", "field"), FIELDS)
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_so_is_an_option_of_the_trigger(api, name, field, nested):
    trigger = TRIGGERS[name]
    job = api.add("j", func="builtins:dict", args=[], **trigger)
    change = {"trigger": {"type": trigger["trigger"], field: None}} if nested else {field: None}
    answer = api("PATCH", "/jobs/j", change)
    expected = api(
        "POST",
        "/jobs",
        {"id": "expected", "func": "builtins:dict", "args": []} | without(field, trigger),
    )
    if expected.status == 200:
        assert answer.status == 200, answer.text
        assert fixed(answer.json) == fixed(expected.json)
        assert answer.json.get(field) != job[field]
    else:
        assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
        assert api("GET", "/jobs/j").json == job


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize("field", sorted(NO_DEFAULT | {"nothing", "minutes", "triggers"}))
def test_what_has_no_default_is_400_and_nothing_changes(mount, field, precise):
    api = mount(api_allowed_funcs=["builtins:dict"], api_precise_errors=precise)
    job = api.add("j", func="builtins:dict", args=[], trigger="interval", minutes=5)
    for more in ({}, {"name": None}, {"name": "Other"}):
        answer = api("PATCH", "/jobs/j", {field: None, **more})
        assert (answer.status, answer.json["error_type"]) == (400, "BadRequest"), answer.text
        assert api("GET", "/jobs/j").json == job


@pytest.mark.parametrize(
    "change",
    [
        {"trigger": {"type": None}},
        {"trigger": {"trigger": None}},
        {"trigger": {"trigger": None, "hours": 3}},
        {"trigger": None, "hours": 3},
        {"trigger": "interval", "minutes": None},
        {"trigger": {"type": "interval", "minutes": None}},
        {"trigger": "or", "triggers": None},
        {"trigger": "or", "triggers": [None]},
        {"trigger": "or", "triggers": [{"trigger": None}]},
        {"trigger": "or", "triggers": [{"trigger": "interval", "minutes": None}]},
        {"retry": {"count": None}},
        {"retry": {"on": None}},
    ],
    ids=str,
)
def test_null_inside_of_a_field_is_400_too(api, change):
    job = api.add("j", func="builtins:dict", args=[], trigger="interval", minutes=5)
    answer = api("PATCH", "/jobs/j", change)
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest"), answer.text
    assert api("GET", "/jobs/j").json == job


@pytest.mark.parametrize("field", sorted(READ_ONLY | {"jobstore"}))
def test_null_for_what_is_only_shown_changes_nothing(api, field):
    job = api.add("j", **body())
    assert api("PATCH", "/jobs/j", {field: None}).json == job


def test_a_mistake_beside_a_null_is_still_one(api):
    job = api.add("j", **body())
    for wrong in ({"coalesce": 5}, {"hour": 99}, {"trigger": "crn"}, {"max_instances": 0}):
        answer = api("PATCH", "/jobs/j", {"name": None, **wrong})
        assert (answer.status, api("GET", "/jobs/j").json) == (500, job)


def test_arguments_that_the_function_needs_cannot_be_taken_away(mount):
    api = mount()
    job = api.add("j")
    answer = api("PATCH", "/jobs/j", {"args": None})
    assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
    assert api("GET", "/jobs/j").json == job


def test_next_run_time_null_pauses(api):
    """There null is a value: what is shown of a paused job."""
    api.add("j", **body())
    assert api("PATCH", "/jobs/j", {"next_run_time": None}).json["state"] == "paused"


def test_null_that_is_shown_can_be_sent_back(api):
    """A job without any limit, where the default is one."""
    job = api.add("j", **body(misfire_grace_time=None, timeout=None, retry=None))
    assert (job["misfire_grace_time"], job["timeout"], job["retry"]) == (None, None, None)
    assert api("PATCH", "/jobs/j", job).json == job


@pytest.mark.parametrize("option", ["coalesce", "max_instances", "executor", "overlap", "name"])
def test_in_a_new_job_null_is_the_default_too(api, option):
    expected = api.add("expected", **body())
    assert api.add("j", **body(**{option: None}))[option] == expected[option] or option == "name"


@pytest.mark.parametrize("jobstore", ["default", None])
def test_the_one_store_may_be_named(api, jobstore):
    job = api.add("j", **body(jobstore=jobstore))
    assert "jobstore" not in job
    assert api("PATCH", "/jobs/j", {"jobstore": jobstore, "name": "n"}).json["name"] == "n"
    assert api("POST", "/preview", body(jobstore=jobstore)).status == 200


@pytest.mark.parametrize("jobstore", ["redis", "", "Default", 5, True, [], {}, ["default"]])
@pytest.mark.parametrize("precise", [False, True])
def test_another_store_is_refused(mount, jobstore, precise):
    api = mount(api_allowed_funcs=["builtins:dict"], api_precise_errors=precise)
    job = api.add("j", **body(args=[]))
    for method, path in (("POST", "/jobs"), ("PATCH", "/jobs/j"), ("POST", "/preview")):
        answer = api(method, path, body(jobstore=jobstore))
        assert answer.status == (422 if precise else 500)
        assert "one store of jobs" in answer.json["error_message"]
    assert api("GET", "/jobs").json == [listed(job)]


def test_jobs_in_the_settings_may_name_it(scheduler):
    build.add_jobs(scheduler, [body(id="j", jobstore="default")])
    assert scheduler.get_job("j") is not None
    with pytest.raises(ValueError, match="one store of jobs"):
        build.add_jobs(scheduler, [body(id="other", jobstore="redis")])
    assert scheduler.get_job("other") is None
