"""A store that tells somebody of each change, once it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schedcore.stores.base import Entry, Store, Swap


class Witness(Protocol):
    """Who is told."""

    def moved(self, job_id: str, entry: Entry | None) -> None:
        """Note how a job stands now; None: it is gone."""
        ...


class RecordedStore:
    """Any store, with a witness.  Follows :class:`~schedcore.stores.base.Store`.

    The engine settles before it submits, so the witness knows of a fire time before its run
    begins.  Of two threads that change one job at the same moment, the witness may hear in the
    other order: that is put right when the job fires next.

    Args:
        inner: Keeps the jobs.

    Attributes:
        witness: Who is told; None: nobody at present.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.witness: Witness | None = None

    def add(self, entries: Sequence[Entry], replace: bool) -> None:
        """Store new jobs; see :meth:`Store.add <schedcore.stores.base.Store.add>`."""
        self._inner.add(entries, replace)
        if (witness := self.witness) is not None:
            for entry in entries:
                witness.moved(entry.job.id, entry)

    def get(self, job_id: str) -> Entry:
        """Return one job; raises JobLookupError."""
        return self._inner.get(job_id)

    def entries(self) -> list[Entry]:
        """Return all jobs: the earliest due first, paused ones last."""
        return self._inner.entries()

    def changes(self, since: object) -> tuple[object, Sequence[str] | None]:
        """Return the present version, and the ids of the jobs that changed after another one."""
        return self._inner.changes(since)

    def swap(self, changes: Sequence[Swap]) -> list[bool]:
        """Replace each entry that is still as it was read; tell for each whether it was."""
        witness = self.witness
        if witness is None:
            return self._inner.swap(changes)
        done = self._inner.swap(changes)
        for (old, new), was_done in zip(changes, done, strict=True):
            if was_done:
                witness.moved(old.job.id, new)
        return done

    def remove(self, job_id: str) -> Entry:
        """Remove one job and return it; raises JobLookupError."""
        removed = self._inner.remove(job_id)
        if (witness := self.witness) is not None:
            witness.moved(job_id, None)
        return removed

    def clear(self) -> list[Entry]:
        """Remove all jobs and return them."""
        removed = self._inner.clear()
        if (witness := self.witness) is not None:
            for entry in removed:
                witness.moved(entry.job.id, None)
        return removed

    def claim_due(self, now_us: int, limit: int) -> list[Entry]:
        """Hand out up to *limit* jobs that are due; no other claimant gets them until swapped."""
        return self._inner.claim_due(now_us, limit)

    def next_due(self) -> int | None:
        """Return when the first unclaimed job is due, or None."""
        return self._inner.next_due()

    def close(self) -> None:
        """Let go of what the store holds open; its jobs stay."""
        self._inner.close()
