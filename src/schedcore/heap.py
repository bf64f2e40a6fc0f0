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
    Not thread-safe: its owner holds a lock.

    Args:
        stands: Tells whether an item is still due at the time it was filed under: it was not
            taken out, nor moved.  Items must not be lists.
    """

    __slots__ = ("_buckets", "_heap", "_leftovers", "_stands")

    def __init__(self, stands: Callable[[T, int], bool]) -> None:
        self._stands = stands
        # A lone item stands for itself: most due times have one, and a list costs 64 bytes.
        self._buckets: dict[int, T | list[T]] = {}
        self._heap: list[int] = []
        self._leftovers = 0

    def first_due(self) -> int | None:
        """Return the earliest due time, or None if the queue is empty."""
        while self._heap:
            due = self._heap[0]
            if due in self._buckets:
                bucket = self._buckets[due]
                items = bucket if isinstance(bucket, list) else (bucket,)
                if any(self._stands(item, due) for item in items):
                    return due
                del self._buckets[due]
            heappop(self._heap)
        return None

    def put(self, item: T, due: int) -> None:
        """File *item* under *due*."""
        # Adding a job ends here: one look into a dict, and one push.
        bucket = self._buckets.get(due)
        if bucket is None:
            self._buckets[due] = item
            heappush(self._heap, due)
        elif type(bucket) is list:
            bucket.append(item)
        else:
            self._buckets[due] = [bucket, item]  # type: ignore[list-item]  # it is no list

    def put_many(self, items: Iterable[tuple[T, int]]) -> None:
        """File many items at once: new due times are appended, then sorted in as one run."""
        buckets = self._buckets
        fresh: list[int] = []
        for item, due in items:
            bucket = buckets.get(due)
            if bucket is None:
                buckets[due] = item
                fresh.append(due)
            elif type(bucket) is list:
                bucket.append(item)
            else:
                buckets[due] = [bucket, item]  # type: ignore[list-item]  # it is no list
        if len(fresh) > _BULK:
            self._heap += fresh
            self._heap.sort()
        else:
            for due in fresh:
                heappush(self._heap, due)

    def discard(self, item: T, due: int) -> None:
        """Note that an item does not stand at *due* any more; it need not be filed there."""
        buckets = self._buckets
        bucket = buckets.get(due)
        if bucket is item:
            del buckets[due]
            if len(self._heap) > 2 * len(buckets) + _SPARE:
                self._sweep()
        elif type(bucket) is list:
            if len(bucket) <= _SPARE:
                for place, found in enumerate(bucket):
                    if found is item:
                        del bucket[place]
                        break
            else:
                self._leftovers += 1
                if self._leftovers > len(bucket) // 2 + _SPARE:
                    self._sweep()

    def clear(self) -> None:
        """Take every item out."""
        self._buckets.clear()
        self._heap.clear()
        self._leftovers = 0

    def pop_due(self, now: int, limit: int) -> list[T]:
        """Take out up to *limit* items that are due at *now* or before, the earliest first."""
        taken: list[T] = []
        heap = self._heap
        buckets = 0
        while heap and heap[0] <= now and len(taken) < limit:
            if buckets == _BULK:
                self._pop_sorted(now, limit, taken)
                break
            if self._take(heap[0], limit, taken):
                heappop(heap)
            buckets += 1
        return taken

    def _pop_sorted(self, now: int, limit: int, taken: list[T]) -> None:
        """Go on with :meth:`pop_due` over a sorted heap, and cut what was emptied in one piece."""
        heap = self._heap
        heap.sort()
        emptied = 0
        for due in heap[: bisect_right(heap, now)]:
            if len(taken) >= limit or not self._take(due, limit, taken):
                break
            emptied += 1
        del heap[:emptied]

    def _take(self, due: int, limit: int, taken: list[T]) -> bool:
        """Move standing items of one bucket to *taken*; return whether the bucket is used up."""
        stands = self._stands
        if due not in self._buckets:
            return True
        bucket = self._buckets.pop(due)
        if not isinstance(bucket, list):
            if stands(bucket, due):
                taken.append(bucket)
            return True
        seen = 0
        while seen < len(bucket) and len(taken) < limit:
            part = bucket[seen : seen + limit - len(taken)]
            taken += [item for item in part if stands(item, due)]
            seen += len(part)
        if seen < len(bucket):
            self._buckets[due] = bucket[seen:]
        return seen == len(bucket)

    def _sweep(self) -> None:
        """Build the buckets and the heap anew from the items that stand: linear, and seldom."""
        kept: dict[int, T | list[T]] = {}
        for due, bucket in self._buckets.items():
            items = bucket if isinstance(bucket, list) else (bucket,)
            standing = [item for item in items if self._stands(item, due)]
            if standing:
                kept[due] = standing if len(standing) > 1 else standing[0]
        self._buckets = kept
        self._heap = sorted(kept)
        self._leftovers = 0
