"""The base of executors whose runs begin on workers of a cluster, in the scheduler's store.

The cluster gets tasks that only name a run.  The worker that takes a task begins the run in the
store (:mod:`~schedcore.stores.sql_remote`), once, however often the cluster delivers it, and writes
the result there.  So the state of runs is in the store alone, and the next process needs nothing
else if this one dies.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from schedcore.basics.atfork import call_in_child
from schedcore.clock import Deadline
from schedcore.executors.base import Reporter
from schedcore.executors.cluster_base import Cluster
from schedcore.executors.cluster_runs import ClusterRuns
from schedcore.executors.remote import check_by_name
from schedcore.job import Job
from schedcore.run import Run


class ClusterExecutor:
    """Executes runs on workers that begin them in the store.

    Args:
        cluster: The cluster of the workers.
        name: The name of its thread.
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
        """Start empty: the thread and the submitted runs belong to the parent."""
        self._begin_anew()
        self._cluster.forget()

    @property
    def broken(self) -> str | None:
        """Why the cluster is currently unreachable; None: it can be reached, or was not tried."""
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
        """Follow runs that workers have begun for a dead process; return an empty list."""
        with self._lock:
            self._serving().find(runs, reporter)
        return ()

    def _serving(self) -> ClusterRuns:
        """Return the runs since the last shutdown; called with the lock held."""
        if self._runs is None:
            self._runs = ClusterRuns(self._cluster, self._name, self._turn)
        return self._runs

    def room(self) -> int:
        """Return how many runs can begin soon; 1 while the number of workers is unknown."""
        runs = self._runs
        return 1 if runs is None else runs.room()

    def abandon(self, run: Run) -> None:
        """Drop the task of a run, or have its worker stop it, if the cluster can do that."""
        runs = self._runs
        if runs is not None:
            runs.abandon(run)

    def wake(self) -> None:
        """Check at once: the cluster reports that a task ended."""
        runs = self._runs
        if runs is not None:
            runs.wake()

    def requeue(self, name: str) -> None:
        """Send a task again soon: the cluster reports that no worker could execute it."""
        runs = self._runs
        if runs is not None:
            runs.requeue(name)

    def shutdown(self, timeout: float | None) -> None:
        """Wait up to *timeout* seconds for the runs submitted; drop those that have not begun.

        It waits for runs that have not begun as long as workers begin others, and no longer
        than :data:`~schedcore.executors.cluster_runs.UNBEGUN_S` seconds after the last one: there
        may be no workers.  With a store on disk, the next scheduler continues with them.
        Runs that workers have begun by then continue; the next scheduler follows them.
        """
        deadline = Deadline(timeout)
        runs = self._runs
        if runs is None:
            return
        runs.wait(deadline)
        with self._lock:
            self._runs = None
        runs.close(deadline)
