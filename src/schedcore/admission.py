"""Decides how many of a job's due fire times start now, wait or are skipped: pure."""

from typing import NamedTuple

from schedcore.job import Options

MOST_WAITING = 1_000
"""Maximum number of runs of one job that may wait for a worker; further ones are skipped."""


class Admission(NamedTuple):
    """How many fire times of a job, oldest first, start, wait and are skipped."""

    starts: int
    """How many start now: the first ones."""
    waits: int
    """How many wait behind the runs of the job: the last ones."""
    skipped: int
    """How many are skipped: those between."""
    evicted: int = 0
    """How many of the oldest running ones are cancelled to make room."""


def room_for(options: Options, active: int, begun: int, waiting: int = 0) -> int:
    """Return how many more runs of a job may start; the arguments are those of :func:`admit`."""
    room = options.max_instances - active - waiting
    if active >= MOST_WAITING:
        room = min(room, MOST_WAITING - (active - begun))
    return max(0, room)


def admit(
    due: int, options: Options, active: int, begun: int, waiting: int, backlog: bool
) -> Admission:
    """Decide about *due* fire times of one job.

    As many runs start as ``max_instances`` allows.  In a backlog with ``coalesce=False`` the others
    wait behind them.  If none may start, ``overlap`` decides: ``"skip"`` skips them, ``"queue"``
    lets the last one wait, ``"cancel"`` cancels the oldest running ones in favour of the first one.
    A run that has not begun is never cancelled for another, which would not begin any sooner.

    Args:
        due: How many fire times are due, 1 or more.
        options: The job's.
        active: How many of its runs were submitted and have not ended.
        begun: How many of those are running; needed with ``overlap="cancel"``, or where
            :data:`MOST_WAITING` and more are active.
        waiting: How many of its runs wait behind those.
        backlog: Whether the fire times are the rest of a backlog with ``coalesce=False``.
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
