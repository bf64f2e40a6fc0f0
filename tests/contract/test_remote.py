"""Runs that workers outside of the nodes begin in the store: once, and known to whoever asks."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from schedcore import Outcome, Scheduler, StoreError
from schedcore.executors.cluster import ClusterExecutor
from schedcore.executors.cluster_worker import execute_ticket
from schedcore.stores.ends import end_of
from schedcore.stores.sqlite import SqliteStore
from tests.stores.calls import add, changed, end, entry, paused, report_after_commit, run_now
from tests.stores.postgres import beside, postgres_store

NOW = 100


@pytest.fixture(params=["sqlite", "postgresql"])
def another(request, tmp_path):
    """Make stores on one database: a node's, or a worker's."""
    made = []

    def make():
        if request.param == "sqlite":
            made.append(SqliteStore(tmp_path / "jobs.db", durable=False))
        else:
            made.append(beside(made[0]) if made else postgres_store())
        return made[-1]

    yield make
    for store in made:
        store.close()


def node(make):
    store = make()
    store.remote.serve(["default"])
    store.cluster.join("app", ["default"])
    return store


@pytest.fixture
def store(another):
    return node(another)


@pytest.fixture
def worker(store, another):
    return another().remote


def opened(store, job_id="a", **options):
    """Add a job, and open a run of it."""
    add(store, entry(job_id, due=10**6, **options))
    return run_now(store, store.get(job_id).job, NOW)


def gone(store):
    """Take the process of a node for dead, as it is when it was killed."""
    if isinstance(store, SqliteStore):
        store.cluster._node_lock.release()
        store.cluster._holder_lock.release()
    else:
        store.cluster._renewer.stop()
        with store.database.write() as tx:
            tx.run("update schedcore_nodes set boot = ?", " ".join((*boot(), "4194304", "1")))


def boot():
    from schedcore.stores.process import this_process

    return this_process().split()[:2]


def adopted(store):
    from tests.durable.processes import until

    def look():
        store.cluster.poll()
        return store.cluster.adopt(10**18)

    return until(look, "that it takes the run over")


def test_of_all_that_are_given_a_run_one_begins_it(store, another):
    run = opened(store)
    workers = [another().remote for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda worker: worker.begin(run.id, 1, NOW), workers * 3))
    (begun,) = [each for each in found if each is not None]
    assert (begun.id, begun.attempt, begun.started_us) == (run.id, 1, NOW)
    assert begun.job.func is store.get("a").job.func
    (seen,) = store.remote.begun([run]).values()
    assert (seen.run_id, seen.begun_us, seen.report) == (run.id, NOW, None)


def test_what_is_not_open_for_workers_is_not_begun(store, worker):
    local = store.remote
    assert worker.begin(12345, 1, NOW) is None
    cancelled = opened(store)
    end(store, cancelled, outcome=Outcome.CANCELLED)
    assert worker.begin(cancelled.id, 1, NOW) is None
    handed = opened(store, "b")
    store.cluster.hand_back([handed], NOW)
    assert worker.begin(handed.id, 1, NOW) is None
    local.serve([])
    here = opened(store, "c")
    assert worker.begin(here.id, 1, NOW) is None


def test_an_attempt_is_begun_by_its_own_message_alone(store, worker):
    run = opened(store)
    assert worker.begin(run.id, 2, NOW) is None
    assert worker.begin(run.id, 1, NOW) is not None
    run._started_us = NOW
    assert store.retry(end_of(run, Outcome.FAILED, NOW, error=ValueError("no")), NOW)
    assert worker.begin(run.id, 2, NOW) is None  # it waits
    store.try_again([run])
    assert worker.begin(run.id, 1, NOW) is None
    assert worker.begin(run.id, 2, NOW).attempt == 2


def test_the_beginning_of_one_attempt_keeps_no_worker_from_the_next(store, worker, monkeypatch):
    run = opened(store)
    assert worker.begin(run.id, 1, NOW) is not None
    run._started_us = NOW
    report_after_commit(store, monkeypatch)
    assert store.retry(end_of(run, Outcome.FAILED, NOW, error=ValueError("no")), NOW)
    store.try_again([run])
    assert worker.begin(run.id, 2, NOW).attempt == 2


def test_a_beginning_that_was_left_behind_keeps_no_worker_from_the_next_attempt(store, worker):
    """As earlier versions may have left one."""
    run = opened(store)
    assert worker.begin(run.id, 1, NOW) is not None
    assert store.retry(end_of(run, Outcome.FAILED, NOW, error=ValueError("no")), NOW)
    with store.database.write() as tx:
        tx.run("update schedcore_claims set begun_us = ?", NOW)
    store.try_again([run])
    assert worker.begin(run.id, 2, NOW).attempt == 2


def test_a_run_that_a_worker_began_a_moment_ago_is_not_withdrawn(store, worker):
    """Its node does not know yet that it began."""
    run = opened(store)
    assert worker.begin(run.id, 1, NOW)
    changed(store, "a", due_us=None)
    assert [each.id for each in store.runs()] == [run.id]
    assert not run.cancelled
    assert store.cluster.hand_back([run], NOW) == [run]
    (again,) = adopted(store)
    assert (again.id, again.started_us) == (run.id, NOW)


def test_the_next_node_sees_to_what_a_worker_runs_and_begins_the_rest(store, another, worker):
    running, waiting = opened(store), opened(store, "b")
    begun = worker.begin(running.id, 1, NOW)
    gone(store)
    heir = node(another)
    runs = {run.id: run for run in adopted(heir)}
    assert runs[running.id].started_us == NOW
    assert runs[waiting.id].started_us is None
    assert worker.report(begun, "told", NOW)
    assert heir.remote.begun(list(runs.values()))[running.id].report == "told"
    assert worker.begin(waiting.id, 1, NOW) is not None
    assert heir.records() == []


def test_what_comes_after_the_end_is_noted_beside_it(store, worker):
    run = opened(store)
    begun = worker.begin(run.id, 1, NOW)
    store.end(deque([end_of(run, Outcome.LOST, NOW)]), False)
    assert not worker.report(begun, "told", NOW)
    (record,) = store.records()
    assert record.outcome is Outcome.LOST
    assert "ended after all" in record.reason
    assert store.remote.begun([run]) == {}


def test_signs_of_life_are_counted(store, worker):
    run = opened(store)
    worker.begin(run.id, 1, NOW)
    before = store.remote.begun([run])[run.id].beats
    worker.beat([run.id])
    assert store.remote.begun([run])[run.id].beats == before + 1


def test_a_paused_job_s_run_that_no_worker_began_is_withdrawn(store, worker):
    add(store, entry("a", due=NOW))
    with store.take(NOW, 1) as batch:
        (run,) = batch.settle([10**6], NOW).runs
    assert store.remote.begun([run]) == {}
    paused(store, "a")
    assert worker.begin(run.id, 1, NOW) is None
    assert run.outcome is Outcome.PAUSED


@pytest.fixture
def file(tmp_path):
    store = node(lambda: SqliteStore(tmp_path / "jobs.db", durable=False))
    yield store
    store.close()


@pytest.mark.parametrize("lacks", ["run_id", "attempt", "store", "captures"])
def test_a_message_that_lacks_a_part_begins_nothing(file, lacks):
    """Another version sent it, or a stranger: the run still waits for its own message."""
    run = opened(file)
    ticket = {"run_id": run.id, "attempt": 1, "store": file.remote.store_id(), "captures": False}
    part = {name: value for name, value in ticket.items() if name != lacks}
    with pytest.raises(KeyError, match=lacks):
        execute_ticket(part, file.remote.url)
    assert file.remote.begun([run]) == {}
    assert execute_ticket(ticket, file.remote.url)


def test_a_message_of_another_store_harms_none_that_the_worker_has(file):
    """Runs that it has begun there report in it."""
    run = opened(file)
    ticket = {"run_id": run.id, "attempt": 1, "store": file.remote.store_id(), "captures": False}
    began, go_on = Event(), Event()
    HELD["a"] = began, go_on
    with ThreadPoolExecutor(1) as pool:
        changed(file, "a", job=file.get("a").job._replace(func=hold))
        worked = pool.submit(execute_ticket, ticket, file.remote.url)
        try:
            assert began.wait(20)
            for mark in ("another", "another"):
                with pytest.raises(StoreError, match="another store"):
                    execute_ticket({**ticket, "store": mark}, file.remote.url)
        finally:
            go_on.set()
        assert worked.result(20)
    assert file.remote.begun([run])[run.id].report is not None


def test_a_file_in_the_place_of_another_is_found(tmp_path):
    path = tmp_path / "jobs.db"
    for _ in range(2):
        store = node(lambda: SqliteStore(path, durable=False))
        run = opened(store)
        ticket = {
            "run_id": run.id,
            "attempt": 1,
            "store": store.remote.store_id(),
            "captures": False,
        }
        assert execute_ticket(ticket, store.remote.url)
        assert store.remote.begun([run])[run.id].report is not None
        store.close()
        for each in tmp_path.glob("jobs.db*"):
            each.unlink()


HELD = {}


def hold():
    began, go_on = HELD["a"]
    began.set()
    go_on.wait(20)


def test_a_message_of_a_store_that_is_gone_is_not_tried_for_ever(file):
    celery = pytest.importorskip("celery", reason="Celery is not installed")
    run = opened(file)
    app = celery.Celery(set_as_current=False, include=["schedcore.executors.celery_task"])
    app.conf.schedcore_store = file.remote.url
    app.loader.import_default_modules()
    app.finalize()
    ticket = {"run_id": run.id, "attempt": 1, "store": "gone", "captures": False}
    result = app.tasks["schedcore.run"].apply(args=[ticket])
    assert "another store" in str(result.result)
    assert file.remote.begun([run]) == {}


class Recording:
    """A cluster that keeps the names of tasks, and works none off."""

    starts = None

    def __init__(self):
        self.sent = []

    def reach(self):
        return 1

    def send(self, task):
        self.sent.append(task.name)

    def revoke(self, name):
        pass

    def close(self):
        pass

    def forget(self):
        pass


def test_schedulers_that_share_a_cluster_name_no_task_alike(tmp_path):
    """To revoke the run of one would end that of another."""
    from tests.durable.processes import until

    names = []
    for each in "ab":
        cluster = Recording()
        executors = {"default": ClusterExecutor(cluster, "recording")}
        scheduler = Scheduler(store=f"sqlite:///{tmp_path}/{each}.db", executors=executors)
        scheduler.add_job("operator:add", args=[1, 2], id="a", next_run_time=None)
        scheduler.start()
        scheduler.run_job("a", wait=False)
        until(lambda cluster=cluster: cluster.sent, "that it is sent")
        scheduler.shutdown(timeout=0)
        names += cluster.sent
    assert len(set(names)) == 2
