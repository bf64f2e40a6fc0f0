"""Crontab text: as tables of plain strings, and against croniter itself."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from croniter import CroniterBadDateError, croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcore.errors import InvalidTriggerError
from schedcore.triggers import CronTrigger, make_trigger, merge, trigger_from_dict
from tests.patience import examples

UTC = timezone.utc
AFTER = datetime(2025, 1, 1, tzinfo=UTC)  # a Wednesday


def short(text: str, n: int, **options: object) -> list[str]:
    """Return the next *n* fire times, midnights as dates."""
    times = CronTrigger.from_crontab(text, UTC, **options).next_fire_times(n, AFTER)
    return [moment.strftime("%y-%m-%d %H:%M:%S").removesuffix(" 00:00:00") for moment in times]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Five fields; names, steps, lists.
        ("30 9 * * mon-fri", ["25-01-01 09:30:00", "25-01-02 09:30:00", "25-01-03 09:30:00"]),
        ("*/25 * * * *", ["25-01-01 00:25:00", "25-01-01 00:50:00", "25-01-01 01:00:00"]),
        ("5/25 3 * JAN,feb *", ["25-01-01 03:05:00", "25-01-01 03:30:00", "25-01-01 03:55:00"]),
        ("0 22-1 * * *", ["25-01-01 01:00:00", "25-01-01 22:00:00", "25-01-01 23:00:00"]),
        # 0 and 7 are Sunday, here and only here.
        ("0 0 * * 0", ["25-01-05", "25-01-12", "25-01-19"]),
        ("0 0 * * 7", ["25-01-05", "25-01-12", "25-01-19"]),
        ("0 0 * * 6-7", ["25-01-04", "25-01-05", "25-01-11"]),
        # Seconds last; then the year.
        ("0 0 * * * */30", ["25-01-01 00:00:30", "25-01-02", "25-01-02 00:00:30"]),
        ("0 0 1 1 * 15 2027,2029", ["27-01-01 00:00:15", "29-01-01 00:00:15"]),
        # Both day fields restricted: one is enough.
        ("0 0 13 * fri", ["25-01-03", "25-01-10", "25-01-13"]),
        ("0 0 1-31 * fri", ["25-01-02", "25-01-03", "25-01-04"]),
        ("0 0 1 * 0-6", ["25-01-02", "25-01-03", "25-01-04"]),
        # One that begins with * restricts nothing by itself: both must match.
        ("0 0 */10 * fri", ["25-01-31", "25-02-21", "25-03-21"]),
        ("0 0 13 * */5", ["25-04-13", "25-06-13", "25-07-13"]),
        ("0 0 ? * fri", ["25-01-03", "25-01-10", "25-01-17"]),
        # L, # and W.
        ("0 0 L * *", ["25-01-31", "25-02-28", "25-03-31"]),
        ("0 0 L,15 * *", ["25-01-15", "25-01-31", "25-02-15"]),
        ("0 0 * * L5", ["25-01-31", "25-02-28", "25-03-28"]),
        ("0 0 * * fri#2", ["25-01-10", "25-02-14", "25-03-14"]),
        ("0 0 * * 1#1,3#3", ["25-01-06", "25-01-15", "25-02-03"]),
        ("0 0 * * 0#5", ["25-03-30", "25-06-29", "25-08-31"]),
        ("0 0 15W * *", ["25-01-15", "25-02-14", "25-03-14"]),
        ("0 0 1W * *", ["25-02-03", "25-03-03", "25-04-01"]),
        ("0 0 31W * *", ["25-01-31", "25-02-28", "25-03-31"]),  # clamped, as croniter has it
        ("0 0 30W 2 *", ["25-02-28", "26-02-27", "27-02-26"]),
        ("0 0 LW * *", ["25-01-31", "25-02-28", "25-03-31"]),
        ("0 0 lw 8 *", ["25-08-29", "26-08-31", "27-08-31"]),
        ("0 0 L-3 * *", ["25-01-28", "25-02-25", "25-03-28"]),
        ("0 0 L-29 * *", ["25-01-02", "25-03-02", "25-04-01"]),  # none in February
        ("0 0 L-2W 8 *", ["25-08-29", "26-08-28", "27-08-30"]),
        # A list is a union, whatever its members are.
        ("0 0 1,15W * *", ["25-01-15", "25-02-01", "25-02-14"]),
        ("0 0 L,L-1,1 * *", ["25-01-30", "25-01-31", "25-02-01"]),
        ("0 0 * * 1,3#3", ["25-01-06", "25-01-13", "25-01-15"]),
        ("0 0 * * sun,L5,mon-tue#1", ["25-01-05", "25-01-06", "25-01-07"]),
        ("5,* * * * *", ["25-01-01 00:01:00", "25-01-01 00:02:00", "25-01-01 00:03:00"]),
        ("*/30,7 * * * *", ["25-01-01 00:07:00", "25-01-01 00:30:00", "25-01-01 01:00:00"]),
        ("0 0 *,13 * fri", ["25-01-03", "25-01-10", "25-01-17"]),
        ("0 0 13,* * fri", ["25-01-02", "25-01-03", "25-01-04"]),  # begins with no star: either
        # A range that wraps round is walked in its own order; a whole week has two Sundays.
        ("0 0 1 nov-feb/3 *", ["25-02-01", "25-11-01", "26-02-01"]),
        ("50-10/7 * * * *", ["25-01-01 00:04:00", "25-01-01 00:50:00", "25-01-01 00:57:00"]),
        ("0 0 * * sat-tue/3", ["25-01-04", "25-01-07", "25-01-11"]),
        ("0 0 * * 0-7/3", ["25-01-04", "25-01-05", "25-01-08"]),
        ("0 0 * * 7-2", ["25-01-05", "25-01-06", "25-01-07"]),
        ("0 0 28-2/2 * *", ["25-01-28", "25-01-30", "25-02-01"]),
        # Aliases mean what crontab(5) says, whatever the job's id.
        ("@hourly", ["25-01-01 01:00:00", "25-01-01 02:00:00", "25-01-01 03:00:00"]),
        ("@daily", ["25-01-02", "25-01-03", "25-01-04"]),
        ("@Midnight", ["25-01-02", "25-01-03", "25-01-04"]),
        ("@weekly", ["25-01-05", "25-01-12", "25-01-19"]),
        ("@monthly", ["25-02-01", "25-03-01", "25-04-01"]),
        ("@yearly", ["26-01-01", "27-01-01", "28-01-01"]),
        ("@annually", ["26-01-01", "27-01-01", "28-01-01"]),
    ],
)
def test_crontab_text(text, expected):
    assert short(text, 3) == expected
    assert short(text, 3, job_id="nightly") == expected


def test_h_takes_its_time_from_the_job_id():
    """The same in any process, and different jobs are spread."""
    here = short("H H(1-4) * * *", 1, job_id="report")
    code = (
        "from datetime import *; from schedcore.triggers import CronTrigger as C\n"
        "t = C.from_crontab('H H(1-4) * * *', 'UTC', job_id='report')\n"
        "print(t.next_after(datetime(2025, 1, 1, tzinfo=timezone.utc)).strftime('%H:%M'))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert here[0][9:14] == there.stdout.strip()
    assert len({short("H H * * *", 1, job_id=f"job-{n}")[0] for n in range(50)}) > 40


def test_h_round_trips_with_the_job_id():
    trigger = CronTrigger.from_crontab("H 3 * * *", UTC, job_id="report")
    assert trigger.to_dict()["crontab"] == "H 3 * * *"
    assert trigger_from_dict(trigger.to_dict(), UTC, "report") == trigger
    assert trigger_from_dict(trigger.to_dict(), UTC, "other") != trigger
    assert merge(trigger, trigger.to_dict(), UTC, "other") == trigger
    assert merge(trigger, {"crontab": "H 4 * * *"}, UTC, "b").hash_id == "b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60 * * * *", "a minute of 0 to 59, a range, a step or a list, not '60'"),
        ("0 0 * 13 *", "a month of 1 to 12 or jan to dec, a range, a step or a list, not '13'"),
        ("0 0 * * 5L", "(did you mean 'L5'?)"),
        (
            "0 0 WL * *",
            "a day of month of 1 to 31, L, L-3, LW, or 15W, a range, a step or a list,"
            " not 'WL' (did you mean 'LW'?)",
        ),
        ("0 0 L-31 * *", "not 'L-31'"),
        ("0 0 32W * *", "not '32W'"),
        ("0 L * * *", "not 'L'"),
        ("0 0 * * fri#6", "not 'fri#6'"),
        ("0 0 30 2 *", "a date that exists: none from 1970 to 9999 matches"),
        ("0 0 * * 1,3#6", "not '3#6'"),
        # What croniter would read as every minute, a new time in each process, or midnight.
        ("5-5 * * * *", "'5' for one value, or '*' for all, not '5-5'"),
        ("05-5 * * * *", "'05' for one value, or '*' for all, not '05-5'"),
        ("0 0 1 jan-1 *", "'jan' for one value, or '*' for all, not 'jan-1'"),
        ("0 0 31-L * *", "'31' for one value, or '*' for all, not '31-L'"),
        ("0 0 * * 7-sun", "'7' for one value, or '*' for all, not '7-sun'"),
        ("0 0 * * 5-5#2", "'5' for one value, or '*' for all, not '5-5#2'"),
        ("R R * * *", "no R, which differs in each process; H picks a time by the job's id"),
        ("H 3 * * *", "a job_id beside it, from which H takes its time"),
        ("@reboot", "a time; add the job as a date for one at start"),
        ("@dayly", "(did you mean '@daily'?)"),
        ("* * * *", "five fields (minute, hour, day of month, month, day of week)"),
        ("", "five fields"),
        ("* * * * * * * *", "a seventh for years"),
        ("0 0 1 1 * 0 2100", "a year of 1970 to 2099"),
        ("*/0 * * * *", "not '*/0'"),
        ("0,, * * * *", "not '0,,'"),
        ("nonsense of five words here", "not 'nonsense'"),
        ("0 0 * * *\x00", "not '*\\x00'"),
        ("* " * 200, "text of up to 250 letters"),
    ],
)
def test_what_cannot_be_carried_is_refused(text, expected):
    with pytest.raises(InvalidTriggerError) as caught:
        CronTrigger.from_crontab(text, UTC)
    assert str(caught.value).startswith("crontab=")
    assert expected in str(caught.value)


def test_crontab_must_be_text():
    with pytest.raises(InvalidTriggerError, match="crontab=5: expected text of five fields"):
        CronTrigger.from_crontab(5, UTC)  # type: ignore[arg-type]


def parts(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pair = st.tuples(number, number).filter(lambda two: two[0] < two[1])
    return st.one_of(
        st.just("*"),
        st.integers(1, high).map("*/{}".format),
        number.map(str),
        pair.map(lambda two: f"{two[0]}-{two[1]}"),
        st.tuples(pair, st.integers(1, 9)).map(lambda p: f"{p[0][0]}-{p[0][1]}/{p[1]}"),
        st.tuples(number, number).map(lambda two: f"{two[0]},{two[1]}"),
    )


DAYS = st.one_of(parts(1, 31), st.sampled_from(["L", "L,1", "15W", "1W", "31W", "?"]))
WEEKDAYS = st.one_of(
    parts(0, 6), st.sampled_from(["7", "mon-fri", "5#2", "L0", "0#5,1#1", "L1,L5"])
)


@settings(max_examples=examples(150), deadline=None)
@given(
    parts(0, 59),
    parts(0, 23),
    DAYS,
    st.one_of(st.just("*"), parts(1, 12)),
    WEEKDAYS,
    st.integers(0, 20_000),
)
def test_the_same_fire_times_as_croniter(minute, hour, day, month, weekday, days):
    """In UTC, where no clocks change; with the cron rule for a day field that begins with *."""
    # With W, # or L5, croniter joins the day fields by AND; our rule has no exceptions.
    weekday = "*" if "W" in day else weekday
    day = "*" if "#" in weekday or "L" in weekday else day
    text = f"{minute} {hour} {day} {month} {weekday}"
    start = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(days=days)
    try:
        trigger = CronTrigger.from_crontab(text, UTC)
    except InvalidTriggerError:  # such as 30 February: test_bad_input tells which
        return
    either = not day.startswith(("*", "?")) and not weekday.startswith("*")
    theirs = croniter(text, start, day_or=either, max_years_between_matches=9)
    with contextlib.suppress(CroniterBadDateError):  # it looks nine years ahead
        for moment in trigger.next_fire_times(4, start):
            assert moment == theirs.get_next(datetime)


@pytest.mark.parametrize("prefix", ["CRON_TZ=", "TZ=", "cron_tz=", " TZ="])
def test_a_zone_before_the_fields(prefix):
    text = f"{prefix}Asia/Tokyo 0 6 * * *"
    trigger = make_trigger("cron", {"crontab": text}, UTC)
    assert trigger.next_fire_times(1, AFTER)[0].isoformat() == "2025-01-02T06:00:00+09:00"
    assert trigger == CronTrigger.from_crontab(text)
    assert trigger.to_dict() == {
        "trigger": "cron", "crontab": text.strip(), "timezone": "Asia/Tokyo",
    }  # fmt: skip
    assert trigger_from_dict(trigger.to_dict(), UTC) == trigger
    assert pickle.loads(pickle.dumps(trigger)) == trigger
    assert merge(trigger, trigger.to_dict(), UTC) == trigger


def test_a_zone_before_an_alias():
    assert short("TZ=UTC @daily", 1) == ["25-01-02"]


def test_a_zone_beside_one_in_the_text():
    """The same one may be given twice; another one is a contradiction."""
    text = "TZ=Asia/Tokyo 0 6 * * *"
    given = make_trigger("cron", {"crontab": text, "timezone": "Asia/Tokyo"}, UTC)
    assert given == make_trigger("cron", {"crontab": text}, UTC)
    with pytest.raises(InvalidTriggerError, match="timezone='UTC': expected no zone beside cront"):
        make_trigger("cron", {"crontab": text, "timezone": "UTC"}, UTC)
    with pytest.raises(InvalidTriggerError, match="expected no zone beside crontab="):
        merge(given, {"timezone": "Europe/Paris"}, UTC)
    moved = merge(given, {"crontab": "TZ=Europe/Paris 0 6 * * *"}, UTC)
    assert str(moved.timezone) == "Europe/Paris"
    assert str(merge(given, {"crontab": "0 7 * * *"}, UTC).timezone) == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TZ=Mars 0 6 * * *", "expected a zone name such as 'Europe/Berlin', not 'Mars'"),
        ("TZ=europe/berlin 0 6 * * *", "(did you mean 'Europe/Berlin'?)"),
        ("TZ= 0 6 * * *", "expected a zone name"),
        ("TZ=Asia/Tokyo", "expected five fields"),
        ("TZ=Asia/Tokyo 61 6 * * *", "expected a minute of 0 to 59"),
    ],
)
def test_a_zone_that_cannot_be_read(text, expected):
    with pytest.raises(InvalidTriggerError) as caught:
        CronTrigger.from_crontab(text)
    assert str(caught.value).startswith(f"crontab={text!r}: ")
    assert expected in str(caught.value)
