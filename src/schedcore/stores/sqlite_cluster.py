"""The processes on one SQLite file: file locks show which are alive, and which takes due jobs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from schedcore.basics.atfork import call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, SystemClock, passing_us
from schedcore.errors import StoreError
from schedcore.lifetime.health import State
from schedcore.run import Run, RunRecord
from schedcore.stores.cluster import NodeInfo, PollResult, StoreInfo
from schedcore.stores.database import Transaction
from schedcore.stores.ends import End
from schedcore.stores.file_lock import FileLock
from schedcore.stores.process import host_name, this_process
from schedcore.stores.schema import store_id_of
from schedcore.stores.sql_nodes import (
    TRIM_US,
    adopt,
    dropped_runs,
    hand_back,
    nodes_listed,
    reap,
    record_dropped,
    report_runs,
    trim,
)
from schedcore.stores.unbegun import left_by

if TYPE_CHECKING:
    from schedcore.stores.sqlite import SqliteStore

log = GuardedLogger(__name__)

ATTEMPT_US = SECOND // 4
"""How often a process that stands by tries to take over."""
CHECK_US = SECOND
"""How often a process checks its own locks, and whether others are dead."""


class SqliteCluster:
    """Implements :class:`~schedcore.stores.cluster.Cluster`.

    Each node holds a lock on its own file, next to that of the store.  One node, the holder, has a
    second lock and takes due jobs.  The operating system releases both when a process ends: so
    others notice its end at once, and a process that merely hangs does not count as dead.

    Args:
        store: The store.
        clock: Gives the times to write; None: the scheduler's clock.
    """

    def __init__(self, store: SqliteStore, clock: Clock | None) -> None:
        self._store = store
        self._file = store.file
        self._given, self._clock = clock, clock or SystemClock()
        self.woken: Callable[[], object] = lambda: None
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._holder_lock = FileLock(self._beside("engine"))
        self._node_lock: FileLock | None = None
        self._description = "", "[]"
        self._shared_state = State.RUNNING
        self._resigned = self._leaving = False
        self._version = 0, 0
        self._gone = -1
        self._attempted_us = self._checked_us = self._trimmed_us = 0

    def after_fork_in_child(self) -> None:
        """Stop being a node: the locks belong to the parent."""
        self._begin_anew()

    def use_clock(self, clock: Clock) -> None:
        """Go by the clock of a scheduler, unless one was given."""
        self._clock = self._given or clock

    def _beside(self, name: str, kind: str = "lock") -> Path:
        path = self._file.path
        return path.with_name(f"{path.name}-{name}.{kind}")

    def _unbegun(self, node: int | None) -> Path:
        return self._beside(f"node-{node}", "unbegun")

    @property
    def takes(self) -> bool:
        """Whether this process takes due jobs."""
        return self._holder_lock.held

    @property
    def shares_due(self) -> bool:
        """Whether several nodes take due jobs."""
        return False  # one node takes them all

    @property
    def sets_clock(self) -> bool:
        """Whether this process moves jobs when the clock is set back: the one that takes them."""
        return self.takes

    # Joining and leaving

    def join(self, app: str, executors: Collection[str]) -> bool:
        """Become a node; return whether there is no other."""
        self._resigned = self._leaving = False
        self._description = app, json.dumps(sorted(executors))
        self._store.claims.executors = frozenset(executors)
        own = self._node_lock
        try:
            with self._file.write() as tx:
                alone = not self._others(tx)
                if own is None:
                    node, own = self._new_node(tx)
                else:
                    node = self._store.node or 0
                    sql = "update schedcore_nodes set state = 'alive', app = ?, executors = ?"
                    tx.run(f"{sql} where id = ?", *self._description, node)
                self._shared_state = self._read_shared_state(tx)
        except BaseException:
            if own is not None and self._node_lock is None:
                own.release()
            raise
        if own is not self._node_lock:
            self._store.claims.use_unbegun_file(self._unbegun(node))
        self._node_lock, self._store.node = own, node
        self._attempted_us = 0  # at once
        if not self._holder_lock.held:
            self._become_holder(passing_us())
        return alone

    def _new_node(self, tx: Transaction) -> tuple[int, FileLock]:
        """Add a node for this process, and return it with its lock."""
        app, executors = self._description
        tx.run(
            "insert into schedcore_nodes (app, host, pid, boot, state, takes, since_us, executors)"
            " values (?, ?, ?, ?, 'alive', 0, ?, ?)",
            app,
            host_name(),
            os.getpid(),
            this_process(),
            self._clock.now_us(),
            executors,
        )
        ((node,),) = tx.all("select max(id) from schedcore_nodes")
        own = FileLock(self._beside(f"node-{node}"))
        if not own.attempt():
            raise StoreError(str(own.path), "somebody else holds this lock")
        return node, own  # held before others can see the node

    def resign(self) -> None:
        """Stop taking due jobs, so that another node does."""
        self._resigned = True
        self._holder_lock.release()

    def hand_back(self, runs: Sequence[Run], now_us: int) -> list[Run]:
        """Let others take runs of this node that have not begun."""
        handed = hand_back(self._store, runs, now_us)
        self.left()
        return handed

    def leave(self) -> None:
        """Leave, or be a leaving node until the last of its runs has ended."""
        self.resign()
        if self._node_lock is None:
            return
        with self._file.write() as tx:
            claims = self._store.claims.of_node(tx, self._store.node or 0)
            state = "leaving" if claims else "left"
            tx.run(
                "update schedcore_nodes set state = ?, takes = 0 where id = ?",
                state,
                self._store.node,
            )
        self._leaving = bool(claims)
        if not claims:
            self._let_go()

    def _let_go(self) -> None:
        self._store.claims.use_unbegun_file(None)
        if self._node_lock is not None:
            self._node_lock.release()
        self._node_lock = self._store.node = None

    def left(self) -> None:
        """Leave if this node is leaving, and its last run has ended; that has been written."""
        if self._leaving and not self._store.claims.live:
            try:
                self.leave()
            except StoreError as error:  # others see it when the process ends, and has no lock
                log.warning("this process could not leave its store: %s", error)

    def close(self) -> None:
        """Release the locks, as the end of the process does."""
        self.resign()
        self._let_go()

    # Polling

    def begin(self, run: Run) -> bool:
        """Note that a run begins; always allowed, since a node with a lock is not declared dead."""
        self._store.claims.begins(run)
        return True

    def poll(self, at_once: bool = False) -> PollResult:  # noqa: ARG002 — it asks each time
        """Read the changes of other nodes; take over from dead ones."""
        now_us = passing_us()
        # Most calls find nothing, and an idle process does nothing else.
        check = now_us - self._checked_us >= CHECK_US
        if check:
            self._checked_us = now_us
            self._check_locks()
        version = self._file.others_version()
        changed = version != self._version
        took_over = not self._holder_lock.held and self._become_holder(now_us)
        found_dead = False
        lost: list[RunRecord] = []
        if (check or took_over) and self._holder_lock.held:
            found_dead, lost = self._reap_dead_nodes(now_us)
        dropped = self._read_own() if changed else ()
        if check:
            report_runs(self._store, self._clock.now_us())
        self._version = version  # only now: after an error above, it must be read again
        return PollResult(self._shared_state, changed or took_over or found_dead, dropped, lost)

    def _check_locks(self) -> None:
        """Acquire this node's lock again, if its file was removed.

        If others have declared this process dead meanwhile, it becomes a new node.
        """
        own, node = self._node_lock, self._store.node
        if self._holder_lock.held and not self._holder_lock.still_held():
            log.critical(
                "the lock %s was removed by somebody: this process takes no more jobs until it"
                " holds it again",
                self._holder_lock.path,
            )
            self._holder_lock.release()
        if own is None or own.still_held():
            return
        log.critical("the lock %s was removed by somebody: this process takes another", own.path)
        own.release()
        with self._file.write() as tx:
            row = tx.one("select state from schedcore_nodes where id = ?", node)
            if row is not None and row[0] != "dead" and own.attempt():
                return
            node, own = self._new_node(tx)
        self._store.claims.use_unbegun_file(self._unbegun(node))
        self._node_lock, self._store.node = own, node
        self._version, self._gone = (0, 0), -1  # its runs were ended by others

    def _become_holder(self, now_us: int) -> bool:
        """Become the holder if there is none; return whether this is new."""
        if self._resigned or self._node_lock is None or now_us - self._attempted_us < ATTEMPT_US:
            return False
        self._attempted_us = now_us
        if not self._holder_lock.attempt():
            return False
        try:
            with self._file.write() as tx:
                tx.run("update schedcore_nodes set takes = (id = ?)", self._store.node)
        except BaseException:
            self._holder_lock.release()
            raise
        log.info("this process (%d) takes the due jobs of %s", os.getpid(), self._file.path)
        return True

    def _reap_dead_nodes(self, now_us: int) -> tuple[bool, list[RunRecord]]:
        """Reap dead nodes, and sometimes trim the history.

        Returns:
            Whether there was a dead node, and the records of lost runs.
        """
        found = False
        lost: list[RunRecord] = []
        with self._file.read() as tx:
            others = self._others_listed(tx)
        for node, process in others:
            lock = FileLock(self._beside(f"node-{node}"))
            if lock.attempt():
                found = True
                left = self._unbegun(node)
                try:
                    unbegun = left_by(left, process)
                    lost += reap(self._store, node, self._clock.now_us(), unbegun)
                finally:
                    lock.release()
                left.unlink(missing_ok=True)
        if now_us - self._trimmed_us >= TRIM_US:
            self._trimmed_us = now_us
            trim(self._store, self._clock.now_us())
        return found, lost

    def _others_listed(self, tx: Transaction) -> list[tuple[int, str]]:
        """Return the other nodes that are listed as alive, with their processes."""
        rows = tx.all("select id, boot from schedcore_nodes where state in ('alive', 'leaving')")
        return [(node, process) for node, process in rows if node != self._store.node]

    def _others(self, tx: Transaction) -> bool:
        """Return whether another node is really alive, not only listed as alive."""
        for node, _ in self._others_listed(tx):
            lock = FileLock(self._beside(f"node-{node}"))
            if not lock.attempt():
                return True
            lock.release()
        return False

    def _read_own(self) -> list[End]:
        """Read the shared state, and the runs that others have ended."""
        if self._store.node is None:
            return []
        with self._file.read() as tx:
            self._shared_state = self._read_shared_state(tx)
            row = tx.one("select gone from schedcore_nodes where id = ?", self._store.node)
            if row is None or row[0] == self._gone:
                return []
            dropped = dropped_runs(self._store, tx)
        record_dropped(self._store, dropped)
        self._gone = row[0]
        return dropped

    # Orders

    def set_shared_state(self, state: State) -> None:
        """Set the state of all nodes."""
        with self._file.write() as tx:
            tx.run(
                "update schedcore_cluster set state = ?, since_us = ?",
                state.name.lower(),
                self._clock.now_us(),
            )
        self._shared_state = state

    def shared_state(self) -> State:
        """Return the state that all nodes should be in."""
        with self._file.read() as tx:
            return self._read_shared_state(tx)

    def _read_shared_state(self, tx: Transaction) -> State:
        ((state,),) = tx.all("select state from schedcore_cluster")
        return State[state.upper()]

    def adopt(self, now_us: int) -> list[Run]:
        """Take due runs that belong to no node."""
        return adopt(self._store, now_us) if self._holder_lock.held else []

    # Information

    def nodes(self) -> list[NodeInfo]:
        """Return the current and recent nodes, newest first."""
        with self._file.read() as tx:
            return nodes_listed(tx)

    def info(self) -> StoreInfo:
        """Return the kind and the state of the store."""
        store_id = None
        with suppress(StoreError), self._file.read() as tx:
            store_id = store_id_of(tx)
        url = f"sqlite:///{self._file.path}"
        return StoreInfo(
            "sqlite", store_id is not None, self._file.schema or None, url=url, id=store_id
        )
