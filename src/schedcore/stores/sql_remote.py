"""Runs that cluster workers execute: each begins in the store, which also records its end.

A cluster may deliver a run to workers several times.  Its beginning is one compare-and-set on the
row of the open run, so only one worker begins it, once.  The result is written to the same row, so
the process that follows the run at that time finds it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schedcore.clock import from_us
from schedcore.run import Run
from schedcore.stores.claims import REMOTE
from schedcore.stores.database import CommitInDoubtError
from schedcore.stores.process import host_name, this_process
from schedcore.stores.schema import store_id_of

if TYPE_CHECKING:
    from schedcore.stores.sql import SqlStore

_BEGIN: Final = (
    "update schedcore_claims set begun_us = ? where run_id = ? and attempt = ?"
    f" and state = {REMOTE} and begun_us is null"
)
_NOTE: Final = (
    "insert into schedcore_remote (run_id, attempt, start, process, place, beats, report)"
    " values (?, ?, ?, ?, ?, 0, null) on conflict (run_id) do update set"
    " attempt = excluded.attempt, start = excluded.start, process = excluded.process,"
    " place = excluded.place, beats = 0, report = null"
)
_READ: Final = (
    "select r.run_id, r.attempt, c.begun_us, r.process, r.place, r.beats, r.report"
    " from schedcore_remote r join schedcore_claims c on c.run_id = r.run_id"
    f" where r.run_id in ({{}}) and c.attempt = r.attempt and c.state = {REMOTE}"
)


class Begun(NamedTuple):
    """A run that a worker has begun."""

    run_id: int
    attempt: int
    begun_us: int
    process: str
    """The worker's :func:`~schedcore.stores.process.this_process`."""
    place: str
    """The same for people."""
    beats: int
    """Grows while the worker is alive."""
    report: Any
    """Its result; None: it is active."""
    lost: bool = False
    """Whether its result will never be known."""


class RemoteRuns:
    """The interface of a store for workers and the nodes that wait for them.  Thread-safe.

    Args:
        store: The store.
    """

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._store_id = ""

    def serve(self, executors: Collection[str]) -> None:
        """Let runs of these executors begin in this store."""
        self._store.claims.remote = frozenset(executors)

    @property
    def url(self) -> str | None:
        """The URL of the store for workers on this machine; None: they need their own setting."""
        path = getattr(self._store.database, "path", None)
        return None if path is None else f"sqlite:///{path}"

    def store_id(self) -> str:
        """Return the store's unique identifier; raises StoreError."""
        if not self._store_id:
            with self._store.database.read() as tx:
                self._store_id = store_id_of(tx)
        return self._store_id

    # By workers

    def begin(self, run_id: int, attempt: int, now_us: int) -> Run | None:
        """Begin a run, in one step for all workers; return it with its definition.

        None: it may not begin.  It has already begun or ended, or this attempt is outdated.

        Raises:
            StoreError: if the store cannot be used: the caller may try again.
        """
        store, claims = self._store, self._store.claims
        with store.database.read() as tx:
            claim = claims.find(tx, (run_id,)).get(run_id)
            if claim is None or (claim.state, claim.attempt) != (REMOTE, attempt):
                return None
            # Before it begins: reading a definition imports the module of its function.
            run = claims.run_of(tx, claim)
        if not self._begin(run, os.urandom(8).hex(), now_us):
            return None
        run._started_us = now_us
        return run

    def _begin(self, run: Run, start: str, now_us: int) -> bool:
        place = f"{os.getpid()} on {host_name()}"
        noted = run.id, run.attempt, start, this_process(), place
        try:
            with self._store.database.write() as tx:
                if not tx.count(_BEGIN, now_us, run.id, run.attempt):
                    return False
                tx.run(_NOTE, *noted)
        except CommitInDoubtError:  # it may have been committed: then no other worker begins it
            with self._store.database.read() as tx:
                sql = "select start from schedcore_remote where run_id = ?"
                if tx.one(sql, run.id) != (start,):
                    raise
        return True

    def beat(self, run_ids: Collection[int]) -> None:
        """Record that the worker of these runs is alive."""
        sql = "update schedcore_remote set beats = beats + 1 where run_id = ? and process = ?"
        with self._store.database.write_soon() as tx:
            tx.many(sql, [(run_id, this_process()) for run_id in sorted(run_ids)])

    def report(self, run: Run, report: str, ended_us: int) -> bool:
        """Write the result of a run; False: it is no longer expected, since it was ended early.

        If the run was recorded as lost, a note says that it has ended.
        """
        open_still = (
            "exists (select 1 from schedcore_claims c where c.run_id = schedcore_remote.run_id"
            f" and c.attempt = schedcore_remote.attempt and c.state = {REMOTE})"
        )
        sql = (
            "update schedcore_remote set report = ? where run_id = ? and attempt = ?"
            f" and process = ? and {open_still}"
        )
        # The process that records the outcome waits for the disk.
        with self._store.database.write_soon() as tx:
            if tx.count(sql, report, run.id, run.attempt, this_process()):
                tx.notify()
                return True
            at = from_us(ended_us).isoformat()
            self._store.history.note(tx, run.id, f"and ended after all, at {at}")
            return False

    # By nodes

    def begun(self, runs: Sequence[Run]) -> dict[int, Begun]:
        """Return the runs that workers have begun, by id."""
        with self._store.database.read() as tx:
            rows = tx.among(_READ, [run.id for run in runs])
        return {row[0]: Begun(*row) for row in rows}
