"""The look ahead: remarks where clocks change, warnings of traps, and the command."""

# ruff: noqa: E501 — tables of sentences, each whole

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from schedcore.__main__ import main
from schedcore.clock import to_us
from schedcore.triggers import make_trigger
from schedcore.triggers.lint import look_ahead, warnings_of
from schedcore.triggers.zones import zone_of

UTC = timezone.utc
BERLIN = zone_of("Europe/Berlin").tz
SPRING = datetime(2025, 3, 29, 12, tzinfo=UTC)
AUTUMN = datetime(2025, 10, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "after", "remarks"),
    [
        ({"hour": 2, "minute": 30}, SPRING,
         ["02:30 does not exist on this day: runs when the gap ends", ""]),
        ({"hour": 3}, SPRING, ["clocks went forward by 1:00", ""]),
        ({"hour": 2, "minute": 30}, AUTUMN,
         ["02:30 comes twice; runs the first time", "clocks went back by 1:00"]),
        ({"day": 26, "hour": 2, "minute": "*/30"}, AUTUMN,
         ["02:00 comes twice; this is the first time", "02:30 comes twice; this is the first time",
          "02:00 for the second time: clocks went back"]),
        ({"hour": 9}, datetime(2025, 7, 1, tzinfo=UTC), ["", "", ""]),
    ],
)  # fmt: skip
def test_remarks(options, after, remarks):
    trigger = make_trigger("cron", options, BERLIN)
    assert [fire.remark for fire in look_ahead(trigger, len(remarks), after)] == remarks


def test_remarks_of_other_triggers():
    daily = {"days": 1, "hour": 2, "minute": 30, "start_date": "2025-01-01"}
    calendar = make_trigger("calendarinterval", daily, BERLIN)
    remark = look_ahead(calendar, 1, SPRING)[0].remark
    assert remark == "02:30 does not exist on this day: runs when the gap ends"
    either = make_trigger("or", {"triggers": [calendar.to_dict()]}, BERLIN)
    assert look_ahead(either, 1, SPRING)[0].remark == remark
    hourly = make_trigger("interval", {"hours": 12, "start_date": "2025-01-01"}, BERLIN)
    assert [f.remark for f in look_ahead(hourly, 2, SPRING)] == ["", "clocks went forward by 1:00"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"hour": 9}, []),
        ({"minute": "*/5"}, []),
        ({"crontab": "0 9 * * mon-fri"}, []),
        ({"crontab": "@daily"}, []),
        ({"minute": "*/7"}, ["minute */7 starts anew each hour: between minute 56 and 0 it is shorter; for every 7 minutes use an interval"]),
        ({"crontab": "*/45 * * * *"}, ["minute */45 starts anew each hour: between minute 45 and 0 it is shorter; for every 45 minutes use an interval"]),
        ({"crontab": "*/90 * * * *"}, ["minute */90 starts anew each hour: only minute 0; for every 90 minutes use an interval"]),
        ({"day": "*/2"}, ["day */2 starts anew each month: between day 31 and 1 it is shorter; for every 2 days use an interval"]),
        ({"crontab": "0 0 13 * fri"}, ["day of month 13 OR day of week fri: one that matches is enough; to require both, use the fields day= and day_of_week="]),
        ({"crontab": "0 0 13 * */5"}, ["day of month 13 AND day of week */5: both must match, since one of them begins with *"]),
        ({"crontab": "0 0 9 * * *"}, ["the sixth field is the second: * there fires 60 times a minute"]),
        ({"crontab": "* 9 * * *"}, ["minute * fires every minute of hour 9; once an hour is minute 0"]),
        ({"minute": "*", "hour": 9}, ["minute * fires every minute of hour 9; once an hour is minute 0"]),
        ({"day": 31}, ["months without a day 31 are left out; the last day of any month is 'last'"]),
        ({"crontab": "0 0 29-31 * *"}, ["months without a day 29 are left out; the last day of any month is L"]),
        # An hour inside a gap or a fold.
        ({"hour": 2, "minute": 30}, [
            "02:00 to 03:00 does not exist on 2025-03-30: what falls into it runs at 03:00+02:00",
            "02:00 to 03:00 comes twice on 2025-10-26: what falls into it runs the first time",
        ]),
        ({"hour": 2, "minute": "*/20"}, [
            "02:00 to 03:00 does not exist on 2025-03-30: what falls into it does not run",
            "02:00 to 03:00 comes twice on 2025-10-26: what falls into it runs both times",
        ]),
        ({"month": 12, "day": 31}, []),
        ({"month": 3, "day": 30, "hour": 2}, ["02:00 to 03:00 does not exist on 2025-03-30: what falls into it runs at 03:00+02:00"]),
        ({"year": 2024}, ["it does not fire any more"]),
    ],
)  # fmt: skip
def test_warnings_of_cron(options, expected):
    assert warnings_of(make_trigger("cron", options, BERLIN), to_us(SPRING)) == expected


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("interval", {"hours": 12}, []),
        ("interval", {"days": 1, "timezone": "Asia/Tokyo"}, []),
        ("interval", {"days": 1}, ["days and weeks of an interval are 24 hours of elapsed time each: the time of day moves when clocks change on 2025-03-30; to keep it, use cron or calendarinterval"]),
        ("calendarinterval", {"months": 1, "start_date": "2025-01-31"}, ["months without a day 31 are left out, counting on from 2025-01-31"]),
        ("date", {"run_date": "2020-01-01"}, ["it does not fire any more"]),
        ("or", {"triggers": [{"trigger": "cron", "minute": "*/7"}]}, ["minute */7 starts anew each hour: between minute 56 and 0 it is shorter; for every 7 minutes use an interval"]),
    ],
)  # fmt: skip
def test_warnings_of_others(kind, options, expected):
    assert warnings_of(make_trigger(kind, options, BERLIN), to_us(SPRING)) == expected


