"""Fixtures for all tests: the same ones that users get."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# A shell's background job ignores SIGINT, and so would every server that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["schedcore.testing"]

# A developer's runs look at new examples each time; CI judges a change by the same ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
