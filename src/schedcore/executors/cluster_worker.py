"""Executes a run on a worker of a cluster: begins it in the store, and writes its end there."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from schedcore.basics import funcref
from schedcore.basics.atfork import call_in_child
from schedcore.basics.logs import GuardedLogger
from schedcore.basics.shown_urls import without_password
from schedcore.clock import SystemClock, Waker
from schedcore.errors import StoreError
from schedcore.executors.remote import Report, execute_task, failed, task_of
from schedcore.executors.remote_text import text_of_report
from schedcore.output.text import Capture
from schedcore.run import Run
from schedcore.stores.sql_remote import RemoteRuns
from schedcore.stores.urls import open_store

log = GuardedLogger(__name__)

STORE: Final = "SCHEDULER_STORE"
"""The environment variable of the scheduler's store, the default."""
BEAT_S: Final = 5.0
"""Seconds between two heartbeats."""
_clock: Final = SystemClock()


class StoreUnknownError(StoreError):
    """A worker does not know the scheduler's store, or knows another one."""


def execute_ticket(ticket: Mapping[str, Any], url: str | None = None) -> bool:
    """Execute the run that a ticket names, if it may begin; return whether it did.

    Everything else about it is read from the store, which is part of the worker's configuration:
    a sender of tickets can only start runs that are due.

    Args:
        ticket: See :class:`~schedcore.executors.cluster_base.Task`.
        url: The URL of the store; None: that of ``SCHEDULER_STORE``.

    Raises:
        StoreError: if the store cannot be used.  The run has not begun then, so it may be tried
            again.
    """
    # The whole ticket is parsed first: an invalid one, as of another version, begins nothing.
    run_id, attempt = int(ticket["run_id"]), int(ticket["attempt"])
    store_id, captures = str(ticket["store"]), bool(ticket["captures"])
    store = _stores.get(url or os.environ.get(STORE), store_id)
    run = store.begin(run_id, attempt, _clock.now_us())
    if run is None:
        return False
    if captures:
        run._output = Capture()
    _heartbeats.add(run.id, store)
    try:
        report = _execute(run)
        _report(store, run, text_of_report(report, _clock.now_us()))
    finally:
        _heartbeats.drop(run.id, store)
    return True


def _execute(run: Run) -> Report:
    try:
        job = run.job
        if job.func is None:
            run._job = job._replace(func=funcref.resolve(str(job.given_ref)))
        task = task_of(run)
    except Exception as error:  # noqa: BLE001 — an import may raise anything
        return failed(error)
    return execute_task(task)


def _report(store: RemoteRuns, run: Run, text: str) -> None:
    """Write the result of a run, however long the store is unreachable: no other process has it."""
    ended_us, wait_s = _clock.now_us(), 0.1
    while True:
        try:
            store.report(run, text, ended_us)
        except StoreError as error:
            log.error("the end of %r cannot be written yet", run, error=error)
            Waker().sleep(wait_s)
            wait_s = min(wait_s * 2, BEAT_S)
        else:
            return


class _Stores:
    """The stores that this process has opened, by their URLs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Any] = {}
        call_in_child(self)

    def after_fork_in_child(self) -> None:
        """Create a new lock: a thread of the parent may hold the old one."""
        self._lock = threading.Lock()

    def get(self, url: str | None, store_id: str) -> RemoteRuns:
        if not url:
            raise StoreUnknownError(
                STORE,
                "not set: name the scheduler's store in this variable, in the environment of the"
                " worker, such as sqlite:////var/lib/app/schedcore.db",
            )
        with self._lock:
            store = self._open.get(url)
            if store is None:
                store = self._open[url] = open_store(url)
        remote = _remote_of(store, url)
        return remote if remote.store_id() == store_id else self._instead(url, store_id)

    def _instead(self, url: str, store_id: str) -> RemoteRuns:
        """Return the store with this id, which has replaced the open one.

        The old one stays open for runs that have begun in it, and for other schedulers.
        """
        store = open_store(url)
        remote = _remote_of(store, url)
        if remote.store_id() != store_id:
            store.close()
            raise StoreUnknownError(
                without_password(url), "it is another store than that of the scheduler"
            )
        with self._lock:
            self._open[url] = store
        return remote


def _remote_of(store: Any, url: str) -> RemoteRuns:
    remote = getattr(store, "remote", None)
    if not isinstance(remote, RemoteRuns):
        raise StoreUnknownError(without_password(url), "it is no store that processes share")
    return remote


class Heartbeats:
    """Writes heartbeats of this worker to the stores while it has runs."""

    def __init__(self) -> None:
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        # Two stores have runs of the same number, and two attempts of one may overlap here.
        self._runs: Counter[tuple[RemoteRuns, int]] = Counter()
        self._thread: threading.Thread | None = None

    def after_fork_in_child(self) -> None:
        """Forget the runs, which belong to the parent."""
        self._begin_anew()

    def add(self, run_id: int, store: RemoteRuns) -> None:
        """Begin heartbeats for a run."""
        with self._lock:
            self._runs[store, run_id] += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._beat_on, name="schedcore-beat", daemon=True
                )
                self._thread.start()

    def drop(self, run_id: int, store: RemoteRuns) -> None:
        """End heartbeats for a run."""
        with self._lock:
            self._runs[store, run_id] -= 1
            self._runs += Counter()  # drops those that have none any more

    def _beat_on(self) -> None:
        while True:
            Waker().sleep(BEAT_S)
            self.beat()

    def beat(self) -> None:
        """Write a heartbeat to each store for its runs here."""
        by_store: dict[RemoteRuns, list[int]] = {}
        with self._lock:
            for store, run_id in self._runs:
                by_store.setdefault(store, []).append(run_id)
        for store, run_ids in by_store.items():
            try:
                store.beat(run_ids)
            except Exception as error:  # noqa: BLE001 — the store is unreachable: no heartbeat
                log.error("a sign of life cannot be given", error=error)


_stores: Final = _Stores()
_heartbeats: Final = Heartbeats()
