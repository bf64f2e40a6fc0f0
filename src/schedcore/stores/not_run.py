"""The outcomes of fire times that do not run: skipped by a change, or without room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import from_us
from schedcore.job import Job
from schedcore.planning import passed_over
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.base import Entry, NotRun

log = GuardedLogger(__name__)


def not_run_records(old: Entry, new: Entry | None, now_us: int) -> Sequence[RunRecord]:
    """Return the outcomes of past fire times that a change skips.

    They end as paused if the job was paused, and as cancelled otherwise.  If a trigger cannot count
    them, the result is empty and the error is logged: the change is made anyway.

    Args:
        old: The job before the change.
        new: The job after it; None: it is removed.
        now_us: The time of the change.
    """
    try:
        return _not_run(old, new, now_us)
    except BaseException as error:  # noqa: BLE001 — whatever a trigger raises
        text, fields = "job %r: its fire times cannot be counted", {"job_id": old.job.id}
        log.error(text, old.job.id, error=error, fields=fields)
        return ()


def _not_run(old: Entry, new: Entry | None, now_us: int) -> Sequence[RunRecord]:
    first_us = old.fire_us
    if first_us is None or now_us < first_us or (new is not None and new.fire_us == first_us):
        return ()
    trigger = old.job.trigger
    same = new is not None and (new.job.trigger is trigger or new.job.trigger == trigger)
    until_us = new.fire_us if new is not None and same else None
    backlog = passed_over(trigger, first_us, now_us, until_us)
    if backlog is None:
        return ()
    outcome = Outcome.PAUSED if old.due_us is None else Outcome.CANCELLED
    return (NotRun(outcome, backlog, now_us - first_us).record(old.job.id),)


def skipped_record(
    job: Job, due: Sequence[int], now_us: int, there: Iterable[Run] = (), cause: str = "schedule"
) -> RunRecord:
    """Return the record of due times of a job for which there was no room.

    Args:
        job: The job.
        due: The due times, the oldest first.
        now_us: The present.
        there: The open runs of the job, which take the room.
        cause: The reason why they were due.
    """
    reason = None
    oldest = min(there, key=lambda run: run.id, default=None)
    if oldest is not None:
        since_us = oldest.started_us
        does = (
            "waits for a worker"
            if since_us is None
            else f"has been under way since {from_us(since_us).isoformat(timespec='seconds')}"
        )
        reason = f"run {oldest.id} {does}, and max_instances is {job.max_instances}"
    late_us = max(0, now_us - due[0])
    return RunRecord(
        None,
        job.id,
        Outcome.SKIPPED,
        due[0],
        late_us=late_us,
        occurrences=len(due),
        cause=cause,
        reason=reason,
    )
