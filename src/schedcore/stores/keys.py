"""The keys for which the memory store has opened runs."""

from collections import OrderedDict
from typing import Final, NamedTuple

from schedcore.stores.base import Slot
from schedcore.stores.run_requests import KEYS_KEPT_US, EarlierRun

MOST_KEYS: Final = 10_000
"""The oldest are forgotten first."""


class _Opened(NamedTuple):
    born: int
    """Of which job: another job with the same id does not count."""
    run_id: int
    at_us: int


class Keys:
    """The runs that were opened for keys.  Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._opened: OrderedDict[tuple[str, str], _Opened] = OrderedDict()

    def find(self, slot: Slot, key: str, now_us: int) -> EarlierRun | None:
        """Return the run that was opened for a key of this job within the last day."""
        found = self._opened.get((slot.job.id, key))
        if found is None or found.born != slot.born or found.at_us < now_us - KEYS_KEPT_US:
            return None
        return EarlierRun(found.run_id)

    def note(self, slot: Slot, key: str, run_id: int, now_us: int) -> None:
        """Note which run was opened for a key."""
        name = slot.job.id, key
        self._opened[name] = _Opened(slot.born, run_id, now_us)
        self._opened.move_to_end(name)
        if len(self._opened) > MOST_KEYS:
            self._opened.popitem(last=False)

    def clear(self) -> None:
        """Forget all of them: in a forked child, the runs belong to the parent."""
        self._opened.clear()
