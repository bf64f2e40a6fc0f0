"""The states of a scheduler, and its health."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Holder(NamedTuple):
    """The process that takes due jobs."""

    pid: int
    host: str
    since_us: int
    """When it joined, in microseconds since the Unix epoch."""


LONGEST_WAIT: Final = 60.0
"""Seconds that a run may wait for a worker before its scheduler is not well."""


class State(IntEnum):
    """The state of a scheduler; the first three numbers are those of APScheduler."""

    STOPPED = 0
    RUNNING = 1
    PAUSED = 2
    STANDBY = 3
    """It is started, and another process on its store takes due jobs."""


class Health(NamedTuple):
    """The health of a scheduler."""

    ok: bool
    """Whether it is started, its loop is alive, not blocked and not failing, no run has waited for
    a worker for more than a minute, and no executor is broken.  Standing by is healthy, too."""
    state: State
    stalled_for: float
    """Seconds for which a store, a trigger or a listener has blocked the loop."""
    behind: float
    """How late the first job is that is due and was not taken yet, in seconds."""
    loop_failing: int
    """How many of the last steps of the loop raised in a row."""
    loop_failures: int
    """How many times a step of the loop raised."""
    loop_restarts: int
    """How many times the loop's thread had to be replaced."""
    listener_failures: int
    """How many times a listener raised."""
    waiting: Mapping[str, float] = MappingProxyType({})
    """How many seconds the oldest run has waited for a worker, by executor, where one waits."""
    broken: Mapping[str, str] = MappingProxyType({})
    """Why executors can no longer run anything, by name, for those that cannot."""
    reason: str | None = None
    """Why the store cannot be used, or what the last step of the loop raised; None: neither."""
