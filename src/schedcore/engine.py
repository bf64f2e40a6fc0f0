"""One step of the scheduler: claim, plan, settle, submit, and when to wake next.

There is no thread, no sleep and no clock in here: the loop, the tests and the simulation all call
:meth:`Engine.step` with the time of their choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from schedcore import funcref
from schedcore.clock import SECOND
from schedcore.errors import (
    InvalidOptionError,
    JobLookupError,
    SchedError,
    did_you_mean,
    is_interrupt,
    text_of,
)
from schedcore.events import (
    EVENT_JOB_REMOVED,
    JobEvent,
    Listeners,
)
from schedcore.executors.base import Executor
from schedcore.job import Job
from schedcore.logs import GuardedLogger
from schedcore.planning import Place, Plan, due_time, following, plan, set_back
from schedcore.run import Outcome, Run
from schedcore.stores.base import Entry, Store, Swap, make_entry
from schedcore.tracker import Tracker

if TYPE_CHECKING:
    from schedcore.retry import RandomSource

log = GuardedLogger(__name__)

BATCH = 1_000
"""Jobs taken in one step: the store's lock is held for about a millisecond at a time."""
RETRY_BROKEN_US = 30 * SECOND
"""How long a job that cannot be run is left alone before it is tried again."""
RETRY_HUNG_US = 3600 * SECOND
"""The same for one whose trigger did not answer: each try may cost a thread."""
HOLD_US = SECOND
"""How long the rest of a backlog is left alone while the first portion of it is worked off."""


def check_executor(executors: Mapping[str, Executor], name: str) -> None:
    """Check that there is an executor called *name*.

    Raises:
        InvalidOptionError: naming those that there are, with a hint at the one that was meant.
    """
    if name not in executors:
        known = ", ".join(sorted(executors))
        hint = did_you_mean(name, executors)
        raise InvalidOptionError("executor", name, f"one of the executors {known}{hint}")


Decision = tuple["Entry | None", "tuple[int, ...]", "Plan | None"]
"""What is to stand in the store from now on, the fire times to run, and the plan if there is one:
there is none for a job that is on time, or that waits."""


class _Claim:
    """Entries that a step has in hand, and the one whose trigger it is asking."""

    __slots__ = ("asking", "entries")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.asking: Entry | None = None


