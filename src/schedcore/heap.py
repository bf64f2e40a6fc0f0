"""The due queue: items by due time, which move and leave without a scan.

The heap has an entry for each *distinct* due time, and a dict leads from a due time to its bucket
of items: the heap compares bare integers (3 to 5 times cheaper than tuples), and ten thousand jobs
that are due on the same second share one entry.

Each item stores the due time under which it is filed: its ``queued_us``.  An item that moves or
leaves a large bucket stays there as *stale*: the queue skips it when that due time comes, and drops
stale items in batches before they outnumber the others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """An item of a due queue: anything but a list."""

    queued_us: int | None
    """The due time under which it is filed; None: it is in no queue.  Only the queue sets it."""


T = TypeVar("T", bound=Queued)

_BULK = 64
"""Due times up to which pushing or popping each is cheaper than one sort of the whole heap.

A sorted list is a heap, so one sort serves all the pops that follow: 60 to 240 ns for each entry
of a heap of 100,000, against 700 to 3,300 ns for a pop and a push.
"""
_FEW = 64
"""Up to so many items due at one time, one that leaves is taken out at once, and nothing keeps it
alive; to take ten thousand out of one list one by one takes a second."""
_SPARE = 64
"""Number of stale items that never cause a sweep, so that small queues are not swept often."""


class DueQueue(Generic[T]):
    """Items ordered by due time, an integer (the engine uses microseconds since the Unix epoch).

    Items that are due at the same time keep the order in which they were put; one of many that left
    and comes back to the same time may have its old place.

    Not thread-safe: its owner holds a re-entrant lock.  In the thread that holds it, a signal
    handler or a finalizer may interrupt a call, and put or discard itself: the queue defers that to
    the end of the interrupted call.
    """

    __slots__ = ("_buckets", "_busy", "_deferred", "_heap", "_size", "_stale")

    def __init__(self) -> None:
        # A lone item is its own bucket: most due times have one item, and a list costs 64 bytes.
        self._buckets: dict[int, T | list[T]] = {}
        self._heap: list[int] = []
        self._size = self._stale = 0
        # Whether a call is active, and the calls deferred to its end: items with the due time to
        # file them under, or None to discard them.
        self._busy = False
        self._deferred: deque[tuple[T, int | None]] = deque()

    def __len__(self) -> int:
        """Return the number of items."""
        return self._size

    def put(self, item: T, due: int) -> None:
        """Add *item*, which is in no queue, under *due*."""
        if self._busy:
            self._deferred.append((item, due))
            return
        self._busy = True
        try:
            self._put(item, due)
        finally:
            self._end_call()

    def put_many(self, items: Sequence[T], dues: Sequence[int]) -> None:
        """Add each item under its due time; new due times are sorted in as one run."""
        if self._busy:
            self._deferred += zip(items, dues, strict=True)
            return
        self._busy = True
        fresh: list[int] = []
        try:
            for item, due in zip(items, dues, strict=True):
                if due not in self._buckets:
                    fresh.append(due)
                self._file(item, due)
        finally:
            if len(fresh) > _BULK:
                self._heap += fresh
                self._heap.sort()
            else:
                for due in fresh:
                    heappush(self._heap, due)
            self._end_call()

    def discard(self, item: T, moves: bool = False) -> None:
        """Remove *item*, if it is there.

        Args:
            item: The item.
            moves: Whether it goes to another queue, where it may have the same due time: then it
                does not stay here as a stale one.
        """
        if self._busy:
            self._deferred.append((item, None))
            return
        self._busy = True
        try:
            self._discard(item, moves)
        finally:
            self._end_call()

    def first_due(self) -> int | None:
        """Return the earliest due time, or None if the queue is empty.

        If this interrupts another call, it may return another time than that.
        """
        if self._busy:
            dues = [due for _, due in self._deferred if due is not None]
            return min(self._heap[:1] + dues, default=None)
        self._busy = True
        try:
            heap = self._heap
            while heap:
                due = heap[0]
                bucket = self._buckets.get(due)
                if type(bucket) is list:
                    if any(item.queued_us == due for item in bucket):
                        return due
                elif bucket is not None and bucket.queued_us == due:  # type: ignore[union-attr]
                    return due
                self._buckets.pop(due, None)
                heappop(heap)
            return None
        finally:
            self._end_call()

    def pop_due(self, now: int, limit: int) -> list[T]:
        """Remove and return up to *limit* items that are due at *now* or before, earliest first."""
        taken: list[T] = []
        self._busy = True
        try:
            heap = self._heap
            for _ in range(_BULK):
                if not heap or heap[0] > now or len(taken) >= limit:
                    return taken
                if self._take(heap[0], limit, taken):
                    heappop(heap)
            heap.sort()  # and cut what is used up in one piece
            used = 0
            for due in heap[: bisect_right(heap, now)]:
                if len(taken) >= limit or not self._take(due, limit, taken):
                    break
                used += 1
            del heap[:used]
        finally:
            self._size -= len(taken)
            self._end_call()
        return taken

    def _take(self, due: int, limit: int, taken: list[T]) -> bool:
        """Move up to *limit* items from the bucket of *due* to *taken*; return whether all went."""
        bucket = self._buckets.pop(due, None)
        if type(bucket) is not list:
            if bucket is not None and bucket.queued_us == due:  # type: ignore[union-attr]
                bucket.queued_us = None  # type: ignore[union-attr]
                taken.append(bucket)  # type: ignore[arg-type]
            return True
        for place, item in enumerate(bucket):
            if len(taken) >= limit:
                self._buckets[due] = bucket[place:]
                return False
            # One that left and came back within one due time is filed there twice.
            if item.queued_us == due:
                item.queued_us = None
                taken.append(item)
        return True

    def _put(self, item: T, due: int) -> None:
        if due not in self._buckets:
            # First: an interrupt here leaves a due time without items, and not items without one.
            heappush(self._heap, due)
        self._file(item, due)

    def _file(self, item: T, due: int) -> None:
        """Put *item* into the bucket of *due*."""
        item.queued_us = due
        self._size += 1
        bucket = self._buckets.get(due)
        if bucket is None:
            self._buckets[due] = item
        elif type(bucket) is list:
            bucket.append(item)
        else:
            self._buckets[due] = [bucket, item]  # type: ignore[list-item]  # it was a lone one

    def _discard(self, item: T, moves: bool) -> None:
        due = item.queued_us
        if due is None:
            return
        item.queued_us = None
        self._size -= 1
        bucket = self._buckets.get(due)
        if bucket is item:
            del self._buckets[due]  # its due time stays in the heap, without a bucket
        elif moves and type(bucket) is list:
            bucket[:] = [each for each in bucket if each is not item]
        elif type(bucket) is list and len(bucket) <= _FEW:
            bucket.remove(item)
        self._stale += 1
        if self._stale > self._size + _SPARE:
            self._sweep()

    def _end_call(self) -> None:
        """End a call: make the deferred ones, in order, each of which may be interrupted, too."""
        self._busy = False
        while self._deferred and not self._busy:
            self._busy = True
            try:
                item, due = self._deferred.popleft()
                if due is None:
                    self._discard(item, moves=True)
                else:
                    self._put(item, due)
            finally:
                self._busy = False

    def _sweep(self) -> None:
        """Drop all stale items and build the heap anew: linear, and rare."""
        self._stale = 0
        for due in list(self._buckets):
            bucket = self._buckets[due]
            items = bucket if isinstance(bucket, list) else [bucket]
            # By identity once each: one that left and came back is filed twice.
            left = list({id(item): item for item in items if item.queued_us == due}.values())
            if left:
                self._buckets[due] = left if len(left) > 1 else left[0]
            else:
                del self._buckets[due]
        self._heap = sorted(self._buckets)
