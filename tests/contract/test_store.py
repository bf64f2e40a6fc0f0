"""What every store promises of its jobs, and of their places in the schedule."""

from __future__ import annotations

import threading

import pytest

from schedcore import JobLookupError, Outcome
from schedcore.history.query import RunQuery
from schedcore.run import RunRecord
from schedcore.stores.base import Change, Settlement
from tests.stores.calls import (
    add,
    begun,
    changed,
    due_times,
    end,
    entry,
    ids,
    job_ids,
    outcomes,
    paused,
    removed,
    replaced,
    settle,
)

# Writing


def test_a_job_added_can_be_got(store):
    added = entry("a", 5, max_instances=3)
    add(store, added)
    got = store.get("a")
    assert got._replace(version=None) == added
    assert got.job is store.get("a").job


@pytest.mark.parametrize("how", ["twice in one call", "there already"])
def test_an_id_that_is_taken_is_a_conflict_and_nothing_of_the_call_is_stored(store, how):
    if how == "there already":
        add(store, entry("a", 5))
        assert store.write([entry("b"), entry("a", 7)], 0).conflicts == ["a"]
        assert (ids(store.entries()), store.next_due()) == (["a"], 5)
    else:
        assert store.write([entry("b"), entry("a", 5), entry("a", 7)], 0).conflicts == ["a"]
        assert (store.entries(), store.next_due()) == ([], None)


CHANGES = {
    "changed": lambda store: changed(store, "a", broken="so it is"),
    "moved": lambda store: changed(store, "a", fire_us=99, due_us=99),
    "paused": lambda store: paused(store, "a"),
    "removed": lambda store: removed(store, "a"),
    "replaced": lambda store: replaced(store, entry("a", 5)),
    "removed and added again": lambda store: (removed(store, "a"), add(store, entry("a", 5))),
    "run and moved on": lambda store: settle(store, 5, next_us=99),
    "run for the last time": lambda store: settle(store, 5),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["change", "removal", "replacement"])
def test_what_was_changed_since_it_was_read_is_a_conflict_and_nothing_is_changed(
    store, change, kind
):
    add(store, entry("a", 5), entry("b", 500))
    old, other = store.get("a"), store.get("b")
    CHANGES[change](store)
    before = store.entries(), store.next_due(), store.counts(None)
    new = None if kind == "removal" else old._replace(due_us=7)
    late = RunRecord(None, "a", Outcome.CANCELLED, 5)
    written = store.write(
        [Change(other, None), Change(old, new, kind == "replacement", [late])], now_us=0
    )
    assert written.conflicts == ["a"]
    assert not written.ended
    assert (store.entries(), store.next_due(), store.counts(None)) == before


def test_reading_makes_no_conflict(store):
    add(store, entry("a", 5), entry("b", 6))
    old = store.get("a")
    store.entries(), store.page("", 9), store.changes(None), store.next_due()
    with store.take(4, 10):
        pass
    changed(store, "b", due_us=4)
    assert store.write([Change(old, None)], 0).conflicts == ()


def test_one_job_cannot_be_changed_twice_in_one_call(store):
    add(store, entry("a", 5))
    old = store.get("a")
    changes = [Change(old, old._replace(due_us=7)), Change(old, None)]
    assert store.write(changes, 0).conflicts == ["a"]
    assert store.next_due() == 5


def test_a_change_and_the_outcomes_of_what_it_leaves_out_are_made_together(store):
    add(store, entry("a", 5))
    record = RunRecord(None, "a", Outcome.CANCELLED, 5, late_us=3, occurrences=4)
    old = store.get("a")
    store.write([Change(old, old._replace(fire_us=9, due_us=9), False, [record])], 8)
    assert store.records(RunQuery("a")) == [record]
    assert store.counts("a") == store.counts(None) == {Outcome.CANCELLED: 4}


