"""Jobs that code declares at each start are reconciled with those it declared before."""

from __future__ import annotations

import pytest

from schedcore import ConflictingIdError, DateTrigger, IntervalTrigger, Outcome
from schedcore.history.query import RunQuery
from schedcore.job import Job, Options
from schedcore.stores.base import Change, Declared, Entry

NOW = 1_000_000


def job(job_id, hours=1, due=10):
    trigger = IntervalTrigger(hours=hours, start_date="2030-01-01", timezone="UTC")
    definition = Job(job_id, print, (), {}, trigger, Options())
    return Declared(Entry(definition, due, due), f"{job_id} every {hours}")


def places(store):
    return {entry.job.id: (entry.due_us, entry.broken) for entry in store.entries()}


def change(store, job_id, **fields):
    old = store.get(job_id)
    assert not store.write((Change(old, old._replace(**fields)),), NOW).conflicts


def declare(store, app, declared, now_us):
    """Declare all jobs of an app, as its start does."""
    found = store.declare(app, declared, now_us)
    store.retire(app, [each.entry.job.id for each in declared], now_us)
    return found


def test_what_is_new_is_added(store):
    found = declare(store, "app", [job("a"), job("b", due=20)], NOW)
    assert [entry.job.id for entry in found] == ["a", "b"]
    assert places(store) == {"a": (10, None), "b": (20, None)}


def test_the_same_keeps_its_place_and_its_pause_and_what_was_changed(store):
    declare(store, "app", [job("a"), job("b")], NOW)
    change(store, "a", fire_us=55, due_us=55)
    change(store, "b", due_us=None)
    renamed = store.get("a").job._replace(given_name="changed")
    change(store, "a", job=renamed)
    declare(store, "app", [job("a"), job("b")], NOW)
    assert places(store) == {"a": (55, None), "b": (None, None)}
    assert store.get("a").job.name == "changed"


@pytest.mark.parametrize("paused", [True, False])
def test_another_definition_is_planned_anew_and_stays_paused(store, paused):
    declare(store, "app", [job("a")], NOW)
    change(store, "a", fire_us=55, due_us=None if paused else 55)
    declare(store, "app", [job("a", hours=2, due=30)], NOW)
    assert store.get("a").job.trigger == job("a", hours=2).entry.job.trigger
    assert places(store) == {"a": (None if paused else 30, None)}


def test_one_that_cannot_be_run_keeps_its_pause_too(store):
    declare(store, "app", [job("a")], NOW)
    change(store, "a", due_us=None, broken="its module is missing")
    declare(store, "app", [job("a")], NOW)
    assert places(store) == {"a": (None, "its module is missing")}


@pytest.mark.parametrize("fingerprint", ["the same", "another"])
def test_a_job_replaced_by_hand_is_declared_again(store, fingerprint):
    declare(store, "app", [job("a")], NOW)
    by_hand = job("a", hours=5, due=99).entry
    store.write((Change(store.get("a"), by_hand, True),), NOW)
    declare(store, "app", [job("a", hours=1 if fingerprint == "the same" else 2)], NOW)
    assert places(store) == {"a": (10, None)}


def test_what_is_parked_is_parked_once(store):
    declare(store, "app", [job("a")], NOW)
    declare(store, "app", [], NOW)
    parked = store.get("a")
    declare(store, "app", [], NOW)
    assert store.get("a") == parked


def test_what_is_declared_no_more_is_parked_and_comes_back(store):
    declare(store, "app", [job("a"), job("b")], NOW)
    declare(store, "app", [job("b")], NOW)
    assert places(store) == {"a": (None, "'app' no longer declares it"), "b": (10, None)}
    declare(store, "app", [job("a", due=70), job("b")], NOW)
    assert places(store) == {"a": (70, None), "b": (10, None)}


def test_the_jobs_of_others_are_left_alone(store):
    store.write([job("added").entry], NOW)
    declare(store, "other", [job("theirs")], NOW)
    declare(store, "app", [job("ours")], NOW)
    declare(store, "app", [], NOW)
    assert {job_id for job_id, (due_us, _) in places(store).items() if due_us is None} == {"ours"}


def test_what_had_its_last_fire_time_is_not_run_again(store):
    once = Job("once", print, (), {}, DateTrigger("2030-01-01", "UTC"), Options())
    declared = [Declared(Entry(once, 5, 5), "once")]
    declare(store, "app", declared, NOW)
    with store.take(5, 10) as batch:
        batch.settle([None], 5)
    assert declare(store, "app", declared, NOW) == []
    assert places(store) == {}


def test_what_was_removed_by_hand_is_declared_again(store):
    declare(store, "app", [job("a")], NOW)
    store.write((Change(store.get("a"), None),), NOW)
    declare(store, "app", [job("a")], NOW)
    assert places(store) == {"a": (10, None)}


def test_what_nobody_declares_is_added_once_and_stays(store):
    store.declare(None, [job("a")], NOW, "refuse")
    change(store, "a", fire_us=55, due_us=55)
    assert [entry.due_us for entry in store.declare(None, [job("a")], NOW, "refuse")] == [55]
    store.retire("app", [], NOW)
    assert places(store) == {"a": (55, None)}


def test_another_definition_is_refused_where_that_is_asked_for_and_nothing_changes(store):
    store.declare(None, [job("b")], NOW, "refuse")
    with pytest.raises(ConflictingIdError):
        store.declare(None, [job("a"), job("b", hours=2)], NOW, "refuse")
    assert places(store) == {"b": (10, None)}


def test_what_is_declared_later_counts_as_declared_from_then_on(store):
    store.declare(None, [job("a")], NOW, "refuse")
    store.declare("app", [job("a")], NOW)
    assert store.retire("app", [], NOW) == ["a"]


def test_fire_times_that_a_new_definition_passes_over_are_recorded(store):
    store.declare("app", [job("a", due=10)], NOW)
    store.declare("app", [job("a", hours=2, due=3 * NOW)], 2 * NOW)
    assert [(r.outcome, r.scheduled_us) for r in store.records(RunQuery("a"))] == [
        (Outcome.CANCELLED, 10)
    ]
