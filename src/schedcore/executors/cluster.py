"""Runs that workers of a cluster begin in the scheduler's store: what each such executor shares.

The cluster is given tasks that name a run, and no more.  Whoever of its workers takes one begins
the run in the store (:mod:`~schedcore.stores.sql_remote`), once, however often the cluster hands it
out; and writes there what came of it.  So the store alone tells how runs do, and it is all that the
next process needs when this one dies.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Patience, Waker, passing_us
from schedcore.errors import SchedError, text_of
from schedcore.executors.base import Reporter, report_lost, settle
from schedcore.executors.futures import report_end
from schedcore.executors.remote import check_by_name
from schedcore.executors.remote_text import report_of_text
from schedcore.job import Job
from schedcore.run import Run
from schedcore.stores.process import is_gone
from schedcore.stores.sql_remote import Begun

log = GuardedLogger(__name__)

AGAIN_S: Final = 1.0
"""Seconds until a cluster, or the store, that is away is asked again."""
SEND_AGAIN_US: Final = 60 * SECOND
"""How long a run that nobody begins is waited for before it is sent again, the first time: the
broker may have lost it.  Then twice as long, and so on."""
SILENT_US: Final = 60 * SECOND
"""A worker that gives no sign of life for so long is taken for dead."""
LOOK_AFTER_US: Final = SECOND // 5
"""How often it is asked whether a worker's process is there, where that can be asked."""
QUICKEST_S: Final = 0.01
SLOWEST_S: Final = 0.2
"""Seconds between two looks at the store: soon after something came of one, and later."""


class WorkerLostError(SchedError):
    """The worker of a run died."""


class Task(NamedTuple):
    """What the cluster is given of a run."""

    name: str
    """The same each time that it is sent, and that of no other run or attempt."""
    run: Run
    ticket: dict[str, Any] | None = None
    """For :func:`schedcore.executors.cluster_worker.work_off`: plain data.  None: the cluster
    itself tells how the run does."""
    url: str | None = None
    """Of the store, for workers of this machine that may be told by whoever sends tasks."""


class Starts(Protocol):
    """What tells which runs workers have begun, and what came of them."""

    def mark(self) -> str:
        """Return what tells its runs from those of others on the cluster; raises StoreError."""
        ...

    def look(self, runs: Sequence[Run]) -> Mapping[int, Begun]:
        """Return those of these runs that workers have begun, by their ids."""
        ...


