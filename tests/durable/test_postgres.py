"""Processes of several hosts on one PostgreSQL database: shared work, leases, outages, freezes."""

from __future__ import annotations

import os
import resource

import pytest

from schedcore import Outcome, Scheduler
from schedcore.history.query import RunQuery
from schedcore.stores.postgres import PostgresStore
from tests.durable.conftest import Shared
from tests.durable.conservation import check_starts, check_totals
from tests.durable.processes import until
from tests.durable.test_kill_storm import SECONDS, Storm, check_promise, first_times
from tests.durable.test_processes import fill_and_kill
from tests.patience import SOON
from tests.stores.postgres import Server, need_server, server

BRIEF = 1
"""Seconds of a lease that is to be over: no longer than somebody is frozen in a storm."""


class SharedDatabase(Shared):
    """A schema of its own, seen from outside, and the processes on it.

    Args:
        folder: For what they write.
        url: Of the schema.
        lease: For how many seconds each may be silent; a machine may be as busy as that.
    """

    def __init__(self, folder, url, lease=10):
        super().__init__(folder)
        self.store.close()
        self.url = f"{url}&lease={lease}"
        self.store = PostgresStore(self.url)

    def process(self, **given):
        return super().process(store=self.url, **given)


@pytest.fixture
def shared(tmp_path):
    need_server()
    one = SharedDatabase(tmp_path, server().url())
    yield one
    one.end()


@pytest.fixture
def brief(tmp_path):
    """The same, where who is frozen loses its lease."""
    need_server()
    one = SharedDatabase(tmp_path, server().url(), BRIEF)
    yield one
    one.end()


def nodes_of(shared, process):
    """Return the states of the nodes that a process was, the latest first."""
    return [node.state for node in shared.store.cluster.nodes() if node.pid == process.pid]


def test_processes_share_what_is_due_and_none_runs_twice(shared):
    processes = [shared.started() for _ in range(2)]
    add = "[scheduler.add_job(work.note, id=f'j{n}') and None for n in range(150)]"
    processes[0](add)
    starts = until(lambda: len(found := shared.starts()) >= 150 and found, "the last start")
    until(lambda: not shared.store.runs(), "the last end")
    check_starts(shared.store, starts)
    assert len({start.job_id for start in starts}) == len(starts) == 150


def test_what_has_not_begun_is_run_by_another_process_if_its_own_is_killed(shared):
    released = shared.folder / "released"
    begun, waiting = fill_and_kill(shared, released)
    released.touch()
    shared.started()
    assert [shared.until_ended(job) for job in begun] == [["lost"]] * 10
    assert [shared.until_ended(job) for job in waiting] == [["executed"]] * 5
    assert sorted(start.job_id for start in shared.starts()) == sorted(begun | waiting)


