"""The due queue: which items are due first; they move and leave without a scan.

One heap entry stands for each *distinct* due time, and a dict leads from there to the items: the
heap compares bare integers (3 to 5 times cheaper than tuples), and ten thousand jobs that are due
on the same second share one entry.  An item that moves or leaves is let go of if it lies near at
hand; else it is passed over when its bucket comes up, or swept away with many others like it.
Due times without a bucket are left in the heap likewise.
Whether an item still stands is for the owner to say, who knows it anyway: there is no second dict.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")

_BULK = 64
"""Buckets taken one by one before a sort of the whole heap is cheaper than more pops.

A sorted list is a heap, so one sort serves all the pops that follow: 60 to 240 ns for each entry
of a heap of 100,000, against 700 to 3,300 ns for a pop and a push.
"""
_SPARE = 64
"""Leftovers that are always tolerated, so that small queues are not swept at every change.

Also the longest bucket that is searched for an item that leaves: 64 steps take 1 us.
"""


class DueQueue(Generic[T]):
    """Items ordered by due time, an integer (the engine uses microseconds since the Unix epoch).

    Items that are due at the same time come in the order in which they were put.
    Not thread-safe: its owner holds a lock.  But a signal handler or a finalizer of the garbage
    collector may run in the midst of any method here, in the same thread, and put and discard: no
    method goes by what it looked up before that.  While the queue is looked through, what is
    discarded stays as a leftover.

    Args:
        stands: Tells whether an item is still due at the time it was filed under: it was not
            taken out, nor moved.  Items must not be lists.
    """

    __slots__ = ("_buckets", "_busy", "_heap", "_leftovers", "_stands")

    def __init__(self, stands: Callable[[T, int], bool]) -> None:
        self._stands = stands
        # A lone item stands for itself: most due times have one, and a list costs 64 bytes.
        self._buckets: dict[int, T | list[T]] = {}
        self._heap: list[int] = []
        self._leftovers = 0
        self._busy = False

    def first_due(self) -> int | None:
        """Return the earliest due time, or None if the queue is empty."""
        if not self._heap:
            return None
        due = self._heap[0]
        bucket = self._buckets.get(due)
        if bucket is not None and type(bucket) is not list and self._stands(bucket, due):  # type: ignore[arg-type]
            return due  # nearly always
        return self._first_standing()

    def _first_standing(self) -> int | None:
        """Return the earliest due time of an item that stands; let go of what does not."""
        was_busy, self._busy = self._busy, True
        try:
            while self._heap:
                due = self._heap[0]
                bucket = self._buckets.get(due)
                if bucket is not None:
                    items = bucket if isinstance(bucket, list) else (bucket,)
                    if any(self._stands(item, due) for item in items):
                        return due
                    self._let_go(due)
                popped = heappop(self._heap)
                if popped != due:  # an earlier one was put meanwhile
                    heappush(self._heap, popped)
            return None
        finally:
            self._busy = was_busy

    def put(self, item: T, due: int) -> None:
        """File *item* under *due*."""
        # Adding a job ends here: one look into a dict, and one push.
        bucket = self._buckets.setdefault(due, item)
        if bucket is item:
            heappush(self._heap, due)
        else:
            self._put_beside(item, due)

    def _put_beside(self, item: T, due: int) -> None:
        """File *item* where there are others."""
        bucket = self._buckets.get(due)
        if isinstance(bucket, list):
            bucket.append(item)
            if self._buckets.get(due) is not bucket:  # it was used up just before
                self.put(item, due)
        else:
            # A lone one is taken out, and comes back in a list together with the new one.
            lone = self._buckets.pop(due, None)
            items = [item]
            if lone is not None:
                items[:0] = lone if isinstance(lone, list) else (lone,)
            self._file(items, due)

    def _file(self, items: list[T], due: int) -> None:
        """File several items under one due time, before those that are there already."""
        there = self._buckets.setdefault(due, items)
        while there is not items:
            come = self._buckets.pop(due, None)
            if come is not None:
                items += come if isinstance(come, list) else (come,)
            there = self._buckets.setdefault(due, items)
        # Once too often, maybe: it is passed over.
        heappush(self._heap, due)

    def put_many(self, items: Iterable[tuple[T, int]]) -> None:
        """File many items at once: new due times are appended, then sorted in as one run."""
        fresh: list[int] = []
        for item, due in items:
            bucket = self._buckets.setdefault(due, item)
            if bucket is item:
                fresh.append(due)
            else:
                self._put_beside(item, due)
        if len(fresh) > _BULK:
            self._heap += fresh
            self._heap.sort()
        else:
            for due in fresh:
                heappush(self._heap, due)

    def replace(self, item: T, by: T, due: int) -> None:
        """Have another item stand in the place of one that need not be filed there."""
        if self._buckets.get(due) is item:
            self._buckets[due] = by
        else:
            self.discard(item, due)
            self.put(by, due)

    def discard(self, item: T, due: int) -> None:
        """Note that an item does not stand at *due* any more; it need not be filed there."""
        if self._busy:
            return
        bucket = self._buckets.get(due)
        if bucket is item:
            self._drop_bucket(due)
        elif type(bucket) is list:
            if len(bucket) <= _SPARE:
                for place, there in enumerate(bucket):
                    if there is item:
                        moved = bucket.pop(place) if place < len(bucket) else item
                        if moved is not item:  # places were changed meanwhile: it is passed over
                            bucket.append(moved)
                        break
                if not bucket:
                    self._drop_bucket(due)
            else:
                self._leftovers += 1
                if self._leftovers > len(bucket) // 2 + _SPARE:
                    self._sweep()

    def _drop_bucket(self, due: int) -> None:
        self._let_go(due)
        if len(self._heap) > 2 * len(self._buckets) + _SPARE:
            self._sweep()

    def _let_go(self, due: int) -> None:
        """Drop a bucket that is used up, but for what was put there meanwhile."""
        bucket = self._buckets.pop(due, None)
        if bucket is not None:
            for item in bucket if isinstance(bucket, list) else (bucket,):
                if self._stands(item, due):
                    self.put(item, due)

    def clear(self) -> None:
        """Take every item out."""
        self._buckets.clear()
        self._heap.clear()
        self._leftovers = 0

    def pop_due(self, now: int, limit: int) -> list[T]:
        """Take out up to *limit* items that are due at *now* or before, the earliest first."""
        taken: list[T] = []
        heap = self._heap  # the same list all the while: nothing is swept meanwhile
        was_busy, self._busy = self._busy, True
        try:
            for _ in range(_BULK):
                if not heap or heap[0] > now or len(taken) >= limit:
                    return taken
                due = heappop(heap)
                self._take(due, limit, taken)
            self._pop_sorted(now, limit, taken)
        finally:
            self._busy = was_busy
        return taken

    def _pop_sorted(self, now: int, limit: int, taken: list[T]) -> None:
        """Go on with :meth:`pop_due` over a sorted heap, and cut what was emptied in one piece."""
        heap, self._heap = self._heap, []  # what is put meanwhile goes there
        heap.sort()
        emptied = 0
        for due in heap[: bisect_right(heap, now)]:
            if len(taken) >= limit or not self._take(due, limit, taken):
                break
            emptied += 1
        del heap[:emptied]
        self._heap += heap
        self._heap.sort()

    def _take(self, due: int, limit: int, taken: list[T]) -> bool:
        """Move standing items of one bucket to *taken*; return whether the bucket is used up."""
        bucket = self._buckets.pop(due, None)
        stands = self._stands
        if type(bucket) is not list:
            if bucket is not None and stands(bucket, due):  # type: ignore[arg-type]
                taken.append(bucket)  # type: ignore[arg-type]
            return True
        seen = 0
        while seen < len(bucket) and len(taken) < limit:
            part = bucket[seen : seen + limit - len(taken)]
            taken += [item for item in part if stands(item, due)]
            seen += len(part)
        if seen == len(bucket):
            return True
        del bucket[:seen]
        self._file(bucket, due)
        return False

    def _sweep(self) -> None:
        """Let go of all that does not stand, and build the heap anew: linear, and seldom."""
        self._leftovers = 0
        was_busy, self._busy = self._busy, True
        try:
            for due in list(self._buckets):
                bucket = self._buckets[due]
                if isinstance(bucket, list):
                    size = len(bucket)
                    bucket[:size] = [item for item in bucket[:size] if self._stands(item, due)]
                    stands = bool(bucket)
                else:
                    stands = self._stands(bucket, due)
                if not stands:
                    self._let_go(due)
            self._rebuild()
        finally:
            self._busy = was_busy

    def _rebuild(self) -> None:
        """Build the heap of the buckets; anew if something was put meanwhile."""
        while True:
            old, size = self._heap, len(self._heap)
            self._heap = sorted(self._buckets)
            if len(old) == size:
                return
