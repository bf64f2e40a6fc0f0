"""The due queue, alone and against a model."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schedcore.heap import DueQueue


def test_keys_come_in_the_order_of_their_due_times():
    queue: DueQueue[str] = DueQueue()
    for key, due in (("late", 30), ("early", 10), ("middle", 20)):
        queue.put(key, due)
    assert queue.pop_due(100, 10) == ["early", "middle", "late"]


def test_keys_due_at_once_come_in_the_order_they_were_put():
    queue: DueQueue[int] = DueQueue()
    for key in (3, 1, 2):
        queue.put(key, 5)
    assert queue.pop_due(5, 10) == [3, 1, 2]


def test_what_is_not_due_stays():
    queue: DueQueue[str] = DueQueue()
    queue.put("now", 5)
    queue.put("later", 6)
    assert queue.pop_due(5, 10) == ["now"]
    assert queue.first_due() == 6


def test_a_moved_key_is_due_at_its_new_time_only():
    queue: DueQueue[str] = DueQueue()
    queue.put("job", 5)
    queue.put("job", 50)
    assert queue.first_due() == 50
    assert queue.pop_due(49, 10) == []


def test_a_key_that_leaves_and_comes_back_to_the_same_time_is_taken_once():
    queue: DueQueue[str] = DueQueue()
    queue.put("job", 5)
    queue.put("job", 7)
    queue.put("job", 5)
    assert queue.pop_due(10, 10) == ["job"]
    assert queue.pop_due(10, 10) == []


def test_a_limit_leaves_the_rest_in_order():
    queue: DueQueue[int] = DueQueue()
    for key in range(500):
        queue.put(key, key // 3)
    taken = []
    while part := queue.pop_due(1_000, 7):
        taken += part
    assert taken == list(range(500))


def test_mass_removal_leaves_no_litter_behind():
    """A hundred thousand moves of ten keys keep the queue small."""
    queue: DueQueue[int] = DueQueue()
    for round_ in range(10_000):
        for key in range(10):
            queue.put(key, round_ * 10 + key)
    assert len(queue) == 10
    assert len(queue._heap) < 200


class QueueAgainstModel(RuleBasedStateMachine):
    """Any sequence of calls gives what a sorted dict gives."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: DueQueue[int] = DueQueue()
        self.model: dict[int, int] = {}

    keys = st.integers(0, 40)
    dues = st.integers(0, 60)

    @rule(key=keys, due=dues)
    def put(self, key, due):
        self.queue.put(key, due)
        self.model[key] = due

    @rule(pairs=st.dictionaries(keys, dues, max_size=30), shift=st.integers(0, 500))
    def put_many(self, pairs, shift):
        moved = {key: due + shift for key, due in pairs.items()}
        self.queue.put_many(moved.items())
        self.model.update(moved)

    @rule(count=st.integers(65, 200), base=st.integers(0, 50))
    def put_a_mass(self, count, base):
        mass = {1000 + i: base + i for i in range(count)}
        self.queue.put_many(mass.items())
        self.model.update(mass)

    @rule(key=keys)
    def remove(self, key):
        assert self.queue.remove(key) == (self.model.pop(key, None) is not None)

    @rule(now=st.integers(0, 300), limit=st.integers(1, 250))
    def pop_due(self, now, limit):
        taken = self.queue.pop_due(now, limit)
        due = sorted(due for due in self.model.values() if due <= now)[:limit]
        assert [self.model.pop(key) for key in taken] == due

    @invariant()
    def agrees(self):
        assert len(self.queue) == len(self.model)
        assert self.queue.first_due() == min(self.model.values(), default=None)


QueueAgainstModel.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestQueueAgainstModel = QueueAgainstModel.TestCase
