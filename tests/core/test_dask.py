"""Runs on a Dask cluster: none starts twice, and a cluster that is away loses nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from schedcore import InvalidOptionError, Outcome, Scheduler
from tests.core import work
from tests.core.dask_cluster import Cluster, dask_cluster
from tests.durable.processes import until
from tests.patience import SOON

distributed = pytest.importorskip("distributed", reason="Dask is not installed")


@pytest.fixture
def started():
    """Start schedulers on clusters."""
    made = []

    def start(cluster, **options):
        from schedcore.executors.dask import DaskExecutor

        executors = {"default": DaskExecutor(cluster)}
        scheduler = Scheduler(timezone="UTC", executors=executors, **options)
        made.append(scheduler)
        scheduler.start()
        return scheduler

    yield start
    for scheduler in made:
        scheduler.shutdown(timeout=1)


def run_of(scheduler, func, *args, **options):
    job = scheduler.add_job(func, args=args, next_run_time=None, **options)
    return scheduler.run_job(job.id, wait=False)


def test_a_run_whose_worker_dies_is_lost_and_not_started_again(started, tmp_path):
    """Dask starts the task of a dead worker on another one."""
    scheduler = started(dask_cluster())
    for n in range(2):
        path = tmp_path / f"starts{n}"
        run = run_of(scheduler, work.note_and_die, str(path))
        assert run.wait(SOON)
        assert run.outcome is Outcome.LOST
        assert path.read_text() == "started\n"
    again = run_of(scheduler, work.returned, 1)
    assert again.wait(SOON)
    assert again.outcome is Outcome.EXECUTED


@pytest.fixture
def cluster():
    """Return what starts clusters at a port."""
    made = []

    def start(port=0, workers=2):
        made.append(Cluster(port, workers))
        return made[-1]

    yield start
    for each in made:
        each.close()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_a_cluster_that_is_away_is_waited_for(started, cluster):
    port = free_port()
    scheduler = started(f"tcp://127.0.0.1:{port}")
    run = run_of(scheduler, work.returned, 1, timeout=60)
    until(lambda: "default" in scheduler.health().broken, "that health tells", SOON)
    assert run.started_us is None
    cluster(port)
    assert run.wait(SOON)
    assert run.outcome is Outcome.EXECUTED
    assert scheduler.health().ok


def test_runs_of_a_cluster_that_goes_away_are_lost(started, cluster, tmp_path):
    there = cluster(free_port())
    scheduler = started(there.address)
    gate = tmp_path / "gate"
    run = run_of(scheduler, work.touch_and_wait_for, str(tmp_path / "begun"), str(gate))
    until((tmp_path / "begun").exists, "that it began", SOON)
    there.kill()
    assert run.wait(SOON)
    assert run.outcome is Outcome.LOST
    gate.touch()


def test_what_the_last_worker_ran_is_lost_and_what_comes_waits_for_another_one(
    started, cluster, tmp_path
):
    address = cluster(workers=0).address
    made = []

    def worker():
        """One that nobody starts again."""
        program = (sys.executable, "-m", "distributed.cli.dask_worker", address)
        options = ("--no-nanny", "--nthreads", "1", "--no-dashboard")
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        made.append(subprocess.Popen([*program, *options], env=env, stderr=subprocess.DEVNULL))
        return made[-1]

    try:
        scheduler = started(address)
        begun = tmp_path / "begun"
        first = worker()
        args = (str(begun), str(tmp_path / "never"))
        run = run_of(scheduler, work.touch_and_wait_for, *args)
        until(begun.exists, "that it began", SOON)
        first.kill()
        assert run.wait(SOON)
        assert run.outcome is Outcome.LOST
        later = run_of(scheduler, work.returned, 1)
        worker()
        assert later.wait(SOON)
        assert later.outcome is Outcome.EXECUTED
    finally:
        for each in made:
            each.kill()
            each.wait()


def test_what_it_runs_in_memory_is_lost_with_the_shutdown_and_the_job_runs_again(started, tmp_path):
    scheduler = started(dask_cluster())
    began, gate = tmp_path / "begun", tmp_path / "gate"
    args = [str(began), str(gate)]
    job = scheduler.add_job(work.touch_and_wait_for, args=args, next_run_time=None)
    run = scheduler.run_job(job.id, wait=False)
    until(began.exists, "that it began", SOON)
    scheduler.shutdown(timeout=0)
    until(lambda: run.outcome is Outcome.LOST, "that it is lost")
    gate.touch()
    scheduler.start()
    assert scheduler.run_job(job.id, timeout=SOON).outcome is Outcome.EXECUTED


def test_a_task_that_a_worker_cannot_work_off_is_given_back(caplog):
    from schedcore.executors.cluster_base import Task
    from schedcore.executors.dask import _Dask

    back = []
    cluster = _Dask(dask_cluster(), lambda: None, back.append)
    cluster.reach()
    cluster.send(Task("named", None, {"run_id": 1}))  # it lacks the rest
    assert until(lambda: back, "that it is given back", SOON) == ["named"]
    assert "could not begin a run" in caplog.text
    cluster.close()


def test_a_client_of_the_users_stays_open(started):
    with distributed.Client(dask_cluster()) as client:
        Scheduler(executors={"cluster": client})  # understood as it is
        scheduler = started(client)
        run = run_of(scheduler, work.returned, 1)
        assert run.wait(SOON)
        scheduler.shutdown()
        assert client.submit(len, "abc").result() == 3
        scheduler.start()


@pytest.mark.parametrize(
    "table",
    [
        {"type": "dask"},
        {"type": "dask", "address": ""},
        {"type": "dask", "address": "tcp://127.0.0.1:1", "max_workers": 3},
    ],
)
def test_a_table_that_names_no_cluster_is_refused(table):
    with pytest.raises(InvalidOptionError, match=r"address|max_workers"):
        Scheduler(executors={"cluster": table})


def test_a_function_that_no_worker_finds_is_refused():
    address = "tcp://127.0.0.1:1"
    scheduler = Scheduler(executors={"default": {"type": "dask", "address": address}})
    with pytest.raises(InvalidOptionError, match="top level of a module"):
        scheduler.add_job(lambda: None)
