"""The runs of a cluster between two shutdowns, and the thread that follows them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Deadline, Waker, passing_us
from schedcore.errors import SchedError, text_of
from schedcore.executors.base import Reporter, report_lost, settle
from schedcore.executors.cluster_base import Cluster, RunStates, Task, name_of
from schedcore.executors.futures import report_end
from schedcore.executors.remote_text import report_of_text
from schedcore.run import Run
from schedcore.stores.process import is_gone
from schedcore.stores.sql_remote import Begun

log = GuardedLogger(__name__)

AGAIN_S: Final = 1.0
"""Seconds until an unreachable cluster or store is tried again."""
SEND_AGAIN_US: Final = 60 * SECOND
"""Seconds after which a run that no worker begins is sent again, the first time: the broker may
have lost it.  The time doubles with each further attempt.  A run that the cluster gives back is
sent again after one second, then two, and so on."""
SILENT_US: Final = 60 * SECOND
"""A worker without a heartbeat for so long counts as dead."""
POLL_AFTER_US: Final = SECOND // 5
"""How often to check whether a worker's process exists, where that is possible."""
QUICKEST_S: Final = 0.01
SLOWEST_S: Final = 0.2
"""Seconds between two polls of the store: soon after a run has progressed, and later."""
UNBEGUN_S: Final = 10.0
"""Maximum seconds that a shutdown waits while workers begin no run."""
LAST_STEP_S: Final = 5.0
"""Maximum seconds that a shutdown waits for a call of the cluster to end."""


class WorkerLostError(SchedError):
    """The worker of a run died."""


class _Submission:
    """A run of this executor, from its submission on."""

    __slots__ = (
        *("again_us", "polled_us", "beats", "began", "last_beat_us"),
        *("name", "reporter", "run", "sent"),
    )

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.run = run
        self.reporter = reporter
        self.sent = self.again_us = 0
        self.name = ""
        """The name of its task."""
        self.began = False
        self.beats, self.last_beat_us, self.polled_us = -1, 0, 0


