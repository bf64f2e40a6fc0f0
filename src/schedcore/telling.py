"""What is said of runs: a line in the log for what did not go well, and events for listeners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schedcore.clock import SECOND, from_us
from schedcore.errors import text_of
from schedcore.events import (
    EVENT_JOB_CANCELLED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_SUBMITTED,
    JobExecutionEvent,
    JobSubmissionEvent,
    Listeners,
)
from schedcore.job import Job
from schedcore.logs import GuardedLogger
from schedcore.planning import Backlog
from schedcore.run import Outcome, Run


class Teller:
    """Says what became of runs, once it is recorded.

    An event is only made where somebody listens for it: that costs more than most runs do.
    """

    def __init__(self, listeners: Listeners, log: GuardedLogger) -> None:
        self._listeners = listeners
        self._log = log

    def submitted(self, runs: Sequence[Run]) -> None:
        """Tell that runs were handed to an executor."""
        if self._listeners.mask & EVENT_JOB_SUBMITTED:
            for run in runs:
                if run.cancelled:  # shed
                    continue
                times = (from_us(run.due_us),)
                self._listeners.emit(JobSubmissionEvent(EVENT_JOB_SUBMITTED, run.job_id, times))

    def executed(self, run: Run, value: Any) -> None:
        """Tell that the function returned."""
        if self._listeners.mask & EVENT_JOB_EXECUTED:
            self._end(run, EVENT_JOB_EXECUTED, value, None)

    def failed(self, run: Run, error: BaseException) -> None:
        """Tell that the function raised."""
        self._log.error("job %r raised; it stays scheduled", run.job_id, error=error)
        self._end(run, EVENT_JOB_ERROR, None, error)

    def tried_again(self, run: Run, error: BaseException) -> None:
        """Tell that the function raised, and that another attempt follows."""
        self._log.warning(
            "job %r raised %s: %s; attempt %d of %d follows",
            run.job_id,
            type(error).__name__,
            text_of(error),
            run.attempt,
            1 + (run.job.retry.count if run.job.retry else 0),
        )

    def cancelled(self, run: Run) -> None:
        """Tell that a run was called off, and that this was wanted."""
        self._end(run, EVENT_JOB_CANCELLED, None, None)

    def given_up(self, run: Run, outcome: Outcome, log: bool) -> None:
        """Tell that a run was given up; with *log*, say so in the log as well."""
        if log:
            text = outcome.value.replace("_", " ")
            self._log.warning("job %r: run %d %s", run.job_id, run.id, text)
        if outcome is Outcome.TIMED_OUT:
            late = TimeoutError(f"the run took longer than timeout={run.job.timeout} s")
            self._end(run, EVENT_JOB_ERROR, None, late)
        else:
            self._end(run, EVENT_JOB_CANCELLED, None, None)

    def many_cancelled(self, count: int) -> None:
        """Say how many runs a shutdown called off."""
        if count:
            self._log.warning("%d run(s) that had not begun were cancelled", count)

    def lost(self, run: Run, error: BaseException) -> None:
        """Tell that a run will not be heard of any more."""
        self._log.error("job %r lost a run: %s", run.job_id, text_of(error))
        self._end(run, EVENT_JOB_ERROR, None, error)

    def shed(self, run: Run) -> None:
        """Tell that an executor had no room for a run."""
        self._log.warning(
            "job %r lost a run: the executor %r is full", run.job_id, run.job.executor
        )
        self._missed(run.job_id, Backlog(run.due_us, 1))

    def skipped(self, job: Job, due: Sequence[int]) -> None:
        """Tell that fire times came to nothing because of runs under way."""
        self._log.warning(
            "job %r skipped %d run(s): max_instances=%d run already",
            job.id,
            len(due),
            job.max_instances,
        )
        if self._listeners.mask & EVENT_JOB_MAX_INSTANCES:
            times = tuple(from_us(t) for t in due)
            self._listeners.emit(JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, job.id, times))

    def missed(self, job: Job, backlog: Backlog, late_us: int) -> None:
        """Tell that fire times were later than the grace time allows."""
        self._log.warning(
            "job %r missed %d run(s): due at %s, %.3f s late, and misfire_grace_time is %s s",
            job.id,
            backlog.occurrences,
            from_us(backlog.first_us).isoformat(),
            late_us / SECOND,
            job.misfire_grace_time,
        )
        self._missed(job.id, backlog)

    def _missed(self, job_id: str, backlog: Backlog) -> None:
        if self._listeners.mask & EVENT_JOB_MISSED:
            due = from_us(backlog.first_us)
            self._listeners.emit(
                JobExecutionEvent(EVENT_JOB_MISSED, job_id, due, occurrences=backlog.occurrences)
            )

    def _end(self, run: Run, code: int, value: Any, error: BaseException | None) -> None:
        if self._listeners.mask & code:
            self._listeners.emit(
                JobExecutionEvent(code, run.job_id, run.scheduled_time, run.id, value, error)
            )
