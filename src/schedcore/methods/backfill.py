"""Backfill: runs of a job for past due times, on request.

For example those of an outage, or from before a bug was fixed.  They are ordinary runs: at most
``max_instances`` are active, the others wait behind them, and pausing or removing the job ends
those that wait.  A paused job runs too: a pause stops its schedule, not runs on request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from schedcore.changes.auditing import log_orders
from schedcore.changes.changing import ATTEMPTS
from schedcore.clock import from_us
from schedcore.engine import Engine
from schedcore.errors import InvalidOptionError, JobChangedError
from schedcore.stores.run_requests import Backfill, runs_of
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
        JobChangedError: if the job is run again and again meanwhile.
    """
    for _ in range(ATTEMPTS):
        engine.runs.settle()
        request = _request_for(engine, job_id, span, again)
        if check is not None:
            check(() if request is None else request.times)
        if request is None:
            return []
        note = engine.audit.of_order("backfilled", job_id)
        opened = engine.store.backfill(request, note)
        if opened is not None:  # else the job was run meanwhile, by another backfill say
            started, behind = opened
            engine.runs.submit(started)
            log_orders((note,))
            return [run.id for run in (*started, *behind)]
    raise JobChangedError(job_id, ATTEMPTS)


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


def _request_for(engine: Engine, job_id: str, span: Span, again: bool) -> Backfill | None:
    """Return the due times of a job in *span* that are to run; None: there are none."""
    entry = engine.store.get(job_id)
    job = engine.ready(entry.job)
    request = Backfill(job, due_times(job.trigger, span), again)
    if not request.times:
        return None
    runs = [run for run in engine.store.runs() if run.job_id == job_id]  # before the history
    ran = runs_of(engine.store.records(request.query), runs)
    times = request.left(entry.due_us, entry.fire_us, ran)
    return request._replace(times=times) if times else None
