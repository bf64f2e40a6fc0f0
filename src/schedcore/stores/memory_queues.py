"""The due queues of the memory store, one per executor, and the batches taken from them.

If ten thousand jobs are due at once for a process pool, a step takes only a part of them; jobs that
become due for the threads meanwhile do not wait for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from schedcore.heap import DueQueue
from schedcore.stores.base import Decision, Executors, Settled, Slot
from schedcore.stores.contract import GivenBack

if TYPE_CHECKING:
    from schedcore.stores.memory import MemoryStore


class DueQueues:
    """Slots by due time.  Not thread-safe: its owner holds a re-entrant lock."""

    def __init__(self) -> None:
        self._queues: dict[str, DueQueue[Slot]] = {}

    def put(self, slot: Slot, due_us: int) -> None:
        """Add a slot that is in no queue."""
        self._of(slot).put(slot, due_us)

    def put_many(self, slots: Sequence[Slot], dues: Sequence[int]) -> None:
        """Add each slot with its due time."""
        if len(self._queues) == 1:
            for queue in self._queues.values():
                queue.put_many(slots, dues)
            return
        parts: dict[str, tuple[list[Slot], list[int]]] = {}
        for slot, due_us in zip(slots, dues, strict=True):
            name = slot.job[5][0]
            if name not in parts:
                parts[name] = [], []
            part = parts[name]
            part[0].append(slot)
            part[1].append(due_us)
        for some, their_dues in parts.values():
            self._of(some[0]).put_many(some, their_dues)

    def discard(self, slot: Slot, moves: bool = False) -> None:
        """Remove a slot from the queue of its executor, if it is there.

        Args:
            slot: The slot.
            moves: Whether it goes to another executor.
        """
        queue = self._queues.get(slot.job[5][0])
        if queue is not None:
            queue.discard(slot, moves)

    def first_due(self) -> int | None:
        """Return when the first is due, or None."""
        dues = [queue.first_due() for queue in tuple(self._queues.values())]
        return min((due_us for due_us in dues if due_us is not None), default=None)

    def pop_due(self, now_us: int, limit: int, executors: Executors) -> list[Slot]:
        """Take up to *limit* slots that are due, the earliest first.

        Args:
            now_us: The present.
            limit: The maximum number.
            executors: The maximum number of each, if given; jobs of all executors are taken.
        """
        most: Mapping[str, int] = executors if isinstance(executors, Mapping) else {}
        taken: list[Slot] = []
        gave = 0
        for name, queue in tuple(self._queues.items()):  # a finalizer may add one
            before = len(taken)
            taken += queue.pop_due(now_us, min(limit, most.get(name, limit)))
            gave += len(taken) > before
        if gave > 1:
            taken.sort(key=_due_us)
            if len(taken) > limit:
                later = taken[limit:]
                del taken[limit:]
                self.put_many(later, [_due_us(slot) for slot in later])
        return taken

    def _of(self, slot: Slot) -> DueQueue[Slot]:
        name = slot.job[5][0]
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues.setdefault(name, DueQueue())
        return queue


class MemoryBatch(GivenBack):
    """Jobs that were taken out of the due queue; see :class:`~schedcore.stores.contract.Batch`."""

    def __init__(self, store: MemoryStore, slots: list[Slot]) -> None:
        self.slots = slots
        self._store = store
        # The versions of the taken jobs; empty once the batch is settled or given back.
        self.seqs: Sequence[int] = [slot.seq for slot in slots]

    def settle(self, decided: Sequence[Decision], now_us: int) -> Settled:
        """Write all decisions, or none."""
        return self._store._settle(self, decided, now_us)

    def give_back(self) -> None:
        """Give back jobs that were not settled."""
        if self.seqs:
            self._store._give_back(self)


def _due_us(slot: Slot) -> int:
    assert slot.due_us is not None
    return slot.due_us
