"""The runs that a cluster has between two shutdowns, and the thread that sees to them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Patience, Waker, passing_us
from schedcore.errors import SchedError, text_of
from schedcore.executors.base import Reporter, report_lost, settle
from schedcore.executors.cluster_base import Cluster, Starts, Task, name_of
from schedcore.executors.futures import report_end
from schedcore.executors.remote_text import report_of_text
from schedcore.run import Run
from schedcore.stores.process import is_gone
from schedcore.stores.sql_remote import Begun

log = GuardedLogger(__name__)

AGAIN_S: Final = 1.0
"""Seconds until a cluster, or the store, that is away is asked again."""
SEND_AGAIN_US: Final = 60 * SECOND
"""How long a run that nobody begins is waited for before it is sent again, the first time: the
broker may have lost it.  Then twice as long, and so on.  One that the cluster gives back is sent
again after a second, two, and so on."""
SILENT_US: Final = 60 * SECOND
"""A worker that gives no sign of life for so long is taken for dead."""
LOOK_AFTER_US: Final = SECOND // 5
"""How often it is asked whether a worker's process is there, where that can be asked."""
QUICKEST_S: Final = 0.01
SLOWEST_S: Final = 0.2
"""Seconds between two looks at the store: soon after something came of one, and later."""
UNBEGUN_S: Final = 10.0
"""Seconds that a shutdown waits for workers to begin a run, while they begin none."""
LAST_STEP_S: Final = 5.0
"""Seconds that a shutdown waits for the end of a call of the cluster."""


class WorkerLostError(SchedError):
    """The worker of a run died."""


class _Given:
    """A run that this executor has, from when it is submitted."""

    __slots__ = (
        *("again_us", "asked_us", "beats", "began", "heard_us"),
        *("name", "reporter", "run", "sent"),
    )

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.run = run
        self.reporter = reporter
        self.sent = self.again_us = 0
        self.name = ""
        """Of its task."""
        self.began = False
        self.beats, self.heard_us, self.asked_us = -1, 0, 0


class ClusterRuns:
    """What was submitted since the last shutdown.  Its thread alone talks to the cluster.

    Args:
        cluster: Where the workers are.
        name: Of the thread.
        turn: Held by the thread: that of before a shutdown may still wait for the network.

    Attributes:
        broken: Why the cluster cannot be reached at present.
    """

    def __init__(self, cluster: Cluster, name: str, turn: threading.Lock) -> None:
        self._cluster = cluster
        self._turn = turn
        self._waiting: deque[_Given] = deque()
        self._given: dict[int, _Given] = {}
        self._withdrawn: deque[tuple[Starts, int, int]] = deque()
        self._back: deque[str] = deque()
        self._starts: Starts | None = None
        self._most = 0
        self._pause_s = QUICKEST_S
        self._moved_us = 0
        self._wanted = threading.Event()
        self._closing = False
        self.broken: str | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Take *runs* to be run."""
        self._starts = self._starts_of(reporter)
        self._waiting.extend(_Given(run, reporter) for run in runs)
        self._wanted.set()

    def find(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """See to runs that workers have begun."""
        self._starts = self._starts_of(reporter)
        for run in runs:
            self._given[run.id] = _Given(run, reporter)
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

    def given_back(self, name: str) -> None:
        """Send a task again soon: no worker could work it off."""
        self._back.append(name)
        self._wanted.set()

    def wait(self, patience: Patience) -> None:
        """Wait until all have ended, or none is begun any more."""
        since_us = passing_us()
        while self._is_awaited(since_us):
            left = patience.left()
            if left is not None and left <= 0:
                return
            if self._thread is threading.current_thread():  # a listener's, who has shut down
                self._step()
            Waker().sleep(0.05 if left is None else min(left, 0.05))

    def _is_awaited(self, since_us: int) -> bool:
        given = list(self._given.values())
        if any(self._may_run(each) for each in given):
            return True
        if self.broken is not None or not (given or self._waiting):
            return False
        if passing_us() - max(since_us, self._moved_us) < UNBEGUN_S * SECOND:
            return True
        count = len(given) + len(self._waiting)
        text = "%d run(s) were begun by no worker within %g s: the shutdown does not wait for them"
        log.warning(text, count, UNBEGUN_S)
        return False

    def _may_run(self, given: _Given) -> bool:
        """Return whether a worker may have a run that has begun; one that is sent may have none."""
        return given.began and (given.reporter.remote is not None or self._most > 0)

    def close(self, patience: Patience) -> None:
        """End the thread; it may still wait for the network when this returns."""
        self._closing = True
        self._waiting.clear()
        self._wanted.set()
        if self._thread is not threading.current_thread():
            left = patience.left()
            self._thread.join(LAST_STEP_S if left is None else max(0.5, min(left, LAST_STEP_S)))

    # Its thread

    def _work(self) -> None:
        with self._turn:
            while not self._closing:
                self._wanted.clear()
                self._step()
                self._wanted.wait(self._patience())
            self._lose_all()
            with suppress(Exception):
                self._cluster.close()

    def _step(self) -> None:
        try:
            self._most = self._cluster.reach()
            self.broken = None if self._most else "it has no workers"
            self._revoke()
            self._send()
        except Exception as error:  # noqa: BLE001 — whatever a network does: it is tried again
            self._tell_broken(error)
        self._look()

    def _lose_all(self) -> None:
        """Report what the cluster runs and nobody will see to: no store has it."""
        for given in list(self._given.values()):
            if given.began and given.reporter.remote is None and given.run._job is not None:
                error = WorkerLostError("the scheduler was shut down while the cluster had it")
                report_lost(given.run, given.reporter, error)
        self._given.clear()

    def _patience(self) -> float | None:
        if not self._given:
            # One that is broken is looked at though nothing waits: others may, for it to have room.
            return AGAIN_S if self._waiting or self._withdrawn or self.broken else None
        self._pause_s = min(self._pause_s * 1.5, SLOWEST_S)
        return self._pause_s

    def _tell_broken(self, error: Exception) -> None:
        if self.broken is None:
            log.error("%s cannot be reached; runs wait for it", self._cluster, error=error)
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
        back = {self._back.popleft() for _ in range(len(self._back))}
        for given in list(self._given.values()):
            if given.name in back:
                given.again_us = now_us + round(AGAIN_S * SECOND) * given.sent
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
        given.name = name_of(mark, run.id, run.attempt)
        self._cluster.send(Task(given.name, run, ticket, store.url))
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

    def _moved(self) -> None:
        """Note that something came of a run: more may, soon."""
        self._moved_us = passing_us()
        self._pause_s = QUICKEST_S

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
            self._moved()
        if begun.report is not None:
            self._moved()
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
