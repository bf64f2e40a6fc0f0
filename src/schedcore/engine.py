"""One step of the scheduler: claim, plan, settle, submit, and when to wake next.

There is no thread, no sleep and no clock in here: the loop, the tests and the simulation all call
:meth:`Engine.step` with the time of their choice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from random import Random

from schedcore import funcref
from schedcore.clock import SECOND
from schedcore.errors import InvalidOptionError, SchedError, did_you_mean
from schedcore.events import (
    EVENT_JOB_REMOVED,
    JobEvent,
    Listeners,
)
from schedcore.executors.base import Executor
from schedcore.job import Job
from schedcore.planning import Plan, plan
from schedcore.run import Outcome, Run
from schedcore.stores.base import Entry, Store, Swap
from schedcore.tracker import Tracker

log = logging.getLogger(__name__)

BATCH = 1_000
"""Jobs taken in one step: the store's lock is held for about a millisecond at a time."""
RETRY_BROKEN_US = 30 * SECOND
"""How long a job that cannot be run is left alone before it is tried again."""
HOLD_US = SECOND
"""How long the rest of a backlog is left alone while the first portion of it is worked off."""
CORRECTION_US = 3 * 3600 * SECOND
"""A wall clock that is set back by this much was wrong before."""


def known_executors(executors: Mapping[str, Executor], name: str = "") -> str:
    """Return words for the executors that there are, with a hint at the one that was meant."""
    return f"one of the executors {', '.join(sorted(executors))}{did_you_mean(name, executors)}"


