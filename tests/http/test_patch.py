"""PATCH: merged into the present job, all or nothing, and only if nobody else was faster."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest

from schedcore import Trigger


def test_what_get_gives_can_be_sent_back_and_changes_nothing(api, scheduler):
    for job_id, trigger in {
        "interval": {"trigger": "interval", "hours": 1, "seconds": 0.5, "jitter": 5},
        "cron": {
            "trigger": "cron",
            "hour": "1-5",
            "day_of_week": "mon-fri",
            "timezone": "Asia/Tokyo",
        },
        "crontab": {"trigger": "cron", "crontab": "5 4 * * *"},
        "date": {"trigger": "date", "run_date": "2030-01-01"},
        "months": {"trigger": "calendarinterval", "months": 1},
        "or": {"trigger": "or", "triggers": [{"trigger": "interval", "days": 1}]},
    }.items():
        job = api.add(job_id, **trigger)
        before = scheduler.entry(job_id)
        answer = api("PATCH", f"/jobs/{job_id}", job)
        assert (answer.status, answer.json) == (200, job)
        assert scheduler.entry(job_id)[:4] == before[:4]


def test_what_get_gave_before_a_run_does_not_bring_that_run_back(api, clock):
    job = api.add("j", trigger="cron", minute="*")
    later = api("PATCH", "/jobs/j", {"next_run_time": "2026-01-05T13:30:00+01:00"}).json
    clock.advance(120)
    changed = api("PATCH", "/jobs/j", {**job, "name": "Other"}).json
    assert (changed["name"], changed["next_run_time"]) == ("Other", later["next_run_time"])
    passed = {"next_run_time": job["next_run_time"]}
    assert api("PATCH", "/jobs/j", passed).json["next_run_time"] == job["next_run_time"]


def test_what_get_gave_before_a_job_was_resumed_does_not_pause_it_again(api):
    job = api.add("j")
    paused = api("POST", "/jobs/j/pause").json
    api("POST", "/jobs/j/resume")
    changed = api("PATCH", "/jobs/j", {**paused, "name": "Other"}).json
    assert (changed["name"], changed["state"]) == ("Other", "scheduled")
    changed = api("PATCH", "/jobs/j", {**job, "next_run_time": None}).json
    assert changed["state"] == "paused"


def test_any_unit_replaces_the_whole_interval_and_a_start_that_was_given_stays(api):
    job = api.add("j", trigger="interval", hours=1, minutes=30, start_date="2100-01-01")
    changed = api("PATCH", "/jobs/j", {"minutes": 30}).json
    assert changed["minutes"] == 30
    assert "hours" not in changed
    assert changed["start_date"] == job["start_date"]


@pytest.mark.parametrize(
    "change", [{"minutes": 1}, {"trigger": {"type": "interval", "minutes": 1}}], ids=str
)
def test_another_interval_without_a_start_counts_from_the_change(api, change):
    job = api.add("j", trigger="interval", hours=1)
    kept = api("PATCH", "/jobs/j", {"end_date": "2100-01-01"}).json
    assert kept["next_run_time"] == job["next_run_time"]
    changed = api("PATCH", "/jobs/j", change).json
    moved = datetime.fromisoformat(changed["next_run_time"])
    assert moved == datetime.fromisoformat(job["next_run_time"]) - timedelta(minutes=59)
    again = api("PATCH", "/jobs/j", {"minutes": 1, "max_instances": 2}).json
    assert again["start_date"] == changed["start_date"]


@pytest.mark.parametrize("paused", [False, True])
def test_an_interval_without_a_start_counts_on_from_a_next_run_time_it_is_given(api, paused):
    api.add("j", trigger="interval", hours=1)
    if paused:
        api("POST", "/jobs/j/pause")
    for moment in ("2100-01-01T00:07:00+01:00", "2100-02-01T00:09:00+01:00"):
        api("PATCH", "/jobs/j", {"next_run_time": moment})
        if paused:
            assert api("GET", "/jobs/j").json["next_run_time"] is None
        assert api("GET", "/jobs/j").json["start_date"] == moment


def test_an_interval_with_a_start_keeps_its_beat_whatever_next_run_time_it_is_given(api):
    api.add("j", trigger="interval", hours=1, start_date="2100-01-01")
    api("PATCH", "/jobs/j", {"next_run_time": "2100-01-01T00:07:00+01:00"})
    times = api("GET", "/jobs/j/next?n=2").json["next_fire_times"]
    assert [time[11:16] for time in times] == ["00:07", "01:00"]


def test_cron_fields_are_replaced_one_by_one(api):
    api.add("j", trigger="cron", hour=2, minute=30, timezone="Asia/Tokyo")
    changed = api("PATCH", "/jobs/j", {"hour": 4}).json
    assert (changed["hour"], changed["minute"], changed["timezone"]) == (4, 30, "Asia/Tokyo")


def test_another_kind_of_trigger_starts_from_scratch(api):
    api.add("j", trigger="cron", hour=2)
    changed = api("PATCH", "/jobs/j", {"trigger": "interval", "seconds": 5}).json
    assert (changed["trigger"], changed["seconds"]) == ("interval", 5)
    assert "hour" not in changed


def test_the_trigger_as_an_object_is_the_same(api):
    api.add("j")
    assert (
        api("PATCH", "/jobs/j", {"trigger": {"type": "interval", "seconds": 7}}).json["seconds"]
        == 7
    )


def test_a_paused_job_stays_paused(api):
    api.add("j")
    api("POST", "/jobs/j/pause")
    changed = api("PATCH", "/jobs/j", {"seconds": 60, "name": "Other"}).json
    assert (changed["state"], changed["seconds"], changed["name"]) == ("paused", 60, "Other")


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": 5, "max_instances": 0},
        {"name": "Other", "seconds": -1},
        {"name": "Other", "func": "math:nothing"},
        {"args": [9], "id": "other"},
        {"args": [9], "state": "paused", "broken": "x"},
        {"seconds": 5, "unknown": 1},
        {"name": 5, "seconds": 5},
        {"trigger": "interval"},
    ],
)
def test_after_an_error_nothing_has_changed(mount, changes):
    api = mount(api_allowed_funcs=["math:sqrt", "math:nothing"])
    job = api.add("j", trigger="cron", hour=2) if "trigger" in changes else api.add("j")
    assert api("PATCH", "/jobs/j", changes).status == 500
    assert api("GET", "/jobs/j").json == job


def test_a_function_that_is_not_allowed_is_403_also_here(api):
    job = api.add("j")
    assert api("PATCH", "/jobs/j", {"func": "os:system", "name": "x"}).status == 403
    assert api("GET", "/jobs/j").json == job


def test_changes_at_the_same_time_are_all_made(api, scheduler):
    """Each of them is merged into what the others left."""
    api.add("j", trigger="cron", hour=0)
    fields = {"minute": 7, "second": 8, "day": 9, "month": 10}
    together = Barrier(len(fields))

    def change(name, value):
        together.wait()
        assert api("PATCH", "/jobs/j", {name: value}).status == 200

    threads = [Thread(target=change, args=pair) for pair in fields.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job = api("GET", "/jobs/j").json
    assert {name: job[name] for name in fields} == fields


class Whenever(Trigger):
    """A trigger of a user's own, without a plain-data form."""

    def next_us(self, after_us):
        return after_us + 1_000_000


