"""One budget for the search of a whole tree of triggers: its questions are counted, not timed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcore.clock import SECOND, to_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers import AndTrigger, CronTrigger, OrTrigger, Trigger, trigger_from_dict
from schedcore.triggers.combining import (
    LIST_ROUNDS,
    MAX_DEPTH,
    MAX_MEMBERS,
    MAX_ROUNDS,
    coming,
)
from schedcore.triggers.lint import look_ahead, warnings_of
from tests.patience import examples

UTC = timezone.utc
START = datetime(2020, 1, 1, tzinfo=UTC)
NOW = to_us(START)
SLACK = MAX_MEMBERS
"""A list's last question may be let through although little is left."""


class Beat(Trigger):
    """Every so many seconds; counts how often any of its kind was asked."""

    asked = 0

    def __init__(self, seconds: int) -> None:
        self.every = seconds * SECOND

    def next_us(self, after_us: int) -> int:
        Beat.asked += 1
        return after_us - (after_us - NOW) % self.every + self.every


@pytest.fixture(autouse=True)
def _count_anew():
    Beat.asked = 0


def tree(shape: object) -> Trigger:
    """Make ``("and", 3, ("or", 4, 5))`` of beats."""
    if isinstance(shape, int):
        return Beat(shape)
    kind, *members = shape
    return (AndTrigger if kind == "and" else OrTrigger)([tree(member) for member in members])


ENDLESS = [
    ("and", 10_007, 10_009),
    ("and", ("and", 1009, 1013), 1019),
    ("and", ("and", ("and", 101, 103), 107), 109),
    ("and", ("and", ("and", 1009, 1013), 1019), 1021),
    ("and", ("or", ("and", 101, 103), 99_991), ("or", ("and", 107, 109), 99_989)),
    ("and", ("or", ("and", ("or", ("and", 101, 103), 99_991), 107), 99_971), 99_989),
    ("and", ("and", 5, 7), ("and", 10_007, 10_009)),
]


@pytest.mark.parametrize("shape", ENDLESS, ids=str)
def test_a_tree_that_does_not_meet_in_time_is_refused_for_one_budget(shape):
    """However deep: each AND that is made may be tried from two starts, and no level multiplies."""
    with pytest.raises(InvalidTriggerError, match="none, to the instant, within 4096 fire times"):
        tree(shape)
    assert Beat.asked <= str(shape).count("and") * 2 * MAX_ROUNDS


def shapes() -> st.SearchStrategy[object]:
    leaf = st.sampled_from([1, 2, 3, 7, 60, 101, 103, 107, 1009, 1013, 3600, 86_400])
    return st.recursive(
        leaf,
        lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner, inner),
        max_leaves=20,
    )


@settings(max_examples=examples(40), deadline=None)
@given(shapes(), st.integers(0, 10**9))
def test_no_question_costs_more_than_the_budget(shape, after):
    Beat.asked = 0
    try:
        trigger = tree(shape)
    except InvalidTriggerError:
        assert Beat.asked <= str(shape).count("and") * 2 * MAX_ROUNDS
        return
    for ask in (trigger.next_us, trigger.first_us):
        Beat.asked = 0
        try:
            ask(NOW + after)
        except InvalidTriggerError as error:
            told = str(error)
            assert Beat.asked == MAX_ROUNDS, told
        assert Beat.asked <= MAX_ROUNDS
    Beat.asked = 0
    trigger.count_us(NOW, NOW + 10**15, 1_000)
    assert Beat.asked <= LIST_ROUNDS + SLACK if isinstance(shape, tuple) else Beat.asked <= 1_001


def test_a_nested_and_is_one_and():
    """The order of questions changes nothing in what is found."""
    members = [Beat(6), Beat(4), Beat(10)]
    flat = AndTrigger(members)
    nested = AndTrigger([AndTrigger(members[:2]), members[2]])
    assert nested.next_fire_times(5, START) == flat.next_fire_times(5, START)
    assert nested.triggers != flat.triggers  # it is shown as it was given


def test_a_list_of_fire_times_is_cut_short_and_says_so():
    trigger = AndTrigger([Beat(101), Beat(103)])
    Beat.asked = 0
    found = coming(trigger, NOW, 1000)
    assert (found.truncated, Beat.asked <= LIST_ROUNDS) == (True, True)
    assert 10 < len(found.instants) < 1000
    assert found.instants[0] == NOW + 101 * 103 * SECOND
    assert coming(trigger, NOW, 10) == (found.instants[:10], False)
    Beat.asked = 0
    times = look_ahead(trigger, 1000, START)
    assert times.truncated
    assert [to_us(time.moment) for time in times] == found.instants
    assert Beat.asked <= LIST_ROUNDS + 1000
    with pytest.raises(InvalidTriggerError, match=f"; {len(found.instants)} of 1000 were found"):
        trigger.next_fire_times(1000, START)


