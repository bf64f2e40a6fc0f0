"""A connection that is lost while its commit is under way: the server may make it much later.

The commit waits for a lock, as it may wait for a replica; the store looks meanwhile what became of
it, finds nothing yet, and must not take that for an answer.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial

import psycopg
import pytest

from schedcore import Outcome, Scheduler, StoreError, StoreUnavailableError
from schedcore.changes.audit import AuditRecord
from schedcore.stores.base import Change
from schedcore.stores.database import CommitInDoubtError
from schedcore.stores.ends import end_of
from schedcore.stores.postgres_cluster import _is_dead
from schedcore.stores.postgres_sql import PostgresTransaction
from schedcore.stores.run_requests import Backfill
from schedcore.stores.sql_nodes import reap
from tests.durable.processes import until
from tests.stores.calls import add, begun, changed, end, entry, run_now, settle
from tests.stores.postgres import beside, postgres_store

LOCK = 4711
LATER = 1_000
HANGS = f"""
create function hang() returns trigger language plpgsql as $$
begin
    if current_setting('application_name') = 'hangs' then
        perform pg_advisory_xact_lock({LOCK}, hashtext(current_schema()));
    end if;
    return null;
end $$;
create constraint trigger hang after insert or update or delete on schedcore_claims
deferrable initially deferred for each row execute function hang();
"""
"""Has a commit that opens, moves or ends a run wait for a lock, if its connection is called so."""


class Hanging:
    """A store whose commits can be held up in the server, while their connections are lost."""

    def __init__(self, **limits):
        self.store = postgres_store(limits=limits)
        self.store.entries()  # it is set up, then
        self.watching = self.store.database.connect()
        self.watching.execute(HANGS)
        self.locking = self.store.database.connect()
        self.lock("lock")
        self.armed = False

    def lock(self, what):
        self.locking.execute(f"select pg_advisory_{what}({LOCK}, hashtext(current_schema()))")

    def waiting(self):
        sql = (
            "select pid from pg_stat_activity a join pg_locks l using (pid) where"
            f" l.locktype = 'advisory' and l.classid = {LOCK} and not l.granted"
        )
        return {pid for (pid,) in self.watching.execute(sql)}

    def blocked(self):
        sql = "select 1 from pg_stat_activity where wait_event in ('transactionid', 'tuple')"
        return self.watching.execute(sql).fetchall()

    def cut(self, call):
        """Have *call* lose its connection in the middle of its commit; return what it raised."""
        commit, lost = PostgresTransaction.commit, []

        def hung(tx):
            if not tx.for_update:
                return commit(tx)
            tx.run("set local application_name = 'hangs'")
            before = self.waiting()
            cutter = threading.Thread(target=self._cut, args=(tx.connection, before))
            cutter.start()
            try:
                return commit(tx)
            finally:
                lost.append(tx.number)
                cutter.join()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PostgresTransaction, "commit", hung)
            with pytest.raises(CommitInDoubtError):
                call()
        assert lost

    def _cut(self, connection, before):
        until(lambda: self.waiting() - before, "that the commit waits")
        with socket.fromfd(connection.fileno(), socket.AF_UNIX, 0) as end:
            end.shutdown(socket.SHUT_RDWR)

    def go_on(self):
        """Have the server make what waits."""
        self.lock("unlock")
        until(lambda: not self.waiting(), "that the commits are over")
        self.lock("lock")

    def give_up(self):
        """Have the server undo what waits."""
        for pid in self.waiting():
            self.watching.execute("select pg_terminate_backend(%s)", (pid,))
        until(lambda: not self.waiting(), "that the commits are over")

    def close(self):
        self.locking.close()
        self.watching.close()
        self.store.close()


@pytest.fixture
def hanging():
    made = Hanging()
    made.store.cluster.join("app", ["default"])
    yield made
    made.close()


@pytest.fixture
def impatient():
    made = Hanging(answer=1.0, lock=60.0)
    made.store.cluster.join("app", ["default"])
    yield made
    made.close()


def look(store):
    """Look often enough for all that is over to be known; return the runs that are to begin."""
    for _ in range(3):
        store.cluster.poll()
    return store.cluster.adopt(10)


def take(store):
    settle(store, 5, next_us=LATER)


def open_one(store):
    run_now(store, store.get("a").job, 5)


def backfill(store):
    note = AuditRecord(0, 5, "python", None, "backfilled", "a")
    store.backfill(Backfill(store.get("a").job, (1,)), note)


def end_one(store):
    """End a run behind which another one waits."""
    (run, *_) = store.runs()
    run._started_us = 10**18  # not long ago: that it began is not written down meanwhile
    store.end(deque([end_of(run, Outcome.EXECUTED, 10**18)]), True)


def try_again(store):
    store.try_again(store.runs())


def adopt(store):
    store.cluster.adopt(20)


def queued(store):
    """Have a run be under way, and another one wait behind it."""
    changed(store, "a", overlap="queue")
    settle(store, 5, next_us=LATER)
    changed(store, "a", fire_us=6, due_us=6)
    settle(store, 6, next_us=LATER)


def retrying(store):
    (run,) = settle(store, 5, next_us=LATER).runs
    begun(run)
    assert store.retry(end_of(run, Outcome.FAILED, 6, error=ValueError("no")), 7)


def orphaned(store):
    (run,) = settle(store, 5, next_us=LATER).runs
    assert store.cluster.hand_back([run], 7) == [run]
    store.forget_ahead()


WAYS = {
    "take": (lambda _: None, take),
    "run now": (lambda _: None, open_one),
    "backfill": (lambda _: None, backfill),
    "end": (queued, end_one),
    "try again": (retrying, try_again),
    "adopt": (orphaned, adopt),
}
"""How runs come to a process: what is prepared, and the call."""


@pytest.mark.parametrize("made", [True, False], ids=["made", "undone"])
@pytest.mark.parametrize("way", WAYS)
def test_runs_of_a_commit_that_is_made_late_are_begun_then(hanging, way, made):
    store = hanging.store
    add(store, entry("a", 5))
    prepare, call = WAYS[way]
    prepare(store)
    hanging.cut(lambda: call(store))
    assert look(store) == [], "nobody knows yet"
    assert look(store) == [], "nor now"
    (hanging.go_on if made else hanging.give_up)()
    runs = until_known(store)
    assert len(runs) == (made or way == "adopt"), "whoever is next adopts it again"
    for run in runs:
        assert run in store.claims.live.values()
        begun(run)
        end(store, run)
    assert look(store) == []
    if made:
        assert [run.state for run in store.runs()] == []


def until_known(store):
    until(lambda: store.cluster.poll() and not store.database.in_doubt, "that it is known")
    return store.cluster.adopt(10)


def test_nobody_waits_for_ever_for_a_commit(impatient):
    """The server has no time limit for it: it may wait for a replica that is gone."""
    store = impatient.store
    add(store, entry("a", 5))
    commit = PostgresTransaction.commit

    def hung(tx):
        if tx.for_update:
            tx.run("set local application_name = 'hangs'")
        return commit(tx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresTransaction, "commit", hung)
        with pytest.raises(CommitInDoubtError, match="no answer for 1 s"):
            open_one(store)
    assert look(store) == []
    impatient.go_on()
    (run,) = until_known(store)
    assert run.job_id == "a"


def test_a_process_whose_commit_is_under_way_is_not_buried_before_that_is_over(hanging):
    """Else the runs would belong to a process that is dead, and nobody would look after them."""
    store = hanging.store
    add(store, entry("a", 5))
    hanging.cut(lambda: open_one(store))
    other = beside(store)
    try:
        other.cluster.join("other", ["default"])
        node = store.node
        store.cluster._renewer.stop()
        store.cluster._renewer.join()
        with other.database.write() as tx:
            tx.run("update schedcore_nodes set lease_us = 0 where id = ?", node)
        is_dead = partial(_is_dead, gone=False)
        assert reap(other, node, 80, (), is_dead) == []
        states = {each.id: each.state for each in other.cluster.nodes()}
        assert states[node] == "alive"
        hanging.go_on()
        (lost,) = reap(other, node, 80, (), is_dead)
        assert (lost.outcome, lost.job_id) == (Outcome.LOST, "a")
        assert other.runs() == []
    finally:
        other.close()


def test_a_process_that_was_taken_for_dead_opens_no_run_under_its_old_number(hanging):
    store = hanging.store
    add(store, entry("a", 5))
    with store.database.write() as tx:
        tx.run("update schedcore_nodes set state = 'dead' where id = ?", store.node)
    for call in (open_one, take):
        with suppress(StoreError):
            call(store)
        assert store.runs() == []


def test_what_is_handed_back_does_not_begin_here_while_that_is_not_known(hanging):
    store = hanging.store
    add(store, entry("a", 5))
    (run,) = settle(store, 5, next_us=LATER).runs
    hanging.cut(lambda: store.cluster.hand_back([run], 7))
    assert not run.take_start(), "others may have it by now"
    hanging.give_up()
    assert until_known(store) == []
    assert run.take_start()
    assert run._job is not None


def test_what_was_handed_back_is_another_ones(hanging):
    store = hanging.store
    add(store, entry("a", 5))
    (run,) = settle(store, 5, next_us=LATER).runs
    hanging.cut(lambda: store.cluster.hand_back([run], 7))
    hanging.go_on()
    (again,) = until_known(store)
    assert again.id == run.id
    assert again.take_start()
    assert not run.take_start()


def test_a_run_that_a_pause_ended_does_not_begin_after_all(hanging):
    store = hanging.store
    add(store, entry("a", 5))
    (run,) = settle(store, 5, next_us=LATER).runs
    old = store.get("a")
    pause = Change(old, old._replace(due_us=None))
    hanging.cut(lambda: store.write([pause], 7))
    assert not run.take_start()
    assert run.outcome is None
    hanging.go_on()
    until_known(store)
    assert run.outcome is Outcome.PAUSED
    assert store.get("a").due_us is None


def test_a_node_leaves_only_once_it_is_known_what_it_has(hanging):
    store = hanging.store
    add(store, entry("a", 5))
    hanging.cut(lambda: open_one(store))
    node = store.node
    store.cluster.leave()
    assert {each.id: each.state for each in store.cluster.nodes()}[node] == "leaving"


@contextmanager
def once_asked_to_commit(monkeypatch, then):
    """Call *then* with each transaction as soon as the server was asked to commit it."""
    send = PostgresTransaction._send

    def sent(tx, last=False):
        send(tx, last)
        if last and tx.for_update:
            then(tx)

    with monkeypatch.context() as patch:
        patch.setattr(PostgresTransaction, "_send", sent)
        yield


def test_ctrl_c_in_a_commit_is_a_doubt_too(hanging, monkeypatch):
    """The server may have been asked already."""
    store = hanging.store
    add(store, entry("a", 5))

    def interrupt(_tx):
        raise KeyboardInterrupt

    with once_asked_to_commit(monkeypatch, interrupt), pytest.raises(KeyboardInterrupt):
        open_one(store)
    (run,) = until_known(store)
    begun(run)
    end(store, run)
    assert store.runs() == []


def test_a_commit_that_is_over_by_the_time_its_connection_is_lost_is_no_doubt(hanging, monkeypatch):
    """The server is asked at once, and whoever called is given what came of it."""
    store = hanging.store
    add(store, entry("a", 5))

    def cut_off(tx):
        tx.connection.close()
        raise psycopg.OperationalError("cut off by the test")

    with once_asked_to_commit(monkeypatch, cut_off):
        run = run_now(store, store.get("a").job, 5)
    assert not store.database.in_doubt
    assert run in store.claims.live.values()


def test_what_the_client_itself_refuses_is_no_doubt(hanging):
    store = hanging.store
    with pytest.raises(StoreError, match="NUL") as caught, store.database.write() as tx:
        tx.run("update schedcore_meta set value = ? where name = ?", "a\0b", "no")
    assert not isinstance(caught.value, CommitInDoubtError)
    assert not store.database.in_doubt
    add(store, entry("a", 5))


def fail_within(store, undo):
    with store.database.write() as tx:
        tx.if_undone(undo)
        tx.all("select 1")
        raise ValueError("no")


def test_ctrl_c_in_a_rollback_gives_the_connection_back(hanging, monkeypatch):
    store = hanging.store
    undone = []

    def interrupted(_tx):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PostgresTransaction, "rollback", interrupted)
        for _ in range(12):  # more than there are connections
            with pytest.raises(KeyboardInterrupt):
                fail_within(store, lambda: undone.append(1))
    assert len(undone) == 12
    assert store.entries() == []


def fails():
    raise ValueError("no")


def test_a_failure_during_an_outage_is_tried_again_and_not_lost(monkeypatch):
    store = postgres_store()
    scheduler = Scheduler(store=store, timezone="UTC", name="outage")
    retry, away = store.retry, threading.Event()
    away.set()

    def unreachable(*args):
        if away.is_set():
            away.clear()
            raise StoreError("here", "it is away")
        return retry(*args)

    monkeypatch.setattr(store, "retry", unreachable)
    scheduler.start()
    try:
        scheduler.add_job(fails, "cron", year=2999, id="a", retry={"count": 1, "delay": 0.01})
        run = scheduler.run_job("a", timeout=30)
        assert (run.outcome, run.record.attempt) == (Outcome.FAILED, 2)
    finally:
        scheduler.shutdown()


def test_what_is_there_counts_and_not_the_number_that_another_transaction_may_have_by_now(
    hanging, monkeypatch
):
    """After a crash or a failover, the server gives numbers again that it knows nothing of."""
    store = hanging.store
    add(store, entry("a", 5))
    with store.database.write() as tx:
        tx.all("select 1")
    other = tx.number
    send = PostgresTransaction._send

    def lost(tx, last=False):
        if not (last and tx.for_update):
            return send(tx, last)
        tx.number, tx.commits = other, True
        tx.connection.close()
        raise psycopg.OperationalError("cut off by the test")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresTransaction, "_send", lost)
        with pytest.raises(StoreUnavailableError):
            open_one(store)
    assert until_known(store) == []
    assert store.claims.live == {}


def test_a_server_that_knows_no_such_number_yet_has_not_made_it(hanging, monkeypatch):
    store = hanging.store
    add(store, entry("a", 5))
    (run,) = settle(store, 5, next_us=LATER).runs
    hanging.cut(lambda: store.cluster.hand_back([run], 7))
    store.database.in_doubt[0].number += 10**9
    assert until_known(store) == []
    assert run.take_start()


def test_a_node_that_leaves_waits_for_the_runs_that_are_being_opened_for_it(hanging):
    """Else they would belong to a node that has left, and nobody would look after them."""
    store = hanging.store
    add(store, entry("a", 5))
    node, commit = store.node, PostgresTransaction.commit
    opening = threading.Thread(target=open_one, args=(store,))

    def hung(tx):
        if tx.for_update and threading.current_thread() is opening:
            tx.run("set local application_name = 'hangs'")
        return commit(tx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresTransaction, "commit", hung)
        opening.start()
        until(hanging.waiting, "that the commit waits")
        leaving = threading.Thread(target=store.cluster.leave)
        leaving.start()
        until(lambda: hanging.blocked() or not leaving.is_alive(), "that it waits, too")
        hanging.go_on()
        opening.join()
        leaving.join()
    states = {each.id: each.state for each in store.cluster.nodes()}
    assert states[node] == "leaving"
    assert [run._node for run in store.runs()] == [node]


def test_a_process_that_has_left_opens_no_run_that_nobody_would_look_after(hanging):
    store = hanging.store
    add(store, entry("a", 5))
    store.cluster.leave()
    with pytest.raises(StoreUnavailableError, match="has left it"):
        open_one(store)
    assert store.runs() == []
    store.cluster.join("app", ["default"])
    open_one(store)
    assert len(store.runs()) == 1