def test_the_command(capsys):
    """The fire times with zone, offset and remark; then the warnings."""
    arguments = ["30 2 * * *", "--tz", "Europe/Berlin", "-n", "2", "--after", "2025-03-29T12:00"]
    assert main(["next", *arguments]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "CronTrigger.from_crontab('30 2 * * *', timezone='Europe/Berlin')",
        "  Sun 2025-03-30 03:00:00+02:00 CEST"
        "  # 02:30 does not exist on this day: runs when the gap ends",
        "  Mon 2025-03-31 02:30:00+02:00 CEST",
        "warning: 02:00 to 03:00 does not exist on 2025-03-30:"
        " what falls into it runs at 03:00+02:00",
        "warning: 02:00 to 03:00 comes twice on 2025-10-26: what falls into it runs the first time",
    ]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["hour=9", "minute=30"], "CronTrigger(hour=9, minute=30, timezone='UTC')"),
        (["--day-of-week", "mon-fri", "--hour", "9"], "CronTrigger(day_of_week='mon-fri', hour=9,"),
        (["0", "9", "*", "*", "mon"], "CronTrigger.from_crontab('0 9 * * mon', timezone='UTC')"),
        (["@daily"], "CronTrigger.from_crontab('@daily', timezone='UTC')"),
        (["--crontab", "H 9 * * *", "--job-id", "x"], "CronTrigger.from_crontab('H 9 * * *',"),
        (["--seconds", "90"], "IntervalTrigger(seconds=90, start_date='2025-01-01T00:01:30+00:00'"),
        (["run_date=2030-01-01"], "DateTrigger(run_date='2030-01-01T00:00:00+00:00'"),
        (["calendarinterval", "months=1"], "CalendarIntervalTrigger(months=1, hour=0, minute=0,"),
    ],
)
def test_every_way_to_write_a_schedule(arguments, shown, capsys):
    assert main(["next", *arguments, "--tz", "UTC", "--after", "2025-01-01", "-n", "1"]) == 0
    assert capsys.readouterr().out.startswith(shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["61 * * * *"], "schedcore: crontab='61 * * * *': expected a minute of 0 to 59"),
        (["hour=9", "--tz", "Mars"], "schedcore: timezone='Mars': expected a zone name"),
        (["huor=9"], "schedcore: huor='9': expected an option of the cron trigger"),
        ([], "schedcore: schedule='': expected crontab text, or options such as --hour 9"),
        (["hour=9", "--after", "x"], "schedcore: after='x': expected a date such as"),
    ],
)
def test_what_cannot_be_read_is_told(arguments, message, capsys):
    assert main(["next", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize("n", ["0", "1001", "x"])
def test_how_many_is_bounded(n, capsys):
    with pytest.raises(SystemExit):
        main(["next", "hour=9", "-n", n])
    assert "invalid" in capsys.readouterr().err
