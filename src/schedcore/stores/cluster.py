"""The contract of a shared store: which nodes there are, which take due jobs, which are dead.

A *node* is one process that has joined, until it leaves or is declared dead.  Nodes communicate
only through the store.
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


class PollResult(NamedTuple):
    """What a node found in the store."""

    state: State
    """The state that all nodes should be in: RUNNING, PAUSED or STOPPED."""
    changed: bool = False
    """Whether others have written: something may be due sooner."""
    dropped: Sequence[End] = ()
    """Runs of this node that others have ended."""
    lost: Sequence[RunRecord] = ()
    """Runs that were recorded as lost with their nodes."""


class Cluster(Protocol):
    """The ``cluster`` of a shared store.  Thread-safe."""

    woken: Callable[[], object]
    """Called when others have changed something, by a cluster that is notified of it."""

    @property
    def takes(self) -> bool:
        """Whether this node takes due jobs."""
        ...

    @property
    def shares_due(self) -> bool:
        """Whether several nodes take due jobs, each no more than its executors can begin."""
        ...

    @property
    def sets_clock(self) -> bool:
        """Whether this process moves jobs when its clock is set back.

        Only one process does, or the others would move them again; none does if the store has its
        own clock.
        """
        ...

    def use_clock(self, clock: Clock) -> None:
        """Go by the clock of a scheduler, unless one was given.

        It dates what is recorded, so it tells as well how old that is by now.
        """
        ...

    def join(self, app: str, executors: Collection[str]) -> bool:
        """Become a node; return whether it is the only one.

        Args:
            app: The name of the app that it declares jobs for.
            executors: The names of its executors.
        """
        ...

    def begin(self, run: Run) -> bool:
        """Record that a run begins; False: it may not, since this node's lease may have expired."""
        ...

    def poll(self, at_once: bool = False) -> PollResult:
        """Read the changes of other nodes; take over from dead ones.  Call this ten times a second.

        After an error the node is unchanged, and tries again.

        Args:
            at_once: Whether to read the shared state now, instead of using a recent value.
        """
        ...

    def set_shared_state(self, state: State) -> None:
        """Set the state of all nodes.

        Once this returns with a pause or a stop, no node takes jobs any more.
        """
        ...

    def shared_state(self) -> State:
        """Return the state that all nodes should be in."""
        ...

    def adopt(self, now_us: int) -> list[Run]:
        """Take due runs that belong to no node, to be submitted."""
        ...

    def resign(self) -> None:
        """Stop taking due jobs, so that another node does, until the next :meth:`join`."""
        ...

    def hand_back(self, runs: Sequence[Run], now_us: int) -> list[Run]:
        """Let other nodes take runs of this node that have not begun; return those runs."""
        ...

    def leave(self) -> None:
        """Leave, or be a leaving node until the last of its runs has ended."""
        ...

    def nodes(self) -> list[NodeInfo]:
        """Return the current and recent nodes, newest first."""
        ...

    def info(self) -> StoreInfo:
        """Return the kind and the state of the store; never raises."""
        ...
