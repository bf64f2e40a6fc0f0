"""The history: the last outcomes, bounded, and counts of all of them."""

from __future__ import annotations

from collections.abc import Iterable

from schedcore.errors import whole
from schedcore.run import Outcome, Run, RunRecord, record_of

Counts = dict[Outcome, int]

TROUBLES = 5
"""Outcomes other than ``executed`` that are kept of each job however many successes followed."""


class History:
    """The last outcomes of each job and of all jobs together, as the memory store keeps them.

    An ended run is kept as it is, and made into a record when somebody reads.
    Not thread-safe: its owner holds a lock.

    Args:
        per_job: How many outcomes of one job are kept.  Of those before them, so many that its
            last 5 that were not ``executed`` are.
        overall: How many outcomes of all jobs are kept.
        removed_jobs: Of how many removed jobs the outcomes are kept.

    Attributes:
        removed: The removed jobs whose outcomes are kept, in the order of their removal.

    Raises:
        InvalidOptionError: if a bound is not a whole number of 1 or more.
    """

    def __init__(self, per_job: int = 20, overall: int = 10_000, removed_jobs: int = 1_000) -> None:
        self._per_job = whole("per_job", per_job)
        self._overall = whole("overall", overall)
        self._most = self._overall + max(1, self._overall // 10)  # to cut one by one costs more
        self._removed_jobs = whole("removed_jobs", removed_jobs)
        # Lists that are cut now and then: a deque takes 624 bytes before its first record.  What
        # is cut off is counted then, so that a run pays for two appends: 0.2 us.
        self._all: list[Run | RunRecord] = []
        self._jobs: dict[str, list[Run | RunRecord]] = {}
        self._troubles: dict[str, list[Run | RunRecord]] = {}
        # Of all records before this place, and of those that were cut off.
        self._counted = 0
        self._counts: Counts = {}
        self._cut_of_job: dict[str, Counts] = {}
        self.removed: dict[str, None] = {}

    def add(self, record: Run | RunRecord) -> None:
        """Keep a run that has ended, or a record, and count its occurrences."""
        records = self._all
        records.append(record)
        if len(records) > self._most:
            self._count_all()
            del records[: -self._overall]
            self._counted = self._overall
        job_id = record[1] if isinstance(record, RunRecord) else record._job_id
        if job_id not in self._jobs:
            self._jobs[job_id] = [record]
            return
        records = self._jobs[job_id]
        records.append(record)
        if len(records) > 2 * self._per_job:
            cut = records[: -self._per_job]
            _count(cut, self._cut_of_job.setdefault(job_id, {}))
            troubles = _troubles(self._troubles.get(job_id, []) + cut)
            if troubles:
                self._troubles[job_id] = troubles
            del records[: -self._per_job]

    def records(self, job_id: str | None = None) -> list[RunRecord]:
        """Return the outcomes kept of one job, or of all, the latest first."""
        kept = (
            self._latest_of(job_id) if job_id is not None else self._all[: -self._overall - 1 : -1]
        )
        return [record if isinstance(record, RunRecord) else record_of(record) for record in kept]

    def _latest_of(self, job_id: str) -> list[Run | RunRecord]:
        """Return the outcomes kept of one job: its last ones, and its last troubles before them."""
        records = self._jobs.get(job_id, [])
        latest = records[: -self._per_job - 1 : -1]
        missing = TROUBLES - len(_troubles(latest))
        if missing <= 0:
            return latest
        before = _troubles(self._troubles.get(job_id, []) + records[: -self._per_job])
        return latest + before[: -missing - 1 : -1]

    def counts(self, job_id: str | None = None) -> Counts:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        if job_id is None:
            self._count_all()
            return dict(self._counts)
        return _count(self._jobs.get(job_id, ()), dict(self._cut_of_job.get(job_id, {})))

    def _count_all(self) -> None:
        _count(self._all[self._counted :], self._counts)
        self._counted = len(self._all)

    def job_removed(self, job_id: str) -> None:
        """Note that a job was removed: its outcomes stay until enough others are removed too."""
        self.removed.pop(job_id, None)
        self.removed[job_id] = None
        if len(self.removed) > self._removed_jobs:
            oldest = next(iter(self.removed))
            del self.removed[oldest]
            self._jobs.pop(oldest, None)
            self._troubles.pop(oldest, None)
            self._cut_of_job.pop(oldest, None)

    def job_added(self, job_id: str) -> None:
        """Note that there is a job with this id (again)."""
        self.removed.pop(job_id, None)


def _troubles(records: Iterable[Run | RunRecord]) -> list[Run | RunRecord]:
    """Return the last of *records* that tell of something other than a success."""
    return [record for record in records if record.outcome is not Outcome.EXECUTED][-TROUBLES:]


def _count(records: Iterable[Run | RunRecord], counts: Counts) -> Counts:
    """Add the occurrences of *records* to *counts*, and return it."""
    for record in records:
        outcome = record.outcome
        assert outcome is not None
        counts[outcome] = counts.get(outcome, 0) + record.occurrences
    return counts
