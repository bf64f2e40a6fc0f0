"""A run that begins at the moment in which it is withdrawn: one of the two happens, whole."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import pytest

from schedcore import Outcome
from tests.stores.stepping import ByHand, Stepped

CASES = ("pause", "remove", "hand back")
DECIDING = {
    *("begin", "begins", "take_start"),
    *("end_waiting", "_end_waiting", "hand_back", "cancel_waiting", "_give_up", "withdraw"),
}
"""Names of the functions between whose lines the other thing is done."""


@contextmanager
def at_line(number, act):
    """Call *act* before the n-th line of what begins and withdraws runs; yield whether it was."""
    left, done = number, []

    def trace(frame, event, _arg):
        nonlocal left
        if frame.f_code.co_name not in DECIDING:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                done.append(True)
                act()
        return trace

    sys.settrace(trace)
    try:
        yield done
    finally:
        sys.settrace(None)


def withdraw(stepped, case):
    scheduler = stepped.scheduler
    if case == "pause":
        scheduler.pause_job("job")
    elif case == "remove":
        scheduler.remove_job("job")
    else:
        scheduler._runs.cancel_waiting()  # as a shutdown does


def check(stepped, case, run):
    """Check that the run either began, and ends as it does, or was withdrawn."""
    scheduler = stepped.scheduler
    if stepped.hand.under_way:
        assert run.outcome is None
        stepped.hand.end()
        assert scheduler.get_run(run.id).outcome is Outcome.EXECUTED
        return
    handed_back = case == "hand back" and hasattr(scheduler._engine.store, "cluster")
    if handed_back:
        assert [other.id for other in scheduler.runs()] == [run.id]
        scheduler.cancel(run.id)
        return
    expected = Outcome.PAUSED if case == "pause" else Outcome.CANCELLED
    assert scheduler.get_run(run.id).outcome is expected


def trials(make_store, case):
    """Yield, for each line, a scheduler whose job has a run that waits, and that run."""
    stepped = Stepped(make_store(), ByHand())
    for number in range(1, 1_000):
        stepped.hand.waiting.clear()
        stepped.add(every=10)
        stepped.step(10)
        yield number, stepped, stepped.hand.waiting[0]
        if stepped.scheduler.get_job("job") is not None:
            stepped.scheduler.remove_job("job")


@pytest.mark.parametrize("case", CASES)
def test_it_begins_while_it_is_withdrawn(make_store, case):
    for number, stepped, run in trials(make_store, case):
        with at_line(number, stepped.hand.begin) as done:
            withdraw(stepped, case)
        if not done:
            assert number > 3
            return
        check(stepped, case, run)


@pytest.mark.parametrize("case", CASES)
def test_it_is_withdrawn_while_it_begins(make_store, case):
    for number, stepped, run in trials(make_store, case):
        with at_line(number, lambda stepped=stepped: withdraw(stepped, case)) as done:
            stepped.hand.begin()
        if not done:
            assert number > 3
            return
        check(stepped, case, run)
