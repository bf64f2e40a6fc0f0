"""The forecast over HTTP: which runs come, and when there are more than workers."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from jsonschema import Draft202012Validator

from schedcore.clock import from_us


def test_the_forecast_tells_what_comes_and_what_will_be_late(api, scheduler, clock):
    """Twelve jobs at one moment, whose runs take a second each, and ten workers."""
    moment = from_us(clock.now_us() + 3_600_000_000).isoformat()
    for n in range(12):
        api.add(f"job-{n:02}", trigger="date", run_date=moment)
    found = api("GET", "/forecast?hours=2").json
    assert found["runs"] == 12
    assert [job["job_id"] for job in found["jobs"]] == [f"job-{n:02}" for n in range(12)]
    assert {tuple(job["next_fire_times"]) for job in found["jobs"]} == {(moment,)}
    (crowd,) = found["crowds"]
    assert (crowd["executor"], crowd["workers"], crowd["most"], crowd["at"]) == (
        *("default", 10, 12),
        moment,
    )
    default = next(each for each in found["executors"] if each["name"] == "default")
    assert sum(part["runs"] for part in default["slices"]) == 12
    described = api("GET", "/openapi.json").json
    schema = {"$ref": "#/components/schemas/Forecast", "components": described["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(found)


def test_a_day_is_foreseen_unless_it_is_said_otherwise(api):
    # Half an hour away, on the clock of Flask's scheduler, which is the real one, too.
    minute = (datetime.now(timezone.utc).minute + 30) % 60
    api.add("hourly", trigger="cron", minute=minute)
    (job,) = api("GET", "/forecast").json["jobs"]
    assert (job["runs"], len(job["next_fire_times"]), job["took"]) == (24, 10, None)


@pytest.mark.parametrize("hours", ["0", "169", "-1", "1.5", "x", "", "1e1"])
def test_hours_that_make_no_sense_are_refused(api, hours):
    assert api("GET", f"/forecast?hours={hours}").status == 400
