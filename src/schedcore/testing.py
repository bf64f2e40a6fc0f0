"""Fixtures for pytest: ``pytest_plugins = ["schedcore.testing"]`` in a ``conftest.py``.

With freezegun, no fixture is needed: freeze the time, start a scheduler, tick, ``wakeup()``.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from schedcore.clock import ManualClock
from schedcore.lifetime.health import State
from schedcore.scheduler import Scheduler


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that shows 2000-01-01 00:00 UTC until the test moves it."""
    return ManualClock()


@pytest.fixture
def virtual_scheduler(manual_clock: ManualClock) -> Iterator[Scheduler]:
    """A scheduler on ``manual_clock``, in UTC, with seeded jitter.

    Add jobs, then let :func:`schedcore.simulate` run them; or start it and move the clock.
    """
    scheduler = Scheduler(clock=manual_clock, timezone="UTC", random=Random(0))
    yield scheduler
    if scheduler.state is not State.STOPPED:
        scheduler.shutdown(timeout=10)
