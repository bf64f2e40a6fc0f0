"""Fixtures for all tests: the same ones that users get."""

from __future__ import annotations

import compileall
import os
import signal
from pathlib import Path

from hypothesis import HealthCheck, settings

# A shell's background job ignores SIGINT, and so would every server that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that the tests start elsewhere are to find the same packages.
_path = os.environ.get("PYTHONPATH", "")
os.environ["PYTHONPATH"] = os.pathsep.join(
    map(os.path.abspath, filter(None, _path.split(os.pathsep)))
)

pytest_plugins = ["schedcore.testing"]

# Nothing is judged by how quick a busy machine is.
_ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A developer's runs look at new examples each time; CI judges a change by the same ones.
settings.register_profile("developer", _ANY_SPEED)
settings.register_profile("ci", _ANY_SPEED, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

ROOT = Path(__file__).parent.parent


def pytest_configure(config):
    """Compile, once for all workers, what a thousand programs import that the tests start.

    They would do so each, where the environment forbids them to keep it.
    """
    if not hasattr(config, "workerinput"):
        for folder in ("src", "tests/core", "tests/durable", "tests/stores"):
            compileall.compile_dir(ROOT / folder, quiet=1)


WAITS = {"shared", "broker", "gunicorn", "serve", "start", "terminal", "open_tab", "listening"}
"""Fixtures that start programs, for which tests then wait more than they work."""


def pytest_collection_modifyitems(items):
    """Begin with what waits, so that there is work to do beside it; none is left for the end."""
    items.sort(key=lambda item: WAITS.isdisjoint(item.fixturenames))


def pytest_xdist_auto_num_workers():
    """Run one more test at a time than there are processors: some do no more than wait."""
    return min((os.cpu_count() or 1) + 1, 4)
