"""Announces outcomes once they are recorded: a line in the log, and an event.

An event is made only if a listener asks for its code: to make one costs more than most runs do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schedcore.admission import MOST_WAITING
from schedcore.clock import SECOND, from_us
from schedcore.errors import JobLookupError
from schedcore.events import (
    EVENT_JOB_CANCELLED,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_REMOVED,
    EVENT_JOB_SUBMITTED,
    JobEvent,
    JobExecutionEvent,
    JobSubmissionEvent,
    Listeners,
)
from schedcore.job import Job
from schedcore.logs import GuardedLogger
from schedcore.run import Outcome, Run
from schedcore.stores.base import Entry, Passed, Settled
from schedcore.stores.ends import End

EVENT_OF = {
    Outcome.EXECUTED: EVENT_JOB_EXECUTED,
    Outcome.FAILED: EVENT_JOB_ERROR,
    Outcome.TIMED_OUT: EVENT_JOB_ERROR,
    Outcome.LOST: EVENT_JOB_ERROR,
    Outcome.CANCELLED: EVENT_JOB_CANCELLED,
    Outcome.PAUSED: EVENT_JOB_CANCELLED,
    Outcome.SHED: EVENT_JOB_MISSED,
}
"""The code of the event that is emitted for a run with this outcome."""


_QUIET_US = 60 * SECOND
"""What a job can do each second is logged once in this time."""
_MOST_QUIET = 10_000
"""Jobs, each by kind of news, of which the time of the last log line is kept."""


class Announcer:
    """Logs all outcomes but ``executed``, and emits an event for each that a listener asks for.

    What a job can do each second, such as to skip a run, is logged at most once a minute.

    Args:
        listeners: Receive the events.
        log: Where the lines go.
        passed_us: A monotonic clock, in microseconds.
        find: Returns a job by its id; raises JobLookupError if it is gone.

    Attributes:
        on_removed: Called with the id of each job that is removed.
        on_begun: Called with each run that begins and whose job wants each told, and the job.
    """

    def __init__(
        self,
        listeners: Listeners,
        log: GuardedLogger,
        passed_us: Callable[[], int],
        find: Callable[[str], Entry],
    ) -> None:
        self._listeners = listeners
        self._log = log
        self._passed_us = passed_us
        self._find = find
        self.on_removed: Callable[[str], None] = lambda _job_id: None
        self.on_begun: Callable[[Run, Job], None] = lambda _run, _job: None
        # By job and kind of news: when it was logged last, and how often it was not since then.
        self._logged: dict[tuple[str, str], tuple[int, int]] = {}

    def _again(self, job_id: str, kind: str) -> str | None:
        """Return what a log line adds about earlier ones that were left out; None: omit it too."""
        now_us, key = self._passed_us(), (job_id, kind)
        logged = self._logged.get(key)
        if logged is not None and now_us - logged[0] < _QUIET_US:
            self._logged[key] = logged[0], logged[1] + 1
            return None
        if logged is None and len(self._logged) >= _MOST_QUIET:
            self._logged.clear()
        self._logged[key] = now_us, 0
        return f" (and {logged[1]} times more since this was said)" if logged and logged[1] else ""

    def wants(self, code: int) -> bool:
        """Return whether a listener asks for events of this code."""
        return bool(self._listeners.mask & code)

    def submitted(self, submitted: Sequence[tuple[Run, Job]]) -> None:
        """Announce runs that were submitted to an executor."""
        for run, job in submitted:
            if run.outcome is Outcome.SHED:
                continue
            times = (from_us(run.due_us),)
            self._listeners.emit(
                JobSubmissionEvent(
                    EVENT_JOB_SUBMITTED, job.id, times, job.name, job.func_ref, run.id
                )
            )

    def ended(self, end: End, log: bool = True) -> None:
        """Announce how a run ended; without *log*, in an event alone."""
        outcome, run, job = end.outcome, end.run, end.job
        if log and outcome is not Outcome.EXECUTED:
            self._log_end(end)
        code = EVENT_OF[outcome]
        if not self._listeners.mask & code or job is None:
            return
        error = end.error
        if outcome is Outcome.TIMED_OUT:
            error = TimeoutError(f"the run took longer than timeout={job.timeout} s")
        self._listeners.emit(
            JobExecutionEvent(
                code,
                job.id,
                run.scheduled_time,
                run.id,
                end.value,
                error,
                name=job.name,
                func_ref=job.func_ref,
            )
        )

    def _follows(self, job_id: str) -> str:
        """Return what follows a run of a job, as text for the log."""
        try:
            entry = self._find(job_id)
        except JobLookupError:
            return "it was its last run"
        except Exception:  # noqa: BLE001 — the loop meets it too, and logs it
            return "its store cannot tell when it runs next"
        if entry.due_us is None:
            return "the job is paused"
        return f"next run at {from_us(entry.due_us, entry.job.trigger.timezone).isoformat()}"

    def _log_end(self, end: End) -> None:
        """Log an outcome other than executed."""
        run, log = end.run, self._log
        if end.outcome is Outcome.FAILED:
            follows = self._follows(run.job_id)
            log.error("job %r: run %d raised; %s", run.job_id, run.id, follows, error=end.error)
        elif end.outcome is Outcome.LOST:
            follows = self._follows(run.job_id)
            log.error("job %r: run %d is lost: %s; %s", run.job_id, run.id, end.error_text, follows)
        elif end.outcome is Outcome.SHED:
            again = self._again(run.job_id, "shed")
            if again is not None:
                name = end.job.executor if end.job is not None else ""
                log.warning(
                    "job %r: run %d is shed: the executor %r is full%s",
                    run.job_id,
                    run.id,
                    name,
                    again,
                )
        else:
            text = end.outcome.value.replace("_", " ")
            log.warning("job %r: run %d %s", run.job_id, run.id, text)

    def retried(self, end: End) -> None:
        """Log that the function raised, and that another attempt follows."""
        retry = end.job.retry if end.job is not None else None
        self._log.warning(
            "job %r: run %d raised %s: %s; attempt %d of %d follows",
            end.run.job_id,
            end.run.id,
            end.error_type,
            end.error_text,
            end.run.attempt,
            1 + (retry.count if retry else 0),
        )

    def settled(self, settled: Settled) -> None:
        """Announce the fire times of one step that do not run."""
        for job, passed in settled.passed:
            if passed.outcome is Outcome.MISSED:
                self._missed(job, passed)
        for job, times in settled.skipped:
            self.skipped(job, times)

    def skipped(self, job: Job, due: Sequence[int]) -> None:
        """Announce fire times that were skipped because of the job's active or waiting runs."""
        again = self._again(job.id, "skipped")
        if again is not None:
            self._log.warning(
                "job %r skipped %d run(s): %s%s",
                job.id,
                len(due),
                f"max_instances={job.max_instances} run already, or too many wait for a worker"
                if job.max_instances > MOST_WAITING
                else f"max_instances={job.max_instances} run already",
                again,
            )
        if self._listeners.mask & EVENT_JOB_MAX_INSTANCES:
            times = tuple(from_us(t) for t in due)
            self._listeners.emit(
                JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, job.id, times, job.name, job.func_ref)
            )

    def _missed(self, job: Job, passed: Passed) -> None:
        """Announce fire times that are later than the grace time allows."""
        first_us, occurrences = passed.backlog
        due = from_us(first_us)
        again = self._again(job.id, "missed")
        if again is not None:
            self._log.warning(
                "job %r missed %d run(s): due at %s, %.3f s late, and misfire_grace_time is %s s%s",
                job.id,
                occurrences,
                due.isoformat(),
                passed.late_us / SECOND,
                job.misfire_grace_time,
                again,
            )
        if self._listeners.mask & EVENT_JOB_MISSED:
            self._listeners.emit(
                JobExecutionEvent(
                    EVENT_JOB_MISSED,
                    job.id,
                    due,
                    occurrences=occurrences,
                    name=job.name,
                    func_ref=job.func_ref,
                )
            )

    def removed(self, job: Job) -> None:
        """Announce that a job was removed, and forget what was logged about it."""
        if self._logged:
            for kind in ("skipped", "missed", "shed"):
                self._logged.pop((job.id, kind), None)
        self.on_removed(job.id)
        if self._listeners.mask & EVENT_JOB_REMOVED:
            self._listeners.emit(JobEvent.of(EVENT_JOB_REMOVED, job))

    def many_cancelled(self, count: int) -> None:
        """Log how many runs a shutdown cancelled."""
        if count:
            self._log.warning("%d run(s) that had not begun were cancelled", count)