def test_what_json_cannot_carry_is_shown_and_left_alone(api, scheduler):
    def own(*args, **kwargs):
        """A function that no reference leads to."""

    scheduler.add_job(own, Whenever(), [object(), {1}, float("nan"), 5], {"k": b"x"}, id="odd")
    scheduler.add_job(print, "interval", seconds=5, id="even")
    jobs = {job["id"]: job for job in api("GET", "/jobs").json}
    odd = jobs["odd"]
    assert len(jobs) == 2
    assert odd["shown_as_repr"] == ["func", "args[0]", "args[1]", "args[2]", "kwargs.k", "trigger"]
    assert odd["args"][1:] == ["{1}", "nan", 5]
    answer = api("PATCH", "/jobs/odd", odd | {"name": "Named"})
    assert answer.status == 200, answer.text
    job = scheduler.entry("odd").job
    assert (job.name, job.func, job.args[1]) == ("Named", own, {1})
    assert isinstance(job.trigger, Whenever)
    assert api("POST", "/jobs", odd | {"id": "copy"}).status == 500


class Growing:
    """An argument whose repr changes."""

    size = 0

    def __repr__(self):
        return f"<{self.size} items>"


def test_the_repr_from_before_does_not_replace_its_object(api, scheduler):
    growing, given = Growing(), []

    def take(*args, **kwargs):
        given.append((args, kwargs))

    scheduler.register(take)
    scheduler.add_job(take, "interval", [growing, 7], {"k": growing}, hours=1, id="j")
    seen = api("GET", "/jobs/j").json
    growing.size = 5
    stale = {"args": [seen["args"][0], 8]}, {"kwargs": seen["kwargs"]}
    for body in stale:
        for answer in (api("PATCH", "/jobs/j", body), api("POST", "/jobs/j/run", body)):
            assert answer.status == 500, answer.text
            assert "='<0 items>': expected '<5 items>'" in answer.json["error_message"]
    body = {"args": ["<5 items>", 8], "kwargs": {"k": "<5 items>"}}
    assert api("POST", "/jobs/j/run", body).status == 200
    assert given == [((growing, 8), {"k": growing})]
    assert api("PATCH", "/jobs/j", body).status == 200
    assert scheduler.entry("j").job.args == (growing, 8)
    for value in (None, "text"):
        assert api("PATCH", "/jobs/j", {"args": [value, 8]}).json["args"] == [value, 8]
