"""What every store promises to whoever follows the outcomes, and keeps the position."""

from __future__ import annotations

import shutil
import threading
from contextlib import closing

import pytest

from schedcore import History, InvalidOptionError, MemoryStore, Outcome
from schedcore.run import RunRecord
from schedcore.stores.sql_history import DAY_US, Retention
from schedcore.stores.sql_nodes import trim
from schedcore.stores.sqlite import SqliteStore
from tests.contract.conftest import STORES
from tests.stores.calls import add, begun, end, entry, put_records, settle
from tests.stores.postgres import beside, postgres_store


def record(n, job_id="a"):
    return RunRecord(None, job_id, Outcome.EXECUTED, n)


def followed(store, position, limit=100):
    """Return what came after a position, read in parts, and the position behind it."""
    found = []
    while True:
        position, records = store.ended_after(position, limit)
        assert len(records) <= limit
        if not records:
            return position, found
        found += records


def times(records):
    return [record.scheduled_us for record in records]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_outcomes_are_given_once_in_the_order_in_which_they_were_committed(store, limit):
    put_records(store, [record(1)])
    position, records = store.ended_after(None, 10)
    assert records == []
    add(store, entry("b", 5))
    (run,) = begun(*settle(store, 6, next_us=15).runs)
    assert store.ended_after(position, 10) == (position, [])
    end(store, run)
    put_records(store, [record(2), record(3)])
    later, records = followed(store, position, limit)
    assert records == store.records()[2::-1]
    assert (records[0].run_id, times(records)) == (run.id, [5, 2, 3])
    assert store.ended_after(later, limit) == (later, [])
    put_records(store, [record(4)])
    assert times(followed(store, later)[1]) == [4]
    assert times(followed(store, position)[1]) == [5, 2, 3, 4], "a position can be used again"
    assert store.keeps_after(position)
    assert store.keeps_after(later)


def test_a_place_of_another_store_is_as_good_as_none(make_store):
    one, other = make_store(), make_store()
    put_records(one, [record(1)])
    foreign, _ = other.ended_after(None, 10)
    position, records = one.ended_after(foreign, 10)
    assert (records, one.keeps_after(foreign)) == ([], False)
    put_records(one, [record(2)])
    assert times(one.ended_after(position, 10)[1]) == [2]


def test_a_place_that_is_yet_to_come_is_none_of_this_store(store):
    """As after an older copy of a database was put in its position."""
    position, _ = store.ended_after(None, 10)
    mark, tx, seq = position.split(".")
    ahead = f"{mark}.{int(tx) + 10_000}.{int(seq) + 10_000}"
    assert store.keeps_after(position)
    assert not store.keeps_after(ahead)
    put_records(store, [record(1)])
    _, records = store.ended_after(ahead, 10)
    assert records == []


@pytest.mark.parametrize("text", ["", "5", "x.0.0", "0123abcd.1", "0123abcd.-1.1", f"a.{'9' * 99}"])
def test_what_is_no_place_is_refused(store, text):
    with pytest.raises(InvalidOptionError, match="position"):
        store.ended_after(text, 10)
    with pytest.raises(InvalidOptionError, match="position"):
        store.keeps_after(text)


def test_who_comes_too_late_in_memory_is_told_and_gets_the_rest():
    store = MemoryStore(History(overall=10))
    early, _ = store.ended_after(None, 10)
    put_records(store, [record(n) for n in range(9)])
    position, _ = followed(store, early)
    put_records(store, [record(n) for n in range(9, 12)])
    assert not store.keeps_after(early)
    assert store.keeps_after(position)
    assert times(followed(store, early)[1]) == list(range(2, 12))
    assert times(followed(store, position)[1]) == [9, 10, 11]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_who_comes_too_late_for_what_was_cut_is_told_and_gets_the_rest(kind, tmp_path):
    keep = Retention(per_job=2)
    store = SqliteStore(tmp_path / "jobs.db", keep=keep) if kind == "sqlite" else None
    store = store or postgres_store(keep=keep)
    early, _ = store.ended_after(None, 10)
    put_records(store, [record(1), record(2, "b"), record(3)], 5)
    between, _ = store.ended_after(early, 1)
    position, _ = store.ended_after(early, 3)
    put_records(store, [record(4), record(5)], 5)
    trim(store, 5)
    assert [store.keeps_after(one) for one in (early, between, position)] == [False, False, True]
    assert times(followed(store, early)[1]) == [2, 4, 5]
    trim(store, 5)
    assert store.keeps_after(position)
    store.close()


