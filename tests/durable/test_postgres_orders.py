"""What a process was told of the others may be older than what it has ordered since."""

from __future__ import annotations

import threading

import pytest

from schedcore.lifetime.health import State
from tests.durable.processes import until
from tests.patience import SOON
from tests.stores.calls import add, end, entry, settle
from tests.stores.postgres import beside, postgres_store


class Held:
    """Holds the thread that looks at the database, once it has seen something."""

    def __init__(self, cluster):
        self.seen, self.goes_on = threading.Event(), threading.Event()
        cluster.woken = self.woken

    def woken(self):
        self.seen.set()
        assert self.goes_on.wait(SOON)


@pytest.fixture
def store():
    made = postgres_store()
    yield made
    made.close()


@pytest.fixture
def other(store):
    made = beside(store)
    yield made
    made.close()


@pytest.fixture
def held(store):
    """A node that has read that all are running, and has not acted on that yet."""
    holds = Held(store.cluster)
    store.cluster.join("app", ["default"])
    assert holds.seen.wait(SOON)
    yield holds
    holds.goes_on.set()


def test_an_order_counts_against_what_was_read_before_it(store, held):
    cluster = store.cluster
    cluster.set_shared_state(State.PAUSED)
    assert cluster.poll().state is State.PAUSED
    assert cluster.poll().state is State.PAUSED
    held.goes_on.set()
    cluster.set_shared_state(State.RUNNING)
    assert cluster.poll().state is State.RUNNING


@pytest.mark.parametrize("read", [lambda c: c.shared_state(), lambda c: c.poll(at_once=True).state])
def test_an_order_of_another_that_was_read_counts_against_what_was_read_before(
    store, other, held, read
):
    other.cluster.set_shared_state(State.PAUSED)
    assert read(store.cluster) is State.PAUSED
    assert store.cluster.poll().state is State.PAUSED
    held.goes_on.set()


def test_a_later_order_of_another_is_heard(store, other, held):
    store.cluster.set_shared_state(State.PAUSED)
    other.cluster.set_shared_state(State.RUNNING)
    held.goes_on.set()
    until(lambda: store.cluster.poll().state is State.RUNNING, "that it hears of it")


def test_a_node_that_has_joined_again_is_not_written_off_as_having_left(store, other):
    """Its last run ends while the thread that waits for that has not heard of the joining yet."""
    looks = threading.Semaphore(0)
    store.cluster.woken = looks.release
    store.cluster.join("app", ["default"])
    add(store, entry("a", 5))
    (run,) = settle(store, 5).runs
    store.cluster.leave()
    with other.database.write() as tx:
        tx.run("update schedcore_nodes set state = 'alive'")  # as join() does first
    end(store, run)
    while looks.acquire(blocking=False):
        """Those from before."""
    for _ in range(3):
        other.cluster.set_shared_state(State.RUNNING)  # of which it hears
        assert looks.acquire(timeout=SOON)
    assert [node.state for node in other.cluster.nodes()] == ["alive"]
