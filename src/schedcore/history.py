"""The ledger: a bounded memory of outcomes, and counters that are never lost."""

from __future__ import annotations

from collections.abc import Mapping

from schedcore.errors import whole
from schedcore.run import Outcome, RunRecord


class _Recent:
    """The last records of a series, and the counts of all of them."""

    __slots__ = ("_counted", "_counts", "_full", "_keep", "_records")

    def __init__(self, keep: int) -> None:
        # A list that is cut now and then: a deque takes 624 bytes before its first record.
        self._records: list[RunRecord] = []
        self._keep = keep
        self._full = keep + min(keep, 1_000)
        # Counted when they are cut, or asked for: a run pays for one append, 0.05 us.
        self._counted = 0
        self._counts: dict[Outcome, int] | None = None

    def add(self, record: RunRecord) -> None:
        self._records.append(record)
        if len(self._records) >= self._full:
            self.counts()
            del self._records[: -self._keep]
            self._counted = self._keep

    def latest_first(self) -> list[RunRecord]:
        return self._records[: -self._keep - 1 : -1]

    def counts(self) -> dict[Outcome, int]:
        counts = self._counts
        if counts is None:
            counts = self._counts = {}
        for record in self._records[self._counted :]:
            counts[record.outcome] = counts.get(record.outcome, 0) + record.occurrences
        self._counted = len(self._records)
        return counts


class History:
    """The last outcomes of each job and of all jobs together.

    Not thread-safe: its owner holds a lock.

    Args:
        per_job: How many outcomes of one job are kept.
        overall: How many outcomes of all jobs are kept.
        removed_jobs: For how many jobs that are gone their outcomes are still kept.

    Raises:
        InvalidOptionError: if a bound is not a whole number of 1 or more.
    """

    def __init__(self, per_job: int = 20, overall: int = 10_000, removed_jobs: int = 1_000) -> None:
        self._per_job = whole("per_job", per_job)
        self._removed_jobs = whole("removed_jobs", removed_jobs)
        self._all = _Recent(whole("overall", overall))
        self._jobs: dict[str, _Recent] = {}
        self._removed: dict[str, None] = {}

    def add(self, record: RunRecord) -> None:
        """Remember *record*, and count the occurrences it stands for."""
        self._all.add(record)
        job = self._jobs.get(record.job_id)
        if job is None:
            job = self._jobs[record.job_id] = _Recent(self._per_job)
        job.add(record)

    def records(self, job_id: str | None = None) -> list[RunRecord]:
        """Return the outcomes kept of one job, or of all, the latest first."""
        series = self._all if job_id is None else self._jobs.get(job_id)
        return [] if series is None else series.latest_first()

    def counts(self, job_id: str | None = None) -> Mapping[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        series = self._all if job_id is None else self._jobs.get(job_id)
        return {} if series is None else dict(series.counts())

    def job_removed(self, job_id: str) -> None:
        """Note that a job is gone: its outcomes stay until enough others are gone too."""
        if job_id not in self._jobs:
            return
        self._removed.pop(job_id, None)
        self._removed[job_id] = None
        if len(self._removed) > self._removed_jobs:
            oldest = next(iter(self._removed))
            del self._removed[oldest]
            self._jobs.pop(oldest, None)

    @property
    def remembers_removed(self) -> bool:
        """Whether any job is gone whose outcomes are still kept."""
        return bool(self._removed)

    def job_added(self, job_id: str) -> None:
        """Note that there is a job with this id (again)."""
        self._removed.pop(job_id, None)
