"""Running jobs now, outside their schedules: one, or many in few transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schedcore.admission import MOST_WAITING
from schedcore.changes.auditing import log_orders
from schedcore.changes.changing import Check
from schedcore.changes.job_changes import changed
from schedcore.clock import Deadline, Flag, Waker
from schedcore.engine import Engine
from schedcore.errors import (
    JobLookupError,
    MaxInstancesError,
    RunEndedError,
    SchedError,
    StoreError,
)
from schedcore.job import Job
from schedcore.run import Run, RunRecord, end_as, ended_run
from schedcore.running.runs import Runs
from schedcore.stores.base import Entry
from schedcore.stores.run_requests import EarlierRun, Opened, RunRequest

AT_ONCE: Final = 500
"""Maximum number of runs opened in one transaction: tens of milliseconds, in which no other process
writes to a file."""


def run_now(
    engine: Engine,
    job_id: str,
    check: Check | None = None,
    call: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Run:
    """Run a job now, outside its schedule, if *check* allows it.

    Args:
        engine: Of the scheduler.
        job_id: Which job.
        check: As in :meth:`Scheduler.run_job <schedcore.Scheduler.run_job>`.
        call: ``args`` and ``kwargs`` of this run, if they differ from the job's.
        key: As in :meth:`Scheduler.run_job <schedcore.Scheduler.run_job>`.

    Raises:
        JobLookupError: if there is no job with this id.
        InvalidOptionError: if its function cannot be called with these arguments.
        RunEndedError: if a run for the same key has ended, and is no longer stored.
        MaxInstancesError: if ``max_instances`` runs of it are active, or too many wait.
    """
    engine.runs.settle()
    request = _request_for(engine, engine.store.get(job_id), check, call, key)
    (run,) = _run(engine, (request,))
    if isinstance(run, SchedError):
        raise run
    return run


def run_each(
    engine: Engine, entries: Sequence[Entry], check: Check | None, key: str | None
) -> dict[str, Run | SchedError]:
    """Run many jobs now; return the run of each by job id, or the reason why there is none.

    Args:
        engine: Of the scheduler.
        entries: The jobs, each once.
        check: As in :func:`run_now`.
        key: As in :func:`run_now`.
    """
    engine.runs.settle()
    found: dict[str, Run | SchedError] = {}
    requests: list[RunRequest] = []
    for entry in entries:
        try:
            requests.append(_request_for(engine, entry, check, None, key))
        except StoreError:
            raise
        except SchedError as error:
            found[entry.job.id] = error
    for first in range(0, len(requests), AT_ONCE):
        part = requests[first : first + AT_ONCE]
        runs = _run(engine, part)
        found |= {each.job.id: run for each, run in zip(part, runs, strict=True)}
    return {entry.job.id: found[entry.job.id] for entry in entries}


def _request_for(
    engine: Engine,
    entry: Entry,
    check: Check | None,
    call: Mapping[str, Any] | None,
    key: str | None,
) -> RunRequest:
    if check is not None:
        check(entry)
    job = engine.ready(entry.job)
    note = engine.audit.of_order("run", job.id)
    if call:
        from schedcore.stores.differences import own_call  # 10 ms (json, jobdata)

        job = changed(job, call, lambda _gives_coroutine: job.options)
        note = note._replace(after_text=own_call(job, call))
    return RunRequest(job, bool(call), key, note)


def _run(engine: Engine, requests: Sequence[RunRequest]) -> list[Run | SchedError]:
    """Open runs in one transaction, and submit them; return them, or why there are none."""
    now_us = engine.runs.now_us()
    opened = engine.store.open(requests, now_us)
    started = [run for run in opened if isinstance(run, Run)]
    engine.runs.submit(started)
    pairs = list(zip(requests, opened, strict=True))
    log_orders(
        [
            each.note._replace(run_id=run._id)
            for each, run in pairs
            if isinstance(run, Run) and each.note is not None
        ]
    )
    active: Counter[str] = Counter()
    if any(isinstance(one, RunRecord) for one in opened):
        active.update(run._job_id for run in engine.store.runs())
    return [_came_of(engine, each.job, one, now_us, active) for each, one in pairs]


def _came_of(
    engine: Engine, job: Job, opened: Opened, now_us: int, active: Mapping[str, int]
) -> Run | SchedError:
    """Return a run, or why there is none; *active* are the open runs of each job."""
    if isinstance(opened, Run):
        return opened
    if opened is None:
        return JobLookupError(job.id)
    if isinstance(opened, RunRecord):
        engine.announce.skipped(job, (now_us,), opened)
        # Those that took the room may have ended meanwhile, and then fewer of them are active.
        too_many_wait = MOST_WAITING < job.max_instances > active[job.id]
        bound = MOST_WAITING if too_many_wait else None
        return MaxInstancesError(job.id, job.max_instances, bound)
    return _earlier(engine, job, opened)


def _earlier(engine: Engine, job: Job, earlier: EarlierRun) -> Run | SchedError:
    """Return a run that was opened before; it may have ended, even in another process."""
    found = engine.runs.settled().find(earlier.run_id)
    if found is None:
        return RunEndedError(earlier.run_id)
    if isinstance(found, RunRecord):
        return ended_run(job, found)
    if found._awaited is None:
        found._awaited = _EndElsewhere(found, engine.runs)
    return found


class _EndElsewhere(Flag):
    """The end of a run that another process has begun: polled for, as long as somebody waits."""

    def __init__(self, run: Run, runs: Runs) -> None:
        super().__init__()
        self._run = run
        self._runs = runs

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended, or *timeout* seconds have passed.

        Raises:
            RunEndedError: if its record is no longer stored.
        """
        deadline, pause = Deadline(timeout), _FIRST_PAUSE
        while not self.is_set():
            found = self._runs.settled().find(self._run._id)
            if found is None:
                raise RunEndedError(self._run._id)
            if isinstance(found, RunRecord):
                end_as(self._run, found)
                self.set()
                break
            left = deadline.left()
            if left is not None and left <= 0:
                return False
            Waker().sleep(pause if left is None else min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True


_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
"""Seconds between two polls for the end of another process's run: the first, and the longest."""
