"""A Dask cluster: runs are tasks of it, each of which starts once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from distributed import Client, Future, KilledWorker, Queue, get_client

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Patience, passing_us
from schedcore.errors import InvalidOptionError, SchedError, text_of
from schedcore.executors.base import Reporter, report_lost, settle
from schedcore.executors.futures import report_end
from schedcore.executors.remote import Report, Task, carry_out, check_by_name, task_of
from schedcore.job import Job
from schedcore.run import Run

log = GuardedLogger(__name__)

CONNECT_S: Final = 5.0
"""Seconds that an attempt to reach the cluster may take."""
AGAIN_S: Final = 1.0
"""Seconds until the next attempt, and between two looks at how many workers there are."""


class WorkerLostError(SchedError):
    """The Dask worker of a run died, or the cluster forgot the run."""


class DaskExecutor:
    """Executes runs as tasks of a Dask cluster.

    Functions are found on the workers by their names, where this package has to be installed, and
    arguments are pickled.  The cluster is given no more runs than its workers have threads; a run
    that waits has not begun.  A cluster that is away is asked again each second: runs wait for it.
    One whose worker dies is lost: Dask would start its task anew on another worker, and finds
    there that it was started before.  One that has begun cannot be ended.

    Args:
        cluster: The address of its scheduler, such as ``"tcp://10.0.0.7:8786"``, or a ``Client`` of
            yours, which stays open at a shutdown.

    Raises:
        InvalidOptionError: if it is neither.

    Attributes:
        broken: Why the cluster cannot be reached at present.
    """

    remote = True

    def __init__(self, cluster: str | Client) -> None:
        if not isinstance(cluster, str | Client) or not cluster:
            raise InvalidOptionError(
                "address", cluster, 'that of a Dask scheduler, such as "tcp://10.0.0.7:8786"'
            )
        self._address = cluster if isinstance(cluster, str) else None
        self._given = None if isinstance(cluster, str) else cluster
        self._client: Client | None = None
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Run, Reporter]] = deque()
        self._pending: dict[Future[Any], Run] = {}
        self._starts: dict[Run, Queue] = {}
        self._withdrawn: deque[Queue] = deque()
        self._threads = 0
        self._looked_us = 0
        self._thread: threading.Thread | None = None
        self._wanted = threading.Event()
        self._closing = False
        self.broken: str | None = None

    def __repr__(self) -> str:
        return f"<DaskExecutor on {self._address or self._given}>"

    def check_job(self, job: Job) -> None:
        """Check that a worker can find the function of *job*; raises InvalidOptionError."""
        check_by_name(job)

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Take *runs* to be run; return at once."""
        self._waiting.extend((run, reporter) for run in runs)
        with self._lock:
            self._closing = False
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._hand_on, name="schedcore-dask", daemon=True
                )
                self._thread.start()
        self._wanted.set()

    def room(self) -> int:
        """Return how many runs can begin soon; one, before it is known how many workers are."""
        if not self._threads and self.broken is None:
            return 0 if self._waiting else 1
        return max(0, self._threads - len(self._pending) - len(self._waiting))

    def abandon(self, run: Run) -> None:
        """Keep the task of a run from starting; one that has begun goes on in its thread."""
        # Its future is not cancelled: Dask would take that thread for a free one.
        start = self._starts.get(run)
        if start is not None:
            self._withdrawn.append(start)
            self._wanted.set()

    def shutdown(self, timeout: float | None) -> None:
        """Wait up to *timeout* seconds for the runs submitted; drop those that have not begun."""
        patience = Patience(timeout)
        while self._pending or (self._waiting and self.broken is None):
            left = patience.left()
            if left is not None and left <= 0:
                break
            threading.Event().wait(0.05 if left is None else min(left, 0.05))
        with self._lock:
            self._closing, thread, self._thread = True, self._thread, None
        self._waiting.clear()
        self._wanted.set()
        if thread is not None:
            thread.join(CONNECT_S)
        self._let_go()

    def _let_go(self) -> None:
        """Close the client, if it is not the user's; the next look makes another one."""
        client, self._client = self._client, None
        if client is not None and client is not self._given:
            client.close(timeout=AGAIN_S)

    # The thread that hands runs on: to reach a cluster takes its time

    def _hand_on(self) -> None:
        while not self._closing:
            self._wanted.clear()
            try:
                client = self._reach()
                while self._withdrawn:
                    self._withdraw(self._withdrawn.popleft())
                while self._waiting and len(self._pending) < self._threads:
                    self._hand_over(client, *self._waiting.popleft())
            except Exception as error:  # noqa: BLE001 — whatever a network does: it is tried again
                if self.broken is None:
                    log.error("a Dask cluster cannot be reached; runs wait for it", error=error)
                self.broken = text_of(error) or type(error).__name__
                self._let_go()
            self._wanted.wait(AGAIN_S if self._waiting else None)

    def _reach(self) -> Client:
        """Return a client that is connected, and count the threads of its workers now and then."""
        if self._client is None:
            self._client = self._given or Client(self._address, timeout=CONNECT_S)
            self._looked_us = 0
        if passing_us() - self._looked_us > AGAIN_S * SECOND:
            self._threads = sum(self._client.nthreads().values())
            self._looked_us = passing_us()
            self.broken = None if self._threads else "it has no workers"
        return self._client

    def _withdraw(self, start: Queue) -> None:
        with suppress(TimeoutError):  # it has begun
            start.get(timeout=0)

    def _hand_over(self, client: Client, run: Run, reporter: Reporter) -> None:
        try:
            if not reporter.begin(run):
                return
            key = f"schedcore-{run.id}-{run.attempt}"
            start = self._starts[run] = Queue(key, client=client)
            start.put(True)
            future = client.submit(start_once, key, task_of(run), key=key, pure=False, retries=0)
        except Exception as error:  # noqa: BLE001 — what cannot be pickled, say
            self._starts.pop(run, None)
            reporter.end(run, None, error)
            return
        self._pending[future] = run
        future.add_done_callback(partial(self._done, run, reporter))

    def _done(self, run: Run, reporter: Reporter, future: Future[Any]) -> None:
        self._pending.pop(future, None)
        self._starts.pop(run).close()
        try:
            self._report(run, reporter, future)
        except BaseException as error:  # noqa: BLE001 — the report failed
            report_lost(run, reporter, error)
        self._wanted.set()
        settle(reporter)

    def _report(self, run: Run, reporter: Reporter, future: Future[Any]) -> None:
        status = future.status
        if status == "finished":
            report = future.result()
            if isinstance(report, Report):
                report_end(run, reporter, report)
            else:
                reporter.lost(run, WorkerLostError("its Dask worker died"))
        elif status == "error" and not isinstance(future.exception(), KilledWorker):
            reporter.end(run, None, future.exception())
        else:
            reporter.lost(run, WorkerLostError("its Dask worker died, or the cluster forgot it"))


def start_once(key: str, task: Task) -> Report | None:
    """Execute a run on a worker; None: it was started before, and Dask starts it again."""
    # Dask's scheduler keeps a queue with one thing in it: who takes that starts the run.
    start = Queue(key, client=get_client())
    try:
        start.get(timeout=0)
    except TimeoutError:
        return None
    finally:
        start.close()
    return carry_out(task)
