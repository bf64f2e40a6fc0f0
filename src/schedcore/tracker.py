"""The runs that wait or are under way: each is let in, begins, ends, in one recorded outcome."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from schedcore.alarms import Alarms
from schedcore.clock import SECOND, Clock, Patience, SystemClock, Waker, passing_us
from schedcore.errors import RunLookupError, is_interrupt
from schedcore.events import Listeners
from schedcore.executors.base import Executor
from schedcore.forks import Lock, hold_while_forking
from schedcore.history import History
from schedcore.job import Job
from schedcore.logs import GuardedLogger
from schedcore.planning import Backlog
from schedcore.run import Outcome, Run, RunRecord, record_of
from schedcore.runids import RunIds
from schedcore.telling import Teller

if TYPE_CHECKING:
    from schedcore.retry import RandomSource

MOST_WAITING = 1_000
"""Runs of one job that may wait for a worker; what falls due beyond them is skipped."""


class Witness(Protocol):
    """Who remembers the runs under way should this process be killed."""

    def submitted(self, runs: Sequence[Run], now_us: int) -> None:
        """Note runs that are about to be handed to an executor."""
        ...

    def ended(self, run: Run) -> None:
        """Note that a run ended."""
        ...


class Tracker:
    """Keeps count of runs, and writes the ledger.  Thread-safe.

    Workers report to it themselves: a run ends without the loop's thread.

    Args:
        clock: Tells when runs begin and end.
        history: Where outcomes are recorded; owned by this tracker from now on.
        listeners: Who is told of outcomes.
        executors: Where runs are executed, by name.
        random: Source of the jitter of retries.
        log: Where it is said what became of runs that did not go well.

    Attributes:
        expect: Called with the time at which :meth:`ring` is wanted, in microseconds.
        teller: Says what became of runs.
        witness: Who is told of runs before they are submitted, and when they end; None: nobody.
    """

    def __init__(
        self,
        clock: Clock,
        history: History,
        listeners: Listeners,
        executors: Mapping[str, Executor],
        random: RandomSource,
        log: GuardedLogger | None = None,
    ) -> None:
        self._log = log or GuardedLogger(__name__)
        self._clock = clock
        self._history = history
        self.teller = Teller(listeners, self._log, self._passed_us)
        self._executors = executors
        self._random = random
        self._ids = RunIds(clock)
        self.expect: Callable[[int], None] = lambda _due_us: None
        self.witness: Witness | None = None
        # Guards all below, and the history: an outcome and the slot it frees appear together.
        # Re-entrant: the garbage collector may run a finalizer here that removes a job.
        self._lock = threading.RLock()
        hold_while_forking(self)
        self._forget_runs()

    def data_lock(self) -> Lock:
        """Return the lock that guards all of it."""
        return self._lock

    def forget_runs(self) -> None:
        """Forget the runs that wait or are under way: in a forked child they are the parent's."""
        self._ids.draw_anew()
        self._forget_runs()

    def _forget_runs(self) -> None:
        self._live: dict[str, list[Run]] = {}
        self._behind: dict[str, deque[Run]] = {}
        self._leaving: set[str] = set()
        self._waiting_for_idle: list[Waker] = []
        # By the monotonic clock.  A run that has not begun is to be tried again then; one that
        # has, is then given up.
        self._alarms = Alarms()
        self._holding = False
        self._closing = False

    # Letting in

    def admit(self, due: Sequence[tuple[Job, Sequence[int]]]) -> list[Run]:
        """Return the runs to submit for jobs and their fire times that are due, in this order.

        Of one job, as many start as ``max_instances`` leaves room for; of several, the rest wait
        behind them.  A single one without room is skipped, or as the job's ``overlap`` says.
        """
        runs: list[Run] = []
        crowded: list[tuple[Run | None, Job, Sequence[int]]] = []
        with self._lock:  # once for all of them: 0.2 us each otherwise
            live = self._live
            for job, times in due:
                if len(times) == 1 and job[0] not in live:
                    run = Run(self._ids.next(), job, times[0])
                    live[run.job_id] = [run]
                    runs.append(run)
                else:
                    started, given_up, skipped = self._admit_beside(job, times)
                    runs += started
                    if given_up is not None or skipped:
                        crowded.append((given_up, job, skipped))
        for given_up, job, skipped in crowded:
            if given_up is not None:
                self._give_up(given_up, Outcome.CANCELLED)
            if skipped:
                self._skip(job, skipped)
        return runs

    def _admit_beside(
        self, job: Job, due: Sequence[int]
    ) -> tuple[list[Run], Run | None, Sequence[int]]:
        """Let runs of one job in beside others of it; called with the lock held.

        Returns:
            The runs to submit, the one to be given up for them, and fire times without room.
        """
        given_up = None
        live = self._live.setdefault(job.id, [])
        room = _room(job, live)
        if room <= 0:
            if job.options.overlap == "cancel":
                given_up, room = live[0], 1
            elif job.options.overlap == "queue" and job.id not in self._behind:
                self._behind[job.id] = deque((Run(self._ids.next(), job, due[-1]),))
                due = due[:-1]
        runs = [Run(self._ids.next(), job, due_us) for due_us in due[: max(0, room)]]
        if not runs:
            return runs, given_up, due
        live += runs
        if len(due) > room:
            behind = self._behind.setdefault(job.id, deque())
            behind.extend(Run(self._ids.next(), job, due_us) for due_us in due[room:])
        return runs, given_up, ()

    def admit_now(self, job: Job) -> Run | None:
        """Return a run made to be waited for, due now, or None if ``max_instances`` run already."""
        now_us = self._now_us()
        with self._lock:
            live = self._live.setdefault(job.id, [])
            if _room(job, live) > 0:
                run = Run(self._ids.next(), job, now_us, threading.Event())
                live.append(run)
                return run
        self._skip(job, (now_us,))
        return None

    def is_working_off(self, job_id: str) -> bool:
        """Tell whether runs of this job wait for others of it to end."""
        return bool(self._behind) and job_id in self._behind

    def submit(self, name: str, runs: Sequence[Run]) -> None:
        """Hand runs that were let in to an executor; if it refuses them, they end as failed."""
        if self._closing:
            for run in runs:
                self._give_up(run, Outcome.CANCELLED)
            return
        if self.witness is not None:
            self.witness.submitted(runs, self._now_us())
        queued_us = self._passed_us()
        for run in runs:
            run.queued_us = queued_us
        try:
            self._executors[name].submit(runs, self)
        except BaseException as error:
            for run in runs:
                self._fail(run, error)
            if is_interrupt(error):
                raise
            return
        self.teller.submitted(runs)

    def pass_over(self, job: Job, outcome: Outcome, backlog: Backlog, now_us: int) -> None:
        """Record fire times that do not run: missed, paused, or coalesced into one that does."""
        late_us = now_us - backlog.first_us
        with self._lock:
            self._history.add(
                RunRecord(
                    None,
                    job.id,
                    outcome,
                    backlog.first_us,
                    late_us=late_us,
                    occurrences=backlog.occurrences,
                )
            )
        if outcome is Outcome.MISSED:
            self.teller.missed(job, backlog, late_us)

    # Reporter: called by executors

    def begin(self, run: Run) -> bool:
        """Say that *run* begins now; False: it was called off, and is not to be called."""
        try:
            run.started_us = self._clock.now_us()
        except BaseException:  # noqa: BLE001 — told below
            run.started_us = self._now_us()
        timeout = run.job.options.timeout
        if timeout is not None and not run.cancelled:
            self._set_alarm(run, round(timeout * SECOND))
        # Read after started_us was written: whoever cancels writes and reads the other way round.
        return not run.cancelled

    def end(self, run: Run, value: Any, error: BaseException | None) -> None:
        """Say that *run* ended now, with what its function returned or raised."""
        try:
            now_us = self._clock.now_us()
        except BaseException:  # noqa: BLE001 — told below
            now_us = self._now_us()
        run.ended_us = now_us
        if error is None:
            if self._close(run, record_of(run, Outcome.EXECUTED, now_us, value)):
                self.teller.executed(run, value)
            return
        retry = run.job.options.retry
        if retry is None or run.cancelled or self._closing or not retry.wants(error, run.attempt):
            self._fail(run, error)
        else:
            self._try_again(run, error, retry.delay_us(run.attempt, self._random))

    def cancelled(self, run: Run) -> None:
        """Say that *run* ended because it was cancelled."""
        if self._close(run, record_of(run, Outcome.CANCELLED, self._now_us())):
            self.teller.cancelled(run)

    def lost(self, run: Run, error: BaseException) -> None:
        """Say that *run* will not be heard of any more, as *error* tells."""
        if self._close(run, record_of(run, Outcome.LOST, self._now_us(), error=error)):
            self.teller.lost(run, error)

    def shed(self, run: Run) -> None:
        """Say that there is no room for *run*."""
        run.cancelled = True
        if self._close(run, record_of(run, Outcome.SHED, self._now_us())):
            self.teller.shed(run)

    # Time, and calling off

    def ring(self, now_us: int) -> int | None:
        """Submit the retries that are due, and give up runs that took too long.

        Returns:
            When to call again, in microseconds since the Unix epoch, or None.
        """
        if not self._alarms.due:
            return None
        passed_us = self._clock.monotonic_us()
        with self._lock:
            rung = self._alarms.pop_due(passed_us)
            # Told apart under the lock: a run that raises just now turns from one to the other.
            retries = [run for run in rung if run.started_us is None]
            overlong = [run for run in rung if run.started_us is not None]
            if self._holding:
                for run in retries:
                    self._alarms.set(run, passed_us + SECOND)
                retries = []
        for run in retries:
            self.submit(run.job.options.executor, (run,))
        for run in overlong:
            self._give_up(run, Outcome.TIMED_OUT)
        with self._lock:
            next_us = self._alarms.first_due()
        return None if next_us is None else now_us + max(0, next_us - passed_us)

    def hold(self) -> None:
        """Start nothing more of what waits: no followers, no retries."""
        self._holding = True

    def release(self) -> None:
        """Go on after :meth:`hold`, and after :meth:`close`."""
        self._holding = self._closing = False
        with self._lock:
            ids = list(self._behind)
        for job_id in ids:
            self._start_followers(job_id)

    def close(self) -> None:
        """Take nothing more: what waits behind runs under way is cancelled, nothing is retried."""
        self._closing = True
        with self._lock:
            ids = list(self._behind)
        for job_id in ids:
            self._drop_followers(job_id, Outcome.CANCELLED)

    def job_paused(self, job_id: str) -> None:
        """End the runs of a job that have not begun; but for those made by hand, and retries."""
        self._drop_followers(job_id, Outcome.PAUSED)
        self._drop_queued(
            job_id, Outcome.PAUSED, lambda run: run.awaited is None and run.attempt == 1
        )

    def _drop_followers(self, job_id: str, outcome: Outcome) -> None:
        """End the runs that wait for others of their job, with *outcome*."""
        if not self._behind:
            return
        with self._lock:
            dropped = self._behind.pop(job_id, ())
            if job_id in self._live and not self._live[job_id]:
                self._none_live(job_id)
            for run in dropped:
                run.cancelled = True
                self._history.add(record_of(run, outcome, self._now_us()))
        for run in dropped:
            self.teller.cancelled(run)

    def _drop_queued(self, job_id: str, outcome: Outcome, which: Callable[[Run], bool]) -> None:
        """End the runs that wait for a worker, with *outcome*."""
        with self._lock:
            queued = [run for run in self._live.get(job_id, ()) if run.started_us is None]
        for run in queued:
            if which(run):
                self._give_up(run, outcome, say=False)

    def cancel(self, run_id: int) -> None:
        """Give up a run, whether it waits or is under way.

        Raises:
            RunLookupError: if no run with this id waits or is under way.
        """
        for run in self.live():
            # In this order: one that stops waiting in between is under way then, and given up.
            if run.id == run_id and (
                self._drop_waiting(run) or self._give_up(run, Outcome.CANCELLED)
            ):
                return
        raise RunLookupError(run_id)

    def cancel_waiting(self) -> None:
        """Call off every run that has not begun."""
        waiting = [run for run in self.live() if run.started_us is None]
        called_off = sum(self._give_up(run, Outcome.CANCELLED, say=False) for run in waiting)
        self.teller.many_cancelled(called_off)

    def live(self) -> list[Run]:
        """Return the runs that are under way, or wait: for a worker, a retry, or one another."""
        with self._lock:
            both = (*self._live.values(), *self._behind.values())
            return [run for runs in both for run in runs]

    def waiting(self) -> dict[str, float]:
        """Return for how many seconds the oldest run waits for a worker, by executor."""
        now_us = self._passed_us()
        longest: dict[str, float] = {}
        for run in self.live():
            queued_us = run.queued_us
            if queued_us is not None and run.started_us is None:
                name = run.job.options.executor
                longest[name] = max(longest.get(name, 0.0), (now_us - queued_us) / SECOND)
        return longest

    def wait_until_idle(self, timeout: float | None) -> bool:
        """Block until there are no such runs, or *timeout* seconds are over; say which."""
        patience = Patience(timeout)
        while True:
            waker = Waker()
            with self._lock:
                if not any(self._live.values()):
                    return True
                self._waiting_for_idle.append(waker)
            left = patience.left()
            if not waker.sleep(-1 if left is None else left):
                return False

    # The ledger

    def records(self, job_id: str | None = None) -> list[RunRecord]:
        """Return the outcomes kept of one job, or of all, the latest first."""
        with self._lock:
            return self._history.records(job_id)

    def counts(self, job_id: str | None = None) -> Mapping[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        with self._lock:
            return self._history.counts(job_id)

    def recall(self, record: RunRecord) -> None:
        """Record an outcome that another process did not live to record."""
        with self._lock:
            self._history.add(record)

    def job_added(self, job_id: str) -> None:
        """Note that there is a job with this id (again)."""
        if self._leaving or self._history.removed:
            with self._lock:
                self._leaving.discard(job_id)
                self._history.job_added(job_id)

    def job_removed(self, job_id: str) -> None:
        """End the runs of a job that is taken out which have not begun; see :meth:`job_gone`."""
        self._drop_followers(job_id, Outcome.CANCELLED)
        self._drop_queued(job_id, Outcome.CANCELLED, lambda _: True)
        self.teller.forget(job_id)
        self.job_gone(job_id)

    def job_gone(self, job_id: str) -> None:
        """Note that there is no such job; its history ages once its last run has ended."""
        with self._lock:
            if job_id in self._live:
                self._leaving.add(job_id)
            else:
                self._history.job_removed(job_id)

    # Inside

    def _close(self, run: Run, record: RunRecord) -> bool:
        """Record how *run* ended and free its slot, once; False if that was done before."""
        # Each run comes by here once; with what it calls, 0.9 us.
        job_id = run.job_id
        with self._lock:
            live = self._live.get(job_id)
            if live is None or run not in live:
                return False
            live.remove(run)
            self._history.add(record)
            if self.witness is not None:
                self.witness.ended(run)
            if run.id in self._alarms.due:
                self._alarms.drop(run)
            if not live and job_id not in self._behind:
                self._none_live(job_id)
        if run.awaited is not None:
            run.settle(record)
        if self._behind:
            self._start_followers(job_id)
        return True

    def _start_followers(self, job_id: str) -> None:
        """Submit runs that waited for others of their job, as far as there is room now."""
        followers: list[Run] = []
        with self._lock:
            behind = self._behind.get(job_id)
            if behind is None or self._holding:
                return
            live = self._live.setdefault(job_id, [])
            while behind and len(live) < behind[0].job.options.max_instances:
                followers.append(behind.popleft())
                live.append(followers[-1])
            if not behind:
                del self._behind[job_id]
        for run in followers:
            self.submit(run.job.options.executor, (run,))

    def _none_live(self, job_id: str) -> None:
        del self._live[job_id]
        if job_id in self._leaving:
            self._leaving.discard(job_id)
            self._history.job_removed(job_id)
        if self._waiting_for_idle and not self._live:
            while self._waiting_for_idle:
                self._waiting_for_idle.pop().wake()

    def _give_up(self, run: Run, outcome: Outcome, say: bool = True) -> bool:
        """End *run* whatever it is doing: it is recorded, its slot is free, and it is told."""
        run.cancelled = True
        if not self._close(run, record_of(run, outcome, self._now_us())):
            return False
        if run.started_us is not None:
            try:
                self._executors[run.job.options.executor].abandon(run)
            except BaseException as error:  # noqa: BLE001 — logged; the run is given up all the same
                name = run.job.options.executor
                self._log.error("executor %r failed to give up a run", name, error=error)
        self.teller.given_up(run, outcome, say)
        return True

    def _fail(self, run: Run, error: BaseException) -> None:
        if self._close(run, record_of(run, Outcome.FAILED, self._now_us(), error=error)):
            self.teller.failed(run, error)

    def _now_us(self) -> int:
        """Return the time; the computer's own if the scheduler's clock fails."""
        try:
            return self._clock.now_us()
        except BaseException as error:  # noqa: BLE001 — a run must end all the same
            self._log.error("the clock failed", error=error)
            return SystemClock().now_us()

    def _passed_us(self) -> int:
        """Return microseconds that passed; real ones if the scheduler's clock fails."""
        try:
            return self._clock.monotonic_us()
        except BaseException:  # noqa: BLE001 — whoever asks it for the time next says so
            return passing_us()

    def _drop_waiting(self, run: Run) -> bool:
        """Cancel a run that waits behind another of its job; False if it does not any more."""
        with self._lock:
            behind = self._behind.get(run.job_id)
            if behind is None or run not in behind:
                return False
            behind.remove(run)
            if not behind:
                del self._behind[run.job_id]
            self._history.add(record_of(run, Outcome.CANCELLED, self._now_us()))
        self.teller.cancelled(run)
        return True

    def _try_again(self, run: Run, error: BaseException, delay_us: int) -> None:
        self._set_alarm(run, delay_us, again=True)
        self.teller.tried_again(run, error)

    def _set_alarm(self, run: Run, delay_us: int, again: bool = False) -> None:
        with self._lock:
            if run not in self._live.get(run.job_id, ()):
                return
            if again:
                run.attempt += 1
                run.started_us = run.queued_us = None
            self._alarms.set(run, self._clock.monotonic_us() + delay_us)
        self.expect(self._now_us() + delay_us)

    def _skip(self, job: Job, due: Sequence[int]) -> None:
        """Record and tell fire times that come to nothing because of runs under way."""
        if not due:  # the only one waits behind them
            return
        late_us = max(0, self._now_us() - due[0])
        with self._lock:
            self._history.add(
                RunRecord(
                    None, job.id, Outcome.SKIPPED, due[0], late_us=late_us, occurrences=len(due)
                )
            )
            live = len(self._live.get(job.id, ()))
        self.teller.skipped(job, due, crowded=live < job.options.max_instances)


def _room(job: Job, live: Sequence[Run]) -> int:
    """Return how many more runs of a job may be let in beside those that are."""
    room = job.options.max_instances - len(live)
    if room > 0 and len(live) >= MOST_WAITING:
        room = min(room, MOST_WAITING - sum(run.started_us is None for run in live))
    return room
