"""The ledger: a bounded memory of outcomes, and counters that are never lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from schedcore.errors import whole
from schedcore.run import Outcome, RunRecord


class _JobHistory:
    __slots__ = ("counts", "recent")

    def __init__(self) -> None:
        # A list that is cut now and then: a deque takes 624 bytes before its first record.
        self.recent: list[RunRecord] = []
        self.counts: dict[Outcome, int] = {}


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
        self._all: deque[RunRecord] = deque(maxlen=whole("overall", overall))
        self._jobs: dict[str, _JobHistory] = {}
        self._removed: dict[str, None] = {}
        self._counts: dict[Outcome, int] = {}

    def add(self, record: RunRecord) -> None:
        """Remember *record*, and count the occurrences it stands for."""
        outcome, count = record.outcome, record.occurrences
        self._all.append(record)
        self._counts[outcome] = self._counts.get(outcome, 0) + count
        job = self._jobs.get(record.job_id)
        if job is None:
            job = self._jobs[record.job_id] = _JobHistory()
        job.counts[outcome] = job.counts.get(outcome, 0) + count
        job.recent.append(record)
        if len(job.recent) > 2 * self._per_job:
            del job.recent[: -self._per_job]

    def records(self, job_id: str | None = None) -> list[RunRecord]:
        """Return the outcomes kept of one job, or of all, the latest first."""
        if job_id is None:
            return list(reversed(self._all))
        job = self._jobs.get(job_id)
        return [] if job is None else job.recent[: -self._per_job - 1 : -1]

    def counts(self, job_id: str | None = None) -> Mapping[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        if job_id is None:
            return dict(self._counts)
        job = self._jobs.get(job_id)
        return {} if job is None else dict(job.counts)

    def job_removed(self, job_id: str) -> None:
        """Note that a job is gone: its outcomes stay until enough others are gone too."""
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
