"""Fixtures for all tests: the same ones that users get."""

pytest_plugins = ["schedcore.testing"]
