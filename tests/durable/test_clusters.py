"""Workers of clusters and schedulers that are killed at each moment: no run starts twice."""

from __future__ import annotations

import random
import time

import pytest

from schedcore import Scheduler
from schedcore.executors import cluster_runs
from tests.core.celery_workers import Broker, Workers, need_celery
from tests.core.dask_cluster import dask_cluster
from tests.durable import work
from tests.durable.conservation import check_starts
from tests.durable.processes import until

HOLD = "scheduler.add_job(work.hold, args=[{!r}], id='a', next_run_time=None, executor='far', {})"


@pytest.fixture(scope="module")
def broker():
    need_celery()
    broker = Broker()
    yield broker
    broker.close()


@pytest.fixture
def workers(broker, shared):
    """Start Celery workers on the store."""
    made = []

    def start(**options):
        store, starts = f"sqlite:///{shared.path}", str(shared.folder / "starts")
        made.append(Workers(broker, store, SCHEDCORE_TEST_STARTS=starts, **options))
        return made[-1]

    yield start
    for each in made:
        each.kill()


@pytest.fixture
def served(broker, shared):
    """Start schedulers that send runs to the workers."""

    def start(*lines):
        far = {"type": "celery", "broker": broker.url, "max_workers": 2}
        return shared.started(*lines, options={"executors": {"far": far}})

    return start


def held(shared, served, **options):
    """Start a scheduler, and a run of a job that waits for a file."""
    gate = shared.folder / "gate"
    more = ", ".join(f"{name}={value!r}" for name, value in options.items())
    process = served(HOLD.format(str(gate), more))
    process("scheduler.run_job('a', wait=False)")
    return process, gate


def test_the_next_scheduler_finds_how_runs_end_that_the_killed_one_had(shared, served, workers):
    """One ends while no scheduler is there, and one under the next."""
    workers()
    process, gate = held(shared, served)
    early = shared.folder / "early"
    process(f"scheduler.add_job(work.hold, args=[{str(early)!r}], id='b', executor='far')")
    shared.until_started("a")
    shared.until_started("b")
    process.kill()
    early.touch()
    run = next(run for run in shared.store.runs() if run.job_id == "b")
    until(lambda: shared.store.remote.begun([run])[run.id].report, "the report")
    before = time.time()
    served()
    assert shared.until_ended("b") == ["executed"]
    gate.touch()
    assert shared.until_ended("a") == ["executed"]
    assert len(shared.starts()) == 2
    records = {record.job_id: record for record in shared.store.records()}
    assert [record.result for record in records.values()] == ["'released'"] * 2
    assert records["b"].ended.timestamp() < before < records["a"].ended.timestamp()


def test_so_it_finds_what_a_dask_cluster_runs(shared):
    far = {"type": "dask", "address": dask_cluster()}
    began, gate = shared.folder / "began", shared.folder / "gate"
    process = shared.process(options={"executors": {"far": far}})
    process("from tests.core import work as other")
    given = f"args=[{str(began)!r}, {str(gate)!r}], id='a', executor='far'"
    process(f"scheduler.add_job(other.touch_and_wait_for, {given})")
    process("scheduler.start()")
    until(began.exists, "that it begins")
    process.kill()
    began.unlink()
    shared.started(options={"executors": {"far": far}})
    gate.touch()
    assert shared.until_ended("a") == ["executed"]
    assert not began.exists()  # begun once


def test_a_message_of_a_killed_scheduler_starts_no_second_run(shared, served, workers):
    """Its message waits in the broker, and the next scheduler sends another one."""
    process, gate = held(shared, served)
    gate.touch()
    process("scheduler.health()")
    until(shared.store.runs, "the run")
    time.sleep(0.3)  # it may be sent, or not: both must do
    process.kill()
    served()
    workers()
    assert shared.until_ended("a") == ["executed"]
    assert len(shared.starts()) == 1


@pytest.mark.parametrize("on_lost", ["record", "rerun"])
def test_a_worker_that_is_killed_loses_its_run_or_has_it_begun_again(
    shared, served, workers, on_lost
):
    first = workers(processes=1)
    _process, gate = held(shared, served, on_lost=on_lost)
    shared.until_started("a")
    first.kill()
    workers(processes=1)
    if on_lost == "rerun":
        shared.until_started("a", 2)
    gate.touch()
    assert shared.until_ended("a") == ["lost" if on_lost == "record" else "executed"]
    assert [start.attempt for start in shared.starts()] == [1, 2][: 2 - (on_lost == "record")]


def test_a_broker_that_is_away_or_forgets_delays_runs_and_loses_none(
    shared, broker, workers, monkeypatch
):
    monkeypatch.setattr(cluster_runs, "SEND_AGAIN_US", 1_000_000)
    monkeypatch.setattr(work, "STARTS", str(shared.folder / "starts"))
    broker.stop()
    far = {"type": "celery", "broker": broker.url}
    scheduler = Scheduler(timezone="UTC", store=shared.store, executors={"far": far})
    scheduler.start()
    try:
        scheduler.add_job(work.note, id="a", next_run_time=None, executor="far", max_instances=3)
        runs = [scheduler.run_job("a", wait=False)]
        until(lambda: "far" in scheduler.health().broken, "that health tells")
        broker.start()
        until(lambda: not scheduler.health().broken, "that it is back")
        broker.stop()  # with the message
        broker.start()
        workers(processes=1)
        runs.append(scheduler.run_job("a", wait=False))
        assert all(run.wait(60) for run in runs)
        assert [run.outcome.value for run in runs] == ["executed", "executed"]
        assert len(shared.starts()) == 2
    finally:
        scheduler.shutdown(timeout=5)


def test_a_cancel_stops_the_run_and_frees_its_worker(shared, served, workers):
    workers(processes=1)
    process, _gate = held(shared, served)
    shared.until_started("a")
    process("scheduler.cancel(scheduler.runs()[0].id)")
    assert shared.until_ended("a") == ["cancelled"]
    process("scheduler.add_job(work.note, id='b', executor='far')")
    assert shared.until_ended("b") == ["executed"]


def test_no_run_starts_twice_whoever_is_killed_when(shared, served, workers):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    lines = [
        f"scheduler.add_job(work.note, 'interval', seconds=0.2, id='{n}', executor='far')"
        for n in range(4)
    ]
    process, worker = served(*lines), workers()
    for _ in range(2):
        shared.until_started("0", len(shared.starts("0")) + 1)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        if chance.random() < 0.5:
            worker.kill()
            worker = workers()
        process = served(*lines)
    shared.until_started("0", len(shared.starts("0")) + 1)
    process("scheduler.pause()")
    until(lambda: not shared.store.runs(), f"the end of all, seed {seed}", 60)
    check_starts(shared.store, shared.starts())
    known = {run.run_id for run in shared.store.records()}
    assert {start.run_id for start in shared.starts()} <= known
