"""Backfill over HTTP: a job is run for due times that have passed, once their number is told."""

from __future__ import annotations

import pytest

RANGE = {"since": "2026-01-05T08:00Z", "until": "2026-01-05T11:00Z"}


@pytest.fixture
def hourly(api):
    """A job that is due each hour, and was so before it was added."""
    api.add("j", trigger="interval", hours=1, start_date="2026-01-05T00:30Z")
    return api


def backfill(api, body, query=""):
    return api("POST", f"/jobs/j/backfill{query}", body)


def test_it_asks_first_and_says_how_many_and_which(hourly):
    refused = backfill(hourly, RANGE)
    assert (refused.status, refused.json["error_type"]) == (409, "NotConfirmed")
    assert "3 due times" in refused.json["error_message"]
    told = {name: refused.json[name] for name in ("count", "first", "last")}
    assert told == {
        "count": 3,
        "first": "2026-01-05T08:30:00+00:00",
        "last": "2026-01-05T10:30:00+00:00",
    }
    assert backfill(hourly, RANGE, "?confirm=2").status == 409
    assert hourly("GET", "/jobs/j/runs?state=open").json == []


def test_each_due_time_is_run(hourly):
    done = backfill(hourly, RANGE, "?confirm=3")
    assert (done.status, done.json["count"]) == (200, 3)
    run = hourly("GET", f"/runs/{done.json['runs'][0]}").json
    assert (run["scheduled"], run["cause"]) == ("2026-01-05T08:30:00+00:00", "backfill")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "since=''"),
        ({"since": 5}, "as text"),
        ({"since": "soon"}, "since='soon'"),
        ({"since": "2026-01-05T08:00Z", "until": "2026-01-05T08:00Z"}, "before until"),
        ({"since": "2099-01-01"}, "before now"),
        ({"since": "2026-01-05T00:00Z", "again": "yes"}, "true or false"),
        ({"since": "2026-01-05T00:00Z", "agian": True}, "did you mean 'again'"),
    ],
)
def test_what_makes_no_sense_is_refused(hourly, body, told):
    refused = backfill(hourly, body)
    assert refused.status == 400
    assert told in refused.json["error_message"]


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_a_condition_is_refused_and_not_ignored(hourly, name):
    refused = hourly("POST", "/jobs/j/backfill?confirm=3", RANGE, headers={name: '"x"'})
    assert refused.status == 400
    assert "accepts no condition" in refused.json["error_message"]


def test_a_job_that_is_not_there(hourly):
    assert hourly("POST", "/jobs/no/backfill?confirm=1", RANGE).status == 404
