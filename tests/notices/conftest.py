"""Channels that put what they are told into a queue, and looks without a pause between."""

from __future__ import annotations

import queue

import pytest

from schedcore import Scheduler, State
from schedcore.notices import notifier
from tests.contract.conftest import STORES
from tests.notices.receiver import receivers
from tests.patience import SOON
from tests.stores.postgres import recycle


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Look all the time, so that a test waits for events and not for time."""
    monkeypatch.setattr(notifier, "POLL_EVERY", 0.01)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def receiver():
    """Return what makes receivers that answer as given."""
    with receivers() as make:
        yield make


class NoticeReason:
    """A channel that is a function: what it was told, in order."""

    def __init__(self):
        self._notices = queue.Queue()

    def __call__(self, notice):
        self._notices.put(notice)

    def next(self):
        return self._notices.get(timeout=SOON)

    def rest(self):
        """Return what was told and not looked at."""
        return [self._notices.get() for _ in range(self._notices.qsize())]


@pytest.fixture
def told():
    return NoticeReason()


@pytest.fixture(params=STORES)
def store(request):
    made = STORES[request.param]()
    yield made
    made.close()
    if request.param == "postgresql":
        recycle(made)


@pytest.fixture
def schedulers():
    """Return what makes schedulers that are started, and are shut down in the end."""
    made = []

    def make(**options):
        made.append(Scheduler(timezone="UTC", **options))
        made[-1].start()
        return made[-1]

    yield make
    for scheduler in made:
        if scheduler.state is not State.STOPPED:
            scheduler.shutdown(timeout=SOON)
