"""The one owner of jobs and runs: one step of the schedule, and every change of it.

:meth:`Engine.step` takes what is due, plans, settles, submits, and says when to wake next.  There
is no thread, no sleep and no loop in here: the loop, the tests and the simulation all call it with
the time of their choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from schedcore import funcref
from schedcore.announce import Announcer
from schedcore.changing import ATTEMPTS, Check, rebased
from schedcore.clock import SECOND, Clock, from_us
from schedcore.errors import (
    ConflictingIdError,
    JobChangedError,
    JobLookupError,
    MaxInstancesError,
    SchedError,
    is_interrupt,
    text_of,
)
from schedcore.events import EVENT_JOB_REMOVED, JobEvent, Listeners
from schedcore.executors import check_executor
from schedcore.executors.base import Executor
from schedcore.job import Job
from schedcore.logs import GuardedLogger
from schedcore.planning import Place, due_time, following, passed_over, plan, set_back
from schedcore.run import Outcome, Run, RunRecord
from schedcore.runs import Observer, Runs
from schedcore.stores.base import (
    Batch,
    Change,
    Decision,
    Entry,
    Passed,
    Settled,
    Settlement,
    Slot,
    Store,
    Written,
)

if TYPE_CHECKING:
    from schedcore.retry import RandomSource

BATCH = 10_000
"""Jobs taken in one step: a burst is planned and settled whole before the workers wake up."""
RETRY_BROKEN_US = 30 * SECOND
"""How long a job that cannot be run is left alone before it is tried again."""
RETRY_HUNG_US = 3600 * SECOND
"""The same for one whose trigger did not answer: each try may cost a thread."""


NOTHING = Settled([], [], [], [], [])


class _Claim:
    """A batch that a step has in hand, and the job whose trigger it is asking."""

    __slots__ = ("asking", "batch")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.asking: Job | None = None


class Engine:
    """Carries due jobs from the store to the executors, and their runs to an outcome.

    :meth:`step` is for one thread at a time; all else is thread-safe.

    Args:
        store: Where jobs, open runs and outcomes are.
        executors: By name.
        listeners: Who is told of what happens.
        clock: Tells when runs begin and end.
        random: Source of jitter.
        log: Where it is said what did not go well.

    Attributes:
        forget: Called with the id of a job that is gone.
        runs: The runs that wait or are under way.
    """

    def __init__(
        self,
        store: Store,
        executors: dict[str, Executor],
        listeners: Listeners,
        clock: Clock,
        random: RandomSource,
        log: GuardedLogger | None = None,
    ) -> None:
        self.store = store
        self.executors = executors
        self._listeners = listeners
        self._clock = clock
        self._random = random
        self._log = log or GuardedLogger(__name__)
        self._announce = Announcer(listeners, self._log, clock.monotonic_us, self._what_follows)
        self.runs = Runs(store, executors, self._announce, clock, random, self._log)
        self.forget: Callable[[str], None] = lambda _job_id: None
        self._claims: list[_Claim] = []

    @property
    def observer(self) -> Observer | None:
        """Who is told of each change of place and each run; None: nobody."""
        return self.runs.observer

    def after_fork_in_child(self) -> None:
        """Forget what is the parent's: runs, and jobs in the hands of a step."""
        self._claims = []
        self.runs.after_fork_in_child()

    # The step

    def step(self, now_us: int) -> int | None:
        """Do all that is due at *now_us*, up to a batch of jobs.

        Returns:
            When to call again, in microseconds since the Unix epoch: at once if that is not
            later than *now_us*; None: not before a job is added or changed.
        """
        self.runs.settle()
        settled, slots = self._carry(now_us)
        try:
            self.runs.submit(settled.runs)
            ring_us = self.runs.ring(now_us)
        except BaseException:  # Ctrl-C, where this thread executes the runs itself
            self.runs.cancel_waiting()
            raise
        finally:
            self._tell(settled, slots)  # now that all of it is submitted
        self.runs.settle()  # runs that ended while others of their job were put behind them
        due_us = self.store.next_due(self.executors)
        if ring_us is None or due_us is None:
            return ring_us if due_us is None else due_us
        return min(ring_us, due_us)

    def step_paused(self, now_us: int) -> int | None:
        """Give up runs that took too long, and start nothing; return when to call again."""
        self.runs.settle()
        return self.runs.ring(now_us)

    def take_back(self, now_us: int, hung: bool) -> None:
        """Take jobs out of the hands of a step that will not go on.

        Args:
            now_us: The present, in microseconds since the Unix epoch.
            hung: Whether its thread is held up, and the trigger it was asking is to blame.
        """
        claims, self._claims = self._claims, []
        for claim in claims:
            job = claim.asking
            claim.batch.give_back()
            if hung and job is not None:
                self._park(job, now_us)

    def _park(self, job: Job, now_us: int) -> None:
        """Leave a job alone whose trigger does not answer, unless it was changed meanwhile."""
        entry = self._find(job.id)
        if entry is None or entry.due_us is None or entry.job.trigger is not job.trigger:
            return
        reason = self._say_broken(job, entry.broken, TimeoutError("its trigger does not answer"))
        parked = entry._replace(broken=reason, due_us=now_us + RETRY_HUNG_US)
        self._write((Change(entry, parked),), now_us)

    def _carry(self, now_us: int) -> tuple[Settled, Sequence[Slot]]:
        """Take, plan and settle what is due."""
        with self.store.take(now_us, BATCH, self.executors) as batch:
            slots = batch.slots
            if not slots:
                return NOTHING, ()
            claim = _Claim(batch)
            self._claims.append(claim)
            try:
                decided: list[Decision] = []
                for slot in slots:
                    claim.asking = slot.job
                    decided.append(self._decide(slot, now_us))
                claim.asking = None
                settled = batch.settle(decided, now_us)
            finally:
                if claim in self._claims:
                    self._claims.remove(claim)
        if self.observer is not None:
            for slot in slots:
                self.observer.moved(slot.job.id, self._find(slot.job.id))
        return settled, slots

    def _decide(self, slot: Slot, now_us: int) -> Decision:
        """Decide what becomes of a job that is due."""
        job, fire_us, due_us, judged_us = slot.job, slot.fire_us, slot.due_us, slot.judged_us
        assert fire_us is not None
        assert due_us is not None
        _, func, _, _, trigger, options, _, _ = job
        executor, grace_s, coalesce, _, _, _, _ = options
        if slot.behind is not None and not coalesce:
            # The rest of a backlog, or what came meanwhile: held until the others have started.
            held_us = now_us if judged_us is None else judged_us
            return Settlement(slot, job, fire_us, due_us, (), held_us, slot.broken)
        at_us = now_us
        times: tuple[int, ...] = ()
        passed: tuple[Passed, ...] = ()
        try:
            if func is None or executor not in self.executors:
                job = self.ready(job)
            jitter_us = trigger.jitter_us
            if jitter_us:
                # A fire time taken after the clock was set back may be yet to come by the new one.
                at_us -= max(0, min(due_us - fire_us, jitter_us))
            next_us = following(trigger, fire_us)
            # Nearly every fire is on time, and no other has come meanwhile: there is no policy to
            # ask, which takes 0.4 us.
            if (next_us is not None and next_us <= at_us) or grace_s is not None:
                times, passed, next_us = self._plan(job, fire_us, at_us, judged_us, now_us)
            elif job is slot.job and not jitter_us and judged_us is None:
                return next_us
            else:
                times = (fire_us,)
        except BaseException as error:
            if is_interrupt(error):
                raise
            reason = self._say_broken(job, slot.broken, error)
            later_us = now_us + RETRY_BROKEN_US
            return Settlement(slot, job, fire_us, later_us, (), judged_us, reason)
        if at_us != now_us:
            times = tuple(fire_us + now_us - at_us for fire_us in times)
        if next_us is not None and next_us <= at_us:  # the next portion of a backlog
            judged_us = now_us if judged_us is None else judged_us
            return Settlement(slot, job, next_us, next_us, times, judged_us, None, passed)
        due_us = due_time(next_us, jitter_us, self._random) if jitter_us and next_us else next_us
        return Settlement(slot, job, next_us, due_us, times, passed=passed)

    def _plan(
        self, job: Job, fire_us: int, at_us: int, judged_us: int | None, now_us: int
    ) -> tuple[tuple[int, ...], tuple[Passed, ...], int | None]:
        """Ask the misfire policy; return what runs, what does not, and what comes next."""
        planned = plan(job.trigger, job.coalesce, job.grace_us, fire_us, at_us, judged_us)
        passed = tuple(
            Passed(outcome, backlog, now_us - backlog.first_us)
            for outcome, backlog in (
                (Outcome.MISSED, planned.missed),
                (Outcome.COALESCED, planned.coalesced),
            )
            if backlog is not None
        )
        return planned.runs, passed, planned.next_us

    def _say_broken(self, job: Job, known: str | None, error: BaseException) -> str:
        """Return why a job cannot be run, and log it if it is news."""
        reason = f"{type(error).__name__}: {text_of(error)}"
        if known != reason:
            self._log.error(
                "job %r cannot be run; it is tried again every %d s: %s",
                job.id,
                RETRY_BROKEN_US // SECOND,
                reason,
                error=None if isinstance(error, SchedError) else error,
            )
        return reason

    def _tell(self, settled: Settled, slots: Sequence[Slot]) -> None:
        """Tell of what a step did."""
        jobs = {slot.job.id: slot.job for slot in slots} if settled.removed else {}
        self._announce.settled(settled)
        self.runs.recorded(settled.evicted)
        for job_id in settled.removed:
            self._gone(jobs[job_id])

    def _gone(self, job: Job) -> None:
        self.forget(job.id)
        if self._listeners.mask & EVENT_JOB_REMOVED:
            self._listeners.emit(JobEvent.of(EVENT_JOB_REMOVED, job))

    def ready(self, job: Job) -> Job:
        """Return *job* with its function resolved and its executor known to be there.

        Raises:
            FuncRefError: if the function's reference leads to no callable.
            InvalidOptionError: if there is no such executor.
        """
        check_executor(self.executors, job.options.executor)
        if job.func is None:
            return job._replace(func=funcref.resolve(str(job.given_ref)))
        return job

    # Changes

    def add(self, entries: Sequence[Entry], replace: bool) -> None:
        """Store new jobs, all or none.

        Raises:
            ConflictingIdError: if an id is taken and *replace* is false, or one stands twice.
        """
        if not replace:
            conflicts = self._write(entries, 0).conflicts
            if conflicts:
                raise ConflictingIdError(conflicts[0])
            return
        now_us = self._clock.now_us()
        changes = [self._replacing(entry, now_us) for entry in entries]
        while moved_on := set(self._write(changes, now_us).conflicts):
            # Those alone: in the time that all take, others of many busy jobs would move on.
            now_us = self._clock.now_us()
            changes = [
                self._replacing(entry, now_us) if entry.job.id in moved_on else change
                for entry, change in zip(entries, changes, strict=True)
            ]

    def _replacing(self, entry: Entry, now_us: int) -> Change | Entry:
        """Return what puts *entry* in the place of the job with its id, if there is one."""
        old = self._find(entry.job.id)
        if old is None:
            return entry
        return Change(old, entry, True, self._left_out(old, entry, now_us))

    def change(self, job_id: str, changed: Callable[[Entry], Entry], counted: bool = True) -> Entry:
        """Put a changed entry in the place of a job's present one.

        That the job runs and moves on meanwhile is no change: a job that is due each second can be
        given a trigger that takes a second to check.

        Args:
            job_id: Which job.
            changed: Returns the changed entry, or the same one.  Called again if somebody else
                changes the job meanwhile.
            counted: Whether fire times that came, and that the change leaves out, are outcomes.

        Raises:
            JobLookupError: if there is no job with this id.
            JobChangedError: if somebody else changed it each time.
        """
        for _ in range(ATTEMPTS):
            read = old = self.store.get(job_id)
            made = changed(read)
            if made is read:
                return made
            new: Entry | None = made
            while new is not None:
                now_us = 0
                records: Sequence[RunRecord] = ()
                if new[1] != old[1] or new[2] is None:  # else it stays where it is in time
                    now_us = self._clock.now_us()
                    records = self._left_out(old, new, now_us) if counted else ()
                change = tuple.__new__(Change, (old, new, False, records))
                if not self._write((change,), now_us).conflicts:
                    was, now = old[0][5], new[0][5]
                    if now is not was and now.max_instances > was.max_instances:
                        self.runs.promote()
                    return new
                old = self.store.get(job_id)
                new = rebased(made, read, old)
        raise JobChangedError(job_id, ATTEMPTS)

    def remove(self, job_id: str, check: Check | None = None) -> None:
        """Remove a job, in the very state that *check* saw; its runs that wait are cancelled.

        Raises:
            JobLookupError: if there is no job with this id.
        """
        while True:
            old = self.store.get(job_id)
            if check is not None:
                check(old)
            now_us = self._clock.now_us()
            change = Change(old, None, False, self._left_out(old, None, now_us))
            if not self._write((change,), now_us).conflicts:
                break
        self._announce.forget(job_id)
        self._gone(old.job)

    def run_now(self, job_id: str, check: Check | None = None) -> Run:
        """Run a job now, besides its schedule, if *check* lets it be.

        Raises:
            JobLookupError: if there is no job with this id.
            MaxInstancesError: if ``max_instances`` runs of it are under way.
        """
        self.runs.settle()
        entry = self.store.get(job_id)
        if check is not None:
            check(entry)
        job = self.ready(entry.job)
        now_us = self._clock.now_us()
        run = self.store.open(job, now_us)
        if run is None:
            self._announce.skipped(job, (now_us,))
            raise MaxInstancesError(job_id, job.max_instances)
        self.runs.submit((run,))
        return run

    def remove_all(self) -> None:
        """Remove every job."""
        while entries := self.store.entries():
            now_us = self._clock.now_us()
            changes = {
                old.job.id: Change(old, None, False, self._left_out(old, None, now_us))
                for old in entries
            }
            # All but those that moved on meanwhile, which are read once more.
            while changes and (moved_on := self._write(list(changes.values()), now_us).conflicts):
                for job_id in moved_on:
                    del changes[job_id]

    def clock_moved(self, now_us: int, jump_us: int) -> None:
        """Put jobs back in their places after the wall clock was moved by *jump_us*.

        Forward, there is nothing to do: what was passed over is late, and the misfire policy's.
        Back, see :func:`~schedcore.planning.set_back`.
        """
        if jump_us >= 0:
            return
        for entry in self.store.entries():
            try:
                self.change(
                    entry.job.id,
                    partial(_set_back, now_us=now_us, jump_us=jump_us),
                    counted=False,
                )
            except JobLookupError:
                continue  # gone meanwhile
            except BaseException as error:  # noqa: BLE001 — whatever a trigger raises
                job_id = entry.job.id
                self._log.error("trigger of job %r failed; its next run stays", job_id, error=error)

    def _write(self, changes: Sequence[Change | Entry], now_us: int) -> Written:
        """Make changes in the store, and tell of the runs that ended with them."""
        written = self.store.write(changes, now_us)
        if written.conflicts:
            return written
        if self.observer is not None:
            for change in changes:
                if isinstance(change, Entry):
                    self.observer.moved(change.job.id, change)
                else:
                    self.observer.moved(change.old.job.id, change.new)
        if written.ended:
            self.runs.recorded(written.ended)
        return written

    def _left_out(self, old: Entry, new: Entry | None, now_us: int) -> Sequence[RunRecord]:
        """Return the outcomes of fire times that came, and that a change leaves out."""
        first_us = old.fire_us
        if first_us is None or now_us < first_us or (new is not None and new[1] == first_us):
            return ()
        trigger = old.job.trigger
        try:
            same = new is not None and (new.job.trigger is trigger or new.job.trigger == trigger)
            until_us = new.fire_us if new is not None and same else None
            backlog = passed_over(trigger, first_us, now_us, until_us)
        except BaseException as error:  # noqa: BLE001 — the change is made, whatever a trigger says
            self._log.error("job %r: its fire times cannot be counted", old.job.id, error=error)
            return ()
        if backlog is None:
            return ()
        outcome = Outcome.PAUSED if old.due_us is None else Outcome.CANCELLED
        return (Passed(outcome, backlog, now_us - first_us).record(old.job.id),)

    def _what_follows(self, job_id: str) -> str:
        """Tell what comes after a run of a job, for the log."""
        try:
            entry = self.store.get(job_id)
        except JobLookupError:
            return "it was its last run"
        except Exception:  # noqa: BLE001 — the loop meets it too, and says so
            return "its store cannot tell when it runs next"
        if entry.due_us is None:
            return "the job is paused"
        return f"next run at {from_us(entry.due_us, entry.job.trigger.timezone).isoformat()}"

    def _find(self, job_id: str) -> Entry | None:
        try:
            return self.store.get(job_id)
        except JobLookupError:
            return None


def _set_back(entry: Entry, now_us: int, jump_us: int) -> Entry:
    """Return *entry* as it stands after the clock went back by -*jump_us*."""
    place = Place(entry.job.trigger, entry.fire_us, entry.due_us, entry.judged_us)
    moved = set_back(place, now_us, jump_us, broken=bool(entry.broken))
    if moved is place:
        return entry
    job = entry.job._replace(trigger=moved.trigger)
    return entry._replace(
        job=job, fire_us=moved.fire_us, due_us=moved.due_us, judged_us=moved.judged_us
    )
