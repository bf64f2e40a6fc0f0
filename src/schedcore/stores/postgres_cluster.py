"""The processes on one PostgreSQL database: leases show which are alive, and all take due jobs."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schedcore.basics.atfork import call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, SystemClock, lasting_us
from schedcore.errors import StoreError, StoreUnavailableError
from schedcore.lifetime.health import State
from schedcore.run import Run, RunRecord
from schedcore.stores.claims import RETRIES
from schedcore.stores.cluster import NodeInfo, PollResult, StoreInfo
from schedcore.stores.database import Transaction
from schedcore.stores.ends import End
from schedcore.stores.postgres_housekeeping import Housekeeping
from schedcore.stores.postgres_in_doubt import resolve_in_doubt
from schedcore.stores.postgres_lease import CLOCK, LeaseRenewer, Poll
from schedcore.stores.process import host_name, is_gone, this_process
from schedcore.stores.schema import store_id_of
from schedcore.stores.sql_nodes import (
    adopt,
    dropped_runs,
    hand_back,
    nodes_listed,
    reap,
    record_dropped,
)
from schedcore.stores.unbegun import left_by

if TYPE_CHECKING:
    from schedcore.stores.postgres import PostgresStore

log = GuardedLogger(__name__)

FRESH_US: Final = 5 * SECOND
"""How long the last information is used."""


class PostgresCluster:
    """Implements :class:`~schedcore.stores.cluster.Cluster`.

    A node renews its lease by the database's clock.  A node whose lease has expired begins no run
    before it has a new one.  Another node that finds this declares it dead, unless it was itself
    disconnected.

    Args:
        store: The store.
        clock: Gives the times to write; None: the scheduler's clock.

    Attributes:
        woken: Called when others have changed something.
    """

    def __init__(self, store: PostgresStore, clock: Clock | None) -> None:
        self._store = store
        self._database = store.database
        self._given, self._clock = clock, clock or SystemClock()
        self._lease_us = round(store.database.lease * SECOND)
        self.woken: Callable[[], object] = lambda: None
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._knowing = threading.RLock()
        self._renewer: LeaseRenewer | None = None
        self._app = ""
        self._executors: tuple[str, ...] = ()
        self._shared_state, self._known_us = State.RUNNING, 0
        self._resigned = False
        self._gone = 0
        self._found: deque[Run] = deque()
        self._housekeeping = Housekeeping(self._store, self._clock)

    def after_fork_in_child(self) -> None:
        """Stop being a node: the lease belongs to the parent."""
        self._begin_anew()

    def use_clock(self, clock: Clock) -> None:
        """Go by the clock of a scheduler, unless one was given."""
        self._clock = self._given or clock
        self._housekeeping = Housekeeping(self._store, self._clock)

    def _note_state(self, state: State, asked_us: int | None = None) -> State:
        """Note the shared state, and return the latest known one.

        A query from before the last answer may be outdated, and does not count; without *asked_us*,
        the state was written, and counts.
        """
        with self._knowing:
            if asked_us is None or asked_us > self._known_us:
                self._shared_state, self._known_us = state, lasting_us()
            return self._shared_state

    @property
    def takes(self) -> bool:
        """Whether this process takes due jobs."""
        return self._renewer is not None and not self._resigned and self.holds_lease

    @property
    def shares_due(self) -> bool:
        """Whether several nodes take due jobs."""
        return True

    @property
    def sets_clock(self) -> bool:
        """Whether this process moves jobs when its clock is set back: the first that takes them."""
        with self._database.read() as tx:
            first = tx.one(
                "select min(id) from schedcore_nodes where state = 'alive' and takes = 1"
            )
        return self.takes and first == (self._store.node,)

    @property
    def well_informed(self) -> bool:
        """Whether this process has current information about changes by others."""
        renewer = self._renewer
        return (
            renewer is not None
            and renewer.error is None
            and lasting_us() - renewer.polled_us < FRESH_US
        )

    def begin(self, run: Run) -> bool:
        """Note that a run begins; False: it may not, since others may declare this node dead."""
        if not self.holds_lease:
            return False
        self._store.claims.begins(run)
        return True

    @property
    def holds_lease(self) -> bool:
        """Whether this process still has its lease, or needs none since it is not a node."""
        renewer = self._renewer
        return renewer is None or lasting_us() < renewer.until_us

    def may_take(self, tx: Transaction) -> Callable[[], bool]:
        """Check that this node is alive and takes jobs, which stays so until the end of *tx*."""
        if self._store.node is None:
            return lambda: True
        sql = "select state, takes from schedcore_nodes where id = ? for key share"
        found = tx.later(sql, self._store.node)
        return lambda: found() == [("alive", 1)]

    # Joining and leaving

    def join(self, app: str, executors: Collection[str]) -> bool:
        """Become a node; return whether there is no other."""
        self._resigned = False
        self._app, self._executors = app, tuple(sorted(executors))
        self._store.claims.executors = frozenset(executors)
        return self._join()

    def _join(self) -> bool:
        asked_us = lasting_us()
        with self._database.write() as tx:
            ((state,),) = tx.all("select state from schedcore_cluster for share")
            node = self._store.node
            again = node is not None and tx.count(
                "update schedcore_nodes set state = 'alive', takes = 1, app = ?, executors = ?"
                " where id = ? and state in ('alive', 'leaving')",
                self._app,
                json.dumps(self._executors),
                node,
            )
            if not again:
                node = self._insert(tx)
            alone = not self._others(tx, node or 0)
            store_id = store_id_of(tx)
            tx.notify()
        self._note_state(State[state.upper()])
        self._database.in_doubt = self._database.in_doubt or []
        renewer = self._renewer
        if renewer is not None and again:
            renewer.leaving = False
        else:
            if renewer is not None:
                renewer.stop()
            self._gone = 0
            self._store.node = node
            self._store.claims.use_unbegun_file(_unbegun(store_id, node))
            self._renewer = LeaseRenewer(
                self._database,
                node or 0,
                self._executors,
                self._lease_us,
                self._clock,
                self._wake,
            )
            self._renewer.start(asked_us)
        return alone

    def _wake(self) -> None:
        self.woken()

    def _insert(self, tx: Transaction) -> int:
        sql = (
            "insert into schedcore_nodes (app, host, pid, boot, state, takes, since_us, executors,"
            f" lease_us) values (?, ?, ?, ?, 'alive', 1, ?, ?, {CLOCK} + ?) returning id"
        )
        ((node,),) = tx.all(
            sql,
            self._app,
            host_name(),
            os.getpid(),
            this_process(),
            self._clock.now_us(),
            json.dumps(self._executors),
            self._lease_us,
        )
        return int(node)

    def _others(self, tx: Transaction, node: int) -> bool:
        """Return whether another node is really alive, not only listed as alive."""
        rows = tx.all(
            "select boot from schedcore_nodes where state in ('alive', 'leaving') and id <> ?"
            f" and lease_us > {CLOCK}",
            node,
        )
        return any(not is_gone(boot) for (boot,) in rows)

    def resign(self) -> None:
        """Stop taking due jobs, so that other nodes do."""
        self._resigned = True

    def hand_back(self, runs: Sequence[Run], now_us: int) -> list[Run]:
        """Let others take runs of this node that have not begun."""
        return hand_back(self._store, runs, now_us)

    def leave(self) -> None:
        """Leave, or be a leaving node until the last of its runs has ended."""
        self.resign()
        renewer, node = self._renewer, self._store.node
        if renewer is None or node is None:
            return
        try:
            with self._database.write() as tx:
                # What opens runs for it is over then, or finds that it has left.  Claims are not
                # held: whoever holds one may wait for this row.
                tx.all("select 1 from schedcore_nodes where id = ? for update", node)
                claims = tx.one("select 1 from schedcore_claims where node = ? limit 1", node)
                tx.run(
                    "update schedcore_nodes set state = ?, takes = 0 where id = ?"
                    " and state in ('alive', 'leaving')",
                    "leaving" if (stays := claims or self._database.in_doubt) else "left",
                    node,
                )
                tx.notify()
        except StoreError:
            self.close()
            raise
        if stays:
            renewer.leaving = True  # the lease is renewed until then
        else:
            self.close()

    def close(self) -> None:
        """Stop renewing the lease."""
        renewer, self._renewer, self._store.node = self._renewer, None, None
        self._store.claims.use_unbegun_file(None)
        self._database.in_doubt = None
        if renewer is not None:
            renewer.stop()
            renewer.join()

    # Polling

    def poll(self, at_once: bool = False) -> PollResult:
        """Read the changes of other nodes; take over from dead ones."""
        renewer = self._renewer
        if renewer is None:
            return PollResult(self.shared_state() if at_once else self._shared_state)
        state = self.shared_state() if at_once else self._shared_state
        if not at_once and renewer.error is not None:
            raise StoreUnavailableError(
                self._database.shown, "the lease cannot be renewed"
            ) from renewer.error
        settled = self._resolve_in_doubt()
        latest = renewer.latest()
        if latest is None:
            return PollResult(state, settled)
        if latest.state not in ("alive", "leaving"):
            return self._join_anew()
        known = self._note_state(State[latest.shared_state.upper()], latest.asked_us)
        lost = self._reap_dead_nodes(renewer, latest)
        dropped: Sequence[End] = ()
        if latest.gone != self._gone:
            with self._database.read() as tx:
                dropped = dropped_runs(self._store, tx)
            record_dropped(self._store, dropped)
            self._gone = latest.gone
        changed = settled or latest.notified or latest.waits or bool(lost)
        if changed or self._store.is_news(latest.due_us, latest.again_us):
            self._store.forget_ahead()
            changed = True
        self._housekeeping.keep()
        return PollResult(state if at_once else known, changed, dropped, lost)

    def _resolve_in_doubt(self) -> bool:
        """Look up commits whose answers were lost; return whether one is resolved."""
        before = len(self._database.in_doubt or ())
        if before:
            self._found.extend(resolve_in_doubt(self._store))
        settled = len(self._database.in_doubt or ()) < before
        if settled:
            self._gone = -1  # runs of this process may have ended by them, and by others since
        return settled

    def _join_anew(self) -> PollResult:
        """Join as a new node, since this one was declared dead; its waiting runs do not begin.

        Runs that have begun continue; a note in their outcome says how they end.
        """
        store = self._store
        log.error(
            "this process was cut off from %s for too long, and others have recorded its runs as"
            " lost; it goes on as another node",
            self._database.shown,
        )
        with self._database.read() as tx:
            dropped = dropped_runs(store, tx)
            claims = store.claims.find(tx, list(store.claims.live))
        record_dropped(store, dropped)
        for claim in claims.values():
            run = store.claims.live.get(claim.run_id)
            if run is not None and claim.state == RETRIES and run._started_us is None:
                run._job = None  # an executor that has it queued does not begin it: other nodes may
                store.claims.live.pop(claim.run_id, None)
        self._join()
        store.forget_ahead()
        return PollResult(self._shared_state, True, dropped)

    def _reap_dead_nodes(self, renewer: LeaseRenewer, latest: Poll) -> list[RunRecord]:
        """Record the runs of dead nodes.

        An expired lease counts only after this node has renewed its own without interruption for
        the duration of a lease: after the database was unreachable, all leases have expired.
        """
        since_us = renewer.steady_us
        steady = since_us is not None and lasting_us() - since_us >= self._lease_us
        lost: list[RunRecord] = []
        for other in latest.others:
            gone = is_gone(other.boot)
            if gone or (other.over and steady):
                with self._database.read() as tx:
                    left = _unbegun(store_id_of(tx), other.id)
                is_dead = partial(_is_dead, gone=gone)
                now_us, unbegun = self._clock.now_us(), left_by(left, other.boot)
                lost += reap(self._store, other.id, now_us, unbegun, is_dead)
                with suppress(OSError):  # it belongs to another machine or user
                    left.unlink(missing_ok=True)
        return lost

    # Orders

    def set_shared_state(self, state: State) -> None:
        """Set the state of all nodes."""
        self._store.let_go()
        with self._database.write() as tx:
            tx.run(
                "update schedcore_cluster set state = ?, since_us = ?",
                state.name.lower(),
                self._clock.now_us(),
            )
            tx.notify()
        self._note_state(state)
        with self._database.read() as tx:
            nodes = tx.all("select id from schedcore_nodes where state in ('alive', 'leaving')")
        for (node,) in nodes:
            # A node holds its row while it takes jobs: once it is had, it has seen the new state.
            with self._database.write() as tx:
                tx.all("select 1 from schedcore_nodes where id = ? for update", node)

    def shared_state(self) -> State:
        """Return the state that all nodes should be in."""
        asked_us = lasting_us()
        with self._database.read() as tx:
            ((state,),) = tx.all("select state from schedcore_cluster")
        state = State[state.upper()]
        self._note_state(state, asked_us)
        return state

    def adopt(self, now_us: int) -> list[Run]:
        """Take due runs that belong to no node, and those of this node whose commit is resolved."""
        adopted: list[Run] = []
        if self.takes and not self._store.nothing_to_adopt(now_us):
            adopted += adopt(self._store, now_us)
            self._store.adopted_us = now_us
        while self._found:
            adopted.append(self._found.popleft())
        return adopted

    # Information

    def nodes(self) -> list[NodeInfo]:
        """Return the current and recent nodes, newest first."""
        with self._database.read() as tx:
            return nodes_listed(tx, self._lease_us)

    def info(self) -> StoreInfo:
        """Return the kind and the state of the store."""
        renewer = self._renewer
        store_id = None
        with suppress(StoreError), self._database.read() as tx:
            store_id = store_id_of(tx)
        offset_us = None if renewer is None else renewer.offset_us
        return StoreInfo(
            "postgresql",
            store_id is not None,
            self._database.schema or None,
            None if offset_us is None else offset_us / SECOND,
            renewer is not None and renewer.is_notified,
            self._database.shown,
            store_id,
        )


def _unbegun(store_id: str, node: int | None) -> Path:
    """Return the path of the file with a node's runs that have not begun."""
    return Path(tempfile.gettempdir(), f"schedcore-{store_id}-{node}.unbegun")


def _is_dead(tx: Transaction, node: int, gone: bool) -> bool:
    """Return whether a node is still dead, and no other node is reaping it."""
    over = "true" if gone else f"lease_us < {CLOCK}"
    sql = (
        "select 1 from schedcore_nodes where id = ? and state in ('alive', 'leaving')"
        f" and {over}{tx.skip_locked}"
    )
    return tx.one(sql, node) is not None
