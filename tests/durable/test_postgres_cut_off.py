"""A connection that is lost at any statement of any call leaves each due time in one place.

Before a statement, so that it is not made; or after it, so that its answer is not heard.  All
statements of one transaction are undone: it is lost before the first one, the last one and the
commit, and with SCHEDCORE_SOAK=1 before each.
"""

from __future__ import annotations

import threading
from functools import partial, partialmethod

import psycopg
import pytest

from schedcore import StoreError
from schedcore.stores.postgres import PostgresStore
from schedcore.stores.postgres_cluster import _is_dead
from schedcore.stores.sql_nodes import reap
from tests.durable.conservation import check_due_times, check_totals
from tests.durable.deaths import CALLS, FIRST, KEEP, PERIOD, Scene, execute_ticket
from tests.patience import SOAK
from tests.stores.postgres import need_server, server

TABLES = ("due", "jobs", "claims", "ledger", "totals", "gone", "nodes")
MANY = {"add", "pause", "move", "remove", "declare", "declare anew", "retire", "pause all"}
"""Calls that are like others, and are tried with SCHEDCORE_SOAK=1."""
NAMES = [name for name in CALLS if name != "trim" and (SOAK or name not in MANY)]

BOUNDS = ("begin", "commit", "rollback")


class OnServer(Scene):
    """The same jobs and runs, in a database."""

    def __init__(self, url):
        self.url = url
        self.store = PostgresStore(url, keep=KEEP)
        with self.store.database.write() as tx:
            for table in TABLES:  # not truncate, which makes a new file for each of their indexes
                tx.run(f"delete from schedcore_{table}")
            tx.run("update schedcore_cluster set state = 'running'")
        self.store.cluster.join("app", ["default"])
        self.first = self.store.node
        self.fill()

    def another(self):
        self.store.cluster._renewer.stop()  # it is cut off, and gives no sign of life
        self.left_behind = self.store
        self.store = PostgresStore(self.url, keep=KEEP)
        self.store.cluster.join("another", ["default"])

    def reap(self):
        bury(self.store, self.first)

    def end_all(self):
        for store in (self.store, getattr(self, "left_behind", None)):
            if store is not None:
                store.close()


def bury(store, node):
    """Have the lease of a node be over, and declare it dead."""
    with store.database.write() as tx:
        tx.run("update schedcore_nodes set lease_us = 0 where id = ?", node)
    return reap(store, node, 80, (), partial(_is_dead, gone=False))


def call_of(name):
    prepare, call = CALLS[name]
    return (OnServer.another, OnServer.reap) if name == "join and reap" else (prepare, call)


class CutOff:
    """Ends the server's side of a connection at the n-th statement of this thread; 0: at none.

    Of those that are not heard of, at the n-th that leaves something behind: inside of a
    transaction, the answer that is lost is as good as the next statement that is not made.
    """

    def __init__(self, n, unheard):
        self.left, self.unheard, self.thread = n, unheard, threading.get_ident()
        self.never = not n
        self.execute = psycopg.Cursor.execute
        self.begun = set()
        self.made = []

    def __call__(self, cursor, *args, **named):
        if threading.get_ident() != self.thread:
            return self.execute(cursor, *args, **named)
        if self.unheard and not self.leaves_something(cursor.connection, args[0]):
            return self.execute(cursor, *args, **named)
        self.made.append(args[0])
        self.left -= 1
        if self.left:
            return self.execute(cursor, *args, **named)
        if self.unheard:
            self.execute(cursor, *args, **named)
        cursor.connection.close()
        raise psycopg.OperationalError("cut off by the test")

    def leaves_something(self, connection, statement):
        if statement.startswith("begin"):
            self.begun.add(connection)
        elif statement.startswith(("commit", "rollback")):
            self.begun.discard(connection)
        return connection not in self.begun


@pytest.mark.parametrize("unheard", [False, True], ids=["before", "unheard"])
@pytest.mark.parametrize("name", NAMES)
def test_a_lost_connection_leaves_each_due_time_in_one_place(name, unheard, monkeypatch):
    need_server()
    attempt = partial(attempt_with, *call_of(name), server().url("cut_off"), monkeypatch)
    made = attempt(CutOff(0, unheard))
    assert len(made) >= (1 if unheard else 3), "it has to begin, to do something, and to commit"
    for n in range(1, len(made) + 1):
        if SOAK or unheard or may_matter(made, n - 1):
            assert attempt(CutOff(n, unheard))[:n] == made[:n]


def may_matter(made, at):
    """Return whether a statement begins or ends something, or is next to one that does."""
    return any(one.startswith(BOUNDS) for one in made[max(at - 1, 0) : at + 2])


def attempt_with(prepare, call, url, monkeypatch, cut):
    """Make a call that is cut off, and go on from there; return the statements that it made."""
    scene = OnServer(url)
    try:
        prepare(scene)
        with monkeypatch.context() as patch:
            patch.setattr(psycopg.Cursor, "execute", partialmethod(cut))
            try:
                call(scene)
            except StoreError:
                assert not cut.never
        check_conserved(scene.store)
        go_on(scene)
        check_conserved(scene.store)
    finally:
        scene.end_all()
    return cut.made


def check_conserved(store):
    check_due_times(store, FIRST, PERIOD)
    check_totals(store)


def go_on(scene):
    """Be the next process: take over, run whatever there is to run, and see that all of it ends."""
    store = scene.store
    for run in store.cluster.adopt(90):
        run._started_us = None
    following = PostgresStore(scene.url, keep=KEEP)
    try:
        following.cluster.join("next", ["default"])
        for node in following.cluster.nodes():
            if node.id != following.node and node.state in ("alive", "leaving"):
                bury(following, node.id)
        finish(following)
    finally:
        following.close()


def finish(store):
    with store.database.write() as tx:
        tx.run("update schedcore_cluster set state = 'running'")
    execute_ticket(store)
