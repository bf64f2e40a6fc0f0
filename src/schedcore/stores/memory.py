"""The store in memory: a dict and the due queue under one lock."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from operator import attrgetter

from schedcore.errors import ConflictingIdError, JobLookupError
from schedcore.forks import Lock, hold_while_forking
from schedcore.heap import DueQueue
from schedcore.stores.base import Entry, Swap


class MemoryStore:
    """Keeps jobs as long as the process lives.  Follows :class:`~schedcore.stores.base.Store`.

    An entry is its own version: entries are immutable, so one that is still the very object that
    was read has not been changed.  It is filed in the due queue itself, and stands there for as
    long as it is the one that the dict has for its id.
    """

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may run a finalizer here that removes a job.
        self._lock = threading.RLock()
        entries: dict[str, Entry] = {}
        self._entries = entries
        self._queue: DueQueue[Entry] = DueQueue(lambda e, _due: entries.get(e.job.id) is e)
        self._changes = 0
        hold_while_forking(self)

    def data_lock(self) -> Lock:
        """Return the lock that guards all of it."""
        return self._lock

    def add(self, entries: Sequence[Entry], replace: bool) -> None:
        """Store new jobs, all or none; see :meth:`Store.add <schedcore.stores.base.Store.add>`."""
        if len(entries) != 1:
            self._add_many(entries, replace)
            return
        (entry,) = entries  # by far the most frequent
        job, due_us = entry.job, entry.due_us
        known = self._entries
        with self._lock:
            replaced = known.get(job.id)
            if replaced is not None:
                if not replace:
                    raise ConflictingIdError(job.id)
                if replaced.due_us is not None:
                    self._queue.discard(replaced, replaced.due_us)
            self._changes += 1
            known[job.id] = entry
            if due_us is not None:
                self._queue.put(entry, due_us)
        # Here at the earliest may what was replaced be freed: its finalizers may want the lock.

    def _add_many(self, entries: Sequence[Entry], replace: bool) -> None:
        new = {entry.job.id: entry for entry in entries}  # of two with one id, the last
        known = self._entries
        with self._lock:
            replaced = [known[job_id] for job_id in new if job_id in known]
            if not replace:
                if replaced:
                    raise ConflictingIdError(replaced[0].job.id)
                if len(new) < len(entries):
                    raise ConflictingIdError(_twice(entries))
            self._changes += 1
            known.update(new)
            self._queue.put_many([(e, e.due_us) for e in new.values() if e.due_us is not None])
            for old in replaced:
                if old.due_us is not None:
                    self._queue.discard(old, old.due_us)

    def get(self, job_id: str) -> Entry:
        """Return one job; raises JobLookupError."""
        # One look into a dict needs no lock.
        entry = self._entries.get(job_id)
        if entry is None:
            raise JobLookupError(job_id)
        return entry

    def entries(self) -> list[Entry]:
        """Return all jobs: the earliest due first, paused ones last."""
        with self._lock:
            entries = list(self._entries.values())
        # Sorted outside of the lock: 10,000 entries take 2 ms.
        due = [entry for entry in entries if entry.due_us is not None]
        due.sort(key=_due_us)
        if len(due) < len(entries):
            due += [entry for entry in entries if entry.due_us is None]
        return due

    def version(self) -> int:
        """Return how often something was stored, changed or removed so far."""
        return self._changes

    def swap(self, changes: Sequence[Swap]) -> list[bool]:
        """Replace each entry that is still as it was read; tell for each whether it was."""
        if len(changes) == 1:
            return [self._swap_one(*changes[0])]
        known = self._entries
        done: list[bool] = []
        due: list[tuple[Entry, int]] = []
        with self._lock:
            self._changes += 1
            for old, new in changes:
                job_id = old.job.id
                if known.get(job_id) is not old:
                    done.append(False)
                    continue
                done.append(True)
                if old.due_us is not None:
                    self._queue.discard(old, old.due_us)
                if new is None:
                    del known[job_id]
                    continue
                known[job_id] = new
                if new.due_us is not None:
                    due.append((new, new.due_us))
            self._queue.put_many(due)
        return done

    def _swap_one(self, old: Entry, new: Entry | None) -> bool:
        """Do for a single change what :meth:`swap` does for a batch: 0.6 us instead of 1.1."""
        known, job_id = self._entries, old.job.id
        with self._lock:
            if known.get(job_id) is not old:
                return False
            self._changes += 1
            if old.due_us is not None:
                self._queue.discard(old, old.due_us)
            if new is None:
                del known[job_id]
            else:
                known[job_id] = new
                if new.due_us is not None:
                    self._queue.put(new, new.due_us)
        return True

    def remove(self, job_id: str) -> Entry:
        """Remove one job and return it; raises JobLookupError."""
        with self._lock:
            entry = self._entries.pop(job_id, None)
            if entry is None:
                raise JobLookupError(job_id)
            self._changes += 1
            if entry.due_us is not None:
                self._queue.discard(entry, entry.due_us)
        # A new object: were it added again, one left over in the queue would stand again too.
        return tuple.__new__(Entry, entry)

    def clear(self) -> list[Entry]:
        """Remove all jobs and return them."""
        with self._lock:
            self._changes += 1
            entries = list(self._entries.values())
            self._entries.clear()
            self._queue.clear()
        return entries

    def claim_due(self, now_us: int, limit: int) -> list[Entry]:
        """Hand out up to *limit* jobs that are due; no other claimant gets them until swapped."""
        with self._lock:
            return self._queue.pop_due(now_us, limit)

    def next_due(self) -> int | None:
        """Return when the first unclaimed job is due, or None."""
        with self._lock:
            return self._queue.first_due()

    def close(self) -> None:
        """Do nothing: there is nothing held open, and the jobs stay."""


def _twice(entries: Iterable[Entry]) -> str:
    """Return an id that two of the entries have."""
    seen: set[str] = set()
    for entry in entries:
        if entry.job.id in seen:
            break
        seen.add(entry.job.id)
    return entry.job.id


_due_us = attrgetter("due_us")
