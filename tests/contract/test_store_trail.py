"""What every store promises of the audit, and of all that happens, in one order."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from schedcore import History, InvalidOptionError, MemoryStore, Outcome
from schedcore.changes.audit import PYTHON, Actor, AuditRecord
from schedcore.run import RunRecord
from schedcore.stores.audit_records import record_of_change
from schedcore.stores.base import Change, Declared
from schedcore.stores.memory_records import AuditTrail
from schedcore.stores.sql_history import Retention
from schedcore.stores.sql_nodes import trim
from schedcore.stores.sqlite import SqliteStore
from tests.contract.conftest import STORES
from tests.stores.calls import add, begun, end, entry, job, put_records, run_now, settle
from tests.stores.postgres import beside, postgres_store

ALICE = Actor("alice", "10.0.0.3")


def noted(verb="started", at=7, job_id=None, run_id=None):
    return AuditRecord(0, at, *ALICE, verb, job_id, run_id)


def record(n):
    return RunRecord(None, "a", Outcome.MISSED, n)


def all_of(store):
    """Return what the audit keeps, the first first, with its numbers checked."""
    found = store.audit(None, None, None, 1_000)[::-1]
    assert [r.id for r in found] == sorted({r.id for r in found})
    return [r._replace(id=0) for r in found]


def verbs(store):
    return [(r.verb, r.job_id) for r in all_of(store)]


# The audit


def test_what_is_noted_is_kept_as_it_is(store):
    whole = noted("changed", job_id="ä")._replace(before_text='{"seconds":1}', after_text="{}")
    store.note([whole, noted("cancelled", job_id="a", run_id=5)])
    store.note([noted()._replace(address=None)])
    expected = [whole, noted("cancelled", job_id="a", run_id=5), noted()._replace(address=None)]
    assert all_of(store) == expected


def test_a_change_is_noted_if_it_is_made(store):
    new = entry("a")
    store.write([new], 5, ALICE)
    assert store.write([new], 6, ALICE).conflicts
    old = store.get("a")
    removed = Change(old, None)
    assert not store.write([removed], 7, ALICE).conflicts
    assert store.write([removed], 8, ALICE).conflicts
    assert [(r.verb, r.at_us, r.who, r.address) for r in all_of(store)] == [
        ("added", 5, *ALICE),
        ("removed", 7, *ALICE),
    ]


def test_what_only_compares_is_not_noted(store):
    add(store, entry("a"), entry("b"))
    a, b = store.get("a"), store.get("b")
    store.write([Change(a, a), Change(b, b._replace(due_us=None))], 5, ALICE)
    assert verbs(store) == [("paused", "b")]


def test_a_change_is_noted_with_the_values_that_it_had(store):
    names = ["x"]
    before = entry("a")
    before = before._replace(job=before.job._replace(args=(names, "y"), kwargs={"z": names}))
    add(store, before)
    old = store.get("a")
    options = job("a", max_instances=3).options
    store.write([Change(old, old._replace(job=old.job._replace(options=options)))], 6, ALICE)
    old = store.get("a")
    store.write([Change(old, None)], 7, ALICE)
    names.append("later")
    old.job.args[0].append("later")
    changed, removed = all_of(store)
    assert (changed.before, changed.after) == ({"max_instances": 1}, {"max_instances": 3})
    assert (removed.before["args"], removed.before["kwargs"]) == ([["x"], "y"], {"z": ["x"]})


def test_the_audit_in_memory_keeps_no_objects_of_users_alive():
    class Held:
        def __call__(self):
            pass

    def local(held=None):
        pass

    store = MemoryStore()
    held = Held()
    local.__defaults__ = (held,)
    jobs = [
        job("a")._replace(args=(held,)),
        job("b")._replace(kwargs={"held": held}),
        job("c")._replace(func=held),
        job("d")._replace(func=held.__call__),
        job("e")._replace(func=local),
        job("f")._replace(args=([held],)),
    ]
    for each in jobs:
        store.write([entry(each.id)._replace(job=each)], 5, ALICE)
        store.write([Change(store.get(each.id), None)], 6, ALICE)
    gone = weakref.ref(held)
    del held, jobs, each, local
    gc.collect()
    assert gone() is None
    assert len(all_of(store)) == 12


def test_what_nobody_ordered_is_not_noted(store):
    add(store, entry("a", 5))
    begun(*settle(store, 6, next_us=15).runs)
    assert all_of(store) == []


def test_a_run_by_hand_is_noted_with_its_number_if_there_is_room(store):
    add(store, entry("a", 5))
    stored = store.get("a").job
    run = run_now(store, stored, 7, note=noted("run", job_id="a"))
    assert all_of(store) == [noted("run", job_id="a", run_id=run.id)]
    assert run_now(store, stored, 8, note=noted("run", job_id="a")) is None
    assert len(all_of(store)) == 1


def test_declarations_are_noted_where_they_change_something(store):
    def declare(*entries, by=ALICE):
        store.declare("app", [Declared(e, repr(e.job.options)) for e in entries], 5, by=by)

    declare(entry("a"), entry("b"))
    declare(entry("a"), entry("b"))
    declare(entry("a", max_instances=2), entry("b"))
    declare(entry("c"), by=None)
    store.retire("app", ["b", "c"], 6, ALICE)
    store.retire("app", ["b", "c"], 6, ALICE)
    assert verbs(store) == [("added", "a"), ("added", "b"), ("changed", "a"), ("parked", "a")]
    changed = all_of(store)[2]
    assert (changed.before, changed.after) == ({"max_instances": 1}, {"max_instances": 2})


def test_a_part_of_the_audit_can_be_asked_for(store):
    for n in range(6):
        store.note([noted(at=n, job_id="ab"[n % 2])])
    numbers = [r.id for r in store.audit(None, None, None, 10)]

    def times(*asked):
        return [r.at_us for r in store.audit(*asked)]

    assert times(None, None, None, 2) == [5, 4]
    assert times("a", None, None, 10) == [4, 2, 0]
    assert times(None, 4, None, 10) == [5, 4]
    assert times(None, None, numbers[1], 2) == [3, 2]
    assert times("b", 2, numbers[0], 10) == [3]
    assert times("c", None, None, 10) == []


# All that happens


def followed(store, place, limit=100):
    found = []
    while True:
        place, records, whole = store.happened_after(place, limit)
        assert whole
        assert len(records) <= limit
        if not records:
            return place, found
        found += records


def names(records):
    return [r.verb if isinstance(r, AuditRecord) else r.scheduled_us for r in records]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_outcomes_and_changes_come_in_the_order_in_which_they_were_made(store, limit):
    put_records(store, [record(0)])
    store.note([noted("zero")])
    place, records, whole = store.happened_after(None, 10)
    assert (records, whole) == ([], True)
    for step in (1, "two", "three", 4, 5, "six", 7):
        if isinstance(step, int):
            put_records(store, [record(step)])
        else:
            store.note([noted(step)])
    later, found = followed(store, place, limit)
    assert names(found) == [1, "two", "three", 4, 5, "six", 7]
    assert store.happened_after(later, limit).records == []
    add(store, entry("b", 8))
    (run,) = begun(*settle(store, 9).runs, at=9)
    end(store, run, at=10)
    store.note([noted("nine")])
    assert names(followed(store, later, limit)[1]) == [8, "nine"]


def test_a_change_is_there_with_what_ended_by_it(store):
    place, _, _ = store.happened_after(None, 10)
    add(store, entry("a", 5))
    settle(store, 6, next_us=50)
    old = store.get("a")
    change = Change(old, old._replace(due_us=None))
    store.write([change], 7, ALICE)
    assert sorted(map(str, names(followed(store, place)[1]))) == ["5", "paused"]


def test_places_that_are_none_or_of_another_store(make_store):
    one, other = make_store(), make_store()
    for text in ("", "x", "0123abcd.0.0-", one.ended_after(None, 1)[0] + "-x"):
        with pytest.raises(InvalidOptionError):
            one.happened_after(text, 10)
    foreign = other.happened_after(None, 10).position
    one.note([noted()])
    place, records, whole = one.happened_after(foreign, 10)
    assert (records, whole) == ([], False)
    assert one.happened_after(place, 10).whole


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_audit_is_cut_by_age_and_number_and_followers_are_told(kind, tmp_path):
    keep = Retention(audit_days=2, audit=3)
    store = SqliteStore(tmp_path / "jobs.db", keep=keep) if kind == "sqlite" else None
    store = store or postgres_store(keep=keep)
    day_us = 86_400 * 10**6
    early = store.happened_after(None, 10).position
    store.note([noted("old", at=1), noted("one", at=8 * day_us)])
    place, _ = followed(store, early)
    store.note([noted(f"n{n}", at=9 * day_us) for n in range(3)])
    trim(store, 9 * day_us)
    assert [verb for verb, _ in verbs(store)] == ["n0", "n1", "n2"]
    assert not store.happened_after(early, 10).whole
    assert names(followed(store, place)[1]) == ["n0", "n1", "n2"]
    trim(store, 12 * day_us)
    assert verbs(store) == []
    store.close()


def test_the_audit_in_memory_is_bounded_and_followers_are_told():
    store = MemoryStore(History(overall=5))
    store._audit = AuditTrail(5)
    early = store.happened_after(None, 10).position
    store.note([noted(f"n{n}") for n in range(4)])
    place, _ = followed(store, early)
    store.note([noted(f"n{n}") for n in range(4, 8)])
    assert len(all_of(store)) <= 6
    assert verbs(store)[-1] == ("n7", None)
    gone = store.happened_after(early, 10)
    assert not gone.whole
    assert names(followed(store, place)[1]) == ["n4", "n5", "n6", "n7"]
    numbers = [r.id for r in store.audit(None, None, None, 3)]
    assert numbers == [8, 7, 6]
    put_records(store, [record(n) for n in range(7)])
    assert not store.happened_after(place, 10).whole


def test_what_was_dumped_from_another_server_is_no_news_in_postgresql():
    """There transactions have other numbers, which may be far ahead."""
    store = postgres_store(keep=Retention(per_job=1, audit=1))
    put_records(store, [RunRecord(None, "a", Outcome.EXECUTED, n) for n in range(3)])
    store.note([noted("old"), noted("older")])
    trim(store, 1)
    before = store.happened_after(None, 10).position
    with store.database.write() as tx:
        for table in ("schedcore_ledger", "schedcore_audit"):
            tx.run(f"update {table} set tx = tx + 1000000")
        for name in ("schedcore_ledger cut", "schedcore_audit cut"):
            tx.run("update schedcore_meta set value = '1000000.1' where name = ?", name)
    restored = beside(store)
    assert restored.happened_after(before, 10).records == []
    place = restored.happened_after(None, 10).position
    put_records(restored, [record(9)])
    restored.note([noted("new")])
    found = restored.happened_after(place, 10)
    assert (names(found.records), found.whole) == ([9, "new"], True)
    assert restored.keeps_after(restored.ended_after(None, 1)[0])
    mark = place.partition(".")[0]
    everything = restored.happened_after(f"{mark}.0.0-{mark}.0.0", 10)
    assert sorted(names(everything.records[:2]), key=str) == [2, "older"]
    assert (names(everything.records[2:]), everything.whole) == ([9, "new"], False)
    restored.close()
    store.close()


def test_who_had_not_read_all_before_a_dump_is_told_in_postgresql():
    store = postgres_store()
    place = store.happened_after(None, 10).position
    put_records(store, [record(1)])
    store.note([noted("unread")])
    with store.database.write() as tx:
        for table in ("schedcore_ledger", "schedcore_audit"):
            tx.run(f"update {table} set tx = tx + 1000000")
    restored = beside(store)
    assert not restored.happened_after(place, 10).whole
    assert not restored.keeps_after(place.partition("-")[0])
    end = restored.happened_after(None, 10).position
    put_records(restored, [record(2)])
    found = restored.happened_after(end, 10)
    assert (names(found.records), found.whole) == ([2], True)
    restored.close()
    store.close()


def test_a_forked_child_knows_no_place_of_its_parent():
    store = MemoryStore()
    place = store.happened_after(None, 10).position
    assert store.happened_after(place, 10).whole
    store.after_fork_in_child()
    assert not store.happened_after(place, 10).whole


@pytest.mark.parametrize("kind", sorted(STORES))
def test_many_writers_are_followed_without_a_gap(kind):
    store = STORES[kind]()
    others = [beside(store) for _ in range(2)] if kind == "postgresql" else [store] * 2
    place = store.happened_after(None, 10).position

    def write(other, who):
        for n in range(30):
            put_records(other, [record(n)])
            other.note([noted(f"{who}{n}")])

    threads = [threading.Thread(target=write, args=(o, f"w{k}-")) for k, o in enumerate(others)]
    for thread in threads:
        thread.start()
    found = []
    while any(thread.is_alive() for thread in threads):
        place, records, whole = store.happened_after(place, 7)
        assert whole
        found += records
    found = names(found + followed(store, place, 7)[1])
    for k in range(2):
        ours = [name for name in found if str(name).startswith(f"w{k}-")]
        assert ours == [f"w{k}-{n}" for n in range(30)]
        for n in range(30):  # a note comes after what its writer recorded before it
            assert found[: found.index(f"w{k}-{n}")].count(n) >= 1
    assert len(found) == 120
    for one in {store, *others}:
        one.close()


# What is kept of a change


def changed(before, after, another=False):
    return record_of_change(Change(before, after, another), ALICE, 5)


def test_a_change_is_told_by_what_differs():
    old = entry("a", 10)
    wider = old._replace(job=old.job._replace(options=job("a", max_instances=3).options))
    made = changed(old, wider)
    assert (made.verb, made.before, made.after) == (
        "changed",
        {"max_instances": 1},
        {"max_instances": 3},
    )
    stopped = changed(old, old._replace(due_us=None))
    assert (stopped.verb, stopped.after) == ("paused", {"next_run_time": None})
    assert stopped.before == {"next_run_time": "1970-01-01T00:00:00.000010+00:00"}
    assert changed(old._replace(due_us=None), old).verb == "resumed"
    gone = changed(old, None)
    assert (gone.verb, gone.before["max_instances"], gone.after) == ("removed", 1, None)
    other = changed(old, wider, another=True)
    assert (other.verb, other.before["max_instances"], other.after["max_instances"]) == (
        "replaced",
        1,
        3,
    )


def test_what_is_kept_is_bounded_whatever_the_arguments():
    long = entry("a")._replace(
        job=job("a")._replace(args=("x" * 10**6,), kwargs={"y": [1] * 10**5})
    )
    made = record_of_change(long, ALICE, 5)
    assert len(made.after_text) < 10_000
    assert made.after["args"].startswith("['xxx")
    assert made.after["max_instances"] == 1


def test_what_the_program_itself_adds_is_not_written_down():
    assert record_of_change(entry("a"), PYTHON, 5).after is None
    assert record_of_change(entry("a"), ALICE, 5).after["id"] == "a"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (noted("paused"), "the scheduler was paused by alice at 10.0.0.3"),
        (noted("run", job_id="a", run_id=5), "job 'a' (run 5) was run by alice at 10.0.0.3"),
        (
            noted("cancelled", job_id="a", run_id=5),
            "run 5 of job 'a' was cancelled by alice at 10.0.0.3",
        ),
        (noted("changed", job_id="a")._replace(address=None), "job 'a' was changed by alice"),
    ],
)
def test_a_record_is_told_in_a_sentence(record, expected):
    assert record.told() == expected
