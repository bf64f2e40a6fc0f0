"""What an executor is: it runs a run somewhere, and reports once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, Protocol

from schedcore.logs import GuardedLogger
from schedcore.run import Run, call

log = GuardedLogger(__name__)


class Reporter(Protocol):
    """Whom an executor tells of a run's beginning and end.  Thread-safe; never raises."""

    def begin(self, run: Run) -> bool:
        """Say that *run* begins now; False: it was called off, and is not to be called."""
        ...

    def end(self, run: Run, value: Any, error: BaseException | None) -> int:
        """Say that *run* ended now, with what its function returned or raised.

        Returns:
            When that is, in microseconds since the Unix epoch.
        """
        ...

    def settle(self) -> None:
        """Say that there is nothing more to report for now.

        Ends may be recorded many at once; those that nobody waits for, by this call at the latest.
        """
        ...

    def shed(self, run: Run) -> None:
        """Say that there is no room for *run*: it was not taken."""
        ...

    def cancelled(self, run: Run) -> None:
        """Say that *run* ended because it was cancelled."""
        ...

    def lost(self, run: Run, error: BaseException) -> None:
        """Say that *run* will not be heard of any more, as *error* tells: its process died, say."""
        ...


class Executor(Protocol):
    """Runs runs.  Thread-safe.

    One that cannot run every job may have a method ``check_job(job)`` besides, which raises
    InvalidOptionError for a job that it can never run: such a job is not added.  One of few workers
    may have ``workers_here()``, which returns how many there are if the calling thread is one of
    them, and None otherwise: the last of them is kept from waiting for a run of its own executor.
    """

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Take *runs* to be run, in this order as far as there is one; return at once.

        Each is told to *reporter*: its beginning if it comes to that, and its end, once; and
        :meth:`Reporter.settle` by a worker that has nothing more to do.
        Whatever a run raises, ``BaseException`` included, is its end and not that of a worker.
        """
        ...

    def abandon(self, run: Run) -> None:
        """Make up for a run that was given up, and stop it if that can be done.

        Its end is not waited for any more; a report of it is not heard.
        """
        ...

    def shutdown(self, timeout: float | None) -> None:
        """Finish the runs that were submitted, and let go of threads.

        Waits up to *timeout* seconds (None: without limit; 0: not at all), but never for the run
        that calls it.  Runs that have not begun by then are dropped; those under way go on alone.
        A submit after this starts afresh.
        """
        ...


class FuturesPool(Protocol):
    """What a ``concurrent.futures`` pool is, whose package is not loaded to name it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call *fn* somewhere, and return a future of what comes of it."""
        ...

    def shutdown(self, wait: bool = True) -> None:
        """Let go of threads or processes."""
        ...


def perform(run: Run, reporter: Reporter, raised: list[BaseException] | None = None) -> int | None:
    """Execute *run* in this thread and report it; nothing is raised.

    All of that is done in a context of the run's own: it sees no context variable of whoever
    submitted it, or of a run before it in this thread, and what it sets ends with it.

    Args:
        run: What to execute.
        reporter: Who is told.
        raised: Where what it raised is noted; None: nowhere.

    Returns:
        How many microseconds it took; None: it was not called.
    """
    return Context().run(_perform, run, reporter, raised)


def _perform(run: Run, reporter: Reporter, raised: list[BaseException] | None) -> int | None:
    try:
        if not reporter.begin(run):
            return None
        started_us = run._started_us or 0
        try:
            value = call(run)
        except BaseException as error:  # noqa: BLE001 — SystemExit in a job ends the job, no more
            if raised is not None:
                raised.append(error)
            return reporter.end(run, None, error) - started_us
        return reporter.end(run, value, None) - started_us
    except BaseException as error:  # noqa: BLE001 — the report failed: the worker must live
        if raised is not None:
            raised.append(error)
        give_up(run, reporter, error)
        return None


def settle(reporter: Reporter) -> None:
    """Say that this worker has nothing more to report for now; nothing is raised."""
    try:
        reporter.settle()
    except BaseException as error:  # noqa: BLE001 — a store that fails now is asked again later
        log.error("what ended could not be recorded yet", error=error)


def give_up(run: Run, reporter: Reporter, error: BaseException) -> None:
    """Report a run once more whose report failed."""
    try:
        reporter.lost(run, error)
    except BaseException as again:  # noqa: BLE001
        log.error("the end of %r could not be reported", run, error=again)
