"""How many of a job's due fire times start now, and what becomes of the others: pure."""

from __future__ import annotations

from typing import NamedTuple

from schedcore.job import Options

MOST_WAITING = 1_000
"""Runs of one job that may wait for a worker; what falls due beyond them finds no room."""


class Admission(NamedTuple):
    """What becomes of fire times that are due, oldest first: each is in one of three parts."""

    starts: int
    """How many start now: the first ones."""
    waits: int
    """How many wait behind the runs of the job: the last ones."""
    skipped: int
    """How many are skipped: those between."""
    evicted: int = 0
    """How many of the oldest runs under way are cancelled to make room."""


def room_for(options: Options, active: int, begun: int, waiting: int = 0) -> int:
    """Return how many more runs of a job may start; the arguments are those of :func:`admit`."""
    room = options.max_instances - active - waiting
    if active >= MOST_WAITING:
        room = min(room, MOST_WAITING - (active - begun))
    return max(0, room)


def admit(
    due: int, options: Options, active: int, begun: int, waiting: int, backlog: bool
) -> Admission:
    """Decide over *due* fire times of one job.

    Of one job, as many runs start as ``max_instances`` leaves room for.  The rest of several fire
    times (of a backlog with ``coalesce=False``) waits for them.  Fire times that find no room at
    all are treated as the job's ``overlap`` says: ``"skip"`` skips them, ``"queue"`` lets the last
    one wait, ``"cancel"`` cancels the oldest runs in favour of the first one.  A run that has not
    begun is not cancelled for another one, which would not begin any sooner.

    Args:
        due: How many fire times are due, 1 or more.
        options: The job's.
        active: How many of its runs were started and have not ended.
        begun: How many of those have begun; looked at with ``overlap="cancel"``, or where
            :data:`MOST_WAITING` and more are active.
        waiting: How many of its runs wait behind them.
        backlog: Whether the fire times continue a backlog of which each one is to run.
    """
    room = room_for(options, active, begun, waiting)
    if room >= due:
        return Admission(due, 0, 0)
    if backlog or (room and due > 1):
        return Admission(room, due - room, 0)
    if options.overlap == "cancel":
        # None, where those that wait take up the rest of a max_instances that was raised meanwhile.
        evicted = max(0, active + 1 - options.max_instances)
        if 0 < evicted <= begun:
            return Admission(1, due - 1, 0, evicted)
    elif options.overlap == "queue" and not waiting:
        return Admission(0, 1, due - 1)
    return Admission(0, 0, due)