@pytest.mark.parametrize("others", [0, 2])
def test_a_job_changed_in_place_is_due_when_it_was(store, others):
    add(store, *(entry(f"j{n}", 5) for n in range(others)), entry("a", 5))
    changed(store, "a", broken="so it is")
    with store.take(5, 10) as batch:
        taken = {slot.job.id: slot.broken for slot in batch.slots}
    assert taken == {"a": "so it is"} | {f"j{n}": None for n in range(others)}


@pytest.mark.parametrize("how", ["added", "changed", "settled"])
def test_why_a_job_cannot_run_may_be_any_text(store, how):
    why = "ValueError: M\udcfcller\x00.csv"
    add(store, entry("a", 5)._replace(broken=why if how == "added" else None), entry("b", 5))
    if how == "changed":
        changed(store, "a", broken=why)
    if how == "settled":
        with store.take(5, 10) as batch:
            batch.settle(
                [Settlement(slot, slot.job, 5, 9, (), None, why) for slot in batch.slots], 5
            )
    told = store.get("a").broken
    assert told.startswith("ValueError: M")
    assert told.endswith("ller\\x00.csv" if told != why else "ller\x00.csv")


def test_a_moved_job_is_due_at_its_new_time_only(store):
    add(store, entry("a", 5))
    changed(store, "a", fire_us=50, due_us=51)
    assert store.next_due() == 51
    assert settle(store, 50) is None
    settled = settle(store, 51)
    assert due_times(settled.runs) == [50]


def test_a_paused_job_is_not_due_before_it_is_resumed(store):
    add(store, entry("a", 5), entry("p", None))
    paused(store, "a")
    assert store.next_due() is None
    assert settle(store, 1_000) is None
    assert store.get("a").fire_us == 5
    changed(store, "a", due_us=7)
    assert store.next_due() == 7


def test_what_is_not_there_is_said(store):
    with pytest.raises(JobLookupError, match="'nobody'"):
        store.get("nobody")


@pytest.mark.parametrize("job_id", ["", "a\0b", "\ud800", "x" * 10_000, 5, None], ids=ascii)
def test_what_no_job_can_be_called_is_not_there(store, job_id):
    with pytest.raises(JobLookupError):
        store.get(job_id)


# Reading


def test_jobs_are_listed_by_due_time_with_paused_ones_last(store):
    add(store, entry("p", None), entry("c", 30), entry("b", 20), entry("a", 10))
    changed(store, "c", due_us=5)
    assert ids(store.entries()) == ["c", "a", "b", "p"]


def test_pages_of_jobs_come_in_the_order_of_their_ids(store):
    names = [f"j{n}" for n in (3, 1, 10, 2)]
    add(store, *(entry(name, n) for n, name in enumerate(names)))
    assert ids(store.page("", 100)) == sorted(names)
    assert ids(store.page("", 2)) == ["j1", "j10"]
    assert ids(store.page("j10", 2)) == ["j2", "j3"]
    assert store.page("j3", 2) == []
    assert store.page("", 100)[0] == store.get("j1")


def test_changes_are_told_by_version(store):
    add(store, entry("a"), entry("b", 20))
    version, _ = store.changes(None)
    again, names = store.changes(version)
    assert (again, list(names)) == (version, [])
    changed(store, "a", due_us=99)
    removed(store, "b")
    later, names = store.changes(version)
    assert later != version
    assert names is None or set(names) == {"a", "b"}
    settle(store, 99, next_us=200)
    latest, names = store.changes(later)
    assert names is None or set(names) == {"a"}
    again, names = store.changes(latest)
    assert (again, list(names)) == (latest, [])


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_the_list_changes_the_version(store, change):
    add(store, entry("a", 5), entry("b", 500))
    version, _ = store.changes(None)
    CHANGES[change](store)
    later, names = store.changes(version)
    assert later != version
    assert names is None or set(names) == {"a"}


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 150])
@pytest.mark.parametrize("by", ["changes", "one step"])
def test_no_change_is_left_out_however_many_there_are(store, count, by):
    """Either all of them are told, or that they are not known."""
    add(store, *(entry(f"j{n}", n) for n in range(160)))
    for again in (1, 2):
        version, _ = store.changes(None)
        if by == "one step":
            settle(store, 1_000 * again, limit=count, next_us=1_000 * again + 500)
        else:
            for n in range(count):
                changed(store, f"j{n}", due_us=n, broken=str(again))
        _, names = store.changes(version)
        assert names is None or len(set(names)) == count


