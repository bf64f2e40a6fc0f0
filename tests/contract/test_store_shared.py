"""What a store promises that several processes share: here, two clients of one database."""

from __future__ import annotations

import threading

import pytest

from schedcore import JobLookupError, Outcome
from schedcore.stores.base import Change, Declared
from tests.stores.calls import (
    add,
    begun,
    changed,
    due_times,
    end,
    entry,
    ids,
    outcomes,
    paused,
    settle,
    work,
)
from tests.stores.plain import PlainStore
from tests.stores.postgres import HASTY, beside, postgres_store


@pytest.fixture(params=["plain", "postgresql"])
def kind(request):
    return request.param


@pytest.fixture
def one(kind):
    store = PlainStore() if kind == "plain" else postgres_store(limits=HASTY)
    yield store
    store.close()


@pytest.fixture
def other(kind, one):
    store = PlainStore(one.database) if kind == "plain" else beside(one)
    yield store
    store.close()


def is_not_due(store, now):
    """Return whether a store has nothing due for itself: by now, or ever."""
    due_us = store.next_due()
    return due_us is None or due_us > now


def test_what_one_adds_the_other_reads_whole(one, other):
    add(one, entry("a", 5, max_instances=3))
    read, written = other.get("a"), one.get("a")
    assert read._replace(job=None) == written._replace(job=None)
    assert (read.job.options, read.job.trigger) == (written.job.options, written.job.trigger)
    assert (read.job.func, read.job.func_ref) == (work, written.job.func_ref)
    assert (ids(other.entries()), other.next_due()) == (["a"], 5)
    assert other.write([entry("a")], 0).conflicts == ["a"]


def test_a_change_of_one_is_a_conflict_for_the_other(one, other):
    add(one, entry("a", 5))
    old = other.get("a")
    version, _ = other.changes(None)
    changed(one, "a", max_instances=2)
    assert other.write([Change(old, None)], 0).conflicts == ["a"]
    assert other.get("a").job.max_instances == 2
    assert set(other.changes(version)[1]) == {"a"}


def test_what_one_has_taken_the_other_does_not_get(one, other):
    add(one, entry("a", 5), entry("b", 6))
    with one.take(10, 1) as first, other.take(10, 10) as second:
        assert [slot.job.id for slot in first.slots] == ["a"]
        assert [slot.job.id for slot in second.slots] == ["b"]
        assert is_not_due(other, 10)
        second.settle([16], 10)
    assert other.next_due() == 5


def test_what_one_had_taken_that_is_gone_the_other_gets_at_once(one, other):
    add(one, entry("a", 5))
    lost = one.take(10, 1)
    assert lost.slots
    one.close()
    while is_not_due(other, 10):  # as soon as the database has noticed
        pass
    assert due_times(settle(other, 10).runs) == [5]


def test_a_claim_of_one_is_void_once_the_other_changes_the_job(one, other):
    """Where rows are locked, the other one waits until the server has had enough of this one."""
    add(one, entry("a", 5))
    with one.take(10, 1) as batch:
        paused(other, "a")
        assert batch.settle([15], 10).runs == []
    assert one.get("a").due_us is None


def test_a_call_that_fails_in_the_middle_leaves_nothing_behind(kind, one, other, monkeypatch):
    add(one, entry("a", 5), entry("b", 6))
    before = other.entries(), other.changes(None)[0]
    if kind == "plain":
        monkeypatch.setattr(one, "_note", lambda job_id: 1 // 0 if job_id == "b" else 1)
    else:
        monkeypatch.setattr(one.history, "add", lambda *args: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        one.write([Change(one.get("a"), None), Change(one.get("b"), None)], 0)
    assert (other.entries(), other.changes(None)[0]) == before


def declared_anew(store, job_id, **options):
    return store.declare("app", [Declared(entry(job_id, 5, **options), "new")], 0)


@pytest.mark.parametrize("change", [changed, declared_anew])
def test_a_definition_that_was_not_committed_is_never_read(change, monkeypatch):
    """Another process may write another one before this one has noticed that it failed."""
    one = postgres_store()
    other = beside(one)
    one.declare("app", [Declared(entry("a", 5), "old")], 0)
    commit = one.database.commit
    seen = []

    def look():
        changed(other, "a", max_instances=3)
        seen.append(one.get("a").job.max_instances)

    def in_another_thread():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    def failing(tx):
        if not tx.for_update:
            return commit(tx)
        monkeypatch.undo()
        tx.unless_made(in_another_thread)
        one.database.rollback(tx)
        raise ZeroDivisionError

    monkeypatch.setattr(one.database, "commit", failing)
    with pytest.raises(ZeroDivisionError):
        change(one, "a", max_instances=2)
    assert seen == [3]
    other.close()
    one.close()


def test_runs_of_one_count_for_the_other_and_are_ended_by_whoever_comes_first(one, other):
    add(one, entry("a", 5, overlap="queue"))
    (run,) = begun(*settle(one, 5, next_us=15).runs)
    assert settle(other, 15, next_us=25).runs == []
    assert due_times(one.runs()) == due_times(other.runs()) == [5, 15]
    (seen, _) = other.runs()
    ended = end(other, seen, outcome=Outcome.CANCELLED)
    assert due_times(ended.runs) == [15], "what waited starts where the place became free"
    assert end(one, run).recorded == []
    assert outcomes(one, "a") == outcomes(other, "a") == [Outcome.CANCELLED]


def test_a_run_that_has_begun_elsewhere_is_left_alone_by_a_pause_and_not_tried_again(one, other):
    add(one, entry("a", 5))
    (run,) = begun(*settle(one, 5, next_us=15).runs)
    assert not paused(other, "a").ended
    assert due_times(one.runs()) == [5]
    assert end(one, run).recorded


def test_what_waits_elsewhere_ends_with_its_job(one, other):
    add(one, entry("a", 5, coalesce=False))
    (run,) = begun(*settle(one, 15, times=(5, 15), next_us=25).runs)
    written = other.write([Change(other.get("a"), None)], 20)
    assert due_times([ended.run for ended in written.ended]) == [15]
    assert end(one, run).runs == []
    assert one.counts("a") == {Outcome.CANCELLED: 1, Outcome.EXECUTED: 1}
    with pytest.raises(JobLookupError):
        one.get("a")
