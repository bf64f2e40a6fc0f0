"""What a scheduler is doing, and how it does."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Holder(NamedTuple):
    """The process that takes the due jobs."""

    pid: int
    host: str
    since_us: int
    """Since when it is there, in microseconds since the Unix epoch."""


LONGEST_WAIT: Final = 60.0
"""Seconds that a run may wait for a worker before its scheduler is not well."""


class State(IntEnum):
    """What a scheduler is doing; the first three numbers are those of APScheduler."""

    STOPPED = 0
    RUNNING = 1
    PAUSED = 2
    STANDBY = 3
    """It is started, and another process on its store takes the due jobs."""


class Health(NamedTuple):
    """How a scheduler does."""

    ok: bool
    """Whether it is started, its loop is there, not held up, and not failing, no run waits for a
    worker for longer than a minute, and no executor is broken; standing by is well too."""
    state: State
    stalled_for: float
    """Seconds for which the loop has been held up by a store, a trigger or a listener."""
    behind: float
    """Seconds by which the first job that is due, and was not taken yet, is late."""
    loop_failing: int
    """How many steps of the loop raised one after the other, up to the last one."""
    loop_failures: int
    """How many times a step of the loop raised."""
    loop_restarts: int
    """How many times the loop's thread had to be replaced."""
    listener_failures: int
    """How many times a listener raised."""
    waiting: Mapping[str, float] = MappingProxyType({})
    """For how many seconds the oldest run waits for a worker, by executor; only where one does."""
    broken: Mapping[str, str] = MappingProxyType({})
    """Why executors can run nothing any more, by name; only where one cannot."""