class Engine:
    """Carries due jobs from the store to the executors.

    :meth:`step` is for one thread at a time; all that it works on is thread-safe.

    Args:
        store: Where the jobs are.
        executors: By name.
        tracker: Lets runs in and records outcomes.
        listeners: Who is told of submissions.
        random: Source of jitter.
    """

    def __init__(
        self,
        store: Store,
        executors: Mapping[str, Executor],
        tracker: Tracker,
        listeners: Listeners,
        random: Random,
    ) -> None:
        self._store = store
        self._executors = executors
        self._tracker = tracker
        self._listeners = listeners
        self._random = random
        self._owed: list[Swap] = []

    def step(self, now_us: int) -> int | None:
        """Do all that is due at *now_us*, up to a batch of jobs.

        Returns:
            When to call again, in microseconds since the Unix epoch: at once if that is not
            later than *now_us*; None: not before a job is added or changed.
        """
        if self._owed:
            self._settle_debts()
        entries = self._store.claim_due(now_us, BATCH)
        if entries:
            self._carry(entries, now_us)
        alarm_us = self._tracker.ring(now_us)
        due_us = self._store.next_due()
        if alarm_us is None or due_us is None:
            return alarm_us if due_us is None else due_us
        return min(alarm_us, due_us)

    def ready(self, job: Job) -> Job:
        """Return *job* with its function resolved and its executor known to be there.

        Raises:
            FuncRefError: if the function's reference leads to no callable.
            InvalidOptionError: if there is no such executor.
        """
        if job.options.executor not in self._executors:
            raise InvalidOptionError(
                "executor", job.executor, known_executors(self._executors, job.executor)
            )
        if job.func is None:
            return job._replace(func=funcref.resolve(str(job.given_ref)))
        return job

    def clock_moved(self, now_us: int, jump_us: int) -> None:
        """Put jobs back on their beat after the wall clock was moved by *jump_us*.

        Forward, there is nothing to do: what was passed over is late, and the misfire policy's.
        Back, triggers of elapsed time go on at once.  Wall-clock ones wait until the clock has
        come round, so that nothing runs twice, unless it went back by three hours or more: that
        corrects a clock that was wrong, and the new time counts (Debian's cron(8), "Notes").
        """
        if jump_us >= 0:
            return
        changes: list[Swap] = []
        for entry in self._store.entries():
            if entry.due_us is None or entry.broken:
                continue
            if not entry.job.trigger.elapsed and jump_us > -CORRECTION_US:
                continue
            try:
                moved = _set_back(entry, now_us)
            except BaseException:
                log.exception("trigger of job %r failed; its next run stays", entry.job.id)
                continue
            if moved is not None:
                changes.append((entry, moved))
        self._store.swap(changes)

    def _carry(self, entries: Sequence[Entry], now_us: int) -> None:
        """Plan for, settle and submit the jobs claimed."""
        try:
            decided = [self._decide(entry, now_us) for entry in entries]
            changes: list[Swap] = [
                (entry, new) for entry, (new, _) in zip(entries, decided, strict=True)
            ]
            settled = self._store.swap(changes)
        except BaseException:
            # What is claimed must be given back; the store may be able to take it next time.
            self._owed += [(entry, entry) for entry in entries]
            raise
        submissions: dict[str, list[Run]] = {}
        for (old, new), (_, planned), done in zip(changes, decided, settled, strict=True):
            # Changed, paused or removed meanwhile: that change stands, and this claim is void.
            if done and planned is not None:
                job = old.job if new is None else new.job
                run = self._account(job, planned, now_us)
                if run is not None:
                    submissions.setdefault(job.options.executor, []).append(run)
                if new is None:
                    self._removed(job.id)
        for name, runs in submissions.items():
            self._tracker.submit(name, runs)

    def _settle_debts(self) -> None:
        """Give back what was claimed in a step that failed before it could settle."""
        self._store.swap(tuple(self._owed))
        self._owed = []

    def _decide(self, entry: Entry, now_us: int) -> tuple[Entry | None, Plan | None]:
        """Return what is to stand in the store from now on, and the plan, if there is one."""
        job, fire_us = entry.job, entry.fire_us
        assert fire_us is not None
        assert entry.due_us is not None
        if not job.options.coalesce and self._tracker.is_working_off(job.id):
            return entry._replace(due_us=now_us + HOLD_US), None
        try:
            job = self.ready(job)
            jitter_us = job.trigger.jitter_us
            shift_us = min(entry.due_us - fire_us, jitter_us)
            planned = plan(job.trigger, job.coalesce, job.grace_us, fire_us, now_us - shift_us)
            next_us = planned.next_us
        except BaseException as error:  # noqa: BLE001 — whatever a trigger raises, its job pays
            return self._park(entry, now_us, error), None
        if shift_us:
            planned = planned._replace(runs=tuple(t + shift_us for t in planned.runs))
        if next_us is None:
            return None, planned
        due_us = next_us
        if jitter_us:
            due_us += self._random.randrange(jitter_us + 1)
        return Entry(job, next_us, due_us), planned

    def _park(self, entry: Entry, now_us: int, error: BaseException) -> Entry:
        """Return *entry* marked broken, to be tried again later with its fire time kept."""
        reason = f"{type(error).__name__}: {error}"
        if entry.broken != reason:
            log.error(
                "job %r cannot be run; it is tried again every %d s: %s",
                entry.job.id,
                RETRY_BROKEN_US // SECOND,
                reason,
                exc_info=None if isinstance(error, SchedError) else error,
            )
        return entry._replace(due_us=now_us + RETRY_BROKEN_US, broken=reason)

    def _account(self, job: Job, planned: Plan, now_us: int) -> Run | None:
        """Record the fire times that do not run, and let in those that do."""
        if planned.missed is not None:
            self._tracker.pass_over(job, Outcome.MISSED, planned.missed, now_us)
        if planned.coalesced is not None:
            self._tracker.pass_over(job, Outcome.COALESCED, planned.coalesced, now_us)
        return self._tracker.admit(job, planned.runs) if planned.runs else None

    def _removed(self, job_id: str) -> None:
        self._tracker.job_removed(job_id)
        if self._listeners.mask & EVENT_JOB_REMOVED:
            self._listeners.emit(JobEvent(EVENT_JOB_REMOVED, job_id))


def _set_back(entry: Entry, now_us: int) -> Entry | None:
    """Return *entry* with the first fire time after *now_us*; None if it is to stay."""
    trigger, fire_us = entry.job.trigger, entry.fire_us
    # A first run that the user put off is none of the trigger's own times, and stays.
    if fire_us is None or trigger.next_us(fire_us - 1) != fire_us:
        return None
    # A start that is yet to come comes when the clock shows it; one that has come was then.
    if trigger.elapsed and trigger.next_us(0) != fire_us:
        trigger = trigger.set_back_to(now_us)
    first_us = trigger.next_us(now_us)
    if first_us is None or first_us >= fire_us:
        return None
    job = entry.job._replace(trigger=trigger)
    return entry._replace(job=job, fire_us=first_us, due_us=first_us)
