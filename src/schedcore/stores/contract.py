"""The contract of a store, which owns the jobs, their places, the open runs and the history.

At every moment each due time of each job is in exactly one of three places: *to come* (the job's
place in the schedule), *open* (a :class:`~schedcore.run.Run` that waits or is active), or *ended*
(the history, with one outcome).  Each method here is one transaction that keeps this true: it moves
due times completely, or not at all.

Times are integer microseconds since the Unix epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from schedcore.changes.audit import Actor, AuditRecord
from schedcore.history.query import EVERYTHING, RunQuery
from schedcore.history.totals import Totals
from schedcore.output.text import Kept
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.base import (
    Change,
    Decision,
    Declared,
    Ended,
    Entry,
    Executors,
    Otherwise,
    Settled,
    Slot,
    Written,
)
from schedcore.stores.ends import End
from schedcore.stores.positions import Happened
from schedcore.stores.run_requests import Backfill, Opened, RunRequest

if TYPE_CHECKING:
    from typing_extensions import Self


class Batch(Protocol):
    """Taken jobs, which belong to this process until they are settled or given back.

    A context manager: leaving it without :meth:`settle` gives them back, as if none was taken.
    """

    @property
    def slots(self) -> Sequence[Slot]:
        """The jobs, earliest due first."""
        ...

    def settle(self, decided: Sequence[Decision], now_us: int) -> Settled:
        """Write the new places, the runs that start or wait, and the outcomes of the others.

        :func:`schedcore.admission.admit` decides here how many start, by the counts of this moment.
        A decision about a job that was changed or removed since it was taken is void, and so are
        all decisions after :meth:`give_back`.

        Args:
            decided: The decision about each of :attr:`slots`, in their order.
            now_us: The present.
        """
        ...

    def give_back(self) -> None:
        """Give back jobs that were not settled.

        Called by another thread if the one that took the batch is blocked.
        """
        ...

    def __enter__(self) -> Batch: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class GivenBack(ABC):
    """Makes a batch a context manager as the contract has it."""

    @abstractmethod
    def give_back(self) -> None:
        """Give back jobs that were not settled."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()