def test_what_comes_before_the_search_gives_up_is_listed():
    """The first fire times are known, though the one after them is not found."""
    start = datetime(2025, 1, 1, tzinfo=UTC)
    once = CronTrigger(year=2025, month=1, day=2, timezone=UTC)
    trigger = AndTrigger([OrTrigger([once, Beat(10_007)]), OrTrigger([once, Beat(10_009)])])
    assert coming(trigger, to_us(start), 5) == ([to_us(start) + 86_400 * SECOND], True)
    assert not look_ahead(trigger, 1, start).truncated


def test_remarks_and_warnings_ask_for_no_search_of_their_own():
    trigger = OrTrigger([AndTrigger([Beat(101), Beat(103)]), Beat(3600)])
    Beat.asked = 0
    look_ahead(trigger, 100, START)
    assert Beat.asked <= 100 * 210  # up to 206 questions lead from one meeting to the next
    trigger = OrTrigger([AndTrigger([Beat(103), Beat(101)]) for _ in range(20)])
    Beat.asked = 0
    warnings_of(trigger, NOW)
    assert Beat.asked <= MAX_ROUNDS + MAX_MEMBERS


def nested(depth: int, data: object) -> object:
    for _ in range(depth):
        data = {"trigger": "or", "triggers": [data]}
    return data


LEAF = {"trigger": "cron", "hour": 1}


@pytest.mark.parametrize(
    "data",
    [
        {"trigger": "or", "triggers": [LEAF] * (MAX_MEMBERS + 1)},
        {"trigger": "or", "triggers": [{"trigger": "or", "triggers": [LEAF] * 8}] * 8},
        {"trigger": "or", "triggers": [{"trigger": "or", "triggers": [LEAF] * 64}] * 64},
        {"trigger": "and", "triggers": [LEAF, {"trigger": "or", "triggers": [LEAF] * 63}]},
        nested(MAX_DEPTH + 1, LEAF),
    ],
    ids=lambda data: str(data)[:40],
)
def test_a_tree_has_no_more_members_than_a_list(data):
    with pytest.raises(InvalidTriggerError, match="expected a list of 1 to 64 triggers, nested at"):
        trigger_from_dict(data, UTC)


def test_a_tree_that_is_too_large_is_refused_before_a_member_is_made():
    broken = {"trigger": "cron", "hour": 99}
    with pytest.raises(InvalidTriggerError, match="those within other members included"):
        trigger_from_dict(
            {"trigger": "or", "triggers": [{"trigger": "or", "triggers": [broken] * 60}] * 60}, UTC
        )


def test_the_same_bounds_for_triggers_made_by_hand():
    leaf = CronTrigger(hour=1, timezone=UTC)
    OrTrigger([OrTrigger([leaf] * 31), OrTrigger([leaf] * 31)])
    with pytest.raises(InvalidTriggerError, match="those within other members included"):
        OrTrigger([OrTrigger([leaf] * 32), OrTrigger([leaf] * 31)])
    trigger: Trigger = leaf
    for _ in range(MAX_DEPTH):
        trigger = OrTrigger([trigger])
    assert trigger.next_after(START) == START + timedelta(hours=1)
    with pytest.raises(InvalidTriggerError, match="nested at most 8 deep"):
        OrTrigger([trigger])
    assert trigger_from_dict(nested(MAX_DEPTH, LEAF), UTC) == trigger


def test_a_users_own_combination_is_asked_as_it_answers():
    class Later(OrTrigger):
        def next_us(self, after_us: int) -> int | None:
            found = super().next_us(after_us)
            return None if found is None else found + SECOND

    leaf = CronTrigger(hour=1, timezone=UTC)
    both = OrTrigger([Later([leaf])])
    assert both.next_after(START) == START + timedelta(hours=1, seconds=1)


def test_members_that_are_bound_later_are_not_tried_before():
    """An interval without a start, however deep it stands: it is checked when it is bound."""
    inner = {"trigger": "and", "triggers": [{"trigger": "interval", "hours": 2}, LEAF]}
    trigger = trigger_from_dict({"trigger": "and", "triggers": [inner, LEAF]}, UTC)
    bound = trigger.bound_to(NOW - 3600 * SECOND)
    assert bound.next_after(START) == START + timedelta(hours=1)
    with pytest.raises(InvalidTriggerError, match="either one is enough with 'or'"):
        trigger.bound_to(NOW)
