"""Log messages at the end: what a shutdown waits for, and programs that end before any job ran."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol
from weakref import WeakSet

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, Clock, Deadline
from schedcore.lifetime.health import State
from schedcore.run import Outcome, Run
from schedcore.stores.base import Entry

log = GuardedLogger(__name__)

SILENCE_S = 1.0
"""A shutdown logs what it waits for: at once if a run took this long, otherwise after this time."""
_MOST_NAMED = 10


@contextmanager
def logging_the_wait(
    live: Callable[[], Sequence[Run]], here: Run | None, clock: Clock, deadline: Deadline
) -> Iterator[None]:
    """Log which runs the block waits for, and for how long.

    Args:
        live: Returns the open runs.
        here: The run that calls this, if one does: it does not wait for itself.
        clock: The clock of the runs.
        deadline: How long the block may wait.
    """

    def waited_for() -> list[Run]:
        return [run for run in live() if run is not here]

    def say() -> None:
        runs, left = waited_for(), deadline.left()
        if runs:
            limit = "" if left is None else f" up to {left:.0f} s"
            log.warning("waiting%s for: %s", limit, _names(runs, clock.now_us()))

    runs = waited_for()
    if not runs or deadline.left() == 0:
        yield
        return
    now_us = clock.now_us()
    if any(_seconds(run, now_us) >= SILENCE_S for run in runs):
        say()
        yield
        return
    timer = threading.Timer(SILENCE_S, say)
    timer.daemon = True
    with suppress(RuntimeError):  # the system has no more threads
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join(1)  # no thread is left; not for ever, as it may wait for a lock held here


def _names(runs: Sequence[Run], now_us: int) -> str:
    names = [
        f"{run.job_id} (not begun)"
        if run.started_us is None
        else f"{run.job_id} ({_seconds(run, now_us):.0f} s)"
        for run in runs[:_MOST_NAMED]
    ]
    more = len(runs) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _seconds(run: Run, now_us: int) -> float:
    return 0.0 if run.started_us is None else max(0, now_us - run.started_us) / SECOND


class Startable(Protocol):
    """A scheduler that a script started."""

    @property
    def state(self) -> State:
        """Whether it runs."""
        ...

    def counts(self) -> Mapping[Outcome, int]:
        """Return how many occurrences ended in each outcome."""
        ...

    def runs(self) -> Sequence[Run]:
        """Return the open runs."""
        ...

    def entries(self) -> Sequence[Entry]:
        """Return the jobs."""
        ...


_started: WeakSet[Startable] = WeakSet()


def remind_at_exit(scheduler: Startable) -> None:
    """Log a warning at the end of the program if *scheduler* still has jobs, and ran none.

    Many first scripts end with ``start()``, and then silently exit. Called for schedulers that the
    main script itself starts, not for servers and tests.  It is silent if a job ran, after an
    error, and in an interactive session.
    """
    if not _started:
        import atexit

        atexit.unregister(_remind)
        atexit.register(_remind)
    _started.add(scheduler)


def _remind() -> None:
    if hasattr(sys, "ps1") or sys.flags.interactive or hasattr(sys, "last_type"):
        return
    for scheduler in list(_started):
        to_come = _never_ran(scheduler)
        if to_come:
            log.warning(
                "the program ends before any of the scheduler's %d job(s) ran: its threads do not"
                " keep a program alive; as the last line, use run_forever() in place of start()",
                to_come,
            )


def _never_ran(scheduler: Startable) -> int:
    """Return how many jobs have future runs, if it is running and no run has begun; else 0."""
    if scheduler.state is not State.RUNNING:  # first: the store may be gone with a shutdown
        return 0
    runs = scheduler.runs()
    if scheduler.counts() or any(run.started_us is not None for run in runs):
        return 0
    return len(runs) + sum(entry.due_us is not None for entry in scheduler.entries())
