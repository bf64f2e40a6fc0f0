"""Times and schedules, as people read them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from schedcore.cli.showing import ago, away, lasted, moment, schedule
from tests.cli.servers import typed

NOW = datetime.fromisoformat("2026-11-26T12:00:00+00:00").astimezone()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "now"),
        (-0.9, "now"),
        (1, "in 1 s"),
        (-99, "99 s ago"),
        (120, "in 2 min"),
        (-5_940, "99 min ago"),
        (6_000, "in 2 h"),
        (-172_000, "48 h ago"),
        (172_800, "in 2 d"),
        (-(10**9), "11574 d ago"),
    ],
)
def test_how_far_away_a_moment_is(seconds, told):
    assert away(timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "-"), ("nonsense", "nonsense"), ("9999-12-31T23:59:59-23:59", None)],
)
def test_what_is_no_moment_is_shown_as_it_is(text, told):
    assert moment(text, NOW) == (text if told is None else told)


def test_a_moment_is_shown_in_the_zone_of_the_computer(fake):
    times = ["2030-01-01T00:00:00+00:00", "2030-07-01T02:00:00+02:00"]
    jobs = [
        {"id": "a", "state": "scheduled", "next_run_time": t, "trigger": "date", "func": "f"}
        for t in times
    ]
    fake.answer = lambda asked: (200, jobs)
    for zone, winter, summer in (("Asia/Tokyo", "09", "09"), ("Europe/Berlin", "01", "02")):
        shown = typed("jobs", "--url", fake.url, TZ=zone).stdout.splitlines()
        assert f" 2030-01-01 {winter}:00:00 (in " in shown[1]
        assert f" 2030-07-01 {summer}:00:00 (in " in shown[2]
        assert json.loads(typed("jobs", "--url", fake.url, "--json", TZ=zone).stdout) == jobs


@pytest.mark.parametrize(
    ("begun", "ended", "told"),
    [
        (None, None, "-"),
        ("2026-11-26T12:00:00+00:00", "2026-11-26T12:00:00.012340+00:00", "12.3 ms"),
        ("2026-11-26T12:00:00+00:00", "2026-11-26T12:00:01.250000+00:00", "1.2 s"),
        ("2026-11-26T10:00:00+00:00", None, "2 h"),
        ("2026-11-26T13:00:00+00:00", None, "0.0 ms"),
    ],
)
def test_how_long_something_has_taken(begun, ended, told):
    assert lasted(begun, ended, NOW) == told


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("2d", 172_800)]
)
def test_how_long_ago(text, seconds):
    assert datetime.fromisoformat(ago(text, NOW)) == NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["2026-11-25", "12", "h", "999999d", "1.5h", "١h"])
def test_what_is_no_length_of_time_is_for_the_server_to_read(text):
    assert ago(text, NOW) == text


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"trigger": "interval", "seconds": 30, "start_date": "x", "timezone": "y", "timeout": 3},
         "interval seconds=30"),
        ({"trigger": "cron", "hour": 2, "start_date": None}, "cron hour=2"),
        ({"trigger": "or", "triggers": [{"trigger": "interval", "hours": 1}, {"trigger": "date"}]},
         "or triggers=[interval hours=1, date]"),
        ({"trigger": "of one's own", "altitude": 3}, "of one's own"),
    ],
)  # fmt: skip
def test_a_schedule_in_a_few_words(job, told):
    assert schedule(job) == told
