"""The stores that every test of the contract is made with."""

from __future__ import annotations

import pytest

from schedcore import MemoryStore
from tests.stores.plain import PlainStore

STORES = {"memory": MemoryStore, "plain": PlainStore}


@pytest.fixture(params=STORES)
def make_store(request):
    made = []

    def make():
        made.append(STORES[request.param]())
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store):
    return make_store()
