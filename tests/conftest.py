"""Fixtures for all tests: the same ones that users get."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# A shell's background job ignores SIGINT, and so would every server that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["schedcore.testing"]

# How long it takes to make examples tells of the machine, which may be busy, and not of the code.
# A developer's runs look at new examples each time; CI judges a change by the same ones.
settings.register_profile("here", suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
