"""The interface of clusters, and the task that they get for a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from schedcore.run import Run
from schedcore.stores.sql_remote import Begun


class Task(NamedTuple):
    """The task of a run for the cluster."""

    name: str
    """The same each time that it is sent, and different for each run and attempt."""
    run: Run
    ticket: dict[str, Any] | None = None
    """Plain data for :func:`schedcore.executors.cluster_worker.execute_ticket`.  None: the cluster
    itself reports the state of the run."""
    url: str | None = None
    """The URL of the store, for workers on this machine that trust the sender of tasks."""


class RunStates(Protocol):
    """Reports which runs workers have begun, and their results."""

    def store_id(self) -> str:
        """Return an id that no other store has; raises StoreError."""
        ...

    def begun(self, runs: Sequence[Run]) -> Mapping[int, Begun]:
        """Return the runs that workers have begun, by id."""
        ...


class Cluster(Protocol):
    """A kind of cluster; called by one thread."""

    @property
    def states(self) -> RunStates | None:
        """Return the reports for runs of a store in memory; None: it has none."""
        ...

    def reach(self) -> int:
        """Return how many runs it can have at a time; raises any exception if it is unreachable."""
        ...

    def send(self, task: Task) -> None:
        """Have a worker execute a task; raises any exception if it is unknown whether it will."""
        ...

    def revoke(self, name: str) -> None:
        """Drop a task, or stop it if it is being executed, where that is possible."""
        ...

    def close(self) -> None:
        """Close all connections; the next :meth:`reach` connects again."""
        ...

    def forget(self) -> None:
        """In a forked child: leave open connections to the parent, and start empty."""
        ...


def name_of(store_id: str, run_id: int, attempt: int) -> str:
    """Return the name of a run's task, which is unique over runs, attempts and stores."""
    return f"schedcore-{store_id}-{run_id}-{attempt}"