class Store(Protocol):
    """Stores jobs, open runs and outcomes.  Thread-safe; on disk, also safe between processes.

    A store may keep values only: jobs, places, open runs by number, records.  Two things are
    objects of this process, which a store cannot share:

    A *job* whose definition did not change is the same object each time that it is read, if the
    store can: so the engine distinguishes a job that has moved on from one that was changed.

    A *run* is one object from :meth:`Batch.settle` or :meth:`open` to its end.  Only the engine
    writes that it has begun (``run._started_us``).  The store writes on it, once the transaction is
    made: ``_waits``; ``_backlog`` on each of several due times that were let in together, or after
    such; ``_hurry`` if others wait for its place; how it ended or that it is retried
    (:mod:`~schedcore.stores.ends`); and ``_cancelled`` on what it evicts, or ends before it has
    begun.
    What has not begun it withdraws first (``run.withdraw()``), so that it does not begin meanwhile;
    a transaction that is not made gives that back (``run.may_begin()``).
    """

    # Jobs

    def write(
        self, changes: Sequence[Change | Entry], now_us: int, by: Actor | None = None
    ) -> Written:
        """Make all of *changes*, or none: compare-and-set; an entry alone is a job to be added.

        A change that removes, pauses or replaces a job ends those of its runs that have not begun:
        as cancelled, or as paused (except those that :meth:`open` opened, which still run); a run
        that waits for its next attempt, as failed, with its last error.  Runs that have begun
        continue, and are not retried (:meth:`retry`).  A change whose new entry is the old one only
        compares.

        Args:
            changes: The changes.
            now_us: The present.
            by: Who orders them, for the audit; None: nobody, and it records nothing.
        """
        ...

    def declare(
        self,
        app: str | None,
        declared: Sequence[Declared],
        now_us: int,
        otherwise: Otherwise = "change",
        by: Actor | None = None,
    ) -> list[Entry]:
        """Match jobs that *app* declares with the stored ones, by id.

        A job with the same fingerprint keeps its place, its pause state, and its changes since; a
        different definition replaces the old one, and stays paused if that was; a new job is added,
        unless it existed before and had its last fire time.  A stored job with the same id that was
        not declared is replaced.

        Args:
            app: The declaring app; :meth:`retire` leaves the jobs of other apps alone.  None: the
                jobs are added, and adding an identical job again changes nothing.
            declared: Some of its jobs, no id twice.
            now_us: The present.
            otherwise: What to do about a job with the same id and another definition.
            by: The actor for the audit; None: no records.

        Returns:
            The jobs that are stored now, in the order of *declared*.

        Raises:
            ConflictingIdError: if an id is taken by another definition, and *otherwise* refuses
                that: then nothing is changed.
        """
        ...

    def retire(
        self, app: str, declared: Collection[str], now_us: int, by: Actor | None = None
    ) -> list[str]:
        """Park jobs that *app* declared before and no longer declares.

        They are paused, with the reason in ``broken``; declared again, they continue.

        Args:
            app: Who declares.
            declared: The ids of all its jobs.
            now_us: The present.
            by: As for :meth:`declare`.

        Returns:
            The ids of the jobs that were parked.
        """
        ...

    def get(self, job_id: str) -> Entry:
        """Return one job.

        Raises:
            JobLookupError: if there is none with this id.
        """
        ...

    def entries(self) -> list[Entry]:
        """Return all jobs, earliest due first, paused ones last."""
        ...

    def page(self, after: str, limit: int) -> list[Entry]:
        """Return up to *limit* jobs whose ids come after *after* (``""``: all), in their order."""
        ...

    def changes(self, since: object) -> tuple[object, Sequence[str] | None]:
        """Return the current version, and the ids of the jobs that changed after another version.

        A version stays the same while :meth:`entries` returns the same; None: not known.  If it is
        read before the entries, it is never newer than they are.

        Args:
            since: A version that this returned; None: any.

        Returns:
            The version, and the ids of what was stored, changed or removed after *since*, which
            may name one job several times; None in their place where they are not known.
        """
        ...

    # The schedule

    def take(self, now_us: int, limit: int, executors: Executors = None) -> Batch:
        """Take up to *limit* due jobs, earliest first.

        Args:
            now_us: The present: jobs that are due now are taken.
            limit: Maximum number of jobs.
            executors: Names of this process's executors, and how many of their jobs to take at
                most; or only the names; None: any.  A store from which one process takes all jobs
                may ignore it; others leave the rest to other processes.
        """
        ...

    def next_due(self, executors: Collection[str] | None = None) -> int | None:
        """Return when the first job is due that :meth:`take` would give, or None.

        Args:
            executors: As in :meth:`take`: a job of other executors wakes nobody here.
        """
        ...

    # Runs

    def open(self, requests: Sequence[RunRequest], due_us: int) -> list[Opened]:
        """Open runs of jobs outside their schedules, or record them as skipped.

        The caller may wait for the returned runs.

        Args:
            requests: The requested runs, each of a different job.
            due_us: The due time of all: now.

        Returns:
            The result of each, in order.
        """
        ...

    def backfill(
        self, request: Backfill, note: AuditRecord
    ) -> tuple[Sequence[Run], Sequence[Run]] | None:
        """Open a run of a job for each of its past due times, or none at all.

        Args:
            request: The job and the due times.
            note: The record for the audit.

        Returns:
            Runs that start, and runs that wait behind them.  None: some of the times are no longer
            :meth:`left <Backfill.left>` to run, by the current contents of the store.

        Raises:
            JobLookupError: if the job was removed.
            MaxInstancesError: if too many runs of it would wait.
        """
        ...

    def end(self, ends: deque[End], promote: bool) -> Ended:
        """Move runs to the history; each is recorded once, by the first report.

        Args:
            ends: Recorded ends are removed from the left.
            promote: Whether runs that waited may start in the places that become free.
        """
        ...

    def promote(self) -> Ended:
        """Start the waiting runs for which there is room."""
        ...

    def retry(self, failed: End, act_us: int) -> bool:
        """Let a failed run wait for its next attempt.

        Args:
            failed: How the last attempt ended.
            act_us: When the next one is due; if this process has died by then, another one may take
                it (:meth:`Cluster.adopt <schedcore.stores.cluster.Cluster.adopt>`).

        Returns:
            False if no attempt follows: the run has ended meanwhile, or its job was paused, removed
            or replaced since it was opened.
        """
        ...

    def try_again(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Begin the next attempt of waiting runs in this process.

        Returns:
            Those that are still open, to be submitted.
        """
        ...

    def runs(self) -> list[Run]:
        """Return the open runs, in the order in which they were opened."""
        ...

    # The history: outcomes, each kept once, and counts of all of them

    def records(self, query: RunQuery = EVERYTHING) -> list[RunRecord]:
        """Return the stored outcomes that *query* selects, in its order."""
        ...

    def kept(self, query: RunQuery, most: int) -> int:
        """Return how many outcomes *query* selects in total, at most *most*.

        Counting a million takes longer than a user waits for a page of a list.
        """
        ...

    def tally(self, query: RunQuery, slice_us: int, most: int) -> dict[tuple[int, Outcome], int]:
        """Return how many outcomes *query* selects, by slices of due time and by outcome.

        Args:
            query: The selection.
            slice_us: The length of a slice; number 0 begins at the Unix epoch.
            most: The maximum number to count: those that were due last.
        """
        ...

    def ended_after(self, position: str | None, limit: int) -> tuple[str, list[RunRecord]]:
        """Return outcomes in commit order, each once.

        Uncommitted outcomes of others come later, never before the returned position.

        Args:
            position: The position after which to return outcomes; None, or a position of another or
                an earlier store: nothing is returned.
            limit: The maximum number.

        Returns:
            The position to continue from, and the outcomes.  Its text is opaque, and can be stored.

        Raises:
            InvalidOptionError: if *position* is not a position.
        """
        ...

    def keeps_after(self, position: str) -> bool:
        """Return whether everything after a position is stored, or was until now.

        False: some outcomes were deleted since then, or the position is of another store, or of
        one whose restored backup ends before it.

        Raises:
            InvalidOptionError: if *position* is not a position.
        """
        ...

    def find(self, run_id: int) -> Run | RunRecord | None:
        """Return an open run, or its record; None: it is unknown, or no longer stored."""
        ...

    def counts(self, job_id: str | None) -> dict[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        ...

    def totals(self, job_ids: Collection[str]) -> Totals:
        """Return the totals of all occurrences ever, and of those of some jobs."""
        ...

    def output(self, run_id: int) -> Kept:
        """Return the stored output of a run; empty if there is none.

        A store writes ``run._output`` with the end of a run, and removes it from the run; a shared
        store also writes it every second.
        """
        ...

    # The audit, and the feed of outcomes and changes

    def note(self, records: Sequence[AuditRecord]) -> None:
        """Add records to the audit that belong to no other call; the store numbers them."""
        ...

    def audit(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return the stored changes, the latest first.

        Args:
            job_id: Only those of this job; None: those of all jobs and of the scheduler.
            since_us: Only those since this time; None: all.
            before: Only those with a lower number; None: all.
            limit: The maximum number.
        """
        ...

    def happened_after(self, position: str | None, limit: int) -> Happened:
        """Return outcomes and changes in commit order.

        Args:
            position: The position after which to return them; None: nothing is returned.
            limit: The maximum number.

        Raises:
            InvalidOptionError: if *position* is not a position.
        """
        ...

    def close(self) -> None:
        """Release open resources, such as files; the jobs stay."""
        ...
