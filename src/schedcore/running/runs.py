"""The open runs: submitted, recorded once when they end, retried, cancelled, timed out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, SystemClock, passing_us
from schedcore.errors import RunEndedError, RunLookupError, is_interrupt
from schedcore.events import EVENT_JOB_EXECUTED, EVENT_JOB_SUBMITTED
from schedcore.executors.base import Executor, Reporter
from schedcore.job import Job
from schedcore.run import Outcome, Run, named
from schedcore.running.announce import Announcer
from schedcore.running.capacity import longest_waits
from schedcore.running.failures import Failures
from schedcore.running.idle import IdleWaits
from schedcore.running.outbox import Outbox
from schedcore.running.reports import DeferredReports, Reports
from schedcore.running.timers import Timer, Timers
from schedcore.stores.ends import End, end_of, end_of_waiting

if TYPE_CHECKING:
    from schedcore.output.capture import StreamCapture
    from schedcore.retry import RandomSource
    from schedcore.stores.cluster import Cluster
    from schedcore.stores.contract import Store
    from schedcore.stores.sql_remote import RemoteRuns

_SHUTDOWN = "since the scheduler was shut down"
MOST_ENDS = 256
"""Maximum number of noted ends: more would cost the garbage collector more than a lock."""


class Runs:
    """Follows each open run to its outcome.  Thread-safe.

    Executors report to :attr:`reporter`.  An end that nothing waits for is only noted, without a
    lock.  :meth:`settle` records all noted ends in the store: the next step calls it, and so do
    readers of the history, and a worker that has nothing more to do.

    Args:
        store: Stores open runs and the history.
        executors: By name.
        announce: Logs and emits what became of them.
        clock: Gives the times at which they begin and end.
        random: Source of the jitter of retries.
        log: Logger of what fails.

    Attributes:
        expect: Called with the time, in microseconds, at which to call :meth:`check_timers`.
        wake: Called to request a call of :meth:`settle` soon.
        reporter: Receives the reports of executors.
        capture: Captures the output of runs; None: nothing does.
        closing: Whether no more runs begin or are retried, since the scheduler is shutting down.
    """

    def __init__(
        self,
        store: Store,
        executors: dict[str, Executor],
        announce: Announcer,
        clock: Clock,
        random: RandomSource,
        log: GuardedLogger,
    ) -> None:
        self._store = store
        self._executors = executors
        self._announce = announce
        self._clock = clock
        self._log = log
        self.expect: Callable[[int], None] = lambda _due_us: None
        self.wake: Callable[[], None] = lambda: None
        # On one, an end is written at once, or it is lost with the process; many share one wait.
        self._cluster: Cluster | None = getattr(store, "cluster", None)
        self.remote: RemoteRuns | None = getattr(store, "remote", None)
        reports = Reports(self, self._cluster, announce, random)
        self._check_free: Callable[[], None] = getattr(store, "check_free", lambda: None)
        self._deferred = None if self._cluster is None else DeferredReports(reports, self)
        self.reporter: Reporter = self._deferred or reports
        self._timers = Timers()
        self.capture: StreamCapture | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._ends: deque[End] = deque()
        self._failures = Failures(self._retry, self._log)
        self._outboxes: dict[str, Outbox] = {}
        self._idle = IdleWaits()
        self._kept: deque[Run] = deque()
        self._holding = self.closing = False

    def after_fork_in_child(self) -> None:
        """Forget the runs: they are the parent's."""
        self._timers.clear()
        self._begin_anew()

    # To the executors

    def submit(self, runs: Sequence[Run]) -> None:
        """Hand runs that were started to their executors."""
        if not runs:
            return
        by_executor: dict[str, list[Run]] = {}
        queued_us = self._passed_us()
        for run in runs:
            job = run._job
            if job is not None:  # else it was cancelled meanwhile
                run._queued_us = queued_us
                by_executor.setdefault(job[5][0], []).append(run)
        if self.closing:
            self._give_up(runs)
            return
        # All are put before any is sent: an executor that blocks holds up its own runs alone.
        outboxes = [self._outbox(name) for name in by_executor]
        for outbox, together in zip(outboxes, by_executor.values(), strict=True):
            outbox.put(together)
        # And all are sent before any is announced: a listener that blocks holds up no run.
        handed = [pair for outbox in list(self._outboxes.values()) for pair in outbox.send()]
        self._announce.submitted(handed)

    def _outbox(self, name: str) -> Outbox:
        outbox = self._outboxes.get(name)
        if outbox is None:
            outbox = self._outboxes.setdefault(name, Outbox(partial(self._hand_over, name)))
        return outbox

    def _hand_over(self, name: str, runs: Sequence[Run]) -> Sequence[tuple[Run, Job]]:
        """Give runs to their executor; return those to announce."""
        handed: list[tuple[Run, Job]] = []
        if self._announce.wants(EVENT_JOB_SUBMITTED):
            handed = [(run, run._job) for run in runs if run._job is not None]
        try:
            self._executors[name].submit(runs, self.reporter)
        except BaseException as error:
            now_us = self.now_us()
            for run in runs:
                self.report(end_of(run, Outcome.FAILED, now_us, error=error))
            if is_interrupt(error):
                raise
            return ()
        return handed

    # What becomes of them

    def note(self, end: End) -> None:
        """Note an end, to be recorded with others; without a lock: each run passes here."""
        ends = self._ends
        ends.append(end)
        hurries = end[0]._hurry or len(ends) >= MOST_ENDS or self._idle.wakers
        if hurries or self._announce.wants(EVENT_JOB_EXECUTED):
            self._record_or_wake(self.settle, end)
        elif self._cluster is not None:
            self.expect(end[3])

    def report(self, end: End, log: bool = True) -> None:
        """Record one end now, or as soon as the store can."""
        self._record_or_wake(partial(self.end_now, end, log), end)

    def _record_or_wake(self, record: Callable[[], object], end: End) -> None:
        """Record an end that is noted; raise nothing, or its executor would report it as lost."""
        try:
            record()
        except Exception as error:  # noqa: BLE001 — a store of the user's own may raise anything
            text = "the end of %r could not be recorded yet: %s"
            self._log.warning(text, end.run, error, fields=named(end.run))
            self.wake()

    def retry(self, failed: End, delay_us: int) -> None:
        """Record that a run failed, and is to be retried, once the store can do that."""
        if not self._failures.retry(failed, delay_us):
            self.wake()

    def _retry(self, failed: End, delay_us: int) -> None:
        """Let a failed run wait for its next attempt, or end it if there is none."""
        if self._store.retry(failed, failed.ended_us + delay_us):
            if self.capture is not None:
                self.capture.tried_again(failed.run)
            if self.closing:
                self._give_up((failed.run,))
            else:
                left_us = max(0, failed.ended_us + delay_us - self.now_us())
                self.set_timer(failed.run, left_us, times_out=False)
            self._announce.retried(failed)
        else:
            self.report(failed)  # its job was paused or removed meanwhile; or it has ended before

    def may_not_begin(self, run: Run) -> None:
        """Submit a run again later that a shared store did not allow to begin yet."""
        if self._cluster is not None:
            self._kept.append(run)

    def settle(self) -> None:
        """Record the noted ends in the store, and submit the runs that waited for them.

        Errors of the store are raised; the ends stay noted, and are recorded the next time.
        """
        if self._deferred is not None:
            self._check_free()
            self._deferred.make()
        self._failures.record()
        if self._ends:
            self._record(self._ends)

    def end_now(self, end: End, log: bool = True) -> bool:
        """Record one end now; False: the run had ended before."""
        one = deque((end,))
        try:
            self.settle()
            return self._record(one, log)
        finally:
            if one:  # the store failed
                self._ends.extend(one)
                self.wake()

    def _record(self, ends: deque[End], log: bool = True) -> bool:
        may_promote = not (self._holding or self.closing)
        recorded, followers, due_us = self._store.end(ends, may_promote)
        self.submit(followers)
        if due_us is not None:
            self.expect(due_us)
        self.recorded(recorded, log)
        return bool(recorded)

    def recorded(self, ends: Sequence[End], log: bool = True) -> None:
        """Handle recorded ends: timers, abandoned workers, events."""
        plain = not self._announce.wants(EVENT_JOB_EXECUTED)
        for end in ends:
            run = end[0]
            if plain and end[2] is Outcome.EXECUTED and run._timer is None:
                continue
            if run._timer is not None:
                self._timers.drop(run)
            if end[2] is Outcome.EXECUTED:
                if self._announce.wants(EVENT_JOB_EXECUTED):
                    self._announce.ended(end)
                continue
            if run._cancelled and end.job is not None:
                self._abandon(run, end.job)
            self._announce.ended(end, log)
        self._wake_if_idle()

    def _wake_if_idle(self) -> None:
        if self._idle.wakers and not self._here(self._store.runs()):
            self._idle.wake()

    # Retries, time-outs, cancelling

    def check_timers(self, now_us: int) -> int | None:
        """Submit due retries, and time out runs that took too long.

        Returns:
            When to call again, in microseconds since the Unix epoch, or None.
        """
        if not len(self._timers):
            return None
        passed_us = self._clock.monotonic_us()
        due = self._timers.pop_due(passed_us)
        try:
            self._act_on(due, passed_us)
        except BaseException:  # the store is away, say: what was not done is due again
            for timer in due:
                run = timer.run
                if timer.applies() and run._timer is None and run._outcome is None:
                    self._timers.set(run, passed_us + SECOND, timer.times_out)
            raise
        next_us = self._timers.first_due()
        return None if next_us is None else now_us + max(0, next_us - passed_us)

    def _act_on(self, due: Sequence[Timer], passed_us: int) -> None:
        """Time out or retry runs."""
        retries: list[Run] = []
        for timer in due:
            run = timer.run
            if not timer.applies():
                continue
            if timer.times_out:
                job = run._job
                reason = None if job is None else f"timeout is {job.timeout:g} s"
                self.end_early(run, Outcome.TIMED_OUT, reason)
            elif self._holding or self.closing:
                self._timers.set(run, passed_us + SECOND, times_out=False)
            else:
                retries.append(run)
        if retries:
            self.submit(self._store.try_again(retries))

    def set_timer(self, run: Run, delay_us: int, times_out: bool) -> None:
        """Have :meth:`check_timers` time a run out, or try it again, after so many microseconds."""
        self._timers.set(run, self._clock.monotonic_us() + delay_us, times_out)
        if run._outcome is not None:  # it ended just before
            self._timers.drop(run)
        self.expect(self.now_us() + delay_us)

    def end_early(self, run: Run, outcome: Outcome, reason: str | None, log: bool = True) -> bool:
        """End *run* early, in any state; return False if it had ended before."""
        self.settle()
        before = getattr(run, "_reason", None)
        run._reason = outcome, reason
        run._cancelled = True
        if self.end_now(end_of(run, outcome, self.now_us()), log):
            return True
        if before is not None:
            run._reason = before  # for which it had ended
        return False

    def _abandon(self, run: Run, job: Job) -> None:
        """Let the executor free the worker of a run that was ended early."""
        name = job.options.executor
        try:
            executor = self._executors[name]
            # Of one whose workers begin runs by themselves, it is not known yet.
            if run._started_us is not None or hasattr(executor, "find"):
                executor.abandon(run)
        except BaseException as error:  # noqa: BLE001 — logged; the run is ended all the same
            text = "executor %r failed to abandon a run"
            self._log.error(text, name, error=error, fields=named(run))

    def cancel(self, run_id: int) -> Run:
        """Cancel a run, whether it waits or is active; return it.

        Raises:
            RunEndedError: if it has ended.
            RunLookupError: if no run with this id is known.
        """
        found = self.settled().find(run_id)
        reason = _SHUTDOWN if self.closing else "on request"  # whoever stops it cancels the rest
        if isinstance(found, Run) and self.end_early(found, Outcome.CANCELLED, reason):
            return found
        if found is None:
            raise RunLookupError(run_id)
        raise RunEndedError(run_id)

    def open(self) -> list[Run]:
        """Return the open runs: waiting behind others, for a worker or a retry, or running."""
        self.settle()
        return self._store.runs()

    def here(self) -> list[Run]:
        """Return the open runs of this process: not those of others, nor waiting ones."""
        return self._here(self.open())

    def _here(self, runs: list[Run]) -> list[Run]:
        if self._cluster is None:  # all are of this process
            return runs
        return [run for run in runs if run._queued_us is not None]

    def settled(self) -> Store:
        """Return the store with all noted ends recorded, to read its history."""
        self.settle()
        return self._store

    def waiting(self) -> dict[str, float]:
        """Return for how many seconds the oldest run waits for a worker, by executor."""
        return longest_waits(self.open(), self._passed_us())

    def hold(self) -> None:
        """Start no run that waits behind another or for a retry."""
        self._holding = True

    def reopen(self, held: bool = False) -> None:
        """Continue after :meth:`hold`, and after :meth:`close`; call :meth:`promote` then.

        Args:
            held: Whether to hold as :meth:`hold` does.
        """
        self._holding, self.closing = held, False

    def promote(self) -> None:
        """Start waiting runs for which there is room, unless starting is on hold."""
        if self._holding or self.closing:
            return
        _, runs, due_us = self._store.promote()
        self.submit(runs)
        if due_us is not None:
            self.expect(due_us)

    def dropped(self, ends: Sequence[End]) -> None:
        """Abandon runs that others ended; running ones that were recorded as lost continue."""
        for end in ends:
            self._timers.drop(end.run)
            if end.job is not None and end.outcome is not Outcome.LOST:
                self._abandon(end.run, end.job)
        self._wake_if_idle()

    def begin_kept(self) -> None:
        """Submit runs again that could not begin while this process's lease had expired."""
        while self._kept:
            self.submit((self._kept.popleft(),))

    def close(self) -> None:
        """Accept no more: cancel the runs that wait behind others, and retry nothing.

        On a shared store, these are left to other processes.
        """
        self.closing = True
        if self._cluster is not None:
            return
        for run in self.open():
            if run._waits and run.withdraw():
                self.end_early(run, Outcome.CANCELLED, _SHUTDOWN, log=False)

    def cancel_waiting(self) -> None:
        """Cancel every run that has not begun; on a shared store, leave it to others.

        Runs that cluster workers have begun are left to others as well.
        """
        runs = self.open()
        if self._cluster is None:
            runs = [run for run in runs if run._started_us is None]
        self._give_up(runs)

    def _give_up(self, runs: Sequence[Run]) -> None:
        """Cancel runs that have not begun; on a shared store, leave them to others."""
        if self._cluster is not None:
            self._cluster.hand_back(runs, self.now_us())
            return
        cancelled = sum(run.withdraw() and self._cancel_withdrawn(run) for run in runs)
        self._announce.many_cancelled(cancelled)

    def _cancel_withdrawn(self, run: Run) -> bool:
        """End a run at a shutdown; return whether as cancelled: a retry's last attempt failed."""
        if run._error_type is None:
            return self.end_early(run, Outcome.CANCELLED, _SHUTDOWN, log=False)
        run._cancelled = True
        self.end_now(end_of_waiting(run, Outcome.FAILED, self.now_us()))
        return False

    def wait_until_idle(self, timeout: float | None) -> bool:
        """Block until no run is open, or *timeout* seconds have passed; return whether none is."""
        return self._idle.wait(lambda: not self.here(), timeout)

    def _passed_us(self) -> int:
        """Return the monotonic time in microseconds; real time if the scheduler's clock fails."""
        try:
            return self._clock.monotonic_us()
        except BaseException:  # noqa: BLE001 — whoever reads it next logs it
            return passing_us()

    def now_us(self) -> int:
        """Return the time; the computer's if the scheduler's clock fails."""
        try:
            return self._clock.now_us()
        except BaseException as error:  # noqa: BLE001 — a run must end all the same
            self._log.error("the clock failed", error=error)
            return SystemClock().now_us()
