"""How often each call waits for the server: over a network, that is what it costs."""

from __future__ import annotations

import itertools

import pytest

from schedcore import StoreError
from schedcore.stores.base import Change
from tests.stores.calls import add, end, entry, removed, run_now, settle
from tests.stores.postgres import postgres_store

FUTURE = 10**15
_names = map("j{}".format, itertools.count())


class Wire:
    """What goes over the one connection that a store uses."""

    def __init__(self, store, path):
        self.path = path
        tx = store.database.begin()
        self.connection = tx.connection.pgconn
        store.database.rollback(tx)

    def round_trips(self, call):
        """Return how often the server was ready for more while *call* was made."""
        with self.path.open("w") as log:
            self.connection.trace(log.fileno())
            call()
            self.connection.untrace()
        return self.path.read_text().count("ReadyForQuery")


@pytest.fixture
def store():
    made = postgres_store()
    add(made, entry("known", FUTURE))
    yield made
    made.close()


@pytest.fixture
def wire(store, tmp_path):
    return Wire(store, tmp_path / "wire")


def due(store):
    add(store, entry(next(_names), 5))


def opened(store):
    due(store)
    return settle(store, 5, next_us=FUTURE).runs


CALLS = {
    "add": (lambda _: next(_names), lambda store, name: add(store, entry(name, FUTURE)), 2),
    "add a thousand": (
        lambda _: [entry(next(_names), FUTURE) for _ in range(1_000)],
        lambda store, entries: add(store, *entries),
        3,
    ),
    "get": (lambda _: "known", lambda store, name: store.get(name), 2),
    "move": (
        lambda store: store.get("known"),
        lambda store, old: store.write([Change(old, old._replace(due_us=FUTURE + 1))], 0),
        2,
    ),
    "remove and read": (
        lambda store: (add(store, entry(name := next(_names), FUTURE)), name)[1],
        removed,
        5,
    ),
    "take and settle": (due, lambda store, _: settle(store, 5, next_us=FUTURE), 3),
    "end": (opened, lambda store, runs: end(store, *runs), 2),
    "run now": (
        lambda store: store.get("known").job,
        lambda store, job: run_now(store, job, 5),
        3,
    ),
    "next due": (lambda _: None, lambda store, _: store.next_due(), 2),
    "count": (lambda _: None, lambda store, _: store.counts(), 2),
}
"""What is prepared, the call, and how many round trips it takes."""


@pytest.mark.parametrize("answered", [False, True])
def test_what_is_longer_than_the_network_takes_at_once_comes_through(store, answered):
    """Both sides would wait: the server for the rest, and this one for the answer."""
    long = "x" * 10_000_000
    with store.database.write() as tx:
        for _ in range(3):
            if answered:
                tx.later("select cast(? as text)", long)
            else:
                tx.run("select length(cast(? as text))", long)
        assert tx.all("select 1") == [(1,)]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_waits_for_the_server_as_often_as_it_asks_something_and_for_its_commit(
    store, wire, name
):
    prepare, call, expected = CALLS[name]
    given = prepare(store)
    assert wire.round_trips(lambda: call(store, given)) == expected


def fail(store):
    with store.database.write() as tx:
        tx.run("select 1 / 0")
        tx.run("select 'after it'")


def test_a_statement_that_fails_spoils_none_of_those_that_were_sent_with_it(store):
    """The driver would take those for prepared, which the server has passed over."""
    for _ in range(3):
        with pytest.raises(StoreError, match="by zero"):
            fail(store)
        for _ in range(5):  # when it is made the sixth time, a statement is prepared
            with store.database.write() as tx:
                tx.run("select 'after it'")


def test_the_server_waits_longer_for_a_transaction_that_works_on_many_jobs(store):
    def allowed(count):
        with store.database.write() as tx:
            store.jobs.hold(tx, [f"n{n}" for n in range(count)])
            ((told,),) = tx.all("select current_setting('idle_in_transaction_session_timeout')")
        return told

    assert [allowed(count) for count in (10, 10_000, 10)] == ["5s", "55s", "5s"]
