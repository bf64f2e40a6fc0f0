"""Any ``concurrent.futures.Executor``, behind the engine's contract."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from concurrent.futures import Executor as FuturesExecutor
from functools import partial
from typing import Any

from schedcore.basics.turns import Turn
from schedcore.clock import Deadline
from schedcore.errors import InvalidOptionError, text_of
from schedcore.executors.base import Pace, Reporter, perform, settle
from schedcore.executors.remote import Report, check_by_name, execute_task, result_of, task_of
from schedcore.job import Job
from schedcore.output.text import keep_from_elsewhere
from schedcore.run import Run, run_here


class FuturesAdapter:
    """Executes runs in your own ``concurrent.futures.Executor``.

    A *remote* pool calls functions in other processes: functions must be importable there, and
    arguments picklable; it returns the result, and at the end the output.  It gets no more runs
    than it has workers, where their number is known, so that waiting runs can be cancelled.  Active
    ones cannot be ended; use :class:`~schedcore.executors.processes.ProcessPool` for that.  Your
    own pool is not shut down with the scheduler, so it can be used after the next start.  A pool
    that a function creates is: runs that do not finish in time are ended with their processes.  If
    a process of the pool dies, the pool can run nothing more, and its runs are lost; a new pool
    replaces it, created by that function, or like the given ``ProcessPoolExecutor``.

    Args:
        pool: The pool, or a function without arguments that creates it.
        remote: Whether it calls functions in other processes.  None: only a ``ProcessPoolExecutor``
            does; for other pools that pickle, pass True.

    Attributes:
        remote: The resolved value of *remote*.
        broken: Why the pool can no longer run anything, and cannot be replaced.
    """

    def __init__(
        self,
        pool: FuturesExecutor | Callable[[], FuturesExecutor],
        remote: bool | None = None,
    ) -> None:
        self._own = not hasattr(pool, "submit")
        if self._own and not callable(pool):
            raise InvalidOptionError("pool", pool, "a concurrent.futures pool, or what makes one")
        made: Any = pool() if self._own else pool  # type: ignore[operator]
        self._make: Callable[[], FuturesExecutor] = (
            pool if self._own else partial(_like, made)  # type: ignore[assignment]
        )
        self._lock = threading.Lock()
        self._pool: FuturesExecutor = made
        self._ended = False
        # It pickles functions by name.  What other pools can transfer is unknown.
        self._by_name = isinstance(made, ProcessPoolExecutor)
        self.remote = self._by_name if remote is None else remote
        self.broken: str | None = None
        self._waiting: deque[tuple[Run, Reporter]] = deque()
        self._turn = Turn()
        self._pending: dict[Future[Any], Run] = {}
        self._done_ever = 0
        self._pace = Pace()
        self._here = threading.local()

    def __repr__(self) -> str:
        return f"<FuturesAdapter of {self._pool!r}>"

    def check_job(self, job: Job) -> None:
        """Check that the pool may be able to run *job*.

        Raises:
            InvalidOptionError: if its function can never be found in another process.
        """
        if self._by_name:
            check_by_name(job)

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Accept *runs* for execution; return at once."""
        self._waiting.extend((run, reporter) for run in runs)
        self._hand_on()

    def _hand_on(self) -> None:
        """Submit waiting runs to the pool, as far as it has workers for them."""
        # One thread at a time, so that runs are counted correctly.
        while self._waiting and self._has_room() and self._turn.take():
            try:
                if self._waiting and self._has_room():
                    self._hand_over(*self._waiting.popleft())
            finally:
                self._turn.leave()

    def _has_room(self) -> bool:
        most = self._workers() if self.remote else None
        return most is None or len(self._pending) < most

    def _workers(self) -> int | None:
        workers: int | None = getattr(self._pool, "_max_workers", None)
        return workers

    def _hand_over(self, run: Run, reporter: Reporter) -> None:
        try:
            future = self._start(run, reporter)
        except BaseException as error:  # noqa: BLE001 — the pool is broken or shut down
            if isinstance(error, BrokenExecutor):
                self.broken = text_of(error) or type(error).__name__
            reporter.end(run, None, error)
            return
        if future is not None:
            self.broken = None
            self._pending[future] = run
            future.add_done_callback(partial(self._done, run, reporter))

    @property
    def max_workers(self) -> int | None:
        """How many runs may be active at once; None: unknown."""
        return self._workers()

    def room(self) -> int | None:
        """Return how many runs can begin soon, if the number of workers is known."""
        workers = self._workers()
        if workers is None:
            return None
        soon = workers + self._pace.lately(self._done_ever)
        return max(0, soon - len(self._pending) - len(self._waiting))

    def workers_here(self) -> int | None:
        """Return the number of the pool's threads, if that is known, inside one of its runs."""
        return None if getattr(self._here, "run", None) is None else self._workers()

    def abandon(self, run: Run) -> None:
        """Cancel the future of a run; an active run cannot be stopped, and occupies its worker."""
        for future, its_run in list(self._pending.items()):
            if its_run is run:
                future.cancel()

    def shutdown(self, timeout: float | None) -> None:
        """Wait up to *timeout* seconds for the runs submitted; drop those that have not begun."""
        here = run_here()
        deadline = Deadline(timeout)
        while pending := [future for future, run in list(self._pending.items()) if run is not here]:
            left = deadline.left()
            if left is not None and left <= 0:
                break
            wait(pending, left)
        self._waiting.clear()
        for future in pending:
            future.cancel()
        if self._own:
            self._end_pool()

    def _end_pool(self) -> None:
        """Shut down our own pool, and end processes that are still busy."""
        with self._lock:
            self._ended = True
        processes = list((getattr(self._pool, "_processes", None) or {}).values())
        busy = any(future.running() for future in list(self._pending))
        self._pool.shutdown(wait=False, cancel_futures=True)
        if busy:  # they would delay the end of the program, and outlive it
            for process in processes:
                process.kill()

    def _to_pool(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have the pool call a function, or a new pool if this one is broken or was shut down."""
        if self._ended:
            self._renew(self._pool)
        pool = self._pool
        try:
            return pool.submit(function, *args)
        except BrokenExecutor:
            self._renew(pool)
            return self._pool.submit(function, *args)

    def _renew(self, pool: FuturesExecutor) -> None:
        """Replace *pool* with a new pool, unless that was done before."""
        with self._lock:
            if self._pool is pool:
                self._pool = self._make()
                self._ended = False

    def _start(self, run: Run, reporter: Reporter) -> Future[Any] | None:
        if not self.remote:
            return self._to_pool(self._perform, run, reporter)
        # The other process cannot report its beginning: the time of submission is the nearest.
        return self._to_pool(execute_task, task_of(run)) if reporter.begin(run) else None

    def _perform(self, run: Run, reporter: Reporter) -> None:
        """Execute a run in a thread of the pool."""
        self._here.run = run
        try:
            perform(run, reporter)
        finally:
            self._here.run = None

    def _done(self, run: Run, reporter: Reporter, future: Future[Any]) -> None:
        self._pending.pop(future, None)
        self._done_ever += 1
        self._report(run, reporter, future)
        if not future.cancelled() and isinstance(future.exception(), BrokenExecutor):
            # Not in this thread: the pool holds its lock while it marks its futures as failed.
            threading.Thread(target=self._hand_on, name="schedcore-renews", daemon=True).start()
        else:
            self._hand_on()
        settle(reporter)

    def _report(self, run: Run, reporter: Reporter, future: Future[Any]) -> None:
        if future.cancelled():
            reporter.cancelled(run)
            return
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            reporter.lost(run, error)
        elif error is not None:
            # Also for a pool that is not remote: there perform() reports, unless the pool could not
            # call it at all.
            reporter.end(run, None, error if self.remote else _never_called(error))
        elif self.remote:
            report_end(run, reporter, future.result())


def report_end(run: Run, reporter: Reporter, report: Report, at_us: int | None = None) -> None:
    """Report how a run ended in another process, and when (None: now)."""
    if report.printed is not None:
        keep_from_elsewhere(run, report.printed)
    try:
        value = result_of(report)
    except BaseException as error:  # noqa: BLE001 — the function's exception
        reporter.end(run, None, error, at_us)
    else:
        reporter.end(run, value, None, at_us)


def _like(pool: FuturesExecutor) -> FuturesExecutor:
    """Return a pool like a broken one, if it is known how that was created; else the same."""
    if type(pool) is not ProcessPoolExecutor:
        return pool
    made = {
        "max_workers": "_max_workers",
        "mp_context": "_mp_context",
        "initializer": "_initializer",
        "initargs": "_initargs",
        "max_tasks_per_child": "_max_tasks_per_child",
    }
    options = {option: getattr(pool, name, None) for option, name in made.items()}
    # Left out if it was not given: Python 3.10 does not have the last one.
    return ProcessPoolExecutor(**{k: v for k, v in options.items() if v is not None})


def _never_called(error: BaseException) -> BaseException:
    failure = RuntimeError(
        f"the pool raised {type(error).__name__}: {error}; if it calls functions in other"
        " processes, say FuturesAdapter(pool, remote=True)"
    )
    failure.__cause__ = error
    return failure
