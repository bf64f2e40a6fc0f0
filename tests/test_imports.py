"""What an import brings along: every program that uses the package pays for it when it starts."""

from __future__ import annotations

import pickle
import subprocess
import sys
import typing

import pytest

import schedcore
from schedcore import hints, triggers

COSTLY = {
    "argparse", "asyncio", "contextlib", "croniter", "difflib", "hashlib", "inspect", "ipaddress",
    "json", "logging", "mmap", "pathlib", "random", "re", "secrets", "shutil", "signal", "socket",
    "tempfile", "traceback", "typing", "tzlocal", "urllib", "zoneinfo",
    "schedcore.election", "schedcore.estate", "schedcore.foreground", "schedcore.marks",
    "schedcore.retry", "schedcore.simulation", "schedcore.standing", "schedcore.triggers.cron",
    "schedcore.triggers.interval", "schedcore.triggers.plaindata", "schedcore.triggers.zones",
}  # fmt: skip
"""1 to 20 ms each, where all of ``import schedcore`` takes 17."""

SELDOM_NEEDED = {
    "asyncio", "croniter", "hashlib", "json", "socket",
    "schedcore.election", "schedcore.estate", "schedcore.foreground", "schedcore.marks",
    "schedcore.retry", "schedcore.simulation", "schedcore.standing",
    "schedcore.triggers.calendarinterval", "schedcore.triggers.combining",
    "schedcore.triggers.cron", "schedcore.triggers.crontab", "schedcore.triggers.fields",
    "schedcore.triggers.yeardays",
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


class Ours(hints.NamedTuple):
    """A place."""

    x: int
    y: int = 2
    """Upwards."""

    @property
    def sum(self):
        return self.x + self.y


class Typings(typing.NamedTuple):
    """A place."""

    x: int
    y: int = 2

    @property
    def sum(self):
        return self.x + self.y


@pytest.mark.parametrize("kind", [Ours, Typings])
def test_named_tuples_are_like_those_of_typing(kind):
    made = kind(1)
    assert (made, made.x, made.y, made.sum, kind(y=3, x=4)) == ((1, 2), 1, 2, 3, (4, 3))
    assert kind._fields == ("x", "y")
    assert kind._field_defaults == {"y": 2}
    assert list(kind.__annotations__) == ["x", "y"]
    assert (kind.__doc__, kind.__module__, kind.__qualname__) == (
        "A place.",
        __name__,
        kind.__name__,
    )
    assert kind.__bases__ == (tuple,)
    assert not hasattr(made, "__dict__")
    assert repr(made._replace(y=5)) == f"{kind.__name__}(x=1, y=5)"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        kind(y=1)
    with pytest.raises(AttributeError):
        made.x = 3
    again = pickle.loads(pickle.dumps(made))
    assert (again, type(again)) == (made, kind)