class Engine:
    """Carries due jobs from the store to the executors.

    :meth:`step` is for one thread at a time; all that it works on is thread-safe.

    Args:
        store: Where the jobs are.
        executors: By name.
        tracker: Lets runs in and records outcomes.
        listeners: Who is told of submissions.
        random: Source of jitter.

    Attributes:
        forget: Called with the id of a job that had its last fire time.
    """

    def __init__(
        self,
        store: Store,
        executors: Mapping[str, Executor],
        tracker: Tracker,
        listeners: Listeners,
        random: RandomSource,
    ) -> None:
        self._store = store
        self._executors = executors
        self._tracker = tracker
        self._listeners = listeners
        self._random = random
        self.forget: Callable[[str], None] = lambda _job_id: None
        self._owed: list[Swap] = []
        self._in_hand: list[_Claim] = []

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

    def step_paused(self, now_us: int) -> int | None:
        """Give up runs that took too long, and start nothing; return when to call again."""
        return self._tracker.ring(now_us)

    def ready(self, job: Job) -> Job:
        """Return *job* with its function resolved and its executor known to be there.

        Raises:
            FuncRefError: if the function's reference leads to no callable.
            InvalidOptionError: if there is no such executor.
        """
        check_executor(self._executors, job.options.executor)
        if job.func is None:
            return job._replace(func=funcref.resolve(str(job.given_ref)))
        return job

    def clock_moved(self, now_us: int, jump_us: int) -> None:
        """Put jobs back on their beat after the wall clock was moved by *jump_us*.

        Forward, there is nothing to do: what was passed over is late, and the misfire policy's.
        Back, see :func:`~schedcore.planning.set_back`.
        """
        if jump_us >= 0:
            return
        changes: list[Swap] = []
        for entry in self._store.entries():
            try:
                moved = _set_back(entry, now_us, jump_us)
            except BaseException as error:  # noqa: BLE001 — whatever a trigger raises
                job_id = entry.job.id
                log.error("trigger of job %r failed; its next run stays", job_id, error=error)
                continue
            if moved is not None:
                changes.append((entry, moved))
        self._store.swap(changes)

    def take_back(self, now_us: int, hung: bool) -> None:
        """Take jobs out of the hands of a step that will not go on.

        Args:
            now_us: The present, in microseconds since the Unix epoch.
            hung: Whether its thread is held up, and the trigger it was asking is to blame;
                otherwise the thread stayed behind in the parent of a fork.
        """
        claims, self._in_hand = self._in_hand, []
        for claim in claims:
            for entry in claim.entries:
                # A new object, even where nothing changes: should that step go on after all, its
                # own changes come too late.
                again = entry._replace()
                if hung and entry is claim.asking:
                    again = self._park(entry, now_us, TimeoutError("its trigger does not answer"))
                    again = again._replace(due_us=now_us + RETRY_HUNG_US)
                self._owed.append((entry, again))

    def _carry(self, entries: Sequence[Entry], now_us: int) -> None:
        """Plan for, settle and submit the jobs claimed."""
        claim = _Claim(entries)
        self._in_hand.append(claim)
        try:
            decided: list[Decision] = []
            changes: list[Swap] = []
            for entry in entries:
                claim.asking = entry
                decision = self._decide(entry, now_us)
                decided.append(decision)
                changes.append((entry, decision[0]))
            claim.asking = None
            settled = self._store.swap(changes)
        except BaseException:
            # What is claimed must be given back; the store may be able to take it next time.
            self._owed += [(entry, entry._replace()) for entry in entries]
            raise
        finally:
            if claim in self._in_hand:
                self._in_hand.remove(claim)
        self._start(entries, decided, settled, now_us)

    def _start(
        self,
        entries: Sequence[Entry],
        decided: Sequence[Decision],
        settled: Sequence[bool],
        now_us: int,
    ) -> None:
        """Let in and submit the runs of the jobs that were settled."""
        due: list[tuple[Job, Sequence[int]]] = []
        ended: list[Job] = []
        interrupt: BaseException | None = None
        for entry, (new, runs, planned), done in zip(entries, decided, settled, strict=True):
            # Changed, paused or removed meanwhile: that change stands, and this claim is void.
            if not done:
                continue
            job = (new or entry)[0]
            if new is None:
                ended.append(job)
            if planned is not None:
                interrupt = self._pass_over(job, planned, now_us) or interrupt
            if runs:
                due.append((job, runs))
        try:
            submissions: dict[str, list[Run]] = {}
            for run in self._tracker.admit(due):
                submissions.setdefault(run.job.options.executor, []).append(run)
            for name, together in submissions.items():
                self._tracker.submit(name, together)
        except BaseException:  # Ctrl-C, where this thread executes the runs itself
            self._tracker.cancel_waiting()
            raise
        finally:
            for job in ended:
                self._ended(job)
        if interrupt is not None:
            raise interrupt

    def _settle_debts(self) -> None:
        """Give back what was claimed in a step that failed before it could settle."""
        owed, self._owed = self._owed, []
        try:
            self._store.swap(owed)
        except BaseException:
            self._owed += owed
            raise

    def _decide(self, entry: Entry, now_us: int) -> Decision:
        """Decide what becomes of a job that is due."""
        # Each fire comes by here: to unpack is quicker than to read one field after the other.
        job, fire_us, due_us, _, judged_us, _ = entry
        job_id, func, _, _, trigger, options, _, _ = job
        executor, grace_s, coalesce, _, _, _, _ = options
        assert fire_us is not None
        assert due_us is not None
        if not coalesce and self._tracker.is_working_off(job_id):
            held_since = now_us if judged_us is None else judged_us
            return entry._replace(due_us=now_us + HOLD_US, judged_us=held_since), (), None
        try:
            if func is None or executor not in self._executors:
                job = self.ready(job)
            jitter_us = trigger.jitter_us
            # A fire time taken after the clock was set back may be yet to come by the new one.
            shift_us = max(0, min(due_us - fire_us, jitter_us)) if jitter_us else 0
            at_us = (now_us if judged_us is None else judged_us) - shift_us
            next_us = following(trigger, fire_us)
            grace_us = None if grace_s is None else job.grace_us
            runs: tuple[int, ...] = (fire_us,)
            planned = None
            # Nearly every fire is on time, and no other has come meanwhile: there is no policy to
            # ask, which takes 0.4 us.
            if (next_us is not None and next_us <= at_us) or (
                grace_us is not None and at_us - fire_us > grace_us
            ):
                planned = plan(trigger, coalesce, grace_us, fire_us, at_us)
                runs, next_us = planned.runs, planned.next_us
        except BaseException as error:
            if is_interrupt(error):
                raise
            return self._park(entry, now_us, error), (), None
        if shift_us:
            runs = tuple(fire_us + shift_us for fire_us in runs)
        if next_us is None:
            return None, runs, planned
        if next_us <= at_us:  # the next portion of a backlog
            return make_entry(job, next_us, next_us, at_us + shift_us), runs, planned
        due_us = due_time(next_us, jitter_us, self._random) if jitter_us else next_us
        return make_entry(job, next_us, due_us), runs, planned

    def _park(self, entry: Entry, now_us: int, error: BaseException) -> Entry:
        """Return *entry* marked broken, to be tried again later with its fire time kept."""
        reason = f"{type(error).__name__}: {text_of(error)}"
        if entry.broken != reason:
            log.error(
                "job %r cannot be run; it is tried again every %d s: %s",
                entry.job.id,
                RETRY_BROKEN_US // SECOND,
                reason,
                error=None if isinstance(error, SchedError) else error,
            )
        return entry._replace(due_us=now_us + RETRY_BROKEN_US, broken=reason)

    def _pass_over(self, job: Job, planned: Plan, now_us: int) -> BaseException | None:
        """Record the fire times that do not run; return Ctrl-C, for when all is in its place."""
        try:
            if planned.missed is not None:
                self._tracker.pass_over(job, Outcome.MISSED, planned.missed, now_us)
            if planned.coalesced is not None:
                self._tracker.pass_over(job, Outcome.COALESCED, planned.coalesced, now_us)
        except BaseException as error:  # noqa: BLE001 — the others in hand must go on
            if is_interrupt(error):
                return error
            log.error("job %r: its fire times could not be recorded", job.id, error=error)
        return None

    def _ended(self, job: Job) -> None:
        """Note that a job had its last fire time, unless there is another with its id by now."""
        job_id = job.id
        try:
            self._store.get(job_id)
        except JobLookupError:
            self._tracker.job_gone(job_id)
        self.forget(job_id)
        if self._listeners.mask & EVENT_JOB_REMOVED:
            self._listeners.emit(JobEvent.of(EVENT_JOB_REMOVED, job))


def _set_back(entry: Entry, now_us: int, jump_us: int) -> Entry | None:
    """Return *entry* as it stands after the clock went back by -*jump_us*; None: unchanged."""
    place = Place(entry.job.trigger, entry.fire_us, entry.due_us, entry.judged_us)
    moved = set_back(place, now_us, jump_us, broken=bool(entry.broken))
    if moved is place:
        return None
    job = entry.job._replace(trigger=moved.trigger)
    return entry._replace(
        job=job, fire_us=moved.fire_us, due_us=moved.due_us, judged_us=moved.judged_us
    )
