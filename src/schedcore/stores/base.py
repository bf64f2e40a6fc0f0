"""What a store is: it owns the jobs and their due order; one claimant gets each due job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from schedcore.job import Job


class Entry(NamedTuple):
    """A job and when it is next due, as a store keeps them; a change makes a new one."""

    job: Job
    fire_us: int | None
    """The nominal fire time that comes next; None: the job was added paused."""
    due_us: int | None
    """When to act: the fire time plus its jitter.  None: paused."""
    broken: str | None = None
    """Why the job cannot be run at present; it is tried again when it is due."""
    judged_us: int | None = None
    """When the rest of a backlog was found due, of which the first part is still worked off."""
    version: object = None
    """For the store's own use: what tells this entry from an older one of the same job."""


def make_entry(
    job: Job,
    fire_us: int | None,
    due_us: int | None,
    judged_us: int | None = None,
    broken: str | None = None,
) -> Entry:
    """Return an entry: what ``Entry(...)`` does, for half the price.

    Each job added and each fire makes one; a named tuple's own constructor takes 0.27 us.
    """
    return tuple.__new__(Entry, (job, fire_us, due_us, broken, judged_us, None))


Swap = tuple[Entry, "Entry | None"]
"""An entry as it was read, and what is to stand in its place; None: nothing, the job is removed."""


class Store(Protocol):
    """Keeps entries.  Thread-safe; a store on disk is safe between processes as well.

    Nothing here can only be done in memory: an entry is compared by its version, a claim may be a
    lease, and each method is one transaction.
    """

    def add(self, entries: Sequence[Entry], replace: bool) -> None:
        """Store new jobs, all or none.

        Raises:
            ConflictingIdError: if an id is taken and *replace* is false.
        """
        ...

    def get(self, job_id: str) -> Entry:
        """Return one job.

        Raises:
            JobLookupError: if there is none with this id.
        """
        ...

    def entries(self) -> list[Entry]:
        """Return all jobs: the earliest due first, paused ones last."""
        ...

    def changes(self, since: object) -> tuple[object, Sequence[str] | None]:
        """Return the present version, and the ids of the jobs that changed after another one.

        A version is equal for as long as :meth:`entries` returns the same; None: not known.
        Read before the entries, it is never younger than they are.

        Args:
            since: A version that this returned; None: any.

        Returns:
            The version, and the ids of what was stored, changed or removed after *since*, which
            may name one job several times; None in their place where they are not known.
        """
        ...

    def swap(self, changes: Sequence[Swap]) -> list[bool]:
        """Replace each entry that is still as it was read; tell for each whether it was.

        Compare-and-set, one by one: of two that read the same entry, one gets its change in.
        """
        ...

    def remove(self, job_id: str) -> Entry:
        """Remove one job and return it.

        Raises:
            JobLookupError: if there is none with this id.
        """
        ...

    def clear(self) -> list[Entry]:
        """Remove all jobs and return them."""
        ...

    def claim_due(self, now_us: int, limit: int) -> list[Entry]:
        """Hand out up to *limit* jobs that are due, the earliest first.

        No other claimant gets them until they are swapped, which the claimant must do.
        """
        ...

    def next_due(self) -> int | None:
        """Return when the first unclaimed job is due, or None."""
        ...

    def close(self) -> None:
        """Let go of what the store holds open; its jobs stay."""
        ...
