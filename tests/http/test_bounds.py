"""What a request may not ask of a job, though settings and Python may."""

from __future__ import annotations

import pytest


def refused(api, scheduler, body, status=500):
    """Send *body* as a new job, as a preview and as a change; each has to name what is wrong."""
    api.add("old")
    before = scheduler.entries()
    change = {k: v for k, v in body.items() if k != "id"}
    answers = [
        api("POST", "/jobs", {"id": "new", "func": "math:sqrt", "args": [4], **body}),
        api("POST", "/jobs", {"func": "math:sqrt", "id": "old", "replace_existing": True, **body}),
        api("POST", "/preview", {"id": "new", "func": "math:sqrt", "args": [4], **body}),
    ]
    if change:
        answers.append(api("PATCH", "/jobs/old", change))
    assert [a.status for a in answers] == [status] * len(answers), answers
    assert scheduler.entries() == before
    return {a.json["error_message"] for a in answers}


def every(seconds, **more):
    return {"type": "interval", "seconds": seconds, **more}


OFTEN = [
    {"trigger": "interval", "seconds": 0.000001},
    {"trigger": "interval", "seconds": 0.999},
    {"trigger": "interval", "minutes": 0.01},
    {"trigger": every(0.5)},
    {"trigger": {"trigger": "interval", "seconds": 0.5}},
    {"trigger": {"type": "or", "triggers": [every(0.5), every(3600)]}},
    {"trigger": {"type": "or", "triggers": [every(1.5), every(1.5, start_date="2026-01-01")]}},
    {"trigger": {"type": "and", "triggers": [every(0.5), every(0.25)]}},
    {"trigger": {"type": "or", "triggers": [{"type": "and", "triggers": [every(0.5)]}]}},
    {"trigger": every(60), "retry": {"count": 1000, "delay": 0}},
    {"trigger": every(60), "retry": {"delay": 5, "longest": 0.5}},
]


@pytest.mark.parametrize("trigger", OFTEN, ids=str)
def test_a_request_cannot_have_a_job_run_without_a_pause(mount, scheduler, trigger):
    api = mount(api_precise_errors=True)
    for message in refused(api, scheduler, trigger, 422):
        assert "SCHEDULER_API_SHORTEST_INTERVAL" in message
    mount(api_shortest_interval=0).add("quick", **trigger)
    mount(api_shortest_interval=60).add("seldom", retry=3)


def test_a_job_that_runs_more_often_already_can_be_changed(api, scheduler):
    scheduler.add_job("math:sqrt", "interval", [4], seconds=0.5, id="j")
    assert api("PATCH", "/jobs/j", {"name": "Other", "jitter": 1}).status == 200
    assert api("PATCH", "/jobs/j", {"seconds": 0.75}).status == 200
    assert api("PATCH", "/jobs/j", {"seconds": 0.5}).status == 500
    assert api("PATCH", "/jobs/j", {"seconds": 1}).status == 200


def test_an_and_of_quick_members_that_fires_seldom_is_taken(api):
    seldom = {"type": "and", "triggers": [every(0.5), {"type": "cron", "hour": 3}]}
    api.add("j", trigger=seldom)


@pytest.mark.parametrize(
    "field",
    [
        {"max_instances": 1_001},
        {"max_instances": 10**200},
        {"name": "n" * 256},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "\x1b[2J"},
        {"id": "a\0b"},
        {"id": "a\r\nb"},
        {"id": "\x1b]0;x"},
        {"id": "a\u2028b"},
        {"id": "."},
        {"id": ".."},
        {"id": "../pause"},
        {"id": "a/../b"},
        {"id": "a/."},
        {"id": "..\\pause"},
        {"id": "%2e%2E"},
        {"id": "a%2F.%2e%5Cb"},
    ],
    ids=str,
)
def test_what_would_harm_other_clients_is_refused(mount, scheduler, field):
    api = mount()
    for message in refused(api, scheduler, field):
        assert message.startswith(f"{next(iter(field))}=")


@pytest.mark.parametrize(
    "job_id", ["...", "a.b", "..a", "a/b", "a..b/..c", "größe ☃", "%2", "👩‍🚀"]
)
def test_other_ids_are_taken(api, job_id):
    assert api.add(job_id)["id"] == job_id


@pytest.mark.parametrize(
    "number",
    [
        "1e400",
        "-1e400",
        "1E+999",
        "9" * 400 + ".0",
        "NaN",
        "Infinity",
        "9" * 301,
        "-" + "9" * 4_299,
    ],
    ids=lambda text: text[:10],
)
def test_what_json_cannot_carry_back_is_no_number(api, scheduler, number):
    for body in ('{"func":"math:sqrt","args":[%s]}', '{"func":"math:sqrt","kwargs":{"a":[%s]}}'):
        for path in ("/jobs", "/preview"):
            answer = api("POST", path, (body % number).encode())
            assert (answer.status, answer.json["error_type"]) == (400, "BadRequest")
    assert scheduler.entries() == []
    assert api.add("j", args=[10**299])["args"] == [10**299]
