"""The stores that every test of the contract is made with."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from schedcore import MemoryStore
from schedcore.stores.sqlite import SqliteStore
from tests.patience import SOAK
from tests.stores.plain import PlainStore
from tests.stores.postgres import need_server, postgres_store, recycle


def sqlite_store():
    """Return a store in a file that goes with it; no crash of a machine is tried here."""
    folder = tempfile.mkdtemp()
    store = SqliteStore(os.path.join(folder, "jobs.db"), durable=False)
    weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
    return store


STORES = {
    "memory": MemoryStore,
    "plain": PlainStore,
    "sqlite": sqlite_store,
    "postgresql": postgres_store,
}
EXAMPLES = {"memory": 100, "plain": 16, "sqlite": 20, "postgresql": 10}


def run_over_store(machine, kind):
    """Run a state machine of random calls over a store; 75 times as often with SCHEDCORE_SOAK=1."""
    if kind == "postgresql":
        need_server()
    over_store = type("Machine", (machine,), {"make_store": staticmethod(STORES[kind])})
    run_state_machine_as_test(
        over_store,
        settings=settings(
            max_examples=(75 if SOAK else 1) * EXAMPLES[kind],
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(params=STORES)
def make_store(request):
    made = []

    def make():
        made.append(STORES[request.param]())
        return made[-1]

    yield make
    for store in made:
        store.close()
        if request.param == "postgresql":
            recycle(store)


@pytest.fixture
def store(make_store):
    return make_store()
