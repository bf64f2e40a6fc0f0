"""What a store may cost: how it grows with the jobs, for what was once quadratic."""

from __future__ import annotations

import gc
import time

import pytest

from schedcore import MemoryStore, Outcome
from schedcore.stores.base import Change
from tests.stores.calls import add, begun, entry, settle

FEW, MANY = 750, 6_000


@pytest.fixture(autouse=True)
def no_collection():
    """Let the garbage of all tests before not be looked for in the time that is measured."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("overlap", ["cancel", "queue", "skip"])
def test_many_jobs_with_open_runs_are_settled_and_removed_together(overlap):
    """Looked for one by one among all, the runs of 6,000 jobs took 2 s each time, and then 4."""
    few = min(cost(overlap, FEW) for _ in range(3))
    many = min(cost(overlap, MANY) for _ in range(3))
    # 8 times as many: 8 to 10 times the cost was measured, and 64 times is what is quadratic.
    assert many < 25 * few


def cost(overlap, jobs):
    """Return the processor time that so many jobs take, in seconds."""
    store = MemoryStore()
    add(store, *(entry(f"j{n}", 5, overlap=overlap) for n in range(jobs)))
    began = time.thread_time()
    runs = settle(store, 5, next_us=10, limit=jobs).runs
    begun(*runs[: jobs // 2])
    second = settle(store, 10, next_us=20, limit=jobs)
    ended = store.write([Change(one, None) for one in store.entries()], 15).ended
    took = time.thread_time() - began
    outcomes = {one.outcome for one in ended}
    assert outcomes == {Outcome.CANCELLED}
    waiting = jobs if overlap == "queue" else 0
    replaced = jobs // 2 if overlap == "cancel" else 0
    assert len(second.evicted) == replaced
    assert len(ended) == jobs // 2 + waiting + replaced
    return took
