"""What a cluster is given of a run, and what is different from one kind of cluster to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from schedcore.run import Run
from schedcore.stores.sql_remote import Begun


class Task(NamedTuple):
    """What the cluster is given of a run."""

    name: str
    """The same each time that it is sent, and that of no other run or attempt."""
    run: Run
    ticket: dict[str, Any] | None = None
    """For :func:`schedcore.executors.cluster_worker.work_off`: plain data.  None: the cluster
    itself tells how the run does."""
    url: str | None = None
    """Of the store, for workers of this machine that may be told by whoever sends tasks."""


class Starts(Protocol):
    """What tells which runs workers have begun, and what came of them."""

    def mark(self) -> str:
        """Return what tells its runs from those of others on the cluster; raises StoreError."""
        ...

    def look(self, runs: Sequence[Run]) -> Mapping[int, Begun]:
        """Return the runs that workers have begun, by id."""
        ...


class Cluster(Protocol):
    """What is different from one kind of cluster to the next; called by one thread."""

    @property
    def starts(self) -> Starts | None:
        """Return what tells of runs whose store is this process's alone; None: it has no such."""
        ...

    def reach(self) -> int:
        """Return how many runs it can have at a time; raises whatever, if it cannot be reached."""
        ...

    def send(self, task: Task) -> None:
        """Have a worker work a task off; raises whatever, if it is not known whether it will."""
        ...

    def revoke(self, name: str) -> None:
        """Drop a task, or stop it if it is worked off, where that can be done."""
        ...

    def close(self) -> None:
        """Let go of what is open; the next :meth:`reach` begins anew."""
        ...

    def forget(self) -> None:
        """In a forked child: leave what is open to the parent, and begin anew."""
        ...


def name_of(mark: str, run_id: int, attempt: int) -> str:
    """Return the name of the task of a run: that of no other run or attempt of any store."""
    return f"schedcore-{mark}-{run_id}-{attempt}"