class Cluster(Protocol):
    """What is different from one kind of cluster to the next; called by one thread."""

    @property
    def starts(self) -> Starts | None:
        """Return what tells of runs whose store is this process's alone; None: it has no such."""
        ...

    def reach(self) -> int:
        """Return how many runs it can have at a time; raises whatever, if it cannot be reached."""
        ...

    def send(self, task: Task) -> None:
        """Have a worker work a task off; raises whatever, if it is not known whether it will."""
        ...

    def revoke(self, name: str) -> None:
        """Drop a task, or stop it if it is worked off, where that can be done."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class _Given:
    """A run that this executor has, from when it is submitted."""

    __slots__ = ("again_us", "asked_us", "beats", "began", "heard_us", "reporter", "run", "sent")

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.run = run
        self.reporter = reporter
        self.sent = self.again_us = 0
        self.began = False
        self.beats, self.heard_us, self.asked_us = -1, 0, 0


class ClusterExecutor:
    """Executes runs on workers that begin them in the store.

    Args:
        cluster: Where the workers are.
        name: Of its thread.

    Attributes:
        broken: Why the cluster cannot be reached at present.
    """

    remote = True

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._lock = threading.Lock()
        self._waiting: deque[_Given] = deque()
        self._given: dict[int, _Given] = {}
        self._withdrawn: deque[tuple[Starts, int, int]] = deque()
        self._starts: Starts | None = None
        self._most = 0
        self._pause_s = QUICKEST_S
        self._thread: threading.Thread | None = None
        self._wanted = threading.Event()
        self._closing = False
        self.broken: str | None = None

    def check_job(self, job: Job) -> None:
        """Check that a worker can find the function of *job*; raises InvalidOptionError."""
        check_by_name(job)

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Take *runs* to be run; return at once."""
        self._waiting.extend(_Given(run, reporter) for run in runs)
        self._serve(reporter)

    def find(self, runs: Sequence[Run], reporter: Reporter) -> Sequence[Run]:
        """See to runs that workers have begun for a process that is gone; return no others."""
        for run in runs:
            self._given[run.id] = _Given(run, reporter)
        self._serve(reporter)
        return ()

    def _serve(self, reporter: Reporter) -> None:
        self._starts = self._starts_of(reporter)
        with self._lock:
            self._closing = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        self._wanted.set()

    def room(self) -> int:
        """Return how many runs can begin soon; one, before it is known how many workers are."""
        if not self._most and self.broken is None:
            return 0 if self._waiting else 1
        return max(0, self._most - len(self._given) - len(self._waiting))

    def abandon(self, run: Run) -> None:
        """Drop the task of a run, or have its worker stop it, where the cluster can do that."""
        if self._starts is not None:
            self._withdrawn.append((self._starts, run.id, run.attempt))
            self._wanted.set()

    def wake(self) -> None:
        """Look at once: the cluster says that something ended."""
        self._wanted.set()

    def shutdown(self, timeout: float | None) -> None:
        """Wait up to *timeout* seconds for the runs submitted; drop those that have not begun.

        Runs that workers have begun by then go on, and so does whoever sees to them next.
        """
        patience = Patience(timeout)
        while any(each.began for each in list(self._given.values())) or (
            self.broken is None and (self._waiting or self._given)
        ):
            left = patience.left()
            if left is not None and left <= 0:
                break
            Waker().sleep(0.05 if left is None else min(left, 0.05))
        with self._lock:
            self._closing, thread, self._thread = True, self._thread, None
        self._waiting.clear()
        self._wanted.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)
        self._given.clear()
        self._cluster.close()

    # Its thread

    def _work(self) -> None:
        while not self._closing:
            self._wanted.clear()
            try:
                self._most = self._cluster.reach()
                self.broken = None if self._most else "it has no workers"
                self._revoke()
                self._send()
            except Exception as error:  # noqa: BLE001 — whatever a network does: it is tried again
                self._tell_broken(error)
            self._look()
            self._wanted.wait(self._patience())

    def _patience(self) -> float | None:
        if not self._given:
            return AGAIN_S if self._waiting or self._withdrawn else None
        self._pause_s = min(self._pause_s * 1.5, SLOWEST_S)
        return self._pause_s

    def _tell_broken(self, error: Exception) -> None:
        if self.broken is None:
            log.error("%s cannot be reached; runs wait for it", self, error=error)
        self.broken = text_of(error) or type(error).__name__
        for given in list(self._given.values()):
            given.again_us = 0  # it may have lost them
        with suppress(Exception):
            self._cluster.close()

    def _send(self) -> None:
        """Give the cluster what waits and it has workers for, and again what nobody begins."""
        while self._waiting and len(self._given) < self._most:
            given = self._waiting.popleft()
            if given.run._job is None or given.run.cancelled:
                continue  # it has ended, or was handed back
            self._given[given.run.id] = given
            self._send_one(given)
        now_us = passing_us()
        for given in list(self._given.values()):
            if given.sent and not given.began and given.again_us <= now_us:
                self._send_one(given)

    def _send_one(self, given: _Given) -> None:
        run, store = given.run, given.reporter.remote
        if store is None:
            self._send_begun(given)
            return
        given.sent += 1  # before it is known whether it came
        given.again_us = 0
        mark = store.mark()
        ticket = {
            "run_id": run.id,
            "attempt": run.attempt,
            "store": mark,
            "captures": given.reporter.captures,
        }
        self._cluster.send(Task(name_of(mark, run.id, run.attempt), run, ticket, store.url))
        given.again_us = passing_us() + SEND_AGAIN_US * (1 << min(given.sent - 1, 10))

    def _send_begun(self, given: _Given) -> None:
        """Have a run begin here when it is sent: no worker can tell its store that it does."""
        run, reporter = given.run, given.reporter
        if not reporter.begin(run):
            self._drop(given)
            return
        given.began = True
        try:
            mark = self._starts_of(reporter).mark()
            self._cluster.send(Task(name_of(mark, run.id, run.attempt), run))
        except Exception as error:  # noqa: BLE001 — what cannot be pickled, say
            self._drop(given)
            reporter.end(run, None, error)

    def _revoke(self) -> None:
        while self._withdrawn:
            starts, run_id, attempt = self._withdrawn[0]
            self._cluster.revoke(name_of(starts.mark(), run_id, attempt))
            self._withdrawn.popleft()

    def _drop(self, given: _Given) -> None:
        if self._given.get(given.run.id) is given:
            del self._given[given.run.id]

    # What came of them

    def _look(self) -> None:
        try:
            for starts, together in self._by_starts().items():
                begun = starts.look([given.run for given in together])
                for given in together:
                    self._see(given, begun.get(given.run.id))
                for reporter in {id(given.reporter): given.reporter for given in together}.values():
                    settle(reporter)
        except Exception as error:  # noqa: BLE001 — the store is away: it is asked again
            log.error("the store cannot tell how runs do; it is asked again", error=error)
            for given in list(self._given.values()):
                given.heard_us = passing_us()
            self._pause_s = AGAIN_S

    def _by_starts(self) -> dict[Starts, list[_Given]]:
        """Return the runs by who tells how they do: their store, or the cluster itself."""
        found: dict[Starts, list[_Given]] = {}
        for given in list(self._given.values()):
            found.setdefault(self._starts_of(given.reporter), []).append(given)
        return found

    def _starts_of(self, reporter: Reporter) -> Starts:
        starts = reporter.remote or self._cluster.starts
        assert starts is not None  # the scheduler looked
        return starts

    def _see(self, given: _Given, begun: Begun | None) -> None:
        """Report what became of a run."""
        run, reporter = given.run, given.reporter
        if run._job is None:
            self._drop(given)  # it has ended otherwise, or others see to it
            return
        if begun is None:
            if given.began:
                self._drop(given)  # others have it, and have ended it
            return
        if not given.began:
            given.began = True
            reporter.begun(run, begun.begun_us)
            self._pause_s = QUICKEST_S
        if begun.report is not None:
            self._pause_s = QUICKEST_S
            self._drop(given)
            try:
                told = begun.report
                report, ended_us = report_of_text(told) if isinstance(told, str) else told
                report_end(run, reporter, report, ended_us)
            except Exception as error:  # noqa: BLE001 — the report failed
                report_lost(run, reporter, error)
        elif _is_dead(given, begun):
            self._drop(given)
            reporter.lost(run, WorkerLostError(f"its worker ({begun.place}) died"))


def name_of(mark: str, run_id: int, attempt: int) -> str:
    """Return the name of the task of a run: that of no other run or attempt of any store."""
    return f"schedcore-{mark}-{run_id}-{attempt}"


def _is_dead(given: _Given, begun: Begun) -> bool:
    """Return whether the worker of a run died, as the system knows, or seems to be."""
    if begun.lost:
        return True
    now_us = passing_us()
    if begun.beats != given.beats:
        given.beats, given.heard_us = begun.beats, now_us
    if now_us - given.asked_us >= LOOK_AFTER_US:
        given.asked_us = now_us
        if is_gone(begun.process):
            return True
    return now_us - given.heard_us > SILENT_US