class ClusterRuns:
    """The runs submitted since the last shutdown.  Only its thread calls the cluster.

    Args:
        cluster: The cluster of the workers.
        name: The name of the thread.
        turn: A lock that the thread holds: the thread from before a shutdown may still wait for
            the network.

    Attributes:
        broken: Why the cluster is currently unreachable.
    """

    def __init__(self, cluster: Cluster, name: str, turn: threading.Lock) -> None:
        self._cluster = cluster
        self._turn = turn
        self._waiting: deque[_Submission] = deque()
        self._submissions: dict[int, _Submission] = {}
        self._withdrawn: deque[tuple[RunStates, int, int]] = deque()
        self._back: deque[str] = deque()
        self._states: RunStates | None = None
        self._most = 0
        self._pause_s = QUICKEST_S
        self._moved_us = 0
        self._wanted = threading.Event()
        self._closing = False
        self.broken: str | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Accept *runs* for execution."""
        self._states = self._states_of(reporter)
        self._waiting.extend(_Submission(run, reporter) for run in runs)
        self._wanted.set()

    def find(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Follow runs that workers have begun."""
        self._states = self._states_of(reporter)
        for run in runs:
            self._submissions[run.id] = _Submission(run, reporter)
        self._wanted.set()

    def room(self) -> int:
        """Return how many runs can begin soon; 1 while the number of workers is unknown."""
        if not self._most and self.broken is None:
            return 0 if self._waiting else 1
        return max(0, self._most - len(self._submissions) - len(self._waiting))

    def abandon(self, run: Run) -> None:
        """Drop the task of a run, or have its worker stop it, if the cluster can do that."""
        if self._states is not None:
            self._withdrawn.append((self._states, run.id, run.attempt))
            self._wanted.set()

    def wake(self) -> None:
        """Check at once: the cluster reports that a task ended."""
        self._wanted.set()

    def requeue(self, name: str) -> None:
        """Send a task again soon: no worker could execute it."""
        self._back.append(name)
        self._wanted.set()

    def wait(self, deadline: Deadline) -> None:
        """Wait until all runs have ended, or workers begin no more of them."""
        since_us = passing_us()
        while self._is_awaited(since_us):
            left = deadline.left()
            if left is not None and left <= 0:
                return
            if self._thread is threading.current_thread():  # called by a listener that shuts down
                self._step()
            Waker().sleep(0.05 if left is None else min(left, 0.05))

    def _is_awaited(self, since_us: int) -> bool:
        submissions = list(self._submissions.values())
        if any(self._may_run(each) for each in submissions):
            return True
        if self.broken is not None or not (submissions or self._waiting):
            return False
        if passing_us() - max(since_us, self._moved_us) < UNBEGUN_S * SECOND:
            return True
        count = len(submissions) + len(self._waiting)
        text = "%d run(s) were begun by no worker within %g s: the shutdown does not wait for them"
        log.warning(text, count, UNBEGUN_S)
        return False

    def _may_run(self, submission: _Submission) -> bool:
        """Return whether a run has begun, and there may be a worker that executes it."""
        return submission.began and (submission.reporter.remote is not None or self._most > 0)

    def close(self, deadline: Deadline) -> None:
        """End the thread; it may still wait for the network when this returns."""
        self._closing = True
        self._waiting.clear()
        self._wanted.set()
        if self._thread is not threading.current_thread():
            left = deadline.left()
            self._thread.join(LAST_STEP_S if left is None else max(0.5, min(left, LAST_STEP_S)))

    # Its thread

    def _work(self) -> None:
        with self._turn:
            while not self._closing:
                self._wanted.clear()
                self._step()
                self._wanted.wait(self._pause())
            self._lose_all()
            with suppress(Exception):
                self._cluster.close()

    def _step(self) -> None:
        try:
            self._most = self._cluster.reach()
            self.broken = None if self._most else "it has no workers"
            self._revoke()
            self._send()
        except Exception as error:  # noqa: BLE001 — a network may raise anything: it is tried again
            self._note_broken(error)
        self._poll()

    def _lose_all(self) -> None:
        """Report active runs that are in no shared store as lost: nobody can follow them."""
        for submission in list(self._submissions.values()):
            if (
                submission.began
                and submission.reporter.remote is None
                and submission.run._job is not None
            ):
                error = WorkerLostError("the scheduler was shut down while the cluster had it")
                report_lost(submission.run, submission.reporter, error)
        self._submissions.clear()

    def _pause(self) -> float | None:
        if not self._submissions:
            # A broken cluster is checked even if no run waits here: without room, none is taken.
            return AGAIN_S if self._waiting or self._withdrawn or self.broken else None
        self._pause_s = min(self._pause_s * 1.5, SLOWEST_S)
        return self._pause_s

    def _note_broken(self, error: Exception) -> None:
        if self.broken is None:
            log.error("%s cannot be reached; runs wait for it", self._cluster, error=error)
        self.broken = text_of(error) or type(error).__name__
        for submission in list(self._submissions.values()):
            submission.again_us = 0  # the cluster may have lost them
        with suppress(Exception):
            self._cluster.close()

    def _send(self) -> None:
        """Send waiting runs as far as there are workers, and again those that no worker begins."""
        while self._waiting and len(self._submissions) < self._most:
            submission = self._waiting.popleft()
            if submission.run._job is None or submission.run.cancelled:
                continue  # the run has ended, or was handed back
            self._submissions[submission.run.id] = submission
            self._send_one(submission)
        now_us = passing_us()
        back = {self._back.popleft() for _ in range(len(self._back))}
        for submission in list(self._submissions.values()):
            if submission.name in back:
                submission.again_us = now_us + round(AGAIN_S * SECOND) * submission.sent
            if submission.sent and not submission.began and submission.again_us <= now_us:
                self._send_one(submission)

    def _send_one(self, submission: _Submission) -> None:
        run, store = submission.run, submission.reporter.remote
        if store is None:
            self._send_begun(submission)
            return
        submission.sent += 1  # before it is known whether it arrived
        submission.again_us = 0
        store_id = store.store_id()
        ticket = {
            "run_id": run.id,
            "attempt": run.attempt,
            "store": store_id,
            "captures": submission.reporter.captures,
        }
        submission.name = name_of(store_id, run.id, run.attempt)
        self._cluster.send(Task(submission.name, run, ticket, store.url))
        submission.again_us = passing_us() + SEND_AGAIN_US * (1 << min(submission.sent - 1, 10))

    def _send_begun(self, submission: _Submission) -> None:
        """Begin a run here when it is sent: no worker can record its beginning in the store."""
        run, reporter = submission.run, submission.reporter
        if not reporter.begin(run):
            self._drop(submission)
            return
        submission.began = True
        try:
            store_id = self._states_of(reporter).store_id()
            self._cluster.send(Task(name_of(store_id, run.id, run.attempt), run))
        except Exception as error:  # noqa: BLE001 — such as an argument that cannot be pickled
            self._drop(submission)
            reporter.end(run, None, error)

    def _revoke(self) -> None:
        while self._withdrawn:
            states, run_id, attempt = self._withdrawn[0]
            self._cluster.revoke(name_of(states.store_id(), run_id, attempt))
            self._withdrawn.popleft()

    def _drop(self, submission: _Submission) -> None:
        if self._submissions.get(submission.run.id) is submission:
            del self._submissions[submission.run.id]

    def _moved(self) -> None:
        """Note that a run has progressed: others may soon."""
        self._moved_us = passing_us()
        self._pause_s = QUICKEST_S

    # Results

    def _poll(self) -> None:
        try:
            for states, together in self._by_source().items():
                begun = states.begun([submission.run for submission in together])
                for submission in together:
                    self._update(submission, begun.get(submission.run.id))
                for reporter in {
                    id(submission.reporter): submission.reporter for submission in together
                }.values():
                    settle(reporter)
        except Exception as error:  # noqa: BLE001 — the store is unreachable: it is tried again
            log.error("the store cannot tell how runs do; it is asked again", error=error)
            for submission in list(self._submissions.values()):
                submission.last_beat_us = passing_us()
            self._pause_s = AGAIN_S

    def _by_source(self) -> dict[RunStates, list[_Submission]]:
        """Return the runs by the source of their state: their store, or the cluster itself."""
        found: dict[RunStates, list[_Submission]] = {}
        for submission in list(self._submissions.values()):
            found.setdefault(self._states_of(submission.reporter), []).append(submission)
        return found

    def _states_of(self, reporter: Reporter) -> RunStates:
        states = reporter.remote or self._cluster.states
        assert states is not None  # the scheduler has checked that
        return states

    def _update(self, submission: _Submission, begun: Begun | None) -> None:
        """Report the state of a run."""
        run, reporter = submission.run, submission.reporter
        if run._job is None:
            self._drop(submission)  # it has ended otherwise, or another node follows it
            return
        if begun is None:
            if submission.began:
                self._drop(submission)  # another node has it, and has ended it
            return
        if not submission.began:
            submission.began = True
            reporter.begun(run, begun.begun_us)
            self._moved()
        if begun.report is not None:
            self._moved()
            self._drop(submission)
            try:
                stored = begun.report
                report, ended_us = report_of_text(stored) if isinstance(stored, str) else stored
                report_end(run, reporter, report, ended_us)
            except Exception as error:  # noqa: BLE001 — the report failed
                report_lost(run, reporter, error)
        elif _is_dead(submission, begun):
            self._drop(submission)
            reporter.lost(run, WorkerLostError(f"its worker ({begun.place}) died"))


def _is_dead(submission: _Submission, begun: Begun) -> bool:
    """Return whether the worker of a run is dead, by the system or for lack of heartbeats."""
    if begun.lost:
        return True
    now_us = passing_us()
    if begun.beats != submission.beats:
        submission.beats, submission.last_beat_us = begun.beats, now_us
    if now_us - submission.polled_us >= POLL_AFTER_US:
        submission.polled_us = now_us
        if is_gone(begun.process):
            return True
    return now_us - submission.last_beat_us > SILENT_US
