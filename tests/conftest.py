"""Fixtures for all tests: the same ones that users get."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections import defaultdict

from hypothesis import HealthCheck, settings

from tests.patience import SOAK

# A shell's background job ignores SIGINT, and so would every server that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that the tests start elsewhere are to find the same packages.
_path = os.environ.get("PYTHONPATH", "")
os.environ["PYTHONPATH"] = os.pathsep.join(
    map(os.path.abspath, filter(None, _path.split(os.pathsep)))
)

# The processes that run tests, and the programs that these start, keep what they compile, also
# where the environment tells them not to: each of them would compile all of it, at each run.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = ["schedcore.testing"]

# Nothing is judged by how quick a busy machine is.
_ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A developer's runs look at new examples each time; CI judges a change by the same ones.
settings.register_profile("developer", _ANY_SPEED)
settings.register_profile("ci", _ANY_SPEED, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

MOUNTS = 3


MARK = "SCHEDCORE_TESTS"
"""A variable of all programs that the tests start, with the process that started them."""
REAPER = f"""
import os, signal, sys, time
sys.stdin.read()  # until nobody has the other end: the tests' process is gone
for _ in range(10):  # one may just be about to begin
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{{pid}}/environ", "rb") as file:
                if f"{MARK}={{sys.argv[1]}}".encode() in file.read().split(b"\\0"):
                    os.kill(int(pid), signal.SIGKILL)
        except OSError:  # it ended just now, or is not ours
            pass
    time.sleep(0.5)
"""


def tie_programs():
    """Have what the tests start end with this process at the latest, however that ends."""
    if not os.path.isdir("/proc/self"):
        return
    ours, theirs = os.pipe()
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", "-c", REAPER, str(os.getpid())],
        {},  # it is not to be killed by what is tied to the process that started this one
        file_actions=[
            (os.POSIX_SPAWN_DUP2, ours, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
    )
    os.close(ours)
    os.environ[MARK] = str(os.getpid())
    tie_programs.held = theirs  # until the end of this process


def pytest_configure():
    """Tie programs to this process."""
    tie_programs()


WAITS = {"shared", "brief", "broker", "gunicorn", "serve", "start", "terminal", "open_tab", "site"}
"""Fixtures that start programs, for which tests then wait more than they work."""


def pytest_collection_modifyitems(config, items):
    """Begin with what waits, so that there is work to do beside it; none is left for the end."""
    items.sort(key=lambda item: WAITS.isdisjoint(item.fixturenames))
    if not SOAK:
        config.hook.pytest_deselected(items=leave_out_mounts(items))


def leave_out_mounts(items):
    """Take out, and return, what is tried at another mount of the API or of the dashboard.

    Each test is made at all of the mounts.  Of its cases, where it has that many, each is made at
    one of them in turn: what a case is about does not depend on where the API is mounted.
    """
    cases = defaultdict(dict)
    for item in items:
        if (case := case_at_mount(item)) is not None:
            cases[item.function].setdefault(case, len(cases[item.function]))
    kept, left_out = [], []
    for item in items:
        numbers = cases.get(item.function, {})
        number = numbers.get(case_at_mount(item))
        elsewhere = len(numbers) >= MOUNTS and number % MOUNTS != item.callspec.indices["mount"]
        (left_out if elsewhere else kept).append(item)
    items[:] = kept
    return left_out


def pytest_collection_finish():
    """Have no search for garbage look through all that was collected, which stays to the end."""
    gc.collect()
    gc.freeze()


def case_at_mount(item):
    """Return which case of a test it is, whatever its mount; None: it has no mount."""
    indices = item.callspec.indices if hasattr(item, "callspec") else {}
    if "mount" not in indices:
        return None
    return tuple(sorted(each for each in indices.items() if each[0] != "mount"))


def pytest_xdist_auto_num_workers():
    """Run two more tests at a time than there are processors: some do no more than wait."""
    return min((os.cpu_count() or 1) + 2, 5)
