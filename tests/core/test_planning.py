"""The misfire policy, as a table and against a walk through every fire time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcore import Trigger
from schedcore.planning import PORTION, Backlog, Plan, plan
from tests.patience import examples


class Every(Trigger):
    """Fires at every multiple of *step* up to *end*."""

    def __init__(self, step: int, end: int = 10**9) -> None:
        self.step, self.end = step, end

    def next_us(self, after_us: int) -> int | None:
        found = (after_us // self.step + 1) * self.step
        return found if found <= self.end else None


@pytest.mark.parametrize(
    ("coalesce", "grace", "now", "expected"),
    [
        pytest.param(True, None, 10, Plan((10,), None, None, 20), id="on time"),
        pytest.param(True, None, 19, Plan((10,), None, None, 20), id="late, no limit"),
        pytest.param(True, 5, 15, Plan((10,), None, None, 20), id="late, just within grace"),
        pytest.param(True, 5, 16, Plan((), Backlog(10, 1), None, 20), id="too late"),
        pytest.param(True, None, 45, Plan((10,), None, Backlog(20, 3), 50), id="backlog, once"),
        pytest.param(False, None, 45, Plan((10, 20, 30, 40), None, None, 50), id="backlog, each"),
        pytest.param(
            True, 15, 45, Plan((30,), Backlog(10, 2), Backlog(40, 1), 50), id="grace cuts a backlog"
        ),
        pytest.param(False, 15, 45, Plan((30, 40), Backlog(10, 2), None, 50), id="cut, then each"),
        pytest.param(True, 4, 45, Plan((), Backlog(10, 4), None, 50), id="all of it too late"),
    ],
)
def test_plan(coalesce, grace, now, expected):
    assert plan(Every(10), coalesce, grace, 10, now) == expected


def test_a_first_run_off_the_beat_is_followed_by_the_beat():
    assert plan(Every(10), True, None, 13, 14) == Plan((13,), None, None, 20)


def test_the_last_fire_time_leaves_nothing_to_come():
    assert plan(Every(10, end=10), True, None, 10, 10) == Plan((10,), None, None, None)


def test_a_long_backlog_is_taken_in_portions():
    taken = plan(Every(1), False, None, 1, 10_000)
    assert taken.runs == tuple(range(1, PORTION + 1))
    assert taken.next_us == PORTION + 1


def test_a_trigger_that_does_not_move_on_is_refused():
    class Stuck(Trigger):
        def next_us(self, after_us: int) -> int | None:
            return after_us

    with pytest.raises(ValueError, match="fire time after 10"):
        plan(Stuck(), True, None, 10, 10)


def test_the_cost_of_a_coalesced_backlog_does_not_depend_on_its_length():
    class Counting(Every):
        calls = 0

        def next_us(self, after_us: int) -> int | None:
            self.calls += 1
            return super().next_us(after_us)

        def count_us(self, after_us: int, until_us: int, limit: int) -> int:
            return until_us // self.step - after_us // self.step

    short, long = Counting(10), Counting(10)
    plan(short, True, 50, 10, 100)
    plan(long, True, 50, 10, 10**8)
    assert short.calls == long.calls


@settings(max_examples=examples(200), deadline=None)
@given(
    step=st.integers(1, 20),
    fire=st.integers(0, 50),
    delay=st.integers(0, 300),
    grace=st.none() | st.integers(1, 200),
    coalesce=st.booleans(),
    end=st.integers(50, 200),
)
def test_every_due_fire_time_is_accounted_for(step, fire, delay, grace, coalesce, end):
    """Runs, missed and coalesced ones together are the fire times due, and none is due twice."""
    now = fire + delay
    trigger = Every(step, end)
    due = [fire]
    while (following := trigger.next_us(due[-1])) is not None and following <= now:
        due.append(following)
    taken = plan(trigger, coalesce, grace, fire, now)

    wanted = [time for time in due if grace is None or now - time <= grace]
    assert list(taken.runs) == (wanted[:1] if coalesce else wanted[:PORTION])
    assert (taken.missed.occurrences if taken.missed else 0) == len(due) - len(wanted)
    if coalesce:
        assert (taken.coalesced.occurrences if taken.coalesced else 0) == max(0, len(wanted) - 1)
    if coalesce or len(wanted) <= PORTION:
        assert taken.next_us == following
