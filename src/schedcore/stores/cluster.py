"""The contract of a shared store: which nodes there are, which take due jobs, which are dead.

A *node* is one process that has joined, from then until it leaves or is found dead.  The store is
all that nodes know of each other: a node that is to do something reads so in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from schedcore.clock import Clock, from_us
from schedcore.lifetime.health import State
from schedcore.run import Run, RunRecord
from schedcore.stores.ends import End


class NodeInfo(NamedTuple):
    """A process that has joined a store."""

    id: int
    """A number that the store assigns at each start, and never reuses."""
    host: str
    pid: int
    since_us: int
    """When it joined, in microseconds since the Unix epoch."""
    state: str
    """``"alive"``; ``"leaving"``: its runs continue; ``"left"``; or ``"dead"``."""
    takes: bool
    """Whether it takes due jobs."""
    renewed_us: int | None
    """When it last renewed its lease; None: the operating system knows whether it is alive."""
    runs: int
    """Number of open runs that it owns."""
    executors: tuple[str, ...]
    """The names of its executors."""
    app: str
    """The name of the app that it declares jobs for."""

    def __repr__(self) -> str:
        takes = ", takes due jobs" if self.takes else ""
        return (
            f"<NodeInfo {self.id}: process {self.pid} on {self.host!r}, {self.state}{takes},"
            f" {self.runs} open run(s), since {from_us(self.since_us).isoformat()}>"
        )


class StoreInfo(NamedTuple):
    """The kind and the state of a store."""

    kind: str
    """``"memory"``, ``"sqlite"``, ``"postgresql"``, or the name of a user's own class."""
    reachable: bool
    schema: int | None = None
    clock_offset: float | None = None
    """How far the store's clock is ahead of this machine's, in seconds; None: it has none."""
    notifications: bool = False
    """Whether it announces changes of others at once; if not, it is polled."""
    url: str | None = None
    """Where it is, without a password."""
    id: str | None = None
    """Its unique identifier; None: not known, or not shared."""


class Seen(NamedTuple):
    """What a node found out by looking."""

    wanted: State
    """The state that all nodes are to be in: RUNNING, PAUSED or STOPPED."""
    changed: bool = False
    """Whether others have written: something may be due sooner."""
    dropped: Sequence[End] = ()
    """Runs of this node that others have ended."""
    lost: Sequence[RunRecord] = ()
    """Runs that were recorded as lost with their nodes."""


class Cluster(Protocol):
    """What a shared store has as ``cluster``.  Thread-safe."""

    woken: Callable[[], object]
    """Called when others have changed something, by a cluster that hears of it: to look then."""

    @property
    def takes(self) -> bool:
        """Whether this node takes due jobs at present."""
        ...

    @property
    def shares_due(self) -> bool:
        """Whether several nodes take due jobs, each no more than its executors can begin."""
        ...

    @property
    def sets_clock(self) -> bool:
        """Whether jobs are to be moved when the clock of this process is set back.

        In one process, or the others would move them again; in none where the store has a clock of
        its own, by which all of them go.
        """
        ...

    def go_by(self, clock: Clock) -> None:
        """Go by the clock of a scheduler, unless one was given.

        It dates what is recorded, so it tells as well how old that is by now.
        """
        ...

    def join(self, app: str, executors: Collection[str]) -> bool:
        """Become a node; return whether no other is there.

        Args:
            app: In whose name it declares jobs.
            executors: The names of its executors.
        """
        ...

    def begin(self, run: Run) -> bool:
        """Note that a run begins; False: it may not, while others may take this node for dead."""
        ...

    def look(self, at_once: bool = False) -> Seen:
        """Find out what others did; take over from who is gone.  To be called ten times a second.

        What this raises leaves the node as it is: it looks again.

        Args:
            at_once: Whether to ask for the state that is wanted now, and not to go by what was
                seen a moment ago.
        """
        ...

    def want(self, state: State) -> None:
        """Have all nodes be in a state.

        Once this returns, no node takes a job any more that is paused or stopped with it.
        """
        ...

    def wanted(self) -> State:
        """Return the state that all nodes are to be in."""
        ...

    def adopt(self, now_us: int) -> list[Run]:
        """Take the runs that are due again and belong to nobody; they are to be submitted."""
        ...

    def resign(self) -> None:
        """Take no more due jobs, so that another node does; the next :meth:`join` ends that."""
        ...

    def hand_back(self, runs: Sequence[Run], now_us: int) -> list[Run]:
        """Let others take runs of this node that have not begun; return those that they get."""
        ...

    def leave(self) -> None:
        """Be a node no more, or a leaving one until the last of its runs has ended."""
        ...

    def nodes(self) -> list[NodeInfo]:
        """Return the nodes that are there or were lately, the latest first."""
        ...

    def info(self) -> StoreInfo:
        """Return what the store is, and how it does; never raises."""
        ...
