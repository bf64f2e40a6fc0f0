"""The store in memory: a dict and the due queue under one lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from operator import itemgetter

from schedcore.errors import ConflictingIdError, JobLookupError
from schedcore.forks import Lock, hold_while_forking
from schedcore.heap import DueQueue
from schedcore.stores.base import Entry, Swap

KNOWN_CHANGES = 64
"""How many of the last changes are known one by one: to list all jobs anew is quicker than more."""


class MemoryStore:
    """Keeps jobs as long as the process lives.  Follows :class:`~schedcore.stores.base.Store`.

    An entry is its own version: entries are immutable, so one that is still the very object that
    was read has not been changed.  It is filed in the due queue itself, and stands there for as
    long as it is the one that the dict has for its id.
    """

    # Each run and each change comes by here, so entries are read by place, in a tenth of the time
    # that a named field takes: ``entry[0][0]`` is the job's id, ``entry[2]`` when it is due.

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may run a finalizer here that removes a job.
        self._lock = threading.RLock()
        entries: dict[str, Entry] = {}
        self._entries = entries
        self._queue: DueQueue[Entry] = DueQueue(lambda e, _due: entries.get(e[0][0]) is e)
        # Those that were taken out of the queue, by identity, for as long as the dict has them.
        self._claimed: set[int] = set()
        # How many changes there were, and what the last ones were about; ids keep nothing alive.
        self._version = 0
        self._changed: deque[str] = deque(maxlen=KNOWN_CHANGES)
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
        # A field of a named tuple takes longer to read than a whole tuple to unpack.
        job, _, due_us, _, _, _ = entry
        job_id = job.id
        known = self._entries
        with self._lock:
            replaced = known.get(job_id)
            if replaced is not None:
                if not replace:
                    raise ConflictingIdError(job_id)
                self._unfile(replaced)
            known[job_id] = entry
            if due_us is not None:
                self._queue.put(entry, due_us)
            # What _note does, for a fifth of the price of a call with any number of ids.
            self._version += 1
            self._changed.append(job_id)
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
            known.update(new)
            self._queue.put_many([(e, e.due_us) for e in new.values() if e.due_us is not None])
            for old in replaced:
                self._unfile(old)
            self._note(*new)

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
        # Sorted outside of the lock: 10,000 entries take 1 ms.
        try:
            return sorted(entries, key=_due_us)
        except TypeError:  # None among them: some are paused
            due = [entry for entry in entries if entry.due_us is not None]
            due.sort(key=_due_us)
            return due + [entry for entry in entries if entry.due_us is None]

    def changes(self, since: object) -> tuple[int, Sequence[str] | None]:
        """Return the present version, and the ids of the jobs that changed after another one."""
        with self._lock:
            version, behind = self._version, len(self._changed) + 1
            if isinstance(since, int):
                behind = version - since
            if behind == 0:
                return version, ()
            return version, list(self._changed)[-behind:] if behind <= len(self._changed) else None

    def swap(self, changes: Sequence[Swap]) -> list[bool]:
        """Replace each entry that is still as it was read; tell for each whether it was."""
        if len(changes) == 1:
            return [self._swap_one(*changes[0])]
        known = self._entries
        done: list[bool] = []
        due: list[tuple[Entry, int]] = []
        with self._lock:
            for old, new in changes:
                job_id = old[0][0]
                if known.get(job_id) is not old:
                    done.append(False)
                    continue
                done.append(True)
                if new is None:
                    known.pop(job_id, None)
                    self._unfile(old)
                    continue
                known[job_id] = new
                self._unfile(old)
                due_us = new[2]
                if due_us is not None:
                    due.append((new, due_us))
            self._queue.put_many(due)
            self._note(*[old[0][0] for old, _ in changes])
        return done

    def _swap_one(self, old: Entry, new: Entry | None) -> bool:
        """Do for a single change what :meth:`swap` does for a batch, without its lists."""
        known, job_id = self._entries, old[0][0]
        with self._lock:
            if known.get(job_id) is not old:
                return False
            # The dict comes first: the queue may look at any moment for what stands.
            if new is None:
                known.pop(job_id, None)
                self._unfile(old)
            else:
                known[job_id] = new
                due_us = new[2]
                if due_us is not None and due_us == old[2] and id(old) not in self._claimed:
                    self._queue.replace(old, new, due_us)  # renamed, say: it keeps its place
                else:
                    self._unfile(old)
                    if due_us is not None:
                        self._queue.put(new, due_us)
            self._version += 1
            self._changed.append(job_id)
        return True

    def remove(self, job_id: str) -> Entry:
        """Remove one job and return it; raises JobLookupError."""
        with self._lock:
            entry = self._entries.pop(job_id, None)
            if entry is None:
                raise JobLookupError(job_id)
            self._unfile(entry)
            self._version += 1
            self._changed.append(job_id)
        # A new object: were it added again, one left over in the queue would stand again too.
        return tuple.__new__(Entry, entry)

    def clear(self) -> list[Entry]:
        """Remove all jobs and return them."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
            self._claimed.clear()
            self._queue.clear()
            self._version += 1
            self._changed.clear()
        return entries

    def claim_due(self, now_us: int, limit: int) -> list[Entry]:
        """Hand out up to *limit* jobs that are due; no other claimant gets them until swapped."""
        with self._lock:
            entries = self._queue.pop_due(now_us, limit)
            if entries:
                self._claimed.update(map(id, entries))
        return entries

    def next_due(self) -> int | None:
        """Return when the first unclaimed job is due, or None."""
        with self._lock:
            return self._queue.first_due()

    def close(self) -> None:
        """Do nothing: there is nothing held open, and the jobs stay."""

    def _note(self, *job_ids: str) -> None:
        """Note what was changed: last, so that whoever looks meanwhile looks again."""
        self._version += len(job_ids)
        self._changed.extend(job_ids)

    def _unfile(self, entry: Entry) -> None:
        """Have the due queue let go of an entry that the dict lets go of."""
        if id(entry) in self._claimed:
            self._claimed.discard(id(entry))
            return
        due_us = entry[2]
        if due_us is not None:
            self._queue.discard(entry, due_us)


def _twice(entries: Iterable[Entry]) -> str:
    """Return an id that two of the entries have."""
    seen: set[str] = set()
    for entry in entries:
        if entry.job.id in seen:
            break
        seen.add(entry.job.id)
    return entry.job.id


_due_us = itemgetter(Entry._fields.index("due_us"))
