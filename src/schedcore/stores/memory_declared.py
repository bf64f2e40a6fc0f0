"""The declared jobs of the memory store, and the apps that declared them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from schedcore.changes.audit import Actor
from schedcore.stores.base import Declared, Entry, Otherwise
from schedcore.stores.declared import DeclaredBy, change_of, parked


class DeclaredJobs:
    """Reconciles declared jobs with stored ones.

    Not thread-safe: its owner holds a lock.

    Args:
        find: Returns a job by its id; None: there is none.
        write: The store's :meth:`~schedcore.stores.contract.Store.write`.
    """

    def __init__(self, find: Callable[[str], Entry | None], write: Callable[..., object]) -> None:
        self._find = find
        self._write = write
        self._by: dict[str, DeclaredBy] = {}

    def declare(
        self,
        app: str | None,
        declared: Sequence[Declared],
        now_us: int,
        otherwise: Otherwise,
        by: Actor | None,
    ) -> list[Entry]:
        """See :meth:`~schedcore.stores.contract.Store.declare`."""
        ids = [each.entry.job.id for each in declared]
        changes = [
            change_of(self._find(job_id), self._by.get(job_id), each, app, now_us, otherwise)
            for job_id, each in zip(ids, declared, strict=True)
        ]
        for job_id, each, change in zip(ids, declared, changes, strict=True):
            if change is not None:
                self._write((change,), now_us, by)
            elif self._find(job_id) is None:
                continue  # it had its last fire time
            stays = change is None and app is None  # its owner stays
            owner = self._by[job_id].app if stays else app
            self._by[job_id] = DeclaredBy(owner, each.fingerprint)
        return [entry for entry in map(self._find, ids) if entry is not None]

    def retire(
        self, app: str, declared: Collection[str], now_us: int, by: Actor | None
    ) -> list[str]:
        """See :meth:`~schedcore.stores.contract.Store.retire`."""
        gone = []
        for job_id, (owner, fingerprint) in list(self._by.items()):
            old = self._find(job_id)
            if owner == app and fingerprint and job_id not in declared and old is not None:
                self._write((parked(old, app),), now_us, by)
                self._by[job_id] = DeclaredBy(app, "")
                gone.append(job_id)
        return gone

    def forget(self, job_id: str) -> None:
        """Forget a job that was removed or replaced."""
        self._by.pop(job_id, None)
