"""The engine: one step of the schedule, from due jobs to submitted runs.

:meth:`Engine.step` processes due jobs:

1. **take**: the store hands out due jobs, each as a :class:`Slot`.
2. **plan**: :mod:`~schedcore.planning` decides for each which fire times run, which are missed or
   coalesced, and which one comes next.
3. **settle**: in one transaction the store writes the new places, opens the runs that may start or
    wait (:mod:`~schedcore.admission`), and records the outcomes of the other fire times.
4. **submit**: :class:`~schedcore.running.runs.Runs` hands the open runs to their executors, and
    follows each of them to its outcome.
5. **announce**: log lines and events of fire times that did not run, after everything is submitted.

So each due time is in one of three places: to come (in its job's slot), open (a run), or ended (an
outcome in the history).  What was decided about a job that was paused, changed or removed since it
was taken is void.  If the store raises before all is settled, the batch is given back, and the
loop calls again in a second; later, the runs are open, and the store keeps them.

All other changes of jobs are in :mod:`~schedcore.changes.changing`.  A *slot* is the store's own
record of a job; an *entry* is a job and its place in the schedule as a value.  docs/glossary.md
defines the other terms.

There is no thread, no sleep and no loop in here: the loop, the tests and the simulation all call
:meth:`Engine.step` with the time of their choice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from schedcore.basics import funcref
from schedcore.basics.logs import GuardedLogger
from schedcore.changes.auditing import Auditor
from schedcore.changes.changing import Changes, set_back_entry
from schedcore.clock import SECOND, Clock, earlier, from_us, passing_us
from schedcore.errors import (
    JobLookupError,
    SchedError,
    is_interrupt,
    text_of,
)
from schedcore.events import Listeners
from schedcore.executors import check_executor
from schedcore.executors.base import Executor
from schedcore.job import Job
from schedcore.output.text import storable
from schedcore.planning import due_time, following, plan
from schedcore.run import Outcome, Run, named
from schedcore.running.announce import Announcer
from schedcore.running.capacity import Capacity
from schedcore.running.runs import Runs
from schedcore.stores.base import (
    Change,
    Decision,
    Executors,
    NotRun,
    Settled,
    Settlement,
    Slot,
)

if TYPE_CHECKING:
    from schedcore.retry import RandomSource
    from schedcore.stores.cluster import Cluster
    from schedcore.stores.contract import Batch, Store

BATCH = 10_000
"""Maximum number of jobs per step: a burst is planned and settled before the workers wake up."""
REMOTE_BATCH = 250
"""The same for an executor with remote workers: other due jobs wait no longer than for this many,
and these workers have enough to do."""
FULL_US = SECOND // 100
"""How long to wait before asking a full executor again whether it has room."""
RETRY_BROKEN_US = 30 * SECOND
"""How long a job that cannot run waits before it is tried again."""
RETRY_HUNG_US = 3600 * SECOND
"""The same for a job whose trigger did not return: each attempt may cost a thread."""


NOTHING = Settled([], [], [], [], [])


class _Claim:
    """A batch that a step has taken and not settled yet.

    Attributes:
        current: The job whose trigger the step is calling: to blame if it does not return.
    """

    __slots__ = ("batch", "current")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.current: Job | None = None


class Engine:
    """Moves due jobs from the store to the executors.

    One thread at a time calls :meth:`step`; everything else is thread-safe.

    Args:
        store: Stores jobs, open runs and the history.
        executors: By name.
        listeners: Receive the events.
        clock: Gives the times at which runs begin and end.
        random: Source of jitter.
        log: Logger of what fails.

    Attributes:
        announce: Logs and emits what happens.
        runs: The open runs.
        changes: Adds, changes and removes jobs.
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
        self._clock = clock
        self._random = random
        self._log = log or GuardedLogger(__name__)
        self.announce = Announcer(listeners, self._log, clock.monotonic_us, store.get)
        self.runs = Runs(store, executors, self.announce, clock, random, self._log)
        self.audit = Auditor(store, clock)
        self.changes = Changes(store, self.runs, self.announce, clock)
        self._claims: list[_Claim] = []
        self._cluster: Cluster | None = getattr(store, "cluster", None)
        shares = self._cluster is not None and self._cluster.shares_due
        self._capacity = Capacity(executors, BATCH) if shares else None
        self._most = {
            name: REMOTE_BATCH if getattr(executor, "remote", False) else BATCH
            for name, executor in executors.items()
        }

    def after_fork_in_child(self) -> None:
        """Forget what belongs to the parent: runs, and the batch that a step has taken."""
        self._claims = []
        self.runs.after_fork_in_child()

    # The step

    def step(self, now_us: int) -> int | None:
        """Do everything that is due at *now_us*, up to a batch of jobs.

        Returns:
            When to call again, in microseconds since the Unix epoch: at once if that is not
            later than *now_us*; None: not before a job is added or changed.
        """
        self.runs.settle()
        rooms = self._most if self._capacity is None else self._capacity.measure(now_us)
        settled, slots = self._take_and_settle(now_us, rooms)
        if self._capacity is not None:
            self._capacity.note_taken(slots)
        try:
            self.runs.submit(settled.runs)
            if self._cluster is not None:
                adopted = [self._made_ready(run) for run in self._cluster.adopt(now_us)]
                self._take_over(adopted)
            timer_us = self.runs.check_timers(now_us)
        except BaseException as error:
            if is_interrupt(error):  # Ctrl-C, where this thread executes the runs itself
                self.runs.cancel_waiting()
            raise
        finally:
            self._announce_step(settled, slots)  # a listener that blocks holds up no run
        self.runs.settle()  # runs that ended while others of their job were put behind them
        return earlier(timer_us, self._next_due(now_us, rooms))

    def _next_due(self, now_us: int, rooms: Collection[str]) -> int | None:
        """Return when to take jobs again, given the executors that had room; None: there are none.

        Those of full executors are looked at again after :data:`FULL_US`.
        """
        due_us, again_us = self.store.next_due(self.executors), now_us + FULL_US
        if due_us is None or due_us >= again_us or len(rooms) == len(self.executors):
            return due_us
        return earlier(self.store.next_due(rooms), again_us)

    def step_paused(self, now_us: int) -> int | None:
        """Time out runs that took too long, and start nothing; return when to call again."""
        self.runs.settle()
        return self.runs.check_timers(now_us)

    def _take_and_settle(self, now_us: int, rooms: Executors) -> tuple[Settled, Sequence[Slot]]:
        """Take due jobs, plan and settle them; return the result, and the taken jobs."""
        with self.store.take(now_us, BATCH, rooms) as batch:
            slots = batch.slots
            if not slots:
                return NOTHING, ()
            claim = _Claim(batch)
            self._claims.append(claim)
            try:
                decided: list[Decision] = []
                capacity = self._capacity
                for slot in slots:
                    claim.current = slot.job
                    full_from_us = None if capacity is None else capacity.full_from(slot)
                    decided.append(self._decide(slot, now_us, full_from_us))
                claim.current = None
                settled = batch.settle(decided, now_us)
            finally:
                with suppress(ValueError):  # the watching thread has taken it back meanwhile
                    self._claims.remove(claim)
        return settled, slots

    def _decide(self, slot: Slot, now_us: int, full_from_us: int | None) -> Decision:
        """Decide about a due job.

        Args:
            slot: The job.
            now_us: The present.
            full_from_us: Since when it has been due while its executor was full: it is as late as
                it was then; None: its executor was not.

        Returns:
            The next fire time alone in the common case, or a settlement; see
            :data:`~schedcore.stores.base.Decision`.
        """
        job, fire_us, due_us = slot.job, slot.fire_us, slot.due_us
        assert fire_us is not None
        assert due_us is not None
        # Each due job passes here: fields by position, which takes 0.2 us less.
        _, func, _, _, trigger, options, _, _ = job
        executor = options.executor
        grace_s, coalesce = options.misfire_grace_time, options.coalesce
        at_us, backlog_us = now_us, slot.backlog_us
        times: tuple[int, ...] = ()
        not_run: tuple[NotRun, ...] = ()
        try:
            jitter_us = trigger.jitter_us
            if jitter_us:
                # The misfire policy sees the moment before the jitter, which is no lateness.  After
                # the wall clock was set back, that may lie ahead by the new one.
                at_us -= max(0, min(due_us - fire_us, jitter_us))
            if full_from_us is not None and backlog_us is None:
                backlog_us = full_from_us - (now_us - at_us)
            if slot.behind is not None and not coalesce:
                # Runs of the job wait: the rest of its backlog, and what fell due meanwhile, is
                # held until they have started.
                held_us = at_us if backlog_us is None else backlog_us
                return Settlement(slot, job, fire_us, due_us, (), held_us, slot.broken)
            if func is None or executor not in self.executors:
                job = self.ready(job)
            next_us = following(trigger, fire_us)
            # Nearly every fire is on time, and no other has come meanwhile: there is no policy to
            # ask, which takes 0.4 us.
            if (next_us is not None and next_us <= at_us) or grace_s is not None:
                times, not_run, next_us = self._plan(job, fire_us, at_us, backlog_us, now_us)
            elif job is slot.job and not jitter_us and backlog_us is None:
                return next_us
            else:
                times = (fire_us,)
        except BaseException as error:
            if is_interrupt(error):
                raise
            reason = self._log_broken(job, slot.broken, error)
            later_us = now_us + RETRY_BROKEN_US
            return Settlement(slot, job, fire_us, later_us, (), backlog_us, reason)
        if at_us != now_us:  # runs are due when their jitter is over
            times = tuple(each_us + now_us - at_us for each_us in times)
        if next_us is not None and next_us <= at_us:  # the next portion of a backlog
            backlog_us = at_us if backlog_us is None else backlog_us
            return Settlement(slot, job, next_us, next_us, times, backlog_us, None, not_run)
        due_us = due_time(next_us, jitter_us, self._random) if jitter_us and next_us else next_us
        return Settlement(slot, job, next_us, due_us, times, not_run=not_run)

    def _plan(
        self, job: Job, fire_us: int, at_us: int, backlog_us: int | None, now_us: int
    ) -> tuple[tuple[int, ...], tuple[NotRun, ...], int | None]:
        """Apply the misfire policy; return which fire times run, which do not, and the next one."""
        planned = plan(job.trigger, job.coalesce, job.grace_us, fire_us, at_us, backlog_us)
        not_run: list[NotRun] = []
        if (missed := planned.missed) is not None:
            reason = f"misfire_grace_time is {job.misfire_grace_time:g} s"
            not_run.append(NotRun(Outcome.MISSED, missed, now_us - missed.first_us, reason))
        if (joined := planned.coalesced) is not None:
            reason = f"that of {from_us(planned.runs[0]).isoformat()}"
            not_run.append(NotRun(Outcome.COALESCED, joined, now_us - joined.first_us, reason))
        return planned.runs, tuple(not_run), planned.next_us

    def _log_broken(
        self, job: Job, known: str | None, error: BaseException, again_us: int = RETRY_BROKEN_US
    ) -> str:
        """Return why a job cannot run, and log it unless that was *known* before."""
        reason = storable(f"{type(error).__name__}: {text_of(error)}")
        if known != reason:
            self._log.error(
                "job %r cannot be run; it is tried again every %d s: %s",
                job.id,
                again_us // SECOND,
                reason,
                error=None if isinstance(error, SchedError) else error,
                fields={"job_id": job.id},
            )
        return reason

    def _announce_step(self, settled: Settled, slots: Sequence[Slot]) -> None:
        """Announce the decisions of a step, except its runs, which are announced one by one."""
        jobs = {slot.job.id: slot.job for slot in slots} if settled.removed else {}
        self.announce.settled(settled)
        self.runs.recorded(settled.evicted)
        for job_id in settled.removed:
            self.announce.removed(jobs[job_id])

    def waiting(self) -> dict[str, float]:
        """Return how many seconds the oldest job or run has waited for a worker, by executor."""
        longest, now_us = self.runs.waiting(), self._clock.now_us()
        full = {} if self._capacity is None else self._capacity.full_since()
        for name, since_us in full.items():
            due_us = self.store.next_due((name,))
            if due_us is not None and due_us < now_us:
                waited = (now_us - max(due_us, since_us)) / SECOND
                longest[name] = max(longest.get(name, 0.0), waited)
        return longest

    def _take_over(self, adopted: Sequence[Run]) -> None:
        """Submit runs of a dead process, and follow up those that cluster workers have begun."""
        begun: dict[str, list[Run]] = {}
        for run in adopted:
            if run._started_us is not None and run._job is not None:
                run._queued_us = passing_us()
                begun.setdefault(run._job.options.executor, []).append(run)
        self.runs.submit([run for run in adopted if run._started_us is None])
        for name, together in begun.items():
            find = getattr(self.executors.get(name), "find", None)
            for run in together if find is None else find(together, self.runs.reporter):
                unknown = LookupError(f"the executor {name!r} no longer knows it")
                self.runs.reporter.lost(run, unknown)

    # A step that hangs

    def take_back(self, now_us: int, hung: bool) -> None:
        """Give back the jobs of a step whose thread hangs or has ended.

        Args:
            now_us: The present, in microseconds since the Unix epoch.
            hung: Whether its thread hangs: then the job whose trigger it was calling is parked.
        """
        for claim in list(self._claims):
            job = claim.current
            if hung and job is not None:
                self._park(job, now_us)  # first: given back, it could hang another process
            claim.batch.give_back()
            with suppress(ValueError):  # its step has ended meanwhile
                self._claims.remove(claim)

    def _park(self, job: Job, now_us: int) -> None:
        """Park a job whose trigger does not return, unless it was changed meanwhile."""
        entry = self.changes.find(job.id)
        if entry is None or entry.due_us is None or entry.job.trigger is not job.trigger:
            return
        error = TimeoutError("its trigger does not answer")
        reason = self._log_broken(job, entry.broken, error, RETRY_HUNG_US)
        parked = entry._replace(broken=reason, due_us=now_us + RETRY_HUNG_US)
        self.changes.write((Change(entry, parked),), now_us, ordered=False)

    # Besides the schedule

    def ready(self, job: Job) -> Job:
        """Return *job* with its function resolved and its executor checked.

        Raises:
            FuncRefError: if the function's reference names no callable.
            InvalidOptionError: if there is no such executor.
        """
        check_executor(self.executors, job.options.executor)
        if job.func is None:
            return job._replace(func=funcref.resolve(str(job.given_ref)))
        return job

    def _made_ready(self, run: Run) -> Run:
        """Return an adopted run, with its function resolved if possible."""
        job = run._job
        if job is not None:
            try:
                run._job = self.ready(job)
            except Exception as error:  # noqa: BLE001 — whatever importing a module raises
                text = "job %r cannot be run: %s"
                self._log.error(text, job.id, text_of(error), fields=named(run))
                run._job = job._replace(func=partial(_fail, error))
        return run

    # A clock that is set

    def clock_moved(self, now_us: int, jump_us: int) -> None:
        """Move jobs to their new places after the wall clock was moved by *jump_us*.

        Forward, there is nothing to do: the misfire policy decides about what is late now.
        Back, see :func:`~schedcore.planning.set_back`.
        """
        if jump_us >= 0 or (self._cluster is not None and not self._cluster.sets_clock):
            return
        for entry in self.store.entries():
            try:
                self.changes.change(
                    entry.job.id,
                    partial(set_back_entry, now_us=now_us, jump_us=jump_us),
                    counted=False,
                )
            except JobLookupError:
                continue  # gone meanwhile
            except BaseException as error:
                if is_interrupt(error):
                    raise
                job_id = entry.job.id
                self._log.error(
                    "trigger of job %r failed; its next run stays",
                    job_id,
                    error=error,
                    fields={"job_id": job_id},
                )


def _fail(error: Exception) -> None:
    """Replaces a function that cannot be resolved, so that its run fails with the reason."""
    raise error
