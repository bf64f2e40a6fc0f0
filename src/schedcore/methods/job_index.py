"""The list of all jobs in the order of their due times, cached between calls."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable
from itertools import compress
from typing import TYPE_CHECKING, Generic, TypeVar

from schedcore.basics.atfork import call_in_child
from schedcore.errors import JobLookupError
from schedcore.stores.base import Entry

if TYPE_CHECKING:
    from schedcore.stores.contract import Store

_PAUSED = 1 << 62
"""The place of paused jobs: after all due times."""
_FEW = 16
"""Up to so many gaps are closed one by one: 20 us each, of 10,000 jobs; all at once, 330 us."""
_NUMBER = 32
"""Bits of a place besides the due time: they distinguish jobs that are due at once."""


T = TypeVar("T")


class JobIndex(Generic[T]):
    """Objects that show a store's jobs, earliest due first, paused ones last.  Thread-safe.

    Each call replaces and moves only the jobs that changed since the previous one.

    Args:
        store: Whose jobs.
        show: Makes the object for a job.
    """

    def __init__(self, store: Store, show: Callable[[Entry], T]) -> None:
        self._store = store
        self._show = show
        self._numbers = itertools.count()
        self.after_fork_in_child()
        call_in_child(self)

    def after_fork_in_child(self) -> None:
        """Start over: another thread of the parent may have been inside a call."""
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._version: object = None
        # Parallel lists, in order; where a job was taken out there is None, until the next call.
        self._places: list[int] = []
        self._items: list[T | None] = []
        self._gaps: list[int] = []  # their places
        self._forgotten: list[str] = []
        self._place_of: dict[str, int] = {}

    def items(self) -> list[T]:
        """Return a new list of all jobs as of one moment."""
        # Never waits: a finalizer may call this while its own thread is inside a call.
        if not self._lock.acquire(blocking=False):
            return [self._show(entry) for entry in self._store.entries()]
        try:
            # Read before the jobs: a change that comes in between is made once more next time.
            version, changed = self._store.changes(self._version)
            self._version = None  # should an error end this half way, the next call begins anew
            if changed is None:
                self._begin_anew()
            else:
                changed = [*changed, *self._forgotten]
                self._forgotten.clear()
                for job_id in dict.fromkeys(changed):
                    self._move(job_id)
                if self._gaps:
                    self._close_gaps()
                if changed and self._store.changes(None)[0] != version:
                    self._begin_anew()  # what was looked up is of several moments
            self._version = version
            return self._items.copy()  # type: ignore[return-value]  # there are no gaps now
        finally:
            self._lock.release()

    def forget(self, job_id: str) -> None:
        """Drop a job that was removed or changed.

        So its old arguments are not kept alive until the next call, which looks it up again.
        """
        if job_id in self._place_of and self._lock.acquire(blocking=False):
            try:
                # A gap, which the next call closes with all others: of 10,000 jobs, to close each
                # one moves 160 kB.
                place = self._place_of.pop(job_id, None)
                if place is not None:
                    self._items[bisect_left(self._places, place)] = None
                    self._gaps.append(place)
                    self._forgotten.append(job_id)
            finally:
                self._lock.release()

    def forget_all(self) -> None:
        """Drop all jobs."""
        if self._lock.acquire(blocking=False):
            try:
                self._clear()
            finally:
                self._lock.release()

    def _begin_anew(self) -> None:
        entries = self._store.entries()
        self._clear()
        self._items = [self._show(entry) for entry in entries]
        self._places = [self._new_place(entry[2]) for entry in entries]
        self._place_of = {e[0][0]: place for e, place in zip(entries, self._places, strict=True)}

    def _new_place(self, due_us: int | None) -> int:
        return ((_PAUSED if due_us is None else due_us) << _NUMBER) + next(self._numbers)

    def _move(self, job_id: str) -> None:
        """Move a job to its present place in the list."""
        place = self._place_of.pop(job_id, None)
        if place is not None:
            index = bisect_left(self._places, place)
            del self._places[index], self._items[index]
        try:
            entry = self._store.get(job_id)
        except JobLookupError:
            return
        place = self._place_of[job_id] = self._new_place(entry[2])
        index = bisect_left(self._places, place)
        self._places.insert(index, place)
        self._items.insert(index, self._show(entry))

    def _close_gaps(self) -> None:
        if len(self._gaps) <= _FEW:
            for place in self._gaps:
                index = bisect_left(self._places, place)
                del self._places[index], self._items[index]
        else:
            keep = [item is not None for item in self._items]
            self._places = list(compress(self._places, keep))
            self._items = list(compress(self._items, keep))
        self._gaps = []
