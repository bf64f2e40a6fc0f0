"""The due queue, alone and against a model."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schedcore.heap import DueQueue


class Item:
    """What is filed; two items are never equal."""

    def __init__(self, name=None):
        self.name = name
        self.queued_us = None


def names(items):
    return [item.name for item in items]


def filed(*pairs):
    """Return a queue of new items, given as (name, due), and the items by name."""
    queue: DueQueue[Item] = DueQueue()
    items = {name: Item(name) for name, _ in pairs}
    for name, due in pairs:
        queue.put(items[name], due)
    return queue, items


def three():
    return filed(("late", 30), ("early", 10), ("middle", 20))


def move(queue, item, due):
    queue.discard(item)
    queue.put(item, due)


def test_items_come_in_the_order_of_their_due_times():
    queue, _ = three()
    assert names(queue.pop_due(100, 10)) == ["early", "middle", "late"]


def test_items_due_at_once_come_in_the_order_they_were_put():
    queue, _ = filed((3, 5), (1, 5), (2, 5))
    assert names(queue.pop_due(5, 10)) == [3, 1, 2]


def test_what_is_not_due_stays():
    queue, _ = three()
    assert names(queue.pop_due(20, 10)) == ["early", "middle"]
    assert queue.first_due() == 30


def test_an_item_knows_under_which_due_time_it_is_filed():
    queue, items = three()
    assert {name: item.queued_us for name, item in items.items()} == {
        "late": 30,
        "early": 10,
        "middle": 20,
    }
    (early,) = queue.pop_due(10, 10)
    queue.discard(items["late"])
    assert early.queued_us is items["late"].queued_us is None


def test_what_left_is_passed_over():
    queue, items = three()
    queue.discard(items["early"])
    queue.discard(items["late"])
    assert len(queue) == 1
    assert queue.first_due() == 20
    assert names(queue.pop_due(100, 10)) == ["middle"]
    assert queue.first_due() is None


def test_an_item_that_is_not_filed_may_be_discarded():
    queue, items = three()
    for _ in range(3):
        queue.discard(items["early"])
        queue.discard(Item())
    assert len(queue) == 2


def test_a_moved_item_is_due_at_its_new_time_only():
    queue, items = filed(("job", 5))
    move(queue, items["job"], 50)
    assert queue.first_due() == 50
    assert queue.pop_due(49, 10) == []


@pytest.mark.parametrize("others", [0, 1, 2])
def test_an_item_that_leaves_and_comes_back_to_the_same_time_is_taken_once(others):
    queue, items = filed(("job", 5), *((n, 5) for n in range(others)))
    move(queue, items["job"], 7)
    move(queue, items["job"], 5)
    assert sorted(map(str, names(queue.pop_due(10, 10)))) == [*map(str, range(others)), "job"]
    assert queue.pop_due(10, 10) == []
    assert len(queue) == 0


def test_a_limit_leaves_the_rest_in_order():
    queue, _ = filed(*((n, n // 3) for n in range(500)))
    taken = []
    while part := queue.pop_due(1_000, 7):
        assert len(part) == min(7, 500 - len(taken))
        taken += names(part)
    assert taken == list(range(500))


def test_a_limit_is_reached_past_those_that_left():
    queue, items = filed(*((n, 5) for n in range(100)))
    for n in range(90):
        queue.discard(items[n])
    assert names(queue.pop_due(5, 4)) == [90, 91, 92, 93]
    assert names(queue.pop_due(5, 100)) == [94, 95, 96, 97, 98, 99]


class Interrupting(Item):
    """An item that is looked at; each time, something else happens first: a signal handler, say."""

    def __init__(self, name=None):
        super().__init__(name)
        self.happens = []

    @property
    def queued_us(self):
        if self.happens:
            self.happens.pop(0)()
        return self._queued_us

    @queued_us.setter
    def queued_us(self, due):
        self._queued_us = due


@pytest.mark.parametrize("kind", ["put", "put elsewhere", "swept"])
@pytest.mark.parametrize("looks", range(1, 6))
def test_what_is_put_while_the_first_due_time_is_looked_for_is_not_lost(kind, looks):
    queue: DueQueue[Item] = DueQueue()
    first, litter = Interrupting(), [Item(n) for n in range(300)]
    for item in (first, Item("beside")):
        queue.put(item, 5)
    beside = queue._buckets[5][1]
    queue.put_many(litter, [50 + n for n in range(300)])
    queue.discard(beside)
    queue.discard(first)
    late = Item("late")

    def happens():
        if kind == "swept":
            for item in litter:
                queue.discard(item)
        queue.put(late, 7 if kind == "put elsewhere" else 5)

    first.happens = [lambda: None] * (looks - 1) + [happens]
    told = queue.first_due()
    if late.queued_us is None:
        return  # it was not looked at as often as that
    assert told is not None
    assert told <= 50
    assert queue.first_due() == late.queued_us
    assert queue.pop_due(7, 10) == [late]


def test_any_number_of_calls_during_another_is_made_after_it():
    queue: DueQueue[Item] = DueQueue()
    first, others = Interrupting(), [Item(n) for n in range(3_000)]
    queue.put(first, 5)
    first.happens = [lambda: queue.put_many(others, [6] * len(others)), lambda: None]
    assert queue.first_due() == 5
    assert len(queue) == 3_001
    assert queue.pop_due(6, 10_000) == [first, *others]


@pytest.mark.parametrize("back", [False, True])
def test_what_moves_to_another_queue_is_not_taken_from_the_first(back):
    items = [Item(n) for n in range(200)]
    one: DueQueue[Item] = DueQueue()
    other: DueQueue[Item] = DueQueue()
    one.put_many(items, [5] * 200)
    moved = items[7]
    if back:
        one.discard(moved)
        one.put(moved, 5)
    one.discard(moved, moves=True)
    other.put(moved, 5)
    assert moved not in one.pop_due(5, 200)
    assert other.pop_due(5, 200) == [moved]
    assert (len(one), len(other)) == (0, 0)


def test_mass_removal_leaves_no_litter_behind():
    """A hundred thousand moves of ten items keep the queue small."""
    queue, items = filed(*((n, 0) for n in range(10)))
    for round_ in range(10_000):
        for n, item in items.items():
            move(queue, item, round_ * 10 + n)
    assert len(queue._heap) < 200


@pytest.mark.parametrize("together", [1, 3, 1000])
def test_what_left_is_not_kept_alive(together):
    """A job that was removed, and its arguments, do not wait for its due time to be freed."""
    items = [Item() for _ in range(together)]
    queue: DueQueue[Item] = DueQueue()
    queue.put_many(items, [5] * together)
    gone = []
    while items:
        item = items.pop()
        gone.append(weakref.ref(item))
        queue.discard(item)
    del item
    gc.collect()
    assert sum(ref() is not None for ref in gone) <= 64


def test_two_that_move_together_leave_no_empty_buckets():
    queue, items = filed((1, 0), (2, 0))
    for due in range(10_000):
        move(queue, items[1], due)
        move(queue, items[2], due)
    assert len(queue._buckets) < 200
    assert len(queue._heap) < 200


class QueueAgainstModel(RuleBasedStateMachine):
    """Any sequence of calls gives what a sorted dict gives."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: DueQueue[Item] = DueQueue()
        self.items = {key: Item(key) for key in range(1_200)}
        self.model: dict[int, int] = {}

    keys = st.integers(0, 40)
    dues = st.integers(0, 60)

    def put_all(self, dues):
        for key in dues:
            self.queue.discard(self.items[key])
        self.queue.put_many([self.items[key] for key in dues], list(dues.values()))
        self.model.update(dues)

    @rule(key=keys, due=dues)
    def put(self, key, due):
        move(self.queue, self.items[key], due)
        self.model[key] = due

    @rule(dues=st.dictionaries(keys, dues, max_size=30), shift=st.integers(0, 500))
    def put_many(self, dues, shift):
        self.put_all({key: due + shift for key, due in dues.items()})

    @rule(count=st.integers(65, 200), base=st.integers(0, 50), spread=st.integers(1, 100))
    def put_a_mass(self, count, base, spread):
        self.put_all({1000 + i: base + i // spread for i in range(count)})

    @rule(key=keys)
    def discard(self, key):
        self.queue.discard(self.items[key])
        self.model.pop(key, None)

    @rule(start=st.integers(1000, 1199), count=st.integers(1, 200))
    def discard_a_mass(self, start, count):
        for key in range(start, min(1200, start + count)):
            self.discard(key)

    @rule(now=st.integers(0, 300), limit=st.integers(1, 250))
    def pop_due(self, now, limit):
        taken = names(self.queue.pop_due(now, limit))
        due = sorted(due for due in self.model.values() if due <= now)
        assert len(taken) == min(limit, len(due))
        assert [self.model.pop(key) for key in taken] == due[: len(taken)]

    @invariant()
    def agrees(self):
        assert len(self.queue) == len(self.model)
        assert self.queue.first_due() == min(self.model.values(), default=None)


QueueAgainstModel.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestQueueAgainstModel = QueueAgainstModel.TestCase
