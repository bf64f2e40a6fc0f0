"""A batch of due jobs of the memory store."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from schedcore.stores.base import Decision, Settled, Slot

if TYPE_CHECKING:
    from schedcore.stores.memory import MemoryStore


class MemoryBatch:
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

    def __enter__(self) -> MemoryBatch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()
