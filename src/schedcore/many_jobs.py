"""The methods of a scheduler for many jobs at a time: all of them or, after an error, none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schedcore.errors import ConflictingIdError, InvalidOptionError
from schedcore.handle import JobHandle
from schedcore.job_methods import JobMethods
from schedcore.stores.base import Entry


class ManyJobs(JobMethods):
    """Adds many jobs in one transaction of the store."""

    def add_jobs(
        self, jobs: Iterable[Mapping[str, Any]], replace_existing: bool = False
    ) -> list[JobHandle]:
        """Add many jobs: all of them or, after an error, none.

        Args:
            jobs: For each, the arguments of :meth:`add_job` by name, as in
                ``{"func": report, "trigger": "cron", "hour": 6, "id": "report"}``.
            replace_existing: Whether to replace jobs that have these ids.

        Raises:
            ConflictingIdError: if there is a job with one of the ids and *replace_existing* is
                false, or two of *jobs* have the same.
            InvalidOptionError: as :meth:`add_job` does.
        """
        given = list(jobs)
        entries = [self._drafted(job) for job in given]
        ids = [entry.job.id for entry in entries]
        if len(set(ids)) < len(ids):
            raise ConflictingIdError(max(ids, key=Counter(ids).__getitem__))
        stored: Sequence[Entry] = entries
        if self._declarations is not None:
            stored = self._reconciled(self._declarations, entries, given, replace_existing)
        else:
            self._engine.changes.add(entries, replace_existing)
        for entry in stored:
            self._added(entry.job)
        self._expect(min((e.due_us for e in stored if e.due_us is not None), default=None))
        return [JobHandle(self, entry) for entry in stored]

    # Inside

    def _drafted(self, given: Mapping[str, Any]) -> Entry:
        """Return the entry that arguments of :meth:`add_job` by name describe."""
        if "func" not in given:
            raise InvalidOptionError("jobs", given, 'a "func" in each job')
        for option in given:
            if not isinstance(option, str):
                raise InvalidOptionError("jobs", given, f"names of options, and not {option!r}")
        return self.draft_job(**given)
