"""The computer's own zone: read, or refused with a way out; by programs in other surroundings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zoneinfo
from pathlib import Path

import pytest

TELL = """
import sys
from schedcore import InvalidOptionError, Scheduler
try:
    print("zone", Scheduler().timezone)
except InvalidOptionError as error:
    print(error)
"""
NO_DATA = "import sys, zoneinfo; sys.modules['tzdata'] = None; zoneinfo.reset_tzpath(to=[])\n"
"""No files of zones on the path, and no package with them."""
OTHER_ROOT = """
import sys, tzlocal, tzlocal.unix
tzlocal.get_localzone = lambda: tzlocal.unix._get_localzone(sys.argv[1])
"""
"""The system's settings are looked for beneath another folder, as tzlocal's own tests do."""
WAY_OUT = "; or give timezone= (SCHEDULER_TIMEZONE in settings)"


def run(code: str, *arguments: str, tz: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "TZ"}
    if tz is not None:
        environment["TZ"] = tz
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("tz", "zone"),
    [
        ("Europe/Rome", "Europe/Rome"),
        (":Europe/Rome", "Europe/Rome"),
        ("UTC", "UTC"),
        ("EST5EDT", "EST5EDT"),
        # POSIX: hours west of Greenwich.
        ("UTC0", "UTC"),
        ("GMT+12", "UTC-12:00"),
        ("CST-8", "UTC+08:00"),
        ("IST-5:30", "UTC+05:30"),
        ("<+0330>-3:30", "UTC+03:30"),
        ("<-03>3", "UTC-03:00"),
        ("XYZ3", "UTC-03:00"),
    ],
)
def test_a_zone_that_tz_names(tz, zone):
    assert run(TELL, tz=tz) == f"zone {zone}"


@pytest.mark.parametrize(
    ("tz", "expected"),
    [
        ('"Europe/Rome"', "a zone name without quotes (did you mean 'Europe/Rome'?)"),
        ("'Asia/Tokyo'", "a zone name without quotes (did you mean 'Asia/Tokyo'?)"),
        ("Europe/Berlim", "environment variable (did you mean 'Europe/Berlin'?)"),
        ("Foo/Bar", "or a fixed offset such as 'CST-8', in this environment variable"),
        ("NZST-12NZDT,M9.5.0,M4.1.0/3", "a zone name such as 'Europe/Berlin'"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "a zone name such as 'Europe/Berlin'"),
        ("CST-99", "a zone name such as 'Europe/Berlin'"),
        ("../../etc/passwd", "a zone name such as 'Europe/Berlin'"),
        ("/no/such/file", "a file of a time zone ([Errno 2] No such file"),
        (sys.executable, "a file of a time zone ("),
    ],
)
def test_a_tz_that_cannot_be_read(tz, expected):
    told = run(TELL, tz=tz)
    assert told.startswith(f"TZ={tz!r}: expected ")
    assert expected in told
    assert told.endswith(WAY_OUT)


@pytest.mark.parametrize(
    ("code", "tz", "expected"),
    [
        (TELL, "Europe/Rome", f"TZ='Europe/Rome': expected {{}}{WAY_OUT}"),
        (TELL, "UTC", "zone UTC"),
        (TELL, "CST-8", "zone UTC+08:00"),
        (
            TELL.replace("Scheduler()", "Scheduler(timezone='Europe/Berlin')"),
            "UTC",
            "timezone='Europe/Berlin': expected {}",
        ),
        (TELL.replace("Scheduler()", "Scheduler(timezone='UTC')"), None, "zone UTC"),
    ],
)
def test_without_time_zone_data(code, tz, expected):
    data = "time zone data, which this computer does not have: pip install tzdata"
    assert run(NO_DATA + code, tz=tz) == expected.format(data)


def test_without_time_zone_data_a_system_that_is_set_to_a_zone(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "timezone").write_text("Europe/Berlin\n")
    told = run(NO_DATA + OTHER_ROOT + TELL, str(tmp_path))
    assert told == (
        "timezone=None: expected time zone data, which this computer does not have: pip install"
        f" tzdata{WAY_OUT}"
    )


def test_a_system_that_is_set_to_an_unknown_zone(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "timezone").write_text("Mars/Base\n")
    told = run(OTHER_ROOT + TELL, str(tmp_path))
    assert told == (
        "timezone=None: expected the system's time zone, which cannot be read (No time zone found"
        f" with key Mars/Base): set TZ{WAY_OUT}"
    )


ROUND_TRIP = """
import copy, json, pickle
from schedcore import CronTrigger, Scheduler
from schedcore.triggers import trigger_from_dict
trigger = CronTrigger(hour=3)
again = trigger_from_dict(json.loads(json.dumps(trigger.to_dict())), Scheduler().timezone)
same = [again, pickle.loads(pickle.dumps(trigger)), copy.deepcopy(trigger)]
print(json.dumps([trigger.to_dict()["timezone"], str(trigger.next_us(0)), same == [trigger] * 3]))
"""


def zone_file(name: str) -> Path:
    found = (Path(folder, name) for folder in zoneinfo.TZPATH)
    return next((path for path in found if path.exists()), None) or pytest.skip("no zone files")


@pytest.mark.parametrize("how", ["a bare /etc/localtime", "a file that TZ names"])
def test_a_zone_without_a_name_is_called_local(tmp_path, how):
    """Its triggers can be pickled and told, and mean the zone of the computer that reads them."""
    bare = tmp_path / "etc" / "localtime"
    bare.parent.mkdir()
    shutil.copy(zone_file("Asia/Tokyo"), bare)
    if how.startswith("a bare"):
        told = run(OTHER_ROOT + ROUND_TRIP, str(tmp_path))
    else:
        told = run(ROUND_TRIP, tz=str(bare))
    # Tokyo's 3:00, the first after the epoch.
    assert json.loads(told) == ["local", str(18 * 3600 * 10**6), True]


def test_a_file_of_a_zone_that_has_a_name():
    told = run(ROUND_TRIP, tz=str(zone_file("Asia/Tokyo")))
    assert json.loads(told)[0] == "Asia/Tokyo"
