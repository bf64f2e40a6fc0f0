"""What every store promises."""

from __future__ import annotations

import threading

import pytest

from schedcore import ConflictingIdError, DateTrigger, JobLookupError, MemoryStore
from schedcore.job import Job, Options
from schedcore.stores.base import Entry


@pytest.fixture(params=[MemoryStore])
def store(request):
    return request.param()


def entry(job_id, due=10):
    job = Job(job_id, print, (), {}, DateTrigger("2030-01-01", "UTC"), Options())
    return Entry(job, due, due)


def ids(entries):
    return [one.job.id for one in entries]


def test_a_job_added_can_be_got(store):
    store.add([entry("a", 5)], replace=False)
    assert store.get("a").job.id == "a"
    assert store.get("a").due_us == 5


def test_a_taken_id_is_refused_and_nothing_of_the_call_is_stored(store):
    store.add([entry("a", 5)], replace=False)
    with pytest.raises(ConflictingIdError, match=r"'a'.*replace_existing"):
        store.add([entry("b"), entry("a", 7)], replace=False)
    assert ids(store.entries()) == ["a"]
    assert store.get("a").due_us == 5


def test_one_call_cannot_add_an_id_twice(store):
    with pytest.raises(ConflictingIdError):
        store.add([entry("a"), entry("a")], replace=False)
    assert store.entries() == []


def test_replacing_moves_the_job(store):
    store.add([entry("a", 5)], replace=False)
    store.add([entry("a", 50)], replace=True)
    assert store.next_due() == 50
    assert ids(store.claim_due(49, 10)) == []


def test_what_is_not_there_is_said(store):
    for call in (store.get, store.remove):
        with pytest.raises(JobLookupError, match="'nobody'"):
            call("nobody")


def test_jobs_are_listed_by_due_time_with_paused_ones_last(store):
    store.add([entry("p", None), entry("b", 20), entry("a", 10)], replace=False)
    assert ids(store.entries()) == ["a", "b", "p"]


def test_a_claimed_job_is_not_handed_out_again_until_it_is_swapped(store):
    store.add([entry("a", 5)], replace=False)
    (claimed,) = store.claim_due(5, 10)
    assert store.claim_due(5, 10) == []
    assert store.next_due() is None
    assert store.swap([(claimed, claimed._replace(fire_us=15, due_us=15))]) == [True]
    assert store.next_due() == 15


def test_a_claim_takes_the_earliest_up_to_the_limit(store):
    store.add([entry(f"j{n}", n) for n in range(10)], replace=False)
    assert ids(store.claim_due(7, 3)) == ["j0", "j1", "j2"]
    assert ids(store.claim_due(7, 100)) == ["j3", "j4", "j5", "j6", "j7"]


@pytest.mark.parametrize("change", ["modified", "paused", "removed", "removed and added again"])
def test_a_claim_does_not_overwrite_what_happened_meanwhile(store, change):
    store.add([entry("a", 5)], replace=False)
    (claimed,) = store.claim_due(5, 10)
    if change == "modified":
        store.swap([(store.get("a"), entry("a", 99))])
    elif change == "paused":
        store.swap([(store.get("a"), entry("a", None))])
    else:
        store.remove("a")
    if change == "removed and added again":
        store.add([entry("a", 99)], replace=False)
    before = ids(store.entries()), store.next_due()
    assert store.swap([(claimed, claimed._replace(due_us=15))]) == [False]
    assert (ids(store.entries()), store.next_due()) == before


@pytest.mark.parametrize("others", [0, 2])
def test_a_job_changed_in_place_is_due_when_it_was(store, others):
    store.add([entry(f"j{n}", 5) for n in range(others)] + [entry("a", 5)], replace=False)
    old = store.get("a")
    assert store.swap([(old, old._replace(broken="so it is"))]) == [True]
    claimed = store.claim_due(5, 10)
    assert ids(claimed) == [*(f"j{n}" for n in range(others)), "a"]
    assert claimed[-1].broken == "so it is"


def test_a_swap_to_nothing_removes(store):
    store.add([entry("a", 5), entry("b", 6)], replace=False)
    assert store.swap([(store.get("a"), None)]) == [True]
    assert ids(store.entries()) == ["b"]
    assert store.next_due() == 6


def test_clearing_returns_what_was_there(store):
    store.add([entry("a"), entry("b", None)], replace=False)
    assert sorted(ids(store.clear())) == ["a", "b"]
    assert store.entries() == []
    assert store.next_due() is None


def test_of_many_claimants_each_job_has_one(store):
    store.add([entry(f"j{n}", n) for n in range(2_000)], replace=False)
    claims: list[str] = []

    def claim():
        while taken := store.claim_due(10_000, 7):
            claims.extend(ids(taken))

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == sorted(f"j{n}" for n in range(2_000))


def test_changes_are_told_by_version(store):
    store.add([entry("a"), entry("b", 20)], replace=False)
    version, _ = store.changes(None)
    assert store.changes(version) == (version, ())
    store.swap([(store.get("a"), entry("a", 99))])
    store.remove("b")
    later, changed = store.changes(version)
    assert later != version
    assert changed is None or set(changed) == {"a", "b"}
    store.clear()
    _, changed = store.changes(later)
    assert changed is None or set(changed) == {"a"}


def test_no_change_is_left_out_however_many_there_are(store):
    """Either all of them are told, or that they are not known."""
    store.add([entry(f"j{n}", n) for n in range(500)], replace=False)
    for count in (1, 2, 63, 64, 65, 200):
        version, _ = store.changes(None)
        for n in range(count):
            store.swap([(store.get(f"j{n}"), entry(f"j{n}", 1000 + n))])
        _, changed = store.changes(version)
        assert changed is None or set(changed) == {f"j{n}" for n in range(count)}
        store.swap([(store.get(f"j{n}"), entry(f"j{n}", n)) for n in range(count)])
        _, changed = store.changes(version)
        assert changed is None or set(changed) == {f"j{n}" for n in range(count)}


def test_a_change_that_came_too_late_changes_nothing(store):
    store.add([entry("a")], replace=False)
    old = store.get("a")
    store.swap([(old, entry("a", 11))])
    assert store.swap([(old, entry("a", 12)), (old, None)]) == [False, False]
    assert store.get("a").due_us == 11
