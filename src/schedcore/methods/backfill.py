"""Backfill: runs of a job for past due times, on request.

For example those of an outage, or from before a bug was fixed.  They are ordinary runs: at most
``max_instances`` are active, the others wait behind them, and pausing or removing the job ends
those that wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from schedcore.admission import MOST_WAITING
from schedcore.changes.auditing import told
from schedcore.clock import from_us
from schedcore.engine import Engine
from schedcore.errors import InvalidOptionError, MaxInstancesError
from schedcore.history.query import RunQuery
from schedcore.job import Job
from schedcore.run import Outcome, Run
from schedcore.triggers.base import Trigger
from schedcore.triggers.combining import coming

MOST: Final = 1_000
"""Maximum number of due times of one backfill."""

Check = Callable[[Sequence[int]], object]
"""Called with the due times to run; if it raises, none runs."""


class Span(NamedTuple):
    """From when to when, in microseconds since the Unix epoch."""

    since_us: int
    until_us: int
    """The end of the span, exclusive."""


def backfill(
    engine: Engine, job_id: str, span: Span, again: bool, check: Check | None
) -> list[int]:
    """Run a job for its due times in *span*; return the ids of the runs, oldest first.

    Args:
        engine: Of the scheduler.
        job_id: Which job.
        span: Which due times; it ends now at the latest.
        again: Whether due times that were executed, or are open, run again.
        check: Looks at the times.

    Raises:
        JobLookupError: if there is no job with this id.
        InvalidOptionError: if there are too many due times.
        MaxInstancesError: if too many runs of the job would wait.
    """
    engine.runs.settle()
    job = engine.ready(engine.store.get(job_id).job)
    times = due_times(job.trigger, span)
    open_runs = [run for run in engine.store.runs() if run.job_id == job_id]
    if not again:
        times = _not_run(engine, job, times, span, open_runs)
    if check is not None:
        check(times)
    if not times:
        return []
    if len(open_runs) + len(times) > MOST_WAITING + job.max_instances:
        raise MaxInstancesError(job_id, job.max_instances, MOST_WAITING)
    note = engine.audit.of_order("backfilled", job_id)
    started, behind = engine.store.backfill(job, times, note)
    engine.runs.submit(started)
    told((note,))
    return [run.id for run in (*started, *behind)]


def due_times(trigger: Trigger, span: Span) -> list[int]:
    """Return when a trigger fires in *span*.

    Raises:
        InvalidOptionError: if that is more often than :data:`MOST`.
    """
    found, truncated = coming(trigger, span.since_us - 1, MOST + 1, span.until_us - 1)
    if len(found) > MOST or truncated:
        last = from_us(found[-1]).isoformat() if found else from_us(span.since_us).isoformat()
        raise InvalidOptionError(
            "until",
            from_us(span.until_us).isoformat(),
            f"a moment up to which there are at most {MOST:,} due times: they reach to {last}, so"
            " request the rest in another backfill",
        )
    return found


def _not_run(
    engine: Engine, job: Job, times: Sequence[int], span: Span, open_runs: Sequence[Run]
) -> list[int]:
    """Return those of *times* for which no run was executed, as far as is kept, or is open."""
    jitter_us = job.trigger.jitter_us
    query = RunQuery(
        job.id, (Outcome.EXECUTED,), span.since_us, span.until_us + jitter_us, limit=None
    )
    runs = [(each.scheduled_us, each.cause) for each in engine.store.records(query)]
    runs += [(run.due_us, run.cause) for run in open_runs]
    filled = {due_us for due_us, cause in runs if cause == "backfill"}
    ran = deque(sorted(due_us for due_us, cause in runs if cause == "schedule"))

    def has_run(due_us: int) -> bool:
        """Whether a run accounts for it that accounts for none before; a jitter put that off."""
        if due_us in filled:
            return True
        while ran and ran[0] < due_us:
            ran.popleft()
        if not ran or ran[0] > due_us + jitter_us:
            return False
        ran.popleft()
        return True

    return [due_us for due_us in times if not has_run(due_us)]
