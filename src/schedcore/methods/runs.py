"""The methods of a scheduler for runs: start one now, read them, cancel one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import schedcore  # for hints: names that it imports only when they are asked for
from schedcore import triggers
from schedcore.changes.changing import Check
from schedcore.clock import Deadline
from schedcore.errors import (
    InvalidOptionError,
    RunLookupError,
    SchedError,
    check_timeout,
    did_you_mean,
    whole,
)
from schedcore.history.query import RunQuery
from schedcore.history.totals import Totals
from schedcore.job import check_label
from schedcore.lifetime.health import State
from schedcore.lifetime.lifecycle import Lifecycle
from schedcore.methods.run_now import run_each, run_now
from schedcore.run import Outcome, Run, RunRecord
from schedcore.running.nested import NestedWaits
from schedcore.running.runs import Runs

if TYPE_CHECKING:
    from schedcore.lifetime.node import Node
    from schedcore.methods.typed_calls import TypedJobMethods as JobMethods
else:
    from schedcore.methods.many_jobs import ManyJobs as JobMethods


class RunMethods(JobMethods):
    """The runs of a scheduler, on top of its jobs.

    :class:`~schedcore.Scheduler` is one, and makes the parts that it works with.
    """

    _runs: Runs
    _life: Lifecycle
    _nested: NestedWaits
    if TYPE_CHECKING:  # whoever resolves the hints of the class does not know that name
        _node: Node | None

    def run_job(
        self,
        job_id: str,
        wait: bool = True,
        timeout: float | None = None,
        check: Check | None = None,
        *,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Run:
        """Run a job now, outside its schedule, even while it is paused.

        Args:
            job_id: Which job.
            wait: Whether to wait until it has ended.  A run may wait for another one, unless it
                occupies the last worker that could run that: for example in a coroutine, for
                another coroutine.
            timeout: Maximum number of seconds to wait; None: until it has ended.
            check: Called with the current job, which is the one that runs; if it raises, the job
                does not run.
            args: Positional arguments for this run only; None: those of the job.
            kwargs: Keyword arguments for this run only; None: those of the job.
            key: Text of 1 to 255 characters that makes repeated calls safe: for a day, the same key
                for the same job returns the same run, in any process of its store, whatever the
                other arguments are.

        Returns:
            The run; its ``record`` contains the outcome, and is None if it has not ended.

        Raises:
            JobLookupError: if there is no job with this id.
            InvalidOptionError: if the last worker of the job's executor calls this and would wait
                without a *timeout*; or if the function cannot be called with these arguments.
            MaxInstancesError: if ``max_instances`` runs of it are active, or too many wait.
            RunEndedError: if the run of *key* has ended, and is no longer in the history.
            SchedulerNotRunningError: if the scheduler is not started.
        """
        check_timeout(timeout)
        call = {
            name: given for name, given in (("args", args), ("kwargs", kwargs)) if given is not None
        }
        _check_key(key)
        self._check_started()
        # Its worker may need what an interrupted call holds.
        if not wait or self._life.interrupts_itself():
            return run_now(self._engine, job_id, check, call, key)
        deadline = Deadline(timeout)
        with self._nested.waiting(check, for_ever=timeout is None) as check_both:
            run = run_now(self._engine, job_id, check_both, call, key)
            run.wait(deadline.left())
        return run

    def run_jobs(
        self, job_ids: Iterable[str], check: Check | None = None, *, key: str | None = None
    ) -> dict[str, Run | SchedError]:
        """Run many jobs now, like :meth:`run_job` without waiting, in few transactions.

        Each runs separately: one that cannot run does not prevent the others.

        Args:
            job_ids: Which jobs.
            check: As for :meth:`run_job`; if it raises a SchedError, that job does not run.
            key: As for :meth:`run_job`, for each job.

        Returns:
            The run of each job by its id, or the error that says why there is none.

        Raises:
            JobLookupError: if there is no job with one of the ids: then none is run.
            SchedulerNotRunningError: if the scheduler is not started.
        """
        _check_key(key)
        self._check_started()
        return run_each(self._engine, self._read_all(job_ids), check, key)

    def backfill(
        self,
        job_id: str,
        since: date | str,
        until: date | str | None = None,
        *,
        again: bool = False,
        check: Callable[[Sequence[int]], object] | None = None,
    ) -> list[int]:
        """Run a job for past due times, for example those of an outage.

        Each run is for one due time, its ``scheduled``, whatever ``misfire_grace_time`` and
        ``coalesce`` say; its cause is ``"backfill"``.  At most ``max_instances`` are active, the
        others wait, and pausing or removing the job ends those that wait.  They count as active for
        new due times, so ``overlap`` and ``coalesce`` decide about those.

        A paused job runs too, and stays paused.  A due time that its schedule will still handle,
        since the scheduler is paused or about to take it, is left to the schedule.

        Args:
            job_id: Which job.
            since: Due at this time or later; without a zone, in that of the scheduler.
            until: Due before this time; None, or a future time: up to now.
            again: Whether due times run again whose run was executed (as far as the history reaches
                back) or is open.
            check: Called with the due times in microseconds since the Unix epoch, oldest first; if
                it raises, none of them runs.

        Returns:
            The ids of the runs, oldest first, for :meth:`get_run`.

        Raises:
            JobLookupError: if there is no job with this id.
            InvalidOptionError: if a date is invalid, or there are more than 1,000 due times.
            MaxInstancesError: if too many runs of it would wait.
            JobChangedError: if other runs of the job kept changing which of these times are left.
            SchedulerNotRunningError: if the scheduler is not started.
        """
        from schedcore.methods.backfill import (
            Span,
            backfill,
        )  # seldom needed, and brings combined triggers

        now_us = self._clock.now_us()
        since_us, until_us = self._moment_us("since", since), self._moment_us("until", until)
        if since_us is None:
            raise InvalidOptionError("since", since, "a date and time")
        last_us = now_us + 1 if until_us is None else min(until_us, now_us + 1)
        if since_us >= last_us:
            raise InvalidOptionError("since", since, "a moment before until, and before now")
        self._life.loop_or_error()
        return backfill(self._engine, job_id, Span(since_us, last_us), again, check)

    def _check_started(self) -> None:
        """Raise SchedulerNotRunningError unless it is started, perhaps just now by another one."""
        if self._node is not None and self._life.state is State.STOPPED:
            self._node.catch_up()
        self._life.loop_or_error()

    # What happened

    def history(
        self,
        job_id: str | None = None,
        limit: int | None = None,
        *,
        outcomes: Outcome | str | Collection[Outcome | str] | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        before: int | None = None,
        offset: int = 0,
    ) -> list[RunRecord]:
        """Return recorded outcomes, newest first.

        The newest is the last one recorded; with *since* or *until*, the one with the latest due
        time.

        Args:
            job_id: Of which job; None: of all.
            limit: Maximum number; None: all that the store keeps.
            outcomes: Which outcomes: one or several, as text or members of Outcome; None: any.
            since: Due then or later; without a zone, in that of the scheduler.
            until: Due before then.
            before: The id of a run: only outcomes after it, in this order.  If that run is no
                longer stored, those from the first older run on.
            offset: How many to skip.

        Raises:
            InvalidOptionError: if there is no such outcome, or a date or a number is invalid.
        """
        if limit is not None:
            whole("limit", limit, 0)
        if before is not None:
            _check_run_id(before, "before")
        whole("offset", offset, 0)
        query = RunQuery(
            job_id,
            _outcomes(outcomes),
            self._moment_us("since", since),
            self._moment_us("until", until),
            before,
            limit,
            offset,
        )
        return self.records(query)

    def records(self, query: RunQuery) -> list[RunRecord]:
        """Return the recorded outcomes that *query* selects: :meth:`history` in microseconds."""
        return self._runs.settled().records(query)

    def kept(self, query: RunQuery, most: int) -> int:
        """Return how many outcomes *query* selects, ignoring its position; at most *most*."""
        return self._runs.settled().kept(query, most)

    def tally(self, query: RunQuery, slice_us: int, most: int) -> dict[tuple[int, Outcome], int]:
        """Return how many outcomes *query* selects, by slices of due time and by outcome.

        Args:
            query: Which ones, in all its parts.
            slice_us: Length of a slice in microseconds; number 0 begins at the Unix epoch.
            most: Maximum number of outcomes to count: those with the latest due times.
        """
        return self._runs.settled().tally(query, slice_us, most)

    def _moment_us(self, option: str, value: date | str | None) -> int | None:
        if value is None:
            return None
        return triggers.moment_us(option, value, triggers.zone_of(self.timezone))

    def last_runs(self, job_id: str) -> schedcore.LastRuns:
        """Return how the last runs of a job went: the last outcome, failures in a row, durations.

        Also for a removed job, as long as its outcomes are stored.
        """
        from schedcore.history.last_runs import MOST_RECORDS, last_runs

        return last_runs(self.records(RunQuery(job_id, limit=MOST_RECORDS)))

    def counts(self, job_id: str | None = None) -> Mapping[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        return self._runs.settled().counts(job_id)

    def totals(self, job_ids: Collection[str] = ()) -> Totals:
        """Return counts of all occurrences ever, and how long and how late runs were.

        Args:
            job_ids: Jobs for which to return separate counts.
        """
        return self._runs.settled().totals(job_ids)

    def runs(self) -> list[Run]:
        """Return the open runs: waiting behind others, for a worker or a retry, or running."""
        return self._runs.open()

    def get_run(self, run_id: int) -> Run | RunRecord | None:
        """Return a run that is open, or the record of how it ended.

        None: there is none with this id, or its record is no longer stored.

        Raises:
            InvalidOptionError: if *run_id* is not a number.
        """
        _check_run_id(run_id)
        return self._runs.settled().find(run_id)

    def output(self, run_id: int, after: int = 0) -> schedcore.Output:
        """Return what a run has printed and logged, and the tracebacks of its exceptions.

        At most 64 Ki characters are stored: the first 32 Ki, and the last ones.  Without
        ``capture_output``, the scheduler stores nothing.

        Args:
            run_id: Which run; it may be waiting, active, or ended.
            after: How many characters the caller already has: ``next`` of the previous output.

        Raises:
            RunLookupError: if no run with this id is open or stored.
            InvalidOptionError: if *after* is not from 0 to the number of characters there are.
        """
        run = self.get_run(run_id)  # first: if it had ended by then, its output is complete
        if run is None:
            raise RunLookupError(run_id)
        output = self._engine.store.output(run_id)
        return output.since(after, ended=run.outcome is not None)

    def cancel(self, run_id: int) -> None:
        """End a run early: it is recorded as cancelled, and another run may take its place.

        A waiting run does not begin.  A coroutine is cancelled.  A function in a thread cannot be
        stopped: it can check ``current_run().cancelled``, and its result is ignored.

        Raises:
            RunEndedError: if it has ended.
            RunLookupError: if no run with this id is known.
            InvalidOptionError: if *run_id* is not a number.
        """
        _check_run_id(run_id)
        run = self._runs.cancel(run_id)
        self._engine.audit.note("cancelled", run.job_id, run_id)


def _check_run_id(run_id: object, option: str = "run_id") -> None:
    """Raise for what is no id: as text, as the API has them, it would be found nowhere."""
    if not isinstance(run_id, int):
        raise InvalidOptionError(option, run_id, "a number, the id of a run: run.id")


def _check_key(key: str | None) -> None:
    if key is not None:
        check_label("key", key)


def _outcomes(
    given: Outcome | str | Collection[Outcome | str] | None,
) -> frozenset[Outcome] | None:
    """Return outcomes by name.

    Raises:
        InvalidOptionError: if there is none of that name.
    """
    if given is None:
        return None
    known = {outcome.value: outcome for outcome in Outcome}
    named = [given] if isinstance(given, str) else given
    for name in named:
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise InvalidOptionError("outcomes", name, f"one of {', '.join(known)}{hint}")
    return frozenset(Outcome(name) for name in named)
