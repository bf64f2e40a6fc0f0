"""The history: the last outcomes, bounded, and counts of all of them."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from itertools import chain, islice

from schedcore.errors import whole
from schedcore.history.query import EVERYTHING, RunQuery, bounded, due_us_of
from schedcore.history.totals import Histogram, JobTotals, Totals, add_totals, measure
from schedcore.run import Outcome, Run, RunRecord, record_of

Counts = dict[Outcome, int]

TROUBLES = 5
"""Outcomes other than ``executed`` that are kept of each job however many successes followed."""


class History:
    """The last outcomes of each job and of all jobs together, in the memory store.

    An ended run is stored as it is, and converted to a record when somebody reads it. Not
    thread-safe: its owner holds a lock.

    Args:
        per_job: How many outcomes of one job to keep, and older ones until its last 5 that were not
            ``executed`` are included.
        overall: How many outcomes of all jobs to keep.
        removed_jobs: For how many removed jobs to keep outcomes.

    Attributes:
        removed: The removed jobs whose outcomes are stored, in the order of their removal.
        cut: How many of the first outcomes were deleted.

    Raises:
        InvalidOptionError: if a bound is not a whole number of 1 or more.
    """

    def __init__(self, per_job: int = 20, overall: int = 10_000, removed_jobs: int = 1_000) -> None:
        self._per_job = whole("per_job", per_job)
        self._overall = whole("overall", overall)
        self._most = self._overall + max(1, self._overall // 10)  # to cut one by one costs more
        self._removed_jobs = whole("removed_jobs", removed_jobs)
        self._most_removed = self._removed_jobs + max(1, self._removed_jobs // 10)
        # The first _filed of all are counted, and filed by job; the others are when somebody reads,
        # or the list is cut: a run pays for one append (0.5 us less), and a burst makes no lists.
        self._all: list[Run | RunRecord] = []
        self._filed = 0
        self.cut = 0
        # Lists that are cut now and then: a deque takes 624 bytes before its first record.
        self._jobs: dict[str, list[Run | RunRecord]] = {}
        self._troubles: dict[str, list[Run | RunRecord]] = {}
        self._counts: Counts = {}
        self._cut_of_job: dict[str, JobTotals] = {}
        self._took, self._late = Histogram(), Histogram()
        # Its first is found at once, also after many first ones were taken out of it.
        self.removed: OrderedDict[str, None] = OrderedDict()

    def __repr__(self) -> str:
        return (
            f"History(per_job={self._per_job}, overall={self._overall},"
            f" removed_jobs={self._removed_jobs})"
        )

    def add(self, record: Run | RunRecord) -> None:
        """Store a run that has ended, or a record, and count its occurrences."""
        records = self._all
        records.append(record)
        if len(records) > self._most:
            self._file()
            cut = max(0, self._filed - self._overall)
            del records[:cut]
            self._filed -= cut
            self.cut += cut

    def _file(self) -> None:
        """Count the latest records, file them by job, and forget those of jobs gone for long."""
        end = len(self._all)  # a finalizer may add to it in between
        latest = self._all[self._filed : end]
        self._filed = end
        _count(latest, self._counts)
        measure(latest, self._took, self._late)
        jobs, most = self._jobs, 2 * self._per_job
        for record in latest:
            job_id = record._job_id if type(record) is Run else record.job_id
            of_job = jobs.get(job_id)
            if of_job is None:
                jobs[job_id] = [record]
                continue
            of_job.append(record)
            if len(of_job) > most:
                self._cut(job_id, of_job)
        while len(self.removed) > self._removed_jobs:
            oldest, _ = self.removed.popitem(last=False)
            jobs.pop(oldest, None)
            self._troubles.pop(oldest, None)
            self._cut_of_job.pop(oldest, None)

    def _cut(self, job_id: str, records: list[Run | RunRecord]) -> None:
        """Delete the records of one job except its last ones, and its last failures before them."""
        cut = records[: -self._per_job]
        others = add_totals(cut, self._cut_of_job.setdefault(job_id, {}))
        if others:
            self._troubles[job_id] = _troubles(self._troubles.get(job_id, []) + others)
        del records[: -self._per_job]

    def records(self, query: RunQuery = EVERYTHING) -> list[RunRecord]:
        """Return the stored outcomes that *query* selects."""
        kept = self._kept(query)
        if not kept:  # as of a job that is new, which is looked at as soon as it is added
            return []
        if query.before is not None:
            kept = kept[_behind(kept, query.before) :]
        end = None if query.limit is None else bounded(query.offset + query.limit)
        found = islice(filter(query.matches, kept), bounded(query.offset), end)
        return [record if isinstance(record, RunRecord) else record_of(record) for record in found]

    def kept(self, query: RunQuery, most: int) -> int:
        """Return how many outcomes *query* selects in total, at most *most*."""
        return sum(1 for _ in islice(filter(query.matches, self._kept(query)), bounded(most)))

    def tally(self, query: RunQuery, slice_us: int, most: int) -> dict[tuple[int, Outcome], int]:
        """Return how many outcomes *query* selects, by slices of due time and by outcome."""
        found = sorted(filter(query.matches, self._kept(query)), key=due_us_of, reverse=True)
        return Counter(
            (due_us_of(each) // slice_us, each.outcome)
            for each in found[:most]
            if each.outcome is not None
        )

    def _kept(self, query: RunQuery) -> Sequence[Run | RunRecord]:
        """Return the outcomes kept of one job, or of all, in the order asked for."""
        self._file()
        if query.job_id is not None:
            kept = self._latest_of(query.job_id)
        else:
            kept = self._all[: -self._overall - 1 : -1]
        return sorted(kept, key=due_us_of, reverse=True) if query.by_time else kept

    def _latest_of(self, job_id: str) -> list[Run | RunRecord]:
        """Return the stored outcomes of one job: the last ones, and the last failures."""
        records = self._jobs.get(job_id)
        if records is None:
            return []
        latest = records[: -self._per_job - 1 : -1]
        missing = TROUBLES - len(_troubles(latest))
        if missing <= 0:
            return latest
        before = _troubles(self._troubles.get(job_id, []) + records[: -self._per_job])
        return latest + before[: -missing - 1 : -1]

    @property
    def end(self) -> int:
        """Number of outcomes so far, deleted ones included."""
        return self.cut + len(self._all)

    def after(self, number: int, limit: int) -> list[RunRecord]:
        """Return outcomes in their order, after the first *number*: :attr:`cut` or more."""
        first = number - self.cut
        return [
            record if isinstance(record, RunRecord) else record_of(record)
            for record in self._all[first : first + limit]
        ]

    def find(self, run_id: int) -> RunRecord | None:
        """Return the outcome of a run, if it is stored; else None."""
        found = _find(run_id, reversed(self._all))
        if found is None:  # among the last ones of a job that runs seldom, maybe
            self._file()
            # Copies: a signal handler may add a job's first outcome in between.
            of_jobs = *self._jobs.values(), *self._troubles.values()
            found = _find(run_id, chain.from_iterable(of_jobs))
        return record_of(found) if isinstance(found, Run) else found

    def counts(self, job_id: str | None = None) -> Counts:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        self._file()
        if job_id is None:
            return dict(self._counts)
        return {outcome: total.n for outcome, total in self._totals(job_id).items()}

    def totals(self, job_ids: Iterable[str]) -> Totals:
        """Return the totals of all occurrences, and of those of some jobs."""
        self._file()
        jobs = {job_id: of_job for job_id in job_ids if (of_job := self._totals(job_id))}
        return Totals(dict(self._counts), jobs, self._took.copy(), self._late.copy())

    def _totals(self, job_id: str) -> JobTotals:
        totals = dict(self._cut_of_job.get(job_id, {}))
        add_totals(self._jobs.get(job_id, []), totals)
        return totals

    def job_removed(self, job_id: str) -> None:
        """Note that a job was removed: its outcomes stay until enough others are removed too."""
        removed = self.removed
        removed[job_id] = None
        removed.move_to_end(job_id)
        if len(removed) > self._most_removed:
            self._file()

    def job_added(self, job_id: str) -> None:
        """Note that there is a job with this id (again)."""
        self.removed.pop(job_id, None)


def _id_of(record: Run | RunRecord) -> int | None:
    return record.run_id if isinstance(record, RunRecord) else record.id


def _find(run_id: int, records: Iterable[Run | RunRecord]) -> Run | RunRecord | None:
    return next((each for each in records if _id_of(each) == run_id), None)


def _behind(kept: Sequence[Run | RunRecord], run_id: int) -> int:
    """Return the place behind a run; if it is not there, that of the first one made before it."""
    older = None
    for place, record in enumerate(kept):
        found = _id_of(record)
        if found == run_id:
            return place + 1
        if older is None and found is not None and found < run_id:
            older = place
    return len(kept) if older is None else older


def _troubles(records: Iterable[Run | RunRecord]) -> list[Run | RunRecord]:
    """Return the last of *records* that are not successes."""
    return [record for record in records if record.outcome is not Outcome.EXECUTED][-TROUBLES:]


def _count(records: Sequence[Run | RunRecord], counts: Counts) -> None:
    """Add the occurrences of *records* to *counts*."""
    runs = Counter([each._outcome for each in records if type(each) is Run])
    for outcome, count in runs.items():
        assert outcome is not None
        counts[outcome] = counts.get(outcome, 0) + count
    for each in records if runs.total() < len(records) else ():
        if isinstance(each, RunRecord):
            counts[each.outcome] = counts.get(each.outcome, 0) + each.occurrences
