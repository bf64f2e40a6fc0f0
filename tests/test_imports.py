"""What an import brings along: every program that uses the package pays for it when it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

import schedcore
from schedcore import triggers

COSTLY = {
    "argparse", "asyncio", "croniter", "difflib", "hashlib", "inspect", "ipaddress",
    "json", "logging", "mmap", "pathlib", "random", "secrets", "shutil", "signal", "socket",
    "tempfile", "traceback", "tzlocal", "urllib", "zoneinfo",
    "schedcore.changes.declaring", "schedcore.jobdata", "schedcore.lifetime.node",
    "schedcore.lifetime.signals", "schedcore.simulation",
    "schedcore.stores.sql", "schedcore.stores.urls", "sqlite3",
    "schedcore.basics.tagged_data", "schedcore.triggers.cron",
    "schedcore.triggers.interval", "schedcore.triggers.factory", "schedcore.triggers.zones",
    "schedcore.typed_options",
}  # fmt: skip
"""1 to 20 ms each, where all of ``import schedcore`` takes 25."""

SELDOM_NEEDED = {
    "asyncio", "croniter", "hashlib", "json", "socket",
    "schedcore.changes.declaring", "schedcore.jobdata", "schedcore.lifetime.node",
    "schedcore.lifetime.signals", "schedcore.simulation",
    "schedcore.stores.sql", "schedcore.stores.urls", "sqlite3",
    "schedcore.basics.tagged_data",
    "schedcore.triggers.calendarinterval", "schedcore.triggers.combining",
    "schedcore.triggers.cron", "schedcore.triggers.crontab", "schedcore.triggers.cronfields",
    "schedcore.triggers.daysets", "schedcore.typed_options",
}  # fmt: skip

PACKAGES = pytest.mark.parametrize("package", [schedcore, triggers], ids=lambda p: p.__name__)


def loaded_by(program):
    """Return the modules that *program* imports in a fresh interpreter."""
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\nbefore = set(sys.modules)\n{program}\nprint(*set(sys.modules) - before)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.split())


def test_the_import_brings_little_along():
    loaded = loaded_by("import schedcore")
    assert "schedcore.scheduler" in loaded
    assert loaded & COSTLY == set()


def test_a_scheduler_with_a_simple_job_needs_no_more_than_it_uses():
    program = """
from schedcore import Scheduler
def job(): pass
scheduler = Scheduler(timezone="UTC")
scheduler.add_job(job, "interval", seconds=3)
scheduler.start()
scheduler.shutdown()"""
    assert loaded_by(program) & SELDOM_NEEDED == set()


def test_what_is_imported_while_time_stands_still_is_right_afterwards():
    program = """
import schedcore
from freezegun import freeze_time
scheduler = schedcore.Scheduler(timezone="Europe/Berlin")
with freeze_time("2026-01-01 12:00:00"):
    jobs = [
        scheduler.add_job(print, "cron", hour=5),
        scheduler.add_job(print, "interval", hours=1, start_date="2026-02-01"),
        scheduler.add_job(print, "calendarinterval", months=1),
        scheduler.add_job(print, run_date="2026-02-01 03:00"),
    ]
times = [job.next_run_time for job in jobs]
assert [str(time)[:16] for time in times] == [
    "2026-01-02 05:00", "2026-02-01 00:00", "2026-02-01 00:00", "2026-02-01 03:00"], times
kept = [vars(module) for name, module in sys.modules.items() if name.startswith("schedcore")]
fakes = [name for names in kept for name, value in names.items() if "Fake" in repr(type(value))]
assert fakes == [], fakes"""
    loaded_by(program)


@PACKAGES
def test_every_name_can_be_imported(package):
    program = f"""
from {package.__name__} import *
assert set({package.__all__}) <= set(globals())"""
    loaded_by(program)


@PACKAGES
def test_names_are_shown_before_they_are_imported(package):
    program = f"""
import {package.__name__} as package
missing = set(package.__all__) - set(vars(package))
assert missing and missing <= set(dir(package)), missing
for name in missing:
    assert getattr(package, name) is vars(package)[name]"""
    loaded_by(program)


@PACKAGES
def test_there_are_no_other_names(package):
    with pytest.raises(AttributeError, match="no attribute 'CronTriger'") as caught:
        package.CronTriger  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("CronTriger", package)
