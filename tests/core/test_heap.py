"""The due queue, alone and against a model."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schedcore.heap import DueQueue


class Owned:
    """A queue whose owner keeps where each key stands, as the stores do."""

    def __init__(self):
        self.standing = {}
        self.queue: DueQueue[int] = DueQueue(lambda key, due: self.standing.get(key) == due)

    def put(self, key, due):
        self.remove(key)
        self.standing[key] = due
        self.queue.put(key, due)

    def put_many(self, pairs):
        for key, _ in pairs:
            self.remove(key)
        self.standing.update(pairs)
        self.queue.put_many(pairs)

    def remove(self, key):
        if key in self.standing:
            self.queue.discard(key, self.standing.pop(key))

    def replace(self, key, by):
        self.remove(by)
        self.standing[by] = due = self.standing.pop(key)
        self.queue.replace(key, by, due)

    def pop_due(self, now, limit):
        taken = []
        for key in self.queue.pop_due(now, limit):
            if self.standing.pop(key, None) is not None:
                taken.append(key)
        return taken


def everything(queue: DueQueue[str]) -> DueQueue[str]:
    for key, due in (("late", 30), ("early", 10), ("middle", 20)):
        queue.put(key, due)
    return queue


def always(_key, _due):
    return True


def test_items_come_in_the_order_of_their_due_times():
    queue = everything(DueQueue(always))
    assert queue.pop_due(100, 10) == ["early", "middle", "late"]


def test_items_due_at_once_come_in_the_order_they_were_put():
    queue: DueQueue[int] = DueQueue(always)
    for key in (3, 1, 2):
        queue.put(key, 5)
    assert queue.pop_due(5, 10) == [3, 1, 2]


def test_what_is_not_due_stays():
    queue = everything(DueQueue(always))
    assert queue.pop_due(20, 10) == ["early", "middle"]
    assert queue.first_due() == 30


def test_what_does_not_stand_is_passed_over():
    gone = {"early", "late"}
    queue = everything(DueQueue(lambda key, _due: key not in gone))
    assert queue.first_due() == 20
    assert queue.pop_due(100, 10) == ["middle"]
    assert queue.first_due() is None


def test_a_moved_key_is_due_at_its_new_time_only():
    owned = Owned()
    owned.put("job", 5)
    owned.put("job", 50)
    assert owned.queue.first_due() == 50
    assert owned.pop_due(49, 10) == []


def test_a_key_that_leaves_and_comes_back_to_the_same_time_is_taken_once():
    owned = Owned()
    owned.put("job", 5)
    owned.put("job", 7)
    owned.put("job", 5)
    assert owned.pop_due(10, 10) == ["job"]
    assert owned.pop_due(10, 10) == []


def test_a_limit_leaves_the_rest_in_order():
    queue: DueQueue[int] = DueQueue(always)
    for key in range(500):
        queue.put(key, key // 3)
    taken = []
    while part := queue.pop_due(1_000, 7):
        taken += part
    assert taken == list(range(500))


def test_a_limit_is_reached_past_those_that_left():
    queue: DueQueue[int] = DueQueue(lambda key, _due: key >= 90)
    for key in range(100):
        queue.put(key, 5)
    assert queue.pop_due(5, 4) == [90, 91, 92, 93]
    assert queue.pop_due(5, 100) == [94, 95, 96, 97, 98, 99]


def test_mass_removal_leaves_no_litter_behind():
    """A hundred thousand moves of ten keys keep the queue small."""
    owned = Owned()
    for round_ in range(10_000):
        for key in range(10):
            owned.put(key, round_ * 10 + key)
    assert len(owned.queue._heap) < 200


@pytest.mark.parametrize("together", [1, 3, 1000])
def test_what_left_is_not_kept_alive(together):
    """A job that was removed, and its arguments, do not wait for its due time to be freed."""

    class Thing:
        pass

    standing = {Thing() for _ in range(together)}
    queue: DueQueue[Thing] = DueQueue(lambda thing, _due: thing in standing)
    queue.put_many((thing, 5) for thing in standing)
    gone = []
    while standing:
        thing = standing.pop()
        gone.append(weakref.ref(thing))
        queue.discard(thing, 5)
    del thing
    gc.collect()
    assert sum(ref() is not None for ref in gone) <= 64


def test_two_that_move_together_leave_no_empty_buckets():
    owned = Owned()
    for due in range(10_000):
        owned.put(1, due)
        owned.put(2, due)
    assert len(owned.queue._buckets) == 1
    assert len(owned.queue._heap) < 200


class QueueAgainstModel(RuleBasedStateMachine):
    """Any sequence of calls gives what a sorted dict gives."""

    def __init__(self) -> None:
        super().__init__()
        self.owned = Owned()
        self.model: dict[int, int] = {}

    keys = st.integers(0, 40)
    dues = st.integers(0, 60)

    @rule(key=keys, due=dues)
    def put(self, key, due):
        self.owned.put(key, due)
        self.model[key] = due

    @rule(pairs=st.dictionaries(keys, dues, max_size=30), shift=st.integers(0, 500))
    def put_many(self, pairs, shift):
        moved = {key: due + shift for key, due in pairs.items()}
        self.owned.put_many(list(moved.items()))
        self.model.update(moved)

    @rule(count=st.integers(65, 200), base=st.integers(0, 50), spread=st.integers(1, 100))
    def put_a_mass(self, count, base, spread):
        mass = {1000 + i: base + i // spread for i in range(count)}
        self.owned.put_many(list(mass.items()))
        self.model.update(mass)

    @rule(key=keys)
    def remove(self, key):
        self.owned.remove(key)
        self.model.pop(key, None)

    @rule(key=keys, by=keys)
    def replace(self, key, by):
        if key in self.model and key != by:
            self.owned.replace(key, by)
            self.model[by] = self.model.pop(key)

    @rule(start=st.integers(1000, 1200), count=st.integers(1, 200))
    def remove_a_mass(self, start, count):
        for key in range(start, start + count):
            self.owned.remove(key)
            self.model.pop(key, None)

    @rule(now=st.integers(0, 300), limit=st.integers(1, 250))
    def pop_due(self, now, limit):
        taken = self.owned.pop_due(now, limit)
        due = sorted(due for due in self.model.values() if due <= now)
        # Fewer than the limit only where one key came and went within one bucket.
        assert [self.model.pop(key) for key in taken] == due[: len(taken)]
        assert taken or not due

    @invariant()
    def agrees(self):
        assert self.owned.queue.first_due() == min(self.model.values(), default=None)


QueueAgainstModel.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestQueueAgainstModel = QueueAgainstModel.TestCase
