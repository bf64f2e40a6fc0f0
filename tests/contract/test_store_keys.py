"""What every store promises of runs that somebody asks for: once for each key, called as asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from schedcore.stores import open_runs, sql_open
from schedcore.stores.run_requests import KEYS_KEPT_US, EarlierRun
from schedcore.stores.sqlite import SqliteStore
from tests.contract.conftest import STORES
from tests.stores.calls import add, begun, end, entry, outcomes, removed, replaced, run_now
from tests.stores.plain import PlainStore
from tests.stores.postgres import beside


@pytest.fixture
def opening(store):
    """Open a run of job ``a``, which is paused and may run often at once, for a key."""
    add(store, entry("a", None, max_instances=9))

    def opened(key, now_us=5):
        return run_now(store, store.get("a").job, now_us, key=key)

    return opened


def test_for_the_same_key_no_second_run_is_opened(store, opening):
    run = opening("once", 5)
    assert opening("once", 6) == EarlierRun(run.id)
    assert store.runs() == [run]
    end(store, *begun(run))
    assert opening("once", 7) == EarlierRun(run.id)
    assert store.find(run.id) == store.records()[0]


def test_other_keys_other_jobs_and_none_open_others(store, opening):
    add(store, entry("b", None))
    runs = [opening("one"), opening("two"), opening(None), opening(None)]
    runs.append(run_now(store, store.get("b").job, 5, key="one"))
    assert len({run.id for run in runs}) == 5
    assert store.runs() == runs


def test_a_key_is_known_for_a_day(opening):
    run = opening("daily", 5)
    assert opening("daily", 5 + KEYS_KEPT_US) == EarlierRun(run.id)
    later = opening("daily", 6 + KEYS_KEPT_US)
    assert later.id > run.id
    assert opening("daily", 6 + 2 * KEYS_KEPT_US) == EarlierRun(later.id)


def test_a_run_for_which_there_was_no_room_takes_no_key(store):
    add(store, entry("a", None))
    run = run_now(store, store.get("a").job, 5)
    assert run_now(store, store.get("a").job, 6, key="k") is None
    end(store, *begun(run))
    assert run_now(store, store.get("a").job, 7, key="k").id > run.id


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_another_job_with_the_same_id_is_asked_anew(store, opening, how):
    run = opening("k")
    end(store, *begun(run))
    if how == "replaced":
        replaced(store, entry("a", None))
    else:
        removed(store, "a")
        add(store, entry("a", None))
    assert run_now(store, store.get("a").job, 6, key="k").id > run.id


def test_keys_in_memory_are_bounded(monkeypatch):
    monkeypatch.setattr(open_runs, "MOST_KEYS", 3)
    store = STORES["memory"]()
    add(store, entry("a", None, max_instances=9))
    runs = [run_now(store, store.get("a").job, 5, key=f"k{n}") for n in range(4)]
    assert run_now(store, store.get("a").job, 5, key="k1") == EarlierRun(runs[1].id)
    assert run_now(store, store.get("a").job, 5, key="k0").id > runs[3].id


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_keys_on_disk_are_cut_with_the_history(monkeypatch, kind):
    monkeypatch.setattr(sql_open, "MOST_KEYS", 3)
    store = STORES[kind]()
    add(store, entry("a", None, max_instances=99))
    runs = {n: run_now(store, store.get("a").job, n, key=f"k{n}") for n in range(1, 7)}
    with store.database.write() as tx:
        sql_open.trim_keys(tx, 7)
        left = tx.all("select run_id from schedcore_keys order by run_id")
        assert [row[0] for row in left] == [runs[n].id for n in (4, 5, 6)]
        sql_open.trim_keys(tx, 6 + KEYS_KEPT_US)
        left = tx.all("select run_id from schedcore_keys")
        assert [row[0] for row in left] == [runs[6].id]
    store.close()


def test_a_run_keeps_the_arguments_that_it_was_asked_for_with(store):
    add(store, entry("a", None))
    job = store.get("a").job
    own = job._replace(args=(1, {"x": [2]}), kwargs={"k": None})
    run = run_now(store, own, 5, own_call=True)
    assert (run.job.args, run.job.kwargs) == ((1, {"x": [2]}), {"k": None})
    assert store.find(run.id).job.args == (1, {"x": [2]})
    assert (store.get("a").job.args, store.get("a").job.kwargs) == (job.args, job.kwargs)
    end(store, *begun(run))
    assert outcomes(store) == ["executed"]


@pytest.fixture(params=["plain", "sqlite", "postgresql"])
def pair(request):
    """Two stores on one database, as two processes have them."""
    one = STORES[request.param]()
    if request.param == "plain":
        other = PlainStore(one.database)
    else:
        other = SqliteStore(one.file.path) if request.param == "sqlite" else beside(one)
    yield one, other
    other.close()
    one.close()


def test_they_go_with_it_to_another_process(pair):
    one, other = pair
    add(one, entry("a", None, max_instances=2))
    job = one.get("a").job
    run = run_now(one, job._replace(args=(1, (2,)), kwargs={"day": b"x"}), 5, own_call=True)
    plain = run_now(one, job, 6)
    there = {each.id: each.job for each in other.runs()}
    assert (there[run.id].args, there[run.id].kwargs) == ((1, (2,)), {"day": b"x"})
    assert there[run.id].trigger == job.trigger
    assert (there[plain.id].args, there[plain.id].kwargs) == (job.args, job.kwargs)


def test_a_key_is_known_in_another_process(pair):
    one, other = pair
    add(one, entry("a", None, max_instances=2))
    run = run_now(one, one.get("a").job, 5, key="k")
    assert run_now(other, other.get("a").job, 6, key="k") == EarlierRun(run.id)


def test_asked_in_two_processes_at_once_it_is_one_run(pair):
    one, other = pair
    add(one, entry("a", None, max_instances=20))
    job = one.get("a").job

    def ask(n):
        opened = run_now((one, other)[n % 2], job, 5, key="k")
        return opened.run_id if isinstance(opened, EarlierRun) else opened.id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1
    assert len(one.runs()) == 1
