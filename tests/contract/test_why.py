"""Each outcome says in one sentence what became of a run, with the facts: on every store."""

from __future__ import annotations

import pytest

from schedcore import MaxInstancesError, Outcome, RunRecord
from schedcore.methods.run_now import run_now
from tests.stores.calls import add, begun, end, entry, settle
from tests.stores.stepping import ByHand, Stepped


@pytest.fixture
def stepped(store):
    return Stepped(store, ByHand())


def whys(stepped):
    """Return what the history says, the latest last, without the times of this test."""
    return [record.why() for record in reversed(stepped.scheduler.history("job"))]


def test_how_long_it_took_and_how_late_it_began(stepped):
    stepped.add(every=10)
    stepped.step(13)
    stepped.hand.begin()
    stepped.step(2)
    stepped.hand.end()
    assert whys(stepped) == ["executed: it took 2.000 s, and began 3 s late"]


def test_what_was_raised_and_in_which_attempt(stepped):
    stepped.add(every=1_000, retry={"count": 1, "delay": 3, "jitter": 0})
    stepped.step(1_000)
    (run,) = stepped.scheduler.runs()
    assert run.why() == "waiting: no worker of its executor has begun it"
    stepped.hand.begin()
    assert run.why().startswith("running: since 20")
    stepped.hand.end(error=ValueError("no"))
    assert run.why() == "waiting: attempt 2 follows, after ValueError: no"
    stepped.step(4)
    stepped.hand.begin()
    stepped.hand.end(error=ValueError("still no"))
    assert whys(stepped) == ["failed: ValueError: still no (attempt 2)"]


def test_how_late_it_was_and_what_was_allowed(stepped):
    stepped.add(every=1_000, misfire_grace_time=300)
    stepped.step(1_312)
    assert whys(stepped) == ["missed: 312 s late, misfire_grace_time is 300 s"]


def test_which_run_ran_for_it(stepped):
    stepped.add(every=10, coalesce=True)
    stepped.step(35)
    ran_for_it = "coalesced: another run of the same backlog ran for it, that of "
    assert whys(stepped)[0].startswith(ran_for_it)


def test_which_run_took_up_the_room_in_the_history_and_in_the_log(stepped, caplog):
    stepped.add(every=10)
    stepped.step(10)
    stepped.hand.begin()
    (run,) = stepped.scheduler.runs()
    stepped.step(10)
    since = stepped.scheduler.get_run(run.id).started_us
    assert since is not None
    (why,) = whys(stepped)
    assert why.startswith(f"skipped: run {run.id} has been under way since 20")
    assert why.endswith(", and max_instances is 1")
    assert f"job 'job': 1 run(s) {why}" in caplog.messages
    with pytest.raises(MaxInstancesError):
        run_now(stepped.engine, "job")
    assert whys(stepped)[1] == why


def test_which_bound_it_was_longer_than(stepped, caplog):
    stepped.add(every=10, timeout=4)
    stepped.step(10)
    run = stepped.hand.begin()
    stepped.step(4)
    assert whys(stepped) == [run.why()] == ["timed out: after 4.000 s, timeout is 4 s"]
    assert f"job 'job': run {run.id} {run.why()}" in caplog.messages


@pytest.mark.parametrize(
    ("early", "why"),
    [
        pytest.param(
            lambda s: s.cancel(s.runs()[0].id),
            "cancelled: before it began, on request",
            id="cancel",
        ),
        pytest.param(
            lambda s: s.remove_job("job"),
            "cancelled: before it began, since its job was removed or replaced",
            id="remove",
        ),
        pytest.param(lambda s: s.pause_job("job"), "paused: its job was paused", id="pause"),
    ],
)
def test_who_ended_it(stepped, early, why):
    stepped.add(every=1_000)
    stepped.step(1_000)
    early(stepped.scheduler)
    assert whys(stepped) == [why]


def test_that_a_newer_one_took_its_place(stepped):
    stepped.add(every=10, overlap="cancel")
    stepped.step(10)
    stepped.hand.begin()
    stepped.step(10)
    assert whys(stepped) == ["cancelled: after 10.000 s, for a new run: overlap is 'cancel'"]


def test_what_was_meant_and_came_too_late_is_not_said(store):
    """It ended by itself while somebody was about to cancel it."""
    add(store, entry("a", 5))
    (run,) = begun(*settle(store, 5).runs)
    run._reason = Outcome.CANCELLED, "on request"
    end(store, run)
    assert store.find(run.id).reason is run.reason is None


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_says_something_without_any_facts(outcome):
    why = RunRecord(1, "a", outcome, 5).why()
    assert why.partition(":")[0] == outcome.value.replace("_", " ")
    assert len(why.partition(": ")[2]) > 5
