"""When runs are to be tried again, or given up."""

from __future__ import annotations

from schedcore.heap import DueQueue
from schedcore.run import Run


class Alarms:
    """At most one alarm for each run, at an instant of whatever clock the owner reads.

    Not thread-safe: its owner holds a lock.

    Attributes:
        due: When each comes, by the id of the run; to be looked at only.
    """

    def __init__(self) -> None:
        due: dict[int, int] = {}
        self.due = due
        self._queue: DueQueue[Run] = DueQueue(lambda run, at_us: due.get(run.id) == at_us)

    def set(self, run: Run, at_us: int) -> None:
        """Set the alarm of *run*, in place of the one it had."""
        self.drop(run)
        self.due[run.id] = at_us
        self._queue.put(run, at_us)

    def drop(self, run: Run) -> None:
        """Call off the alarm of *run*, if it has one."""
        if run.id in self.due:
            self._queue.discard(run, self.due.pop(run.id))

    def pop_due(self, now_us: int) -> list[Run]:
        """Return the runs whose alarm has come, the earliest first, and forget those alarms."""
        due = self._queue.pop_due(now_us, len(self.due))
        # One whose alarm was called off and set again to the same instant may be there twice.
        return [run for run in due if self.due.pop(run.id, None) is not None]

    def first_due(self) -> int | None:
        """Return when the first alarm comes, or None."""
        return self._queue.first_due()
