"""The methods of a scheduler for many jobs at once: all of them or, after an error, none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from schedcore.changes.changing import Check, checked
from schedcore.errors import ConflictingIdError, InvalidOptionError, JobLookupError
from schedcore.methods.arguments import paused
from schedcore.methods.handle import JobHandle
from schedcore.methods.jobs import JobMethods
from schedcore.stores.base import Entry


class ManyJobs(JobMethods):
    """Adds, pauses, resumes and removes many jobs, each time in one transaction of the store."""

    def add_jobs(
        self, jobs: Iterable[Mapping[str, Any]], replace_existing: bool = False
    ) -> list[JobHandle]:
        """Add many jobs: all of them or, after an error, none.

        Args:
            jobs: For each, the arguments of :meth:`add_job` by name, as in
                ``{"func": report, "trigger": "cron", "hour": 6, "id": "report"}``.
            replace_existing: Whether to replace jobs that have these ids.

        Raises:
            ConflictingIdError: if a job with one of the ids exists and *replace_existing* is false,
                or two of *jobs* have the same id.
            InvalidOptionError: as :meth:`add_job` does.
        """
        given = list(jobs)
        entries = [self._drafted(job) for job in given]
        if self._declarations is None:
            return self.add_entries(entries, replace_existing)
        _check_ids(entries)
        stored = self._reconciled(self._declarations, entries, given, replace_existing)
        return self._all_added(stored, replace_existing)

    def add_entries(self, entries: Sequence[Entry], replace: bool = False) -> list[JobHandle]:
        """Add jobs that :meth:`draft_job` returned: all of them or, after an error, none.

        Args:
            entries: The jobs.
            replace: Whether to replace jobs that have these ids.

        Raises:
            ConflictingIdError: as :meth:`add_jobs` does.
        """
        _check_ids(entries)
        self._engine.changes.add(entries, replace)
        return self._all_added(entries, replace)

    def pause_jobs(self, job_ids: Iterable[str], check: Check | None = None) -> list[JobHandle]:
        """Pause many jobs, as :meth:`pause_job` does: all of them or, after an error, none.

        ``scheduler.pause_jobs(job.id for job in scheduler.get_jobs() if "billing" in job.tags)``

        Args:
            job_ids: Which jobs.
            check: Called with each current job; if it raises, no job is changed.

        Raises:
            JobLookupError: if there is no job with one of the ids.
        """
        return self._change_all(job_ids, checked(check, paused))

    def resume_jobs(self, job_ids: Iterable[str], check: Check | None = None) -> list[JobHandle]:
        """Resume many jobs, as :meth:`resume_job` does: all of them or, after an error, none.

        Args:
            job_ids: Which jobs.
            check: As for :meth:`pause_jobs`.

        Raises:
            JobLookupError: if there is no job with one of the ids.
            InvalidTriggerError: if the trigger of one has no fire time left.
        """
        return self._change_all(job_ids, checked(check, self._factory.resumed))

    def remove_jobs(self, job_ids: Iterable[str], check: Check | None = None) -> None:
        """Remove many jobs, as :meth:`remove_job` does: all of them or, after an error, none.

        Args:
            job_ids: Which jobs.
            check: As for :meth:`pause_jobs`.

        Raises:
            JobLookupError: if there is no job with one of the ids.
        """
        self._engine.changes.remove_each(self._read_all(job_ids), check)

    # Inside

    def _drafted(self, given: Mapping[str, Any]) -> Entry:
        """Return the entry that arguments of :meth:`add_job` by name describe."""
        if not isinstance(given, Mapping):
            raise InvalidOptionError("jobs", given, 'a list of mappings: [{"func": report}, ...]')
        if "func" not in given:
            raise InvalidOptionError("jobs", given, 'a "func" in each job')
        for option in given:
            if not isinstance(option, str):
                raise InvalidOptionError("jobs", given, f"names of options, and not {option!r}")
        return self.draft_job(**given)

    def _all_added(self, entries: Sequence[Entry], replaces: bool) -> list[JobHandle]:
        for entry in entries:
            self._added(entry.job, replaces)
        self._expect_all(entries)
        return [JobHandle(self, entry) for entry in entries]

    def _read_all(self, job_ids: Iterable[str]) -> list[Entry]:
        """Return the current jobs, each once.

        Raises:
            InvalidOptionError: if *job_ids* is one id.
            JobLookupError: if there is no job with one of the ids.
        """
        if isinstance(job_ids, str):
            raise InvalidOptionError("job_ids", job_ids, "several ids, as in a list")
        # One list, which is cached: a database would be queried for each job.
        there = {entry.job.id: entry for entry in self._entries.items()}
        try:
            return [there[job_id] for job_id in dict.fromkeys(job_ids)]
        except KeyError as error:
            raise JobLookupError(error.args[0]) from None

    def _change_all(
        self, job_ids: Iterable[str], change: Callable[[Entry], Entry]
    ) -> list[JobHandle]:
        def named(entry: Entry) -> Entry:
            try:
                return change(entry)
            except InvalidOptionError as error:
                option = f"jobs[{entry.job.id!r}].{error.option}"
                raise type(error)(option, error.value, error.expected) from None

        changes = self._engine.changes.change_all(self._read_all(job_ids), named)
        return [JobHandle(self, entry) for entry in self._all_changed(changes)]


def _check_ids(entries: Iterable[Entry]) -> None:
    """Raise ConflictingIdError if two jobs have the same id."""
    ids = [entry.job.id for entry in entries]
    if len(set(ids)) < len(ids):
        raise ConflictingIdError(max(ids, key=Counter(ids).__getitem__))
