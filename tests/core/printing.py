"""Jobs that print, where a process pool can find them."""

from __future__ import annotations

import logging
import sys


def all_ways(name):
    """Print, log, and write bytes; in this order."""
    print(f"{name} says hello")
    print(f"{name} complains", file=sys.stderr)
    logging.getLogger("tests.jobs").warning("%s warns", name)
    sys.stdout.buffer.write(f"{name} ends in bytes\n".encode())
    return name


async def all_ways_async(name):
    return all_ways(name)


def told(name):
    """Return what is kept of that."""
    return (
        f"{name} says hello\n{name} complains\nWARNING tests.jobs: {name} warns\n"
        f"{name} ends in bytes\n"
    )


def fails():
    print("before")
    raise ValueError("boom")