# Taking


def test_what_is_due_is_taken_the_earliest_first_up_to_the_limit(store):
    add(store, *(entry(f"j{n}", n) for n in reversed(range(10))))
    with store.take(7, 3) as first, store.take(7, 100, {"default", "other"}) as rest:
        assert [slot.job.id for slot in first.slots] == ["j0", "j1", "j2"]
        assert [slot.job.id for slot in rest.slots] == [f"j{n}" for n in range(3, 8)]
        assert store.next_due() == 8


def test_nobody_else_gets_what_is_taken_before_it_is_settled(store):
    add(store, entry("a", 5))
    with store.take(5, 10) as batch:
        assert store.next_due() is None
        assert not store.take(5, 10).slots
        (slot,) = batch.slots
        assert (slot.job, slot.fire_us, slot.due_us) == (store.get("a").job, 5, 5)
        batch.settle([15], 5)
    assert store.next_due() == 15


def test_what_is_left_to_others_is_not_told_as_due_either(store):
    """Whether jobs of executors that are not there are left alone is the store's own choice."""
    add(store, entry("a", 5, executor="elsewhere"))
    told = store.next_due({"default"})
    with store.take(5, 10, {"default"}) as batch:
        assert (len(batch.slots) == 1) == (told == 5)
    assert store.next_due({"elsewhere", "default"}) == store.next_due() == 5


def test_no_more_is_taken_than_executors_have_room_for_where_others_take_the_rest(store):
    add(store, *(entry(f"a{n}", n) for n in range(5)))
    add(store, *(entry(f"b{n}", 10 + n, executor="other") for n in range(5)))
    add(store, entry("c", 0, executor="full"))
    with store.take(50, 100, {"default": 2, "other": 3}) as batch:
        taken = [slot.job.id for slot in batch.slots]
    taken = [job_id for job_id in taken if job_id != "c"]  # who has no others takes all executors
    if len(taken) < 10:
        assert taken == ["a0", "a1", "b0", "b1", "b2"]
    with store.take(50, 3, {"default": 100, "other": 100}) as batch:
        assert len(batch.slots) == 3


def test_what_is_due_of_one_executor_leaves_room_in_a_batch_for_others(store):
    """Though all of it fell due before."""
    for name in ("far", "farther"):
        add(store, *(entry(f"{name} {n}", 1, executor=name) for n in range(600)))
    add(store, entry("here", 2))
    rooms = {"far": 250, "farther": 250, "default": 10_000}
    with store.take(5, 10_000, rooms) as batch:
        taken = [slot.job.id for slot in batch.slots]
    assert "here" in taken
    assert len(taken) > 1
    assert taken[-1] == "here"  # the earliest first


@pytest.mark.parametrize("how", ["left", "left by an error", "given back", "given back twice"])
def test_what_is_not_settled_is_as_if_it_had_not_been_taken(store, how):
    add(store, entry("a", 5), entry("b", 6))
    before = store.entries()

    def leave():
        with store.take(6, 10) as batch:
            if how == "left by an error":
                raise OSError("the disk is full")
            for _ in range(how.count("given") + how.count("twice")):
                batch.give_back()

    if how == "left by an error":
        with pytest.raises(OSError, match="disk"):
            leave()
    else:
        leave()
    assert store.next_due() == 5
    assert [e._replace(version=None) for e in store.entries()] == [
        e._replace(version=None) for e in before
    ]
    assert job_ids(settle(store, 6).runs) == ["a", "b"]


