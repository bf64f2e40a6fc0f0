"""Announces recorded outcomes: a line in the log, and an event.

An event is created only if a listener asks for its code, since that costs more than most runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schedcore.basics.logs import GuardedLogger
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
from schedcore.run import Outcome, Run, RunRecord, named
from schedcore.stores.base import Entry, NotRun, Settled
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
"""Minimum time between two log lines for repeated messages of a job."""
_MOST_JOBS = 10_000
"""Maximum number of jobs whose last log lines are remembered."""
_MOST_KINDS = 10
"""Maximum number of distinct messages per job: each error is a different one."""
_OTHERS = "others"


class Announcer:
    """Logs all outcomes except ``executed``, and emits the events that listeners ask for.

    A message that could come every second, such as the same error, is logged at most once a minute,
    with a count; a different error is logged at once.

    Args:
        listeners: Receive the events.
        log: Where the lines go.
        passed_us: A monotonic clock, in microseconds.
        find: Returns a job by its id; raises JobLookupError if it is gone.

    Attributes:
        on_removed: Called with the id of each job that is removed.
        on_begun: Called with each run that begins and whose job asks for notices of each run, and
            the job.
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
        self._logged: dict[str, dict[str, tuple[int, int]]] = {}

    def _again(self, job_id: str, kind: str) -> str | None:
        """Return the text about omitted earlier log lines; None: omit this line too."""
        if len(self._logged) >= _MOST_JOBS and job_id not in self._logged:
            self._logged.clear()
        now_us, of_job = self._passed_us(), self._logged.setdefault(job_id, {})
        if kind not in of_job and len(of_job) >= _MOST_KINDS:
            for old, (logged_us, _) in list(of_job.items()):
                if now_us - logged_us >= _QUIET_US and old != _OTHERS:
                    of_job.pop(old, None)
            if len(of_job) >= _MOST_KINDS:
                kind = _OTHERS
        logged = of_job.get(kind)
        if logged is not None and now_us - logged[0] < _QUIET_US:
            of_job[kind] = logged[0], logged[1] + 1
            return None
        of_job[kind] = now_us, 0
        return (
            f" (and {logged[1]} more times since the last such message)"
            if logged and logged[1]
            else ""
        )

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
        """Announce the end of a run; without *log*, only by an event."""
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
                run.scheduled,
                run.id,
                end.value,
                error,
                name=job.name,
                func_ref=job.func_ref,
            )
        )

    def _follows(self, job_id: str) -> str:
        """Return what happens after a run of a job, as text for the log."""
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
        run, outcome = end.run, end.outcome
        again = self._again(run.job_id, _kind_of(end))
        if again is None:
            return
        fields = _fields_of(end)
        if outcome is Outcome.FAILED:
            args = run.job_id, run.id, self._follows(run.job_id), again
            text = "job %r: run %d raised; %s%s"
            self._log.error(text, *args, error=end.error, fields=fields)
        elif outcome is Outcome.LOST:
            why = f"{end.error_text}; {self._follows(run.job_id)}{again}"
            self._log.error("job %r: run %d is lost: %s", run.job_id, run.id, why, fields=fields)
        elif outcome is Outcome.SHED:
            name = end.job.executor if end.job is not None else ""
            text = "job %r: run %d is shed: the executor %r is full%s"
            self._log.warning(text, run.job_id, run.id, name, again, fields=fields)
        else:
            text = "job %r: run %d %s%s"
            self._log.warning(text, run.job_id, run.id, run.why(), again, fields=fields)

    def retried(self, end: End) -> None:
        """Log that the function raised, and that another attempt follows."""
        run = end.run
        again = self._again(run.job_id, f"retried, {_kind_of(end)}")
        if again is None:
            return
        self._log.warning(
            "job %r: run %d raised %s: %s; attempt %d of %d follows%s",
            run.job_id,
            run.id,
            end.error_type,
            end.error_text,
            run.attempt,
            1 if end.job is None else end.job.options.attempts(),
            again,
            fields={**named(run), "attempt": run.attempt - 1, "outcome": end.outcome.value},
        )

    def settled(self, settled: Settled) -> None:
        """Announce the fire times of one step that do not run."""
        for job, not_run in settled.not_run:
            if not_run.outcome is Outcome.MISSED:
                self._missed(job, not_run)
        for skipped in settled.skipped:
            self.skipped(*skipped)

    def skipped(self, job: Job, due: Sequence[int], record: RunRecord) -> None:
        """Announce fire times that were skipped because of the job's active or waiting runs."""
        again = self._again(job.id, "skipped")
        if again is not None:
            self._log.warning(
                "job %r: %d run(s) %s%s",
                job.id,
                len(due),
                record.why(),
                again,
                fields={"job_id": job.id, "outcome": Outcome.SKIPPED.value},
            )
        if self._listeners.mask & EVENT_JOB_MAX_INSTANCES:
            times = tuple(from_us(t) for t in due)
            self._listeners.emit(
                JobSubmissionEvent(EVENT_JOB_MAX_INSTANCES, job.id, times, job.name, job.func_ref)
            )

    def _missed(self, job: Job, not_run: NotRun) -> None:
        """Announce fire times that are later than the grace time allows."""
        first_us, occurrences = not_run.backlog
        due = from_us(first_us)
        again = self._again(job.id, "missed")
        if again is not None:
            self._log.warning(
                "job %r missed %d run(s): due at %s, %.3f s late, and misfire_grace_time is %s s%s",
                job.id,
                occurrences,
                due.isoformat(),
                not_run.late_us / SECOND,
                job.misfire_grace_time,
                again,
                fields={
                    "job_id": job.id,
                    "outcome": Outcome.MISSED.value,
                    "late": not_run.late_us / SECOND,
                },
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
        self._logged.pop(job.id, None)
        self.on_removed(job.id)
        if self._listeners.mask & EVENT_JOB_REMOVED:
            self._listeners.emit(JobEvent.of(EVENT_JOB_REMOVED, job))

    def many_cancelled(self, count: int) -> None:
        """Log how many runs a shutdown cancelled."""
        if count:
            self._log.warning("%d run(s) that had not begun were cancelled", count)


def _kind_of(end: End) -> str:
    """Return a key that is equal for two ends of a job that need only one log line."""
    if end.error_type is None or end.error_text is None:
        return end.outcome.value
    import re  # where something failed

    # Numbers differ each time: of a record, a port, an address of memory, the seconds it took.
    text = re.sub(r"0x[0-9a-fA-F]+|\d+", "#", end.error_text[:1_000])
    return f"{end.outcome.value} {end.error_type}: {text[:200]}"


def _fields_of(end: End) -> dict[str, object]:
    """Return the fields of a log record about the end of a run."""
    run = end.run
    began_us = run.started_us
    fields = {
        **named(run),
        "attempt": run.attempt,
        "outcome": end.outcome.value,
        "late": max(0, (end.ended_us if began_us is None else began_us) - run.due_us) / SECOND,
    }
    if began_us is not None:
        fields["took"] = max(0, end.ended_us - began_us) / SECOND
    return fields
