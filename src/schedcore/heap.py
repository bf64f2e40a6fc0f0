"""The due queue: which keys are due first; keys move and leave without a scan.

One heap entry stands for each *distinct* due time, and a dict leads from there to the keys: the
heap compares bare integers (3 to 5 times cheaper than tuples), and ten thousand jobs that are due
on the same second share one entry.  A key that moves or leaves is only struck from ``_due``; what
it leaves behind in its old bucket is passed over when that bucket comes up, and swept away when
such leftovers outnumber the living.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=str | int)

_BULK = 64
"""Buckets taken one by one before a sort of the whole heap is cheaper than more pops.

A sorted list is a heap, so one sort serves all the pops that follow: 60 to 240 ns for each entry
of a heap of 100,000, against 700 to 3,300 ns for a pop and a push.
"""
_SPARE = 64
"""Leftovers that are always tolerated, so that small queues are not swept at every change."""


class DueQueue(Generic[K]):
    """Keys ordered by due time, an integer (the engine uses microseconds since the Unix epoch).

    Keys that are due at the same time come in the order in which they were put.
    Not thread-safe: its owner holds a lock.
    """

    __slots__ = ("_buckets", "_due", "_heap", "_leftovers")

    def __init__(self) -> None:
        self._due: dict[K, int] = {}
        # A lone key stands for itself: most due times have one, and a list costs 64 bytes.
        self._buckets: dict[int, K | list[K]] = {}
        self._heap: list[int] = []
        self._leftovers = 0

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: object) -> bool:
        return key in self._due

    def due(self, key: K) -> int | None:
        """Return when *key* is due, or None if it is not queued."""
        return self._due.get(key)

    def first_due(self) -> int | None:
        """Return the earliest due time, or None if the queue is empty."""
        while self._heap:
            due = self._heap[0]
            if self._has_living(due):
                return due
            heapq.heappop(self._heap)
            self._drop_bucket(due)
        return None

    def put(self, key: K, due: int) -> None:
        """Queue *key* at *due*, from wherever it stood before."""
        if self._file(key, due):
            heapq.heappush(self._heap, due)
        self._sweep_if_littered()

    def put_many(self, pairs: Iterable[tuple[K, int]]) -> None:
        """Queue many keys at once: new due times are appended, then sorted in as one run."""
        fresh = [due for key, due in pairs if self._file(key, due)]
        if len(fresh) > _BULK:
            self._heap += fresh
            self._heap.sort()
        else:
            for due in fresh:
                heapq.heappush(self._heap, due)
        self._sweep_if_littered()

    def remove(self, key: K) -> bool:
        """Take *key* out; return whether it was queued."""
        if self._due.pop(key, None) is None:
            return False
        self._leftovers += 1
        self._sweep_if_littered()
        return True

    def clear(self) -> None:
        """Take every key out."""
        self._due.clear()
        self._buckets.clear()
        self._heap.clear()
        self._leftovers = 0

    def pop_due(self, now: int, limit: int) -> list[K]:
        """Take out up to *limit* keys that are due at *now* or before, the earliest first."""
        taken: list[K] = []
        heap = self._heap
        buckets = 0
        while heap and heap[0] <= now and len(taken) < limit:
            if buckets == _BULK:
                self._pop_sorted(now, limit, taken)
                break
            due = heap[0]
            if self._take(due, limit, taken):
                heapq.heappop(heap)
            buckets += 1
        return taken

    def _pop_sorted(self, now: int, limit: int, taken: list[K]) -> None:
        """Go on with :meth:`pop_due` over a sorted heap, and cut what was emptied in one piece."""
        heap = self._heap
        heap.sort()
        emptied = 0
        for due in heap[: bisect_right(heap, now)]:
            if len(taken) >= limit or not self._take(due, limit, taken):
                break
            emptied += 1
        del heap[:emptied]

    def _take(self, due: int, limit: int, taken: list[K]) -> bool:
        """Move living keys of one bucket to *taken*; return whether the bucket is used up."""
        bucket = self._buckets.pop(due)
        keys = bucket if isinstance(bucket, list) else (bucket,)
        living = self._due
        for place, key in enumerate(keys):
            if len(taken) >= limit:
                self._buckets[due] = list(keys[place:])
                return False
            # A key that left and came back to the same time stands here twice, and is taken once.
            if living.get(key) == due:
                del living[key]
                taken.append(key)
            else:
                self._leftovers -= 1
        return True

    def _file(self, key: K, due: int) -> bool:
        """Put *key* into the bucket of *due*; return whether the bucket is new to the heap."""
        if key in self._due:
            self._leftovers += 1
        self._due[key] = due
        bucket = self._buckets.get(due)
        if bucket is None:
            self._buckets[due] = key
            return True
        if isinstance(bucket, list):
            bucket.append(key)
        else:
            self._buckets[due] = [bucket, key]
        return False

    def _has_living(self, due: int) -> bool:
        bucket = self._buckets[due]
        if isinstance(bucket, list):
            return any(self._due.get(key) == due for key in bucket)
        return self._due.get(bucket) == due

    def _drop_bucket(self, due: int) -> None:
        bucket = self._buckets.pop(due)
        self._leftovers -= len(bucket) if isinstance(bucket, list) else 1

    def _sweep_if_littered(self) -> None:
        if self._leftovers > len(self._due) + _SPARE:
            self._sweep()

    def _sweep(self) -> None:
        """Build the buckets and the heap anew from the living keys: linear, and seldom."""
        living = self._due
        self._buckets = {}
        self._leftovers = 0
        for key, due in sorted(living.items(), key=lambda pair: pair[1]):
            bucket = self._buckets.setdefault(due, key)
            if isinstance(bucket, list):
                bucket.append(key)
            elif bucket is not key:
                self._buckets[due] = [bucket, key]
        self._heap = list(self._buckets)
