"""The reports of executors: runs begin, and end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from schedcore.clock import SECOND
from schedcore.errors import short
from schedcore.job import Job
from schedcore.run import Outcome, Run, loop_here
from schedcore.running.announce import Announcer
from schedcore.stores.ends import End, end_of

if TYPE_CHECKING:
    from schedcore.retry import RandomSource
    from schedcore.running.runs import Runs
    from schedcore.stores.cluster import Cluster


class Reports:
    """Handles each report.  Thread-safe, since it has no state of its own.

    Args:
        runs: Follows the runs.
        cluster: Lets runs begin if processes share the store; None: it is not shared.
        announce: Logs and emits their outcomes.
        random: Source of the jitter of retries.
    """

    def __init__(
        self, runs: Runs, cluster: Cluster | None, announce: Announcer, random: RandomSource
    ) -> None:
        self._runs = runs
        self._cluster = cluster
        self._announce = announce
        self._random = random
        self.remote = runs.remote
        self.settle = runs.settle

    @property
    def captures(self) -> bool:
        """Whether what runs print is kept."""
        return self._runs.capture is not None

    def begin(self, run: Run) -> bool:
        """Report that *run* begins now; False: it was cancelled, and its function is not called."""
        _check_run(run)
        job = run._job
        if job is None:
            return False
        if self._cluster is not None and not self._cluster.begin(run):
            self._runs.may_not_begin(run)
            return False
        if not run.take_start():
            # Its job is being paused or removed, or it is handed back, in a transaction that may
            # fail yet: then it begins after all.
            self._runs.may_not_begin(run)
            return False
        run._started_us = now_us = self._runs.now_us()
        self._note_begun(run, job, now_us)
        # Read after _started_us was written: whoever cancels a run does it the other way round.
        if run._cancelled:
            run._started_us = None  # its function is not called, and maybe its end is recorded
            self.cancelled(run)
            return False
        return True

    def begun(self, run: Run, at_us: int) -> None:
        """Report that *run* was begun elsewhere, where this process cannot prevent it."""
        _check_run(run)
        job = run._job
        if job is not None:
            run._started_us = at_us
            self._note_begun(run, job, at_us)

    def _note_begun(self, run: Run, job: Job, at_us: int) -> None:
        timeout, on_run = job[5][5], job[5][12]
        if on_run:
            self._announce.on_begun(run, job)
        if (
            self._runs.capture is not None and run._output is None
        ):  # else an earlier attempt printed
            run._output = self._runs.capture
        if timeout is not None:
            ago_us = max(0, self._runs.now_us() - at_us)
            self._runs.set_timer(run, max(0, round(timeout * SECOND) - ago_us), times_out=True)

    def end(
        self, run: Run, value: Any, error: BaseException | None, at_us: int | None = None
    ) -> int:
        """Report that *run* ended, with what its function returned or raised."""
        _check_run(run)
        now_us = self._runs.now_us() if at_us is None else at_us
        if error is None:
            # Each run passes here.
            if value is None:
                plain = (run, run._job, Outcome.EXECUTED, now_us, None, None, None, None, None)
                end = tuple.__new__(End, plain)
            else:
                end = end_of(run, Outcome.EXECUTED, now_us, value)
            self._runs.note(end)
            return now_us
        if self._runs.capture is not None:
            self._runs.capture.failed(run, error)
        end = end_of(run, Outcome.FAILED, now_us, error=_an_error(run, error))
        retry = end.job.options.retry if end.job is not None else None
        over = self._runs.closing and self._cluster is None
        if retry is None or run._cancelled or over or not retry.wants(error, run._attempt):
            self._runs.report(end)
        else:
            self._runs.retry(end, retry.delay_us(run._attempt, self._random))
        return now_us

    def cancelled(self, run: Run) -> None:
        """Report that *run* ended because it was cancelled."""
        _check_run(run)
        if run._job is not None:  # else it has ended, or was handed back
            self._runs.report(end_of(run, Outcome.CANCELLED, self._runs.now_us()), log=False)

    def lost(self, run: Run, error: BaseException) -> None:
        """Report that the end of *run* will never be known; *error* is why."""
        _check_run(run)
        error = _an_error(run, error)
        lost = end_of(run, Outcome.LOST, self._runs.now_us(), error=error)
        if not run._cancelled and lost.job is not None and lost.job.options.reruns(run._attempt):
            self._runs.retry(lost, 0)
        else:
            self._runs.report(lost)

    def shed(self, run: Run) -> None:
        """Report that the executor's queue is full: it did not accept *run*."""
        _check_run(run)
        run._cancelled = True
        self._runs.report(end_of(run, Outcome.SHED, self._runs.now_us()))


class DeferredReports:
    """Wraps the reporter: reports of an event loop are noted, and made later.

    Recording an end waits for the disk or the database, and would block the event loop meanwhile.
    The scheduler's loop is woken to make the report, unless a reader of the history settles first.
    Reports of other threads are made at once.

    Args:
        reports: Gets all reports.
        runs: Are settled by another thread.
    """

    def __init__(self, reports: Reports, runs: Runs) -> None:
        self._reports = reports
        self._runs = runs
        self._noted: deque[Callable[[], object]] = deque()
        self._making = False
        self._lock = threading.RLock()  # re-entrant: a report settles what there is
        # What has to be answered at once
        self.begin, self.begun, self.shed = reports.begin, reports.begun, reports.shed
        self.remote = runs.remote

    @property
    def captures(self) -> bool:
        """Whether what runs print is kept."""
        return self._reports.captures

    def end(
        self, run: Run, value: Any, error: BaseException | None, at_us: int | None = None
    ) -> int:
        """Report that *run* ended now, unless told when; return when that is."""
        if loop_here() is None:
            return self._reports.end(run, value, error, at_us)
        _check_run(run)
        ended_us = self._runs.now_us() if at_us is None else at_us
        self._note(partial(self._reports.end, run, value, error, ended_us))
        return ended_us

    def cancelled(self, run: Run) -> None:
        """Report that *run* ended because it was cancelled."""
        _check_run(run)
        self._make_or_note(partial(self._reports.cancelled, run))

    def lost(self, run: Run, error: BaseException) -> None:
        """Report that the end of *run* will never be known."""
        _check_run(run)
        self._make_or_note(partial(self._reports.lost, run, error))

    def settle(self) -> None:
        """Report that a worker has nothing more to do."""
        if loop_here() is None:
            self._runs.settle()

    def _make_or_note(self, report: Callable[[], object]) -> None:
        if loop_here() is not None:
            self._note(report)
        else:
            report()

    def _note(self, report: Callable[[], object]) -> None:
        self._noted.append(report)
        self._runs.wake()

    def make(self) -> None:
        """Make the reports noted so far; one that fails is made the next time, and raises."""
        if not self._noted and not self._making:
            return
        with self._lock:
            if self._making:  # a report, which settles
                return
            self._making = True
            try:
                while self._noted:
                    self._noted[0]()
                    self._noted.popleft()
            finally:
                self._making = False


def _check_run(run: object) -> None:
    """Check that an executor reports a run.

    Raises:
        TypeError: if it is something else.
    """
    if type(run) is not Run:
        raise TypeError(f"{short(run)} was reported: expected a run that the executor was given")


def _an_error(run: Run, error: object) -> BaseException:
    """Return the error that an executor reports, or one that says that it is none."""
    if isinstance(error, BaseException):
        return error
    executor = "of a run" if run._job is None else repr(run._job.executor)
    return TypeError(f"executor {executor} reported {short(error)}: expected an exception")
