"""Executes runs as tasks of a Dask cluster, each of which starts once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

from distributed import Client, Future, KilledWorker, Queue, get_client

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, SystemClock, passing_us
from schedcore.errors import InvalidOptionError
from schedcore.executors.cluster import ClusterExecutor
from schedcore.executors.cluster_base import Task, name_of
from schedcore.executors.cluster_runs import AGAIN_S
from schedcore.executors.cluster_worker import execute_ticket
from schedcore.executors.remote import Report, execute_task, failed, task_of
from schedcore.executors.remote import Task as Call
from schedcore.executors.remote_text import StoredReport
from schedcore.run import Run
from schedcore.stores.sql_remote import Begun

log = GuardedLogger(__name__)

CONNECT_S: Final = 5.0
"""Maximum seconds of an attempt to connect to the cluster."""
_left_to_parents: Final[list[Client]] = []
"""Clients that a forked child inherited without their threads: they cannot even be closed."""


class DaskExecutor(ClusterExecutor):
    """Executes runs as tasks of a Dask cluster.

    Workers find functions by their names, and this package must be installed there.  The cluster
    gets no more runs than its workers have threads.  An unreachable cluster is tried again every
    second, and runs wait for it.  A run that has begun cannot be stopped.  A run whose worker dies
    is lost: Dask starts its task again on another worker, which finds that it has already begun.

    With a store on disk, a worker begins a run there, in one transaction, and writes the result
    there, so it is found even if this process dies meanwhile.  A SQLite file must be on the same
    machine; for PostgreSQL, set ``SCHEDULER_STORE`` in the workers' environment.  With a store in
    memory, Dask's scheduler records which runs were started, and arguments are pickled.

    Args:
        cluster: The address of Dask's scheduler, such as ``"tcp://10.0.0.7:8786"``, or your
            ``Client``, which stays open at a shutdown.

    Raises:
        InvalidOptionError: if it is neither.
    """

    def __init__(self, cluster: str | Client) -> None:
        if not isinstance(cluster, str | Client) or not cluster:
            raise InvalidOptionError(
                "address", cluster, 'that of a Dask scheduler, such as "tcp://10.0.0.7:8786"'
            )
        super().__init__(_Dask(cluster, self.wake, self.requeue), "schedcore-dask")

    def __repr__(self) -> str:
        return f"<DaskExecutor on {self._cluster!r}>"


class _Sent(NamedTuple):
    """A task on the cluster; Dask forgets the task if its future is dropped."""

    future: Future[Any]
    token: Queue | None
    """A Dask queue with one item: the worker that takes it starts the run.  None: the run begins in
    the store."""
    at_us: int


class _Dask:
    """The cluster, as :class:`~schedcore.executors.cluster_base.Cluster`.

    For a store in memory, it also reports the state of runs
    (:class:`~schedcore.executors.cluster_base.RunStates`).

    Args:
        cluster: Its address, or the user's client.
        wake: Called when a task has ended.
        requeue: Called with the name of a task that no worker could execute.
    """

    def __init__(
        self,
        cluster: str | Client,
        wake: Callable[[], None],
        requeue: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._wake = wake
        self._requeue = requeue
        self._forked = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._client: Client | None = None
        self._threads = 0
        self._looked_us = 0
        self._sent: dict[str, _Sent] = {}
        self._store_id = os.urandom(8).hex()

    def __repr__(self) -> str:
        return str(self._cluster)

    @property
    def states(self) -> _Dask:
        return self

    def store_id(self) -> str:
        return self._store_id

    def reach(self) -> int:
        """Return the number of its workers' threads, which is counted periodically."""
        if self._client is None:
            given = self._cluster
            if isinstance(given, Client) and self._forked:
                raise RuntimeError(
                    "its Client was made before this process was forked: give the cluster's address"
                )
            self._client = Client(given, timeout=CONNECT_S) if isinstance(given, str) else given
            self._looked_us = 0
        if passing_us() - self._looked_us > AGAIN_S * SECOND:
            self._threads = sum(self._client.nthreads().values())
            self._looked_us = passing_us()
        return self._threads

    def send(self, task: Task) -> None:
        assert self._client is not None
        submit: Any = partial(self._client.submit, key=task.name, pure=False, retries=0)
        if task.ticket is not None:
            self._forget(task.name)
            future = submit(execute_ticket, task.ticket, task.url)
            self._sent[task.name] = _Sent(future, None, 0)
            future.add_done_callback(partial(self._ticket_done, task.name))
            return
        token = Queue(task.name, client=self._client)
        token.put(True)
        future = submit(start_once, task.name, task_of(task.run))
        self._sent[task.name] = _Sent(future, token, SystemClock().now_us())
        future.add_done_callback(lambda _future: self._wake())

    def _ticket_done(self, name: str, future: Future[Any]) -> None:
        if future.status == "error" and not isinstance(future.exception(), KilledWorker):
            text = "a Dask worker could not begin a run; it is sent again"
            log.error(text, error=future.exception())
        self._forget(name)
        if future.status == "finished":
            self._wake()
        else:
            self._requeue(name)

    def _forget(self, name: str) -> None:
        sent = self._sent.pop(name, None)
        if sent is not None and sent.token is not None:
            sent.token.close()

    def revoke(self, name: str) -> None:
        # The future is not cancelled: Dask would count the thread of a running task as free.
        sent = self._sent.get(name)
        if sent is not None and sent.token is not None:
            with suppress(TimeoutError):  # the run has begun
                sent.token.get(timeout=0)

    def close(self) -> None:
        """Close the client, unless it is the user's; the next call creates another one."""
        client, self._client = self._client, None
        if client is not None and client is not self._cluster:
            client.close(timeout=AGAIN_S)

    def forget(self) -> None:
        if self._client is not None:
            _left_to_parents.append(self._client)
        self._forked = True
        self._begin_anew()

    # The state of runs that began when they were sent

    def begun(self, runs: Sequence[Run]) -> dict[int, Begun]:
        found = {}
        for run in runs:
            name = name_of(self._store_id, run.id, run.attempt)
            sent = self._sent.get(name)
            if sent is not None:
                begun = _begun(run, sent)
                if begun.report is None and self._is_deserted(sent):
                    begun = begun._replace(lost=True)
                found[run.id] = begun
                if begun.lost or begun.report is not None:
                    self._forget(name)
        return found

    def _is_deserted(self, sent: _Sent) -> bool:
        """Return whether a run has started, and no worker that could have it is left.

        Checked in this order, since a new worker may have started it meanwhile.
        """
        if self._threads or self._client is None or sent.token is None or sent.token.qsize():
            return False
        return not sum(self._client.nthreads().values())


def _begun(run: Run, sent: _Sent) -> Begun:
    """Return the state of a run whose task was sent."""
    begun = Begun(run.id, run.attempt, sent.at_us, "", "of Dask", passing_us(), None)
    future = sent.future
    if future.status == "pending":
        return begun
    report = None
    if future.status == "finished":
        report = future.result()
    elif future.status == "error" and not isinstance(future.exception(), KilledWorker):
        report = failed(future.exception())
    if isinstance(report, Report):
        return begun._replace(report=StoredReport(report, None))
    return begun._replace(lost=True)  # started twice by Dask


def start_once(key: str, call: Call) -> Report | None:
    """Execute a run on a worker; None: Dask has started it a second time."""
    # Dask's scheduler keeps a queue with one item: the worker that takes it starts the run.
    start = Queue(key, client=get_client())
    try:
        start.get(timeout=0)
    except TimeoutError:
        return None
    finally:
        start.close()
    return execute_task(call)
