"""What all executors on clusters share: the thread that talks to one, its ends, and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress

import pytest

from schedcore import EVENT_JOB_EXECUTED, Outcome, Scheduler
from schedcore.executors import cluster_runs, cluster_worker
from schedcore.executors.cluster import ClusterExecutor
from schedcore.executors.cluster_worker import execute_ticket
from tests.core.conftest import SOON
from tests.durable.processes import until


class Cluster:
    """One of so many workers, which work nothing off until :meth:`work` is called.

    Attributes:
        held: Cleared, each message takes until it is set.
        inside: The threads that are in a call.
    """

    states = None

    def __init__(self, workers=2):
        self.workers = workers
        self.sent, self.inside, self.most_inside = [], 0, 0
        self.held = threading.Event()
        self.held.set()
        self.sending = threading.Event()

    def reach(self):
        return self.workers

    def send(self, task):
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        self.sending.set()
        self.held.wait()
        self.sent.append(task)
        self.inside -= 1

    def work(self):
        """Work off all that was sent so far."""
        with suppress(IndexError):
            while True:
                task = self.sent.pop(0)
                execute_ticket(task.ticket, task.url)

    def revoke(self, name):
        pass

    def close(self):
        pass

    def forget(self):
        self.sent = []


@pytest.fixture
def served(tmp_path):
    """Start schedulers on a cluster and a file."""
    made = []

    def start(cluster):
        executors = {"default": ClusterExecutor(cluster, "test-cluster")}
        scheduler = Scheduler(
            timezone="UTC", store=f"sqlite:///{tmp_path}/jobs.db", executors=executors
        )
        scheduler.start()
        made.append(scheduler)
        return scheduler

    yield start
    for scheduler in made:
        if scheduler.running:
            scheduler.shutdown(timeout=0)


def opened(scheduler, job_id="a", **options):
    scheduler.add_job("operator:add", args=[1, 2], id=job_id, next_run_time=None, **options)
    return scheduler.run_job(job_id, wait=False)


def test_a_shutdown_leaves_what_no_worker_begins_to_the_next_scheduler(served, monkeypatch, caplog):
    monkeypatch.setattr(cluster_runs, "UNBEGUN_S", 0.05)
    cluster = Cluster()
    scheduler = served(cluster)
    run = opened(scheduler)
    until(lambda: cluster.sent, "that it is sent")
    over = threading.Thread(target=scheduler.shutdown)  # without a time-out
    over.start()
    over.join(SOON)
    assert not over.is_alive()
    assert "1 run(s) were begun by no worker" in caplog.text
    cluster.work()  # its message is of no use any more
    again = served(cluster)
    until(lambda: cluster.sent, "that the next one sends it")
    cluster.work()
    (record,) = until(lambda: again.history("a"), "its end")
    assert (record.run_id, record.outcome, record.result) == (run.id, Outcome.EXECUTED, "3")


def test_a_shutdown_waits_for_what_workers_begin_one_by_one(served, monkeypatch):
    monkeypatch.setattr(cluster_runs, "UNBEGUN_S", SOON)
    cluster = Cluster(workers=1)
    scheduler = served(cluster)
    for name in "abc":
        opened(scheduler, name)
    over = threading.Thread(target=scheduler.shutdown)
    over.start()
    until(lambda: cluster.work() or not over.is_alive(), "its end")
    assert scheduler.counts() == {Outcome.EXECUTED: 3}


def test_a_listener_may_shut_down_while_the_cluster_has_more(served):
    cluster = Cluster()
    scheduler = served(cluster)
    over = threading.Event()

    def stop(_event):
        scheduler.remove_listener(stop)
        threading.Thread(target=until, args=(lambda: cluster.work() or over.is_set(),)).start()
        scheduler.shutdown()
        over.set()

    scheduler.add_listener(stop, EVENT_JOB_EXECUTED)
    opened(scheduler)
    until(lambda: cluster.sent, "the message of one")
    opened(scheduler, "b")
    cluster.work()
    assert over.wait(SOON)
    assert scheduler.counts() == {Outcome.EXECUTED: 2}


def test_one_thread_at_a_time_talks_to_the_cluster(served):
    """Also where that of before a shutdown hangs in the network."""
    cluster = Cluster()
    cluster.held.clear()
    scheduler = served(cluster)
    opened(scheduler)
    assert cluster.sending.wait(SOON)
    scheduler.shutdown(timeout=0)
    scheduler.start()
    opened(scheduler, "b")
    cluster.held.set()
    until(lambda: cluster.work() or scheduler.counts().get(Outcome.EXECUTED) == 2, "both ends")
    assert cluster.most_inside == 1


def test_one_that_had_no_workers_is_looked_at_though_nothing_waits(served):
    cluster = Cluster(workers=0)
    scheduler = served(cluster)
    run = opened(scheduler)
    until(lambda: scheduler.health().broken, "that health tells")
    scheduler.cancel(run.id)
    cluster.workers = 3
    until(lambda: not scheduler.health().broken, "that it is well")
    assert scheduler._executors["default"].room() == 3


def test_a_task_that_is_given_back_is_sent_again_soon(served):
    """Its worker could not reach the store, say."""
    cluster = Cluster()
    scheduler = served(cluster)
    run = opened(scheduler)
    until(lambda: cluster.sent, "that it is sent")
    scheduler._executors["default"].requeue(cluster.sent.pop().name)
    until(lambda: cluster.sent, "that it is sent again")
    cluster.work()
    assert run.wait(SOON)
    assert run.outcome is Outcome.EXECUTED


def test_a_forked_child_has_a_thread_of_its_own(tmp_path):
    program = """
        import os, sys, warnings
        warnings.simplefilter("ignore")  # newer Pythons warn of any fork with threads
        from tests.core.test_cluster_runs import Cluster, ClusterExecutor, Scheduler, opened, until
        cluster = Cluster()
        executors = {"default": ClusterExecutor(cluster, "c")}
        scheduler = Scheduler(timezone="UTC", store=sys.argv[1], executors=executors)
        scheduler.start()
        opened(scheduler)
        until(lambda: cluster.work() or scheduler.history("a"))
        if os.fork() == 0:
            scheduler.start()
            opened(scheduler, "b")
            until(lambda: cluster.work() or scheduler.history("b"))
            scheduler.shutdown(timeout=0)
            os._exit(0)
        print(os.wait()[1])
        scheduler.shutdown()
        """
    told = subprocess.check_output(
        [sys.executable, "-c", textwrap.dedent(program), f"sqlite:///{tmp_path}/jobs.db"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        timeout=3 * SOON,
    )
    assert told == "0\n"


class Beaten:
    """Keeps the runs of which it was told that they are alive."""

    def __init__(self):
        self.heard = []

    def beat(self, run_ids):
        self.heard.append(sorted(run_ids))


def test_a_worker_of_two_stores_gives_signs_of_life_to_both_for_runs_of_one_number(monkeypatch):
    monkeypatch.setattr(cluster_worker, "BEAT_S", 3600)
    beats, one, other = cluster_worker.Heartbeats(), Beaten(), Beaten()
    beats.add(1, one)
    beats.add(1, other)
    beats.add(2, other)
    beats.add(2, other)  # its next attempt, before the first has reported
    beats.beat()
    beats.drop(1, other)
    beats.drop(2, other)
    beats.beat()
    beats.drop(2, other)
    beats.beat()
    assert (one.heard, other.heard) == ([[1]] * 3, [[1, 2], [2]])
