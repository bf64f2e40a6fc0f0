"""Fixtures for all tests: the same ones that users get."""

from __future__ import annotations

import os
import signal

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
