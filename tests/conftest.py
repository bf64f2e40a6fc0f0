"""Fixtures for all tests: the same ones that users get."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["schedcore.testing"]

# A developer's runs look at new examples each time; CI judges a change by the same ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
