"""Jobs that wait until a test lets them go on, and events that a test waits for."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import pytest

from schedcore import Scheduler, State
from tests.patience import SOON


@pytest.fixture
def started():
    scheduler = Scheduler(timezone="UTC")
    scheduler.start()
    yield scheduler
    if scheduler.state is not State.STOPPED:
        scheduler.shutdown(timeout=SOON)


def script(text):
    """Start a program in a process of its own, in which a warning is an error."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class LongestJitter:
    """A source of random numbers that draws the longest jitter."""

    def random(self):
        return 0.0

    def randrange(self, stop):
        return stop - 1


class Gate:
    """A job that says when it is under way, and goes on when it is let."""

    def __init__(self):
        self.begun, self._open = threading.Semaphore(0), threading.Event()

    def __call__(self):
        self.begun.release()
        assert self._open.wait(SOON)

    def wait(self):
        assert self.begun.acquire(timeout=SOON)

    def open(self):
        self._open.set()


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def heard():
    """Return what gives a function that waits until *count* events of *mask* have come."""

    def listen(scheduler, mask, count=1):
        semaphore = threading.Semaphore(0)
        scheduler.add_listener(lambda event: semaphore.release(), mask)

        def wait():
            for _ in range(count):
                assert semaphore.acquire(timeout=SOON)

        return wait

    return listen
