"""What is said of runs: a line in the log for what did not go well, and events for listeners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

_QUIET_US = 60 * SECOND
_MOST_QUIET = 10_000


class Teller:
    """Says what became of runs, once it is recorded.

    An event is only made where somebody listens for it: that costs more than most runs do.
    What a job can do each second, such as to skip a run, is logged at most once a minute.

    Args:
        listeners: Who is told.
        log: Where it is said.
        passed_us: A clock that never steps, in microseconds.

    Attributes:
        what_follows: Tells what comes after a run of a job, for the log: ``"next run at ..."``.
    """

    def __init__(
        self, listeners: Listeners, log: GuardedLogger, passed_us: Callable[[], int]
    ) -> None:
        self._listeners = listeners
        self._log = log
        self._passed_us = passed_us
        self.what_follows: Callable[[str], str] = lambda _job_id: "it may run again"
        # By job and kind of news: when it was said last, and how often it was not said since.
        self._said: dict[tuple[str, str], tuple[int, int]] = {}

    def forget(self, job_id: str) -> None:
        """Forget what was said of a job that is gone."""
        for kind in ("skipped", "missed", "shed"):
            self._said.pop((job_id, kind), None)

    def _again(self, job_id: str, kind: str) -> str | None:
        """Return how often news of a kind were kept back since the last time; None: keep these."""
        now_us, key = self._passed_us(), (job_id, kind)
        said = self._said.get(key)
        if said is not None and now_us - said[0] < _QUIET_US:
            self._said[key] = said[0], said[1] + 1
            return None
        if said is None and len(self._said) >= _MOST_QUIET:
            self._said.clear()
        self._said[key] = now_us, 0
        return f" (and {said[1]} times more since this was said)" if said and said[1] else ""

    def submitted(self, runs: Sequence[Run]) -> None:
        """Tell that runs were handed to an executor."""
        if self._listeners.mask & EVENT_JOB_SUBMITTED:
            for run in runs:
                if run.cancelled:  # shed
                    continue
                times, job = (from_us(run.due_us),), run.job
                self._listeners.emit(
                    JobSubmissionEvent(
                        EVENT_JOB_SUBMITTED, job.id, times, job.name, job.func_ref, run.id
                    )
                )

    def executed(self, run: Run, value: Any) -> None:
        """Tell that the function returned."""
        if self._listeners.mask & EVENT_JOB_EXECUTED:
            self._end(run, EVENT_JOB_EXECUTED, value, None)

    def failed(self, run: Run, error: BaseException) -> None:
        """Tell that the function raised."""
        follows = self.what_follows(run.job_id)
        self._log.error("job %r: run %d raised; %s", run.job_id, run.id, follows, error=error)
        self._end(run, EVENT_JOB_ERROR, None, error)

    def tried_again(self, run: Run, error: BaseException) -> None:
        """Tell that the function raised, and that another attempt follows."""
        self._log.warning(
            "job %r: run %d raised %s: %s; attempt %d of %d follows",
            run.job_id,
            run.id,
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
        follows = self.what_follows(run.job_id)
        self._log.error(
            "job %r: run %d is lost: %s; %s", run.job_id, run.id, text_of(error), follows
        )
        self._end(run, EVENT_JOB_ERROR, None, error)

    def shed(self, run: Run) -> None:
        """Tell that an executor had no room for a run."""
        again = self._again(run.job_id, "shed")
        if again is not None:
            self._log.warning(
                "job %r: run %d is shed: the executor %r is full%s",
                run.job_id,
                run.id,
                run.job.executor,
                again,
            )
        self._missed(run.job, Backlog(run.due_us, 1))

    def skipped(self, job: Job, due: Sequence[int], crowded: bool) -> None:
        """Tell that fire times came to nothing because of runs under way.

        Args:
            job: Whose.
            due: The fire times.
            crowded: Whether fewer than ``max_instances`` are, but many wait for a worker.
        """
        again = self._again(job.id, "skipped")
        if again is not None:
            self._log.warning(
                "job %r skipped %d run(s): %s%s",
                job.id,
                len(due),
                "too many wait for a worker"
                if crowded
                else f"max_instances={job.max_instances} run already",
                again,
            )
        if self._listeners.mask & EVENT_JOB_MAX_INSTANCES:
            times = tuple(from_us(t) for t in due)
            self._listeners.emit(
                JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, job.id, times, job.name, job.func_ref)
            )

    def missed(self, job: Job, backlog: Backlog, late_us: int) -> None:
        """Tell that fire times were later than the grace time allows."""
        again = self._again(job.id, "missed")
        if again is not None:
            self._log.warning(
                "job %r missed %d run(s): due at %s, %.3f s late, and misfire_grace_time is %s s%s",
                job.id,
                backlog.occurrences,
                from_us(backlog.first_us).isoformat(),
                late_us / SECOND,
                job.misfire_grace_time,
                again,
            )
        self._missed(job, backlog)

    def _missed(self, job: Job, backlog: Backlog) -> None:
        if self._listeners.mask & EVENT_JOB_MISSED:
            self._listeners.emit(
                JobExecutionEvent(
                    EVENT_JOB_MISSED,
                    job.id,
                    from_us(backlog.first_us),
                    occurrences=backlog.occurrences,
                    name=job.name,
                    func_ref=job.func_ref,
                )
            )

    def _end(self, run: Run, code: int, value: Any, error: BaseException | None) -> None:
        if self._listeners.mask & code:
            job = run.job
            self._listeners.emit(
                JobExecutionEvent(
                    code,
                    job.id,
                    run.scheduled_time,
                    run.id,
                    value,
                    error,
                    name=job.name,
                    func_ref=job.func_ref,
                )
            )