def test_what_is_cut_later_and_was_recorded_earlier_hides_no_gap(tmp_path):
    store = SqliteStore(tmp_path / "jobs.db", keep=Retention(per_job=2))
    early, _ = store.ended_after(None, 10)
    put_records(store, [record(1, "b"), record(2), record(3), record(4)], 5)
    between, _ = store.ended_after(early, 1)
    for _ in range(2):
        trim(store, 5)
        assert not store.keeps_after(between)
        put_records(store, [record(5, "b"), record(6, "b")], 5)
    store.close()


@pytest.mark.parametrize("kind", sorted(STORES))
def test_many_writers_at_once_are_followed_without_a_gap(kind):
    """Each outcome once; those of a writer in their order; none left out."""
    store = STORES[kind]()
    others = [beside(store) for _ in range(3)] if kind == "postgresql" else [store] * 3
    position, _ = store.ended_after(None, 10)

    def write(other, job_id):
        for n in range(40):
            put_records(other, [record(n, job_id)])

    threads = [threading.Thread(target=write, args=(o, f"w{k}")) for k, o in enumerate(others)]
    for thread in threads:
        thread.start()
    found = []
    while any(thread.is_alive() for thread in threads):
        position, records = store.ended_after(position, 7)
        found += records
    found += followed(store, position)[1]
    for k in range(3):
        assert times(r for r in found if r.job_id == f"w{k}") == list(range(40))
    assert len(found) == 120
    for one in {store, *others}:
        one.close()


def test_what_is_committed_late_is_not_passed_over_in_postgresql():
    """It has a lower number than what was committed meanwhile."""
    store = postgres_store()
    position, _ = store.ended_after(None, 10)
    late = store.database.begin()
    store.history.add(late, [record(1)], 0, 1)
    late.all("select 1")  # has it be written
    put_records(store, [record(2, "b")])  # it counts elsewhere, and waits for no row
    waiting, records = store.ended_after(position, 10)
    assert records == [], "another transaction may come before it"
    fresh, _ = store.ended_after(None, 10)
    store.database.commit(late)
    assert times(store.ended_after(waiting, 10)[1]) == [1, 2]
    assert times(followed(store, fresh, 1)[1]) == [1, 2]
    store.close()


def test_a_place_is_good_after_the_store_was_opened_again(tmp_path):
    path = tmp_path / "jobs.db"
    store = SqliteStore(path)
    position, _ = store.ended_after(None, 10)
    put_records(store, [record(1)])
    store.close()
    store = SqliteStore(path)
    assert times(store.ended_after(position, 10)[1]) == [1]
    assert store.keeps_after(position)
    store.close()


def test_a_place_that_a_restored_backup_does_not_have_is_none_of_this_store(tmp_path):
    """Also once as many other outcomes were recorded: they have the same numbers."""
    path, backup = tmp_path / "jobs.db", tmp_path / "backup.db"
    with closing(SqliteStore(path)) as store:
        put_records(store, [record(1)], 1)
        early = store.ended_after(None, 10)[0], store.happened_after(None, 10).position
    shutil.copyfile(path, backup)
    with closing(SqliteStore(path)) as store:
        put_records(store, [record(2), record(3)], 2)
        late = store.ended_after(early[0], 10)[0], store.happened_after(early[1], 1).position
    shutil.copyfile(backup, path)
    with closing(SqliteStore(path)) as store:
        put_records(store, [record(4), record(5), record(6)], 3)
        assert times(store.ended_after(early[0], 10)[1]) == [4, 5, 6]
        assert store.keeps_after(early[0])
        assert times(store.happened_after(early[1], 10).records) == [4, 5, 6]
        assert store.ended_after(late[0], 10)[1] == []
        assert not store.keeps_after(late[0])
        assert store.happened_after(late[1], 10)[1:] == ([], False)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_place_is_good_after_all_before_it_was_cut(kind):
    store = STORES[kind]()
    put_records(store, [record(1), record(2)], 5)
    positions = [store.ended_after(None, 10)[0]]
    trim(store, 5 + 31 * DAY_US)
    assert store.records() == []
    positions.append(store.ended_after(None, 10)[0])
    assert [store.keeps_after(position) for position in positions] == [True, True]
    put_records(store, [record(3)], 5)
    assert [times(store.ended_after(one, 10)[1]) for one in positions] == [[3], [3]]
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_place_behind_another_outcome_than_before_is_none_of_this_store(kind):
    store = STORES[kind]()
    put_records(store, [record(1), record(2)], 5)
    end, _ = store.ended_after(None, 10)
    start = ".".join((end.partition(".")[0], "0", "0"))
    first, _ = store.ended_after(start, 1)
    with store.database.write() as tx:
        tx.run("update schedcore_ledger set recorded_us = 6 where due_us = 2")
    assert [store.keeps_after(position) for position in (start, first, end)] == [True, True, False]
    store.close()
