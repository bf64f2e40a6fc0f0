"""The contract of an executor: it executes each run somewhere, and reports its end once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Protocol

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, passing_us
from schedcore.run import Run, call, named

if TYPE_CHECKING:
    from schedcore.stores.sql_remote import RemoteRuns

log = GuardedLogger(__name__)


class Reporter(Protocol):
    """Receives an executor's reports that runs begin and end.  Thread-safe.

    Only what is no run raises: TypeError.
    """

    remote: RemoteRuns | None
    """Where workers outside this process begin runs; None: the store is not shared."""

    @property
    def captures(self) -> bool:
        """Whether the output of runs is captured."""
        ...

    def begin(self, run: Run) -> bool:
        """Report that *run* begins now; False: it was cancelled, so do not call its function."""
        ...

    def begun(self, run: Run, at_us: int) -> None:
        """Report that *run* was begun elsewhere, where this process cannot prevent it."""
        ...

    def end(
        self, run: Run, value: Any, error: BaseException | None, at_us: int | None = None
    ) -> int:
        """Report that *run* ended, with its function's result or error.

        Args:
            run: The run.
            value: What it returned.
            error: What it raised; None: nothing.
            at_us: When it ended; None: now.

        Returns:
            When it ended, in microseconds since the Unix epoch.
        """
        ...

    def settle(self) -> None:
        """Report that this worker has nothing more to do.

        Ends are recorded in batches, and by this call at the latest.
        """
        ...

    def shed(self, run: Run) -> None:
        """Report that the queue is full: the executor did not accept *run*."""
        ...

    def cancelled(self, run: Run) -> None:
        """Report that *run* ended because it was cancelled."""
        ...

    def lost(self, run: Run, error: BaseException) -> None:
        """Report that the end of *run* will never be known: its process died, for example."""
        ...


class Executor(Protocol):
    """Executes runs.  Thread-safe.

    One that cannot execute every job may have another method, ``check_job(job)``, which raises
    InvalidOptionError for a job that it can never execute: such a job is not added.  One of few
    workers may have ``workers_here()``, which returns how many there are if the calling thread is
    one of them, and None otherwise: the last of them may not wait for a run of its own executor.
    One with ``room()``, which returns how many runs it can begin soon (None: any number), leaves
    others of a shared store what it has no room for.

    One whose workers outlive this process, and begin runs in its store (``reporter.remote``), has
    ``find(runs, reporter)``.  It is asked when runs are taken over from a process that is gone: it
    follows those that its workers have, and returns the others, which are lost.  Its ``abandon`` is
    also called for runs that have not begun.
    """

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Accept *runs* for execution, in this order if one worker executes them; return at once.

        The executor reports to *reporter* the beginning of each run, unless it is cancelled before,
        and its end, once; a worker that has nothing more to do calls :meth:`Reporter.settle`.  An
        exception of a run, ``BaseException`` included, ends that run and not its worker.
        """
        ...

    def abandon(self, run: Run) -> None:
        """Free the worker of a run that was ended early, and stop the run if possible.

        Its end is no longer expected; a report of it is ignored.
        """
        ...

    def shutdown(self, timeout: float | None) -> None:
        """Finish the runs that were submitted, and end the workers.

        Waits up to *timeout* seconds (None: no limit; 0: not at all), but never for the run that
        calls it.  Runs that have not begun by then are dropped; running ones continue without the
        executor.  A later submit starts again.
        """
        ...


class FuturesPool(Protocol):
    """A ``concurrent.futures`` pool, named here without importing that package."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call *fn* somewhere, and return a future of its result."""
        ...

    def shutdown(self, wait: bool = True) -> None:
        """End its threads or processes."""
        ...


class Pace:
    """How many runs an executor completes in a tenth of a second, by its own count."""

    def __init__(self) -> None:
        self._at_us, self._count, self._lately = passing_us(), 0, 0

    def lately(self, count: int) -> int:
        """Return the recent number, given that *count* were completed in total."""
        now_us = passing_us()
        passed_us, done = now_us - self._at_us, max(0, count - self._count)
        if passed_us < PACE_US:
            return max(done, self._lately)
        self._at_us, self._count = now_us, count
        self._lately = done * PACE_US // passed_us
        return self._lately


PACE_US: Final = SECOND // 10


def perform(run: Run, reporter: Reporter, raised: list[BaseException] | None = None) -> int | None:
    """Execute *run* in this thread and report it; raises nothing.

    The run has its own context: it sees no context variables of the code that submitted it, or of
    an earlier run in this thread, and those that it sets end with it.

    Args:
        run: The run to execute.
        reporter: Receives the reports.
        raised: A list to which its exception is appended; None: no list.

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
        except BaseException as error:  # noqa: BLE001 — SystemExit in a job ends only the job
            if raised is not None:
                raised.append(error)
            return reporter.end(run, None, error) - started_us
        return reporter.end(run, value, None) - started_us
    except BaseException as error:  # noqa: BLE001 — the report failed; the worker continues
        if raised is not None:
            raised.append(error)
        report_lost(run, reporter, error)
        return None


def settle(reporter: Reporter) -> None:
    """Report that this worker has nothing more to do; raises nothing."""
    try:
        reporter.settle()
    except BaseException as error:  # noqa: BLE001 — if the store fails now, it is tried again later
        log.error("ends of runs could not be recorded yet", error=error)


def report_lost(run: Run, reporter: Reporter, error: BaseException) -> None:
    """Report a run as lost whose report failed."""
    try:
        reporter.lost(run, error)
    except BaseException as again:  # noqa: BLE001
        log.error("the end of %r could not be reported", run, error=again, fields=named(run))
