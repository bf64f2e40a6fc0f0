"""Runs that workers of a cluster begin in the scheduler's store: what each such executor shares.

The cluster is given tasks that name a run, and no more.  Whoever of its workers takes one begins
the run in the store (:mod:`~schedcore.stores.sql_remote`), once, however often the cluster hands it
out; and writes there what came of it.  So the store alone tells how runs do, and it is all that the
next process needs when this one dies.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from schedcore.basics.atfork import call_in_child
from schedcore.clock import Patience
from schedcore.executors.base import Reporter
from schedcore.executors.cluster_base import Cluster
from schedcore.executors.cluster_runs import ClusterRuns
from schedcore.executors.remote import check_by_name
from schedcore.job import Job
from schedcore.run import Run


class ClusterExecutor:
    """Executes runs on workers that begin them in the store.

    Args:
        cluster: Where the workers are.
        name: Of its thread.
    """

    remote = True

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._runs: ClusterRuns | None = None

    def after_fork_in_child(self) -> None:
        """Start from nothing: the thread, and what the cluster was given, are the parent's."""
        self._begin_anew()
        self._cluster.forget()

    @property
    def broken(self) -> str | None:
        """Why the cluster cannot be reached at present; None: it can, or nobody has tried."""
        runs = self._runs
        return None if runs is None else runs.broken

    def check_job(self, job: Job) -> None:
        """Check that a worker can find the function of *job*; raises InvalidOptionError."""
        check_by_name(job)

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Accept *runs* for execution; return at once."""
        with self._lock:
            self._serving().submit(runs, reporter)

    def find(self, runs: Sequence[Run], reporter: Reporter) -> Sequence[Run]:
        """See to runs that workers have begun for a process that is gone; return no others."""
        with self._lock:
            self._serving().find(runs, reporter)
        return ()

    def _serving(self) -> ClusterRuns:
        """Return the runs since the last shutdown; called with the lock held."""
        if self._runs is None:
            self._runs = ClusterRuns(self._cluster, self._name, self._turn)
        return self._runs

    def room(self) -> int:
        """Return how many runs can begin soon; one, before it is known how many workers are."""
        runs = self._runs
        return 1 if runs is None else runs.room()

    def abandon(self, run: Run) -> None:
        """Drop the task of a run, or have its worker stop it, where the cluster can do that."""
        runs = self._runs
        if runs is not None:
            runs.abandon(run)

    def wake(self) -> None:
        """Look at once: the cluster says that something ended."""
        runs = self._runs
        if runs is not None:
            runs.wake()

    def given_back(self, name: str) -> None:
        """Send a task again soon: the cluster says that no worker could work it off."""
        runs = self._runs
        if runs is not None:
            runs.given_back(name)

    def shutdown(self, timeout: float | None) -> None:
        """Wait up to *timeout* seconds for the runs submitted; drop those that have not begun.

        It waits for those that no worker has begun as long as workers begin some, and no longer
        than :data:`~schedcore.executors.cluster_runs.UNBEGUN_S` seconds after the last one: nobody
        may be there.  On a store on disk, the next scheduler has them begun.
        Runs that workers have begun by then go on, and so does whoever sees to them next.
        """
        patience = Patience(timeout)
        runs = self._runs
        if runs is None:
            return
        runs.wait(patience)
        with self._lock:
            self._runs = None
        runs.close(patience)
