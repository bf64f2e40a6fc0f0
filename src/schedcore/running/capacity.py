"""How many runs each executor can begin, and since when one could not.

If several processes take jobs from a store, each takes no more than its executors can begin: other
processes may take the rest, and a host that dies had taken little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from schedcore.clock import SECOND
from schedcore.executors.base import Executor
from schedcore.run import Run
from schedcore.stores.base import Slot


class Capacity:
    """Follows from step to step which executors are full.

    Args:
        executors: By name.
        most: Room of an executor that can begin any number of runs.
    """

    def __init__(self, executors: Mapping[str, Executor], most: int) -> None:
        self._executors = executors
        self._most = most
        self._rooms: Mapping[str, int] = {}
        self._measured_us = 0
        self._since_us: dict[str, int] = {}  # those that could not, and have not caught up yet

    def measure(self, now_us: int) -> dict[str, int]:
        """Return how many runs each executor can begin now; full ones are left out."""
        self._measured_us = now_us
        rooms: dict[str, int] = {}
        for name, executor in self._executors.items():
            ask = getattr(executor, "room", None)
            room = None if ask is None else ask()
            if room is None or room > 0:
                rooms[name] = self._most if room is None else min(room, self._most)
            else:
                self._since_us.setdefault(name, now_us)
        self._rooms = rooms
        return rooms

    def full_since(self) -> Mapping[str, int]:
        """Return since when the full executors have been full."""
        return dict(self._since_us)

    def full_from(self, slot: Slot) -> int | None:
        """Return since when a job has been due while its executor was full; None: it was not.

        Such a job counts as late as it was then.
        """
        since_us = self._since_us.get(slot.job.executor)
        return None if since_us is None else max(since_us, slot.due_us or 0)

    def note_taken(self, slots: Sequence[Slot]) -> None:
        """Note what was taken since then: where room is left, no job waits any more.

        Where all of the room was taken, jobs may wait as where there was none, and so they may if
        as many were taken as can be at once.
        """
        counts = Counter(slot.job.executor for slot in slots)
        for name, room in self._rooms.items():
            if counts[name] >= room or len(slots) >= self._most:
                self._since_us.setdefault(name, self._measured_us)
            else:
                self._since_us.pop(name, None)


def longest_waits(runs: Iterable[Run], passed_us: int) -> dict[str, float]:
    """Return for how many seconds the oldest of these runs waits for a worker, by executor.

    Args:
        runs: Open runs.
        passed_us: The present, of the clock that gave their ``_queued_us``.
    """
    longest: dict[str, float] = {}
    for run in runs:
        job, queued_us = run._job, run._queued_us
        if job is not None and queued_us is not None and run._started_us is None:
            name = job.options.executor
            longest[name] = max(longest.get(name, 0.0), (passed_us - queued_us) / SECOND)
    return longest