@pytest.fixture
def many_files():
    """Have the next files that are opened have numbers beyond 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for file in files:
        os.close(file)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_a_process_with_more_than_a_thousand_open_files_keeps_its_lease_and_runs_jobs():
    need_server()
    scheduler = Scheduler(store=server().url(), name="many")
    scheduler.start()
    try:
        scheduler.add_job("math:sqrt", "interval", hours=1, args=[4], id="root")
        first = scheduler.nodes()[0].renewed_us
        for _ in range(2):  # the second call takes a connection that was used before
            assert scheduler.run_job("root", timeout=SOON).outcome is Outcome.EXECUTED
        until(lambda: scheduler.nodes()[0].renewed_us > first, "that the lease is renewed")
    finally:
        scheduler.shutdown()


def test_what_a_killed_process_ran_is_lost_at_once_on_its_own_host(shared):
    one, other = shared.started(), shared.started()
    one("scheduler.add_job(work.hold, args=['never'], id='held') and None")
    (start,) = shared.until_started("held")
    victim = one if start.pid == one.pid else other
    victim.kill()
    shared.until_ended("held")
    assert shared.outcomes("held") == ["lost"]
    until(lambda: nodes_of(shared, victim) == ["dead"], "that it is found dead")


def test_a_process_frozen_for_longer_than_its_lease_begins_nothing_and_goes_on(brief, tmp_path):
    """What it ran is lost meanwhile, and how that ends after all is noted beside."""
    gate = tmp_path / "gate"
    one = brief.started(f"scheduler.add_job(work.hold, args=[{str(gate)!r}], id='held') and None")
    brief.until_started("held")
    other = brief.started()
    one.freeze()
    brief.until_ended("held")
    assert nodes_of(brief, one) == ["dead"]
    gate.touch()
    one.thaw()
    until(lambda: nodes_of(brief, one) == ["alive", "dead"], "that it joins again")
    until(
        lambda: "after all" in (brief.store.records(RunQuery("held"))[0].reason or ""), "the note"
    )
    assert brief.outcomes("held") == ["lost"]
    until(lambda: [other.state, one.state] == ["RUNNING", "RUNNING"], "that both take due jobs")
    check_starts(brief.store, brief.starts())


def test_a_pause_holds_for_all_once_it_is_made(shared):
    one, other = shared.started(), shared.started()
    one("scheduler.add_job(work.note, 'interval', seconds=0.02, id='often') and None")
    shared.until_started("often", 5)
    other("scheduler.pause()")
    assert one("scheduler.shared_state().name") == "PAUSED"
    open_ones = {run.id for run in shared.store.runs()}
    ended = {record.run_id for record in shared.store.records(RunQuery("often"))}
    until(lambda: one.state == "PAUSED", "that the other is paused")
    later = {run.id for run in shared.store.runs()}
    later |= {record.run_id for record in shared.store.records(RunQuery("often"))}
    assert later <= open_ones | ended, "claimed after the pause"
    one("scheduler.resume()")
    shared.until_started("often", len(shared.starts()) + 3)


def test_nobody_is_taken_for_dead_after_the_database_was_away(tmp_path):
    """All leases are over when it is back: the processes renew them before they judge others."""
    need_server()
    own, lease = Server(), 2
    shared = SharedDatabase(tmp_path, own.url("jobs"), lease)
    try:
        processes = [shared.started() for _ in range(3)]
        processes[0]("scheduler.add_job(work.note, 'interval', seconds=0.1, id='often') and None")
        shared.until_started("often", 3)
        own.stop("immediate")
        assert processes[0]("scheduler.health().ok") is False
        until(
            lambda: all(p("scheduler._cluster.takes") is False for p in processes),
            "that the leases are over",
        )
        own.start()
        before = len(shared.starts())
        shared.until_started("often", before + 5)
        beats = [p("scheduler._cluster._renewer.until_us") for p in processes]
        until(
            lambda: all(
                p("scheduler._cluster._renewer.until_us") > beat + 2_000_000 * lease
                for p, beat in zip(processes, beats, strict=True)
            ),
            "two leases",
        )
        assert [n.state for n in shared.store.cluster.nodes()] == ["alive"] * 3
        assert "lost" not in shared.outcomes("often")
        processes[0]("scheduler.pause()")
        until(lambda: not shared.store.runs(), "the last end")
        check_starts(shared.store, shared.starts())
        check_totals(shared.store)
    finally:
        shared.end()
        own.end()


@pytest.mark.timeout(SECONDS + 300)
def test_no_run_is_doubled_or_lost_whatever_becomes_of_the_processes(brief, capsys):
    storm = Storm(brief, 7)
    storm.blow(SECONDS)
    store = brief.store
    survivor, *others = storm.processes
    for process in others:
        process.kill()
    storm.hear(survivor)
    dead = {process.pid for process in brief.processes} - {survivor.pid}
    until(
        lambda: not [n for n in store.cluster.nodes() if n.pid in dead and n.state == "alive"],
        "that the dead are found dead",
    )
    before = {job_id: len(brief.starts(job_id)) for job_id in first_times(store)}
    for job_id, n in before.items():
        brief.until_started(job_id, n + 1)  # none is stuck
    survivor("scheduler.pause()")
    until(lambda: not [run for run in store.runs() if run.started_us is not None], "the last ends")
    survivor("scheduler.shutdown()")
    survivor.kill()
    check_promise(brief, f"{SECONDS} s: {dict(storm.done)}", capsys)
