"""The runs that wait or are under way: each is let in, begins, ends, in one recorded outcome."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from schedcore.clock import SECOND, Clock, Patience, Waker, from_us
from schedcore.errors import RunLookupError
from schedcore.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_SUBMITTED,
    JobExecutionEvent,
    JobSubmissionEvent,
    Listeners,
)
from schedcore.executors.base import Executor
from schedcore.history import History
from schedcore.job import Job
from schedcore.planning import Backlog
from schedcore.run import Outcome, Run, RunRecord, short_repr

log = logging.getLogger(__name__)


class Tracker:
    """Keeps count of runs, and writes the ledger.  Thread-safe.

    Workers report to it themselves: a run ends without the loop's thread.

    Args:
        clock: Tells when runs begin and end.
        history: Where outcomes are recorded; owned by this tracker from now on.
        listeners: Who is told of outcomes.
        executors: Where runs are executed, by name.
    """

    def __init__(
        self,
        clock: Clock,
        history: History,
        listeners: Listeners,
        executors: Mapping[str, Executor],
    ) -> None:
        self._clock = clock
        self._history = history
        self._listeners = listeners
        self._executors = executors
        # Guards all below, and the history: an outcome and the slot it frees appear together.
        self._lock = threading.Lock()
        self._live: dict[str, list[Run]] = {}
        self._behind: dict[int, deque[Run]] = {}
        self._leaving: set[str] = set()
        self._waiting_for_idle: list[Waker] = []
        # Ids go on growing over restarts, since no clock is set back by all the runs so far.
        self._ids = itertools.count(clock.now_us())

    # Letting in

    def admit(self, job: Job, due: Sequence[int]) -> Run | None:
        """Return the run to submit for fire times that are due, or None if they are skipped.

        Of several, the later ones wait behind the first and follow it one by one.
        """
        with self._lock:
            live = self._live.get(job.id)
            if live is None:
                live = self._live[job.id] = []
            elif len(live) >= job.max_instances:
                self._record_skip(job, due)
                live = None
            if live is not None:
                run = Run(next(self._ids), job, due[0])
                live.append(run)
                if len(due) > 1:
                    self._behind[run.id] = deque(Run(next(self._ids), job, t) for t in due[1:])
                return run
        self._tell_skip(job, due)
        return None

    def admit_now(self, job: Job) -> Run | None:
        """Return a run made to be waited for, due now, or None if ``max_instances`` run already."""
        now_us = self._clock.now_us()
        with self._lock:
            live = self._live.setdefault(job.id, [])
            if len(live) >= job.max_instances:
                self._record_skip(job, (now_us,))
                skipped = True
            else:
                skipped = False
                run = Run(next(self._ids), job, now_us, threading.Event())
                live.append(run)
        if skipped:
            self._tell_skip(job, (now_us,))
            return None
        return run

    def is_working_off(self, job_id: str) -> bool:
        """Tell whether runs of this job wait behind one that is under way."""
        if not self._behind:
            return False
        with self._lock:
            return any(run.id in self._behind for run in self._live.get(job_id, ()))

    def pass_over(self, job: Job, outcome: Outcome, backlog: Backlog, now_us: int) -> None:
        """Record fire times that do not run: missed, or coalesced into one that does."""
        late_us = now_us - backlog.first_us
        with self._lock:
            self._history.add(
                RunRecord(
                    None,
                    job.id,
                    outcome,
                    backlog.first_us,
                    late_us=late_us,
                    occurrences=backlog.occurrences,
                )
            )
        if outcome is Outcome.MISSED:
            log.warning(
                "job %r missed %d run(s): due at %s, %.3f s late, and misfire_grace_time is %s s",
                job.id,
                backlog.occurrences,
                from_us(backlog.first_us).isoformat(),
                late_us / SECOND,
                job.misfire_grace_time,
            )
            if self._listeners.mask & EVENT_JOB_MISSED:
                due = from_us(backlog.first_us)
                self._listeners.emit(
                    JobExecutionEvent(
                        EVENT_JOB_MISSED, job.id, due, occurrences=backlog.occurrences
                    )
                )

    def submit(self, name: str, runs: Sequence[Run]) -> None:
        """Hand runs that were let in to an executor; if it refuses them, they end as failed."""
        try:
            self._executors[name].submit(runs, self)
        except BaseException as error:  # noqa: BLE001 — whatever an executor raises
            for run in runs:
                self.end(run, None, error)
            return
        if self._listeners.mask & EVENT_JOB_SUBMITTED:
            for run in runs:
                times = (from_us(run.due_us),)
                self._listeners.emit(JobSubmissionEvent(EVENT_JOB_SUBMITTED, run.job.id, times))

    # Reporter: called by executors

    def begin(self, run: Run) -> bool:
        """Say that *run* begins now; False: it was called off, and is not to be called."""
        run.started_us = self._clock.now_us()
        if run.called_off:
            self._close(run, self._cancelled(run))
            return False
        return True

    def end(self, run: Run, value: Any, error: BaseException | None) -> None:
        """Say that *run* ended now, with what its function returned or raised."""
        started_us = run.started_us
        now_us = self._clock.now_us()
        late_us = 0 if started_us is None else started_us - run.due_us
        if error is None:
            record = RunRecord(
                run.id,
                run.job.id,
                Outcome.EXECUTED,
                run.due_us,
                started_us,
                now_us,
                late_us,
                1,
                None if value is None else short_repr(value),
            )
        else:
            record = RunRecord(
                run.id,
                run.job.id,
                Outcome.FAILED,
                run.due_us,
                started_us,
                now_us,
                late_us,
                error_type=type(error).__qualname__,
                error_text=_text_of(error),
            )
        if not self._close(run, record):
            return
        if error is not None:
            log.error("job %r raised; it stays scheduled", run.job.id, exc_info=error)
        code = EVENT_JOB_EXECUTED if error is None else EVENT_JOB_ERROR
        if self._listeners.mask & code:
            self._listeners.emit(
                JobExecutionEvent(code, run.job.id, run.scheduled_time, run.id, value, error)
            )

    # Calling off

    def cancel(self, run_id: int) -> bool:
        """Call off a run that has not begun; return False if it is under way.

        Raises:
            RunLookupError: if no run with this id waits or is under way.
        """
        run = self._find(run_id)
        run.called_off = True
        if run.started_us is None:
            self._close(run, self._cancelled(run))
            return True
        return False

    def cancel_waiting(self) -> None:
        """Call off every run that has not begun."""
        with self._lock:
            waiting = [run for live in self._live.values() for run in live]
            self._behind, behind = {}, self._behind
            for runs in behind.values():
                for run in runs:
                    self._history.add(self._cancelled(run))
        for run in waiting:
            run.called_off = True
            if run.started_us is None:
                self._close(run, self._cancelled(run))

    def live(self) -> list[Run]:
        """Return the runs that wait in an executor or are under way."""
        with self._lock:
            return [run for live in self._live.values() for run in live]

    def wait_until_idle(self, timeout: float | None) -> bool:
        """Block until no run waits or is under way, or *timeout* seconds are over; say which."""
        patience = Patience(timeout)
        while self.live():
            waker = Waker()
            with self._lock:
                self._waiting_for_idle.append(waker)
                if not self._live:
                    return True
            left = patience.left()
            if not waker.sleep(-1 if left is None else left):
                return False
        return True

    def running_jobs(self) -> set[str]:
        """Return the ids of the jobs that wait in an executor or are under way."""
        with self._lock:
            return {job_id for job_id, live in self._live.items() if live}

    # The ledger

    def records(self, job_id: str | None = None) -> list[RunRecord]:
        """Return the outcomes kept of one job, or of all, the latest first."""
        with self._lock:
            return self._history.records(job_id)

    def counts(self, job_id: str | None = None) -> Mapping[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        with self._lock:
            return self._history.counts(job_id)

    def job_added(self, job_id: str) -> None:
        """Note that there is a job with this id (again)."""
        with self._lock:
            self._leaving.discard(job_id)
            self._history.job_added(job_id)

    def job_removed(self, job_id: str) -> None:
        """Note that a job is gone; its history ages once its last run has ended."""
        with self._lock:
            if job_id in self._live:
                self._leaving.add(job_id)
            else:
                self._history.job_removed(job_id)

    # Inside

    def _close(self, run: Run, record: RunRecord) -> bool:
        """Record how *run* ended and free its slot, once; False if that was done before."""
        job_id = run.job.id
        follower = None
        with self._lock:
            live = self._live.get(job_id)
            if live is None or run not in live:
                return False
            live.remove(run)
            self._history.add(record)
            if self._behind and (behind := self._behind.pop(run.id, None)):
                follower = behind.popleft()
                live.append(follower)
                if behind:
                    self._behind[follower.id] = behind
            if not live:
                del self._live[job_id]
                if job_id in self._leaving:
                    self._leaving.discard(job_id)
                    self._history.job_removed(job_id)
                if not self._live:
                    while self._waiting_for_idle:
                        self._waiting_for_idle.pop().wake()
        run.settle(record)
        if follower is not None:
            self.submit(follower.job.options.executor, (follower,))
        return True

    def _cancelled(self, run: Run) -> RunRecord:
        now_us = self._clock.now_us()
        return RunRecord(
            run.id,
            run.job.id,
            Outcome.CANCELLED,
            run.due_us,
            ended_us=now_us,
            late_us=max(0, now_us - run.due_us),
        )

    def _record_skip(self, job: Job, due: Sequence[int]) -> None:
        late_us = max(0, self._clock.now_us() - due[0])
        self._history.add(
            RunRecord(None, job.id, Outcome.SKIPPED, due[0], late_us=late_us, occurrences=len(due))
        )

    def _tell_skip(self, job: Job, due: Sequence[int]) -> None:
        log.warning(
            "job %r skipped %d run(s): max_instances=%d run already",
            job.id,
            len(due),
            job.max_instances,
        )
        if self._listeners.mask & EVENT_JOB_MAX_INSTANCES:
            times = tuple(from_us(t) for t in due)
            self._listeners.emit(JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, job.id, times))

    def _find(self, run_id: int) -> Run:
        for run in self.live():
            if run.id == run_id:
                return run
        raise RunLookupError(run_id)


def _text_of(error: BaseException) -> str:
    """Return the error's text, bounded, whatever its ``__str__`` does."""
    try:
        return str(error)[:500]
    except BaseException as broken:  # noqa: BLE001 — a user's __str__ may raise anything
        return f"(its text cannot be had: __str__ raised {type(broken).__name__})"
