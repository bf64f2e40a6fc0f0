"""What a store may cost: bounds that hold on a slow machine, for what was once quadratic."""

from __future__ import annotations

import time

import pytest

from schedcore import MemoryStore, Outcome
from schedcore.stores.base import Change
from tests.stores.calls import add, begun, entry, settle

JOBS = 6_000


@pytest.mark.parametrize("overlap", ["cancel", "queue", "skip"])
def test_many_jobs_with_open_runs_are_settled_and_removed_together(overlap):
    """Looked for one by one among all, the runs of 6,000 jobs took 2 s each time, and then 4."""
    store = MemoryStore()
    add(store, *(entry(f"j{n}", 5, overlap=overlap) for n in range(JOBS)))
    began = time.perf_counter()
    runs = settle(store, 5, next_us=10, limit=JOBS).runs
    begun(*runs[: JOBS // 2])
    second = settle(store, 10, next_us=20, limit=JOBS)
    ended = store.write([Change(one, None) for one in store.entries()], 15).ended
    took = time.perf_counter() - began
    outcomes = {one.outcome for one in ended}
    assert outcomes == {Outcome.CANCELLED}
    waiting = JOBS if overlap == "queue" else 0
    replaced = JOBS // 2 if overlap == "cancel" else 0
    assert len(second.evicted) == replaced
    assert len(ended) == JOBS // 2 + waiting + replaced
    assert took < 1.5