def test_what_is_given_back_is_not_settled_any_more(store):
    """The thread that was held up goes on after another one has done its work."""
    add(store, entry("a", 5))
    with store.take(5, 10) as held_up:
        held_up.give_back()
        assert due_times(settle(store, 5, next_us=15).runs) == [5]
        settled = held_up.settle([15], 5)
        assert (settled.runs, settled.removed) == ([], [])
    assert (store.next_due(), len(store.runs())) == (15, 1)


def test_what_is_settled_is_not_given_back(store):
    add(store, entry("a", 5))
    with store.take(5, 10) as batch:
        batch.settle([15], 5)
        batch.give_back()
    assert store.next_due() == 15
    assert settle(store, 14) is None


@pytest.mark.parametrize("change", [c for c in CHANGES if "run" not in c])
@pytest.mark.parametrize("then", ["settled", "given back"])
def test_a_claim_is_void_once_the_job_is_changed(store, change, then):
    add(store, entry("a", 5))
    with store.take(5, 10) as batch:
        CHANGES[change](store)
        before = store.entries(), store.next_due()
        if then == "settled":
            (slot,) = batch.slots
            record = Settlement(slot, slot.job, 15, 15, (5,))
            settled = batch.settle([record], 5)
            assert (settled.runs, settled.removed) == ([], [])
        else:
            batch.give_back()
    assert (store.entries(), store.next_due()) == before
    assert (store.runs(), store.records()) == ([], [])


def test_of_a_batch_only_what_was_changed_is_void(store):
    add(store, entry("a", 5), entry("b", 5), entry("c", 5))
    with store.take(5, 10) as batch:
        paused(store, "b")
        settled = batch.settle([15] * 3, 5)
    assert sorted(job_ids(settled.runs)) == ["a", "c"]
    assert store.get("b").due_us is None


def test_a_job_changed_while_it_is_taken_can_be_taken_again_at_once(store):
    add(store, entry("a", 5))
    with store.take(5, 10) as batch:
        changed(store, "a", max_instances=2)
        assert due_times(settle(store, 5, next_us=15).runs) == [5]
        assert batch.settle([25], 5).runs == []
    assert store.next_due() == 15


def test_of_many_threads_each_job_has_one(store):
    add(store, *(entry(f"j{n}", n) for n in range(300)))
    runs = []

    def take():
        while True:
            with store.take(10_000, 7) as batch:
                if not batch.slots:
                    return
                runs.extend(batch.settle([None] * len(batch.slots), 10_000).runs)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job_ids(runs)) == sorted(f"j{n}" for n in range(300))
    assert store.entries() == []


# The last fire time, and the same id again


def test_a_job_is_removed_with_its_last_fire_time_and_its_run_goes_on(store):
    add(store, entry("once", 5))
    settled = settle(store, 5)
    assert settled.removed == ["once"]
    assert store.entries() == []
    (run,) = begun(*settled.runs)
    assert job_ids(store.runs()) == ["once"]
    end(store, run)
    assert outcomes(store, "once") == [Outcome.EXECUTED]


@pytest.mark.parametrize("how", ["after its last fire time", "removed", "replaced"])
def test_the_same_id_again_is_another_job_with_no_open_runs(store, how):
    add(store, entry("a", 5))
    (old,) = begun(
        *settle(store, 5, next_us=15 if how != "after its last fire time" else None).runs
    )
    if how == "replaced":
        assert not replaced(store, entry("a", 20)).ended
    else:
        if how == "removed":
            removed(store, "a")
        add(store, entry("a", 20))
    settled = settle(store, 20, next_us=30)
    assert (due_times(settled.runs), settled.skipped) == ([20], [])
    assert sorted(due_times(store.runs())) == [5, 20]
    end(store, old)
    assert settle(store, 30, next_us=40).skipped
    assert outcomes(store, "a") == [Outcome.EXECUTED, Outcome.SKIPPED]
