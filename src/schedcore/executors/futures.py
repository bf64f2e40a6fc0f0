"""Any ``concurrent.futures.Executor``, behind the engine's contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from concurrent.futures import Executor as FuturesExecutor
from contextvars import Context
from functools import partial
from typing import Any

from schedcore.callables import is_local
from schedcore.errors import InvalidOptionError
from schedcore.executors.base import Reporter, perform, settle
from schedcore.job import Job
from schedcore.output import Kept, keep_from_elsewhere
from schedcore.run import Run, completed, run_here


class FuturesAdapter:
    """Executes runs in a ``concurrent.futures.Executor`` of the user's.

    A pool that is remote calls functions in other processes: it is given the function and its
    arguments, which must be found or be able to be pickled there, and hands back what comes of
    them, and at the end what was printed.  :func:`~schedcore.current_run` is not set there.
    A pool of the user's is not shut down with the scheduler, so it serves the next start.  One that
    a function makes is: runs that do not finish in time are ended with their processes.
    A pool whose process died can run nothing more: another one takes its place, made by that
    function, or like the ``ProcessPoolExecutor`` that was given.  Runs that the old one had are
    lost.

    Args:
        pool: Where the functions are called, or a function without arguments that makes it.
        remote: Whether that is in other processes.  None: it is, of a ``ProcessPoolExecutor``; for
            other pools that pickle what they are given, pass True.

    Attributes:
        remote: The same, known.
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
        # It pickles functions by name.  Of other pools it is not known what they can carry.
        self._by_name = isinstance(made, ProcessPoolExecutor)
        self.remote = self._by_name if remote is None else remote
        self._pending: dict[Future[Any], Run] = {}
        self._here = threading.local()

    def check_job(self, job: Job) -> None:
        """Check that the pool may be able to run *job*.

        Raises:
            InvalidOptionError: if its function can never be found in another process.
        """
        if self._by_name and job.func is not None and is_local(job.func):
            raise InvalidOptionError(
                "func",
                job.func,
                "a function that another process finds by its name, defined at the top level of a"
                f" module, since the executor {job.executor!r} is a process pool; or another"
                " executor",
            )

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Take *runs* to be run; return at once."""
        for run in runs:
            try:
                future = self._start(run, reporter)
            except BaseException as error:  # noqa: BLE001 — a pool that is broken or shut down
                reporter.end(run, None, error)
                continue
            if future is not None:
                self._pending[future] = run
                future.add_done_callback(partial(self._done, run, reporter))

    def workers_here(self) -> int | None:
        """Return how many threads the pool has, where that is known, inside one of its runs."""
        if getattr(self._here, "run", None) is None:
            return None
        workers: int | None = getattr(self._pool, "_max_workers", None)
        return workers

    def abandon(self, run: Run) -> None:
        """Do nothing: a future that runs cannot be stopped, and its worker is the pool's."""

    def shutdown(self, timeout: float | None) -> None:
        """Wait up to *timeout* seconds for the runs submitted; drop those that have not begun."""
        here = run_here()
        pending = [future for future, run in list(self._pending.items()) if run is not here]
        if timeout is None or timeout > 0:
            wait(pending, timeout)
        for future in pending:
            future.cancel()
        if self._own:
            self._end_pool()

    def _end_pool(self) -> None:
        """Let go of a pool of our own, and of the processes that are still busy."""
        with self._lock:
            self._ended = True
        processes = list((getattr(self._pool, "_processes", None) or {}).values())
        busy = any(future.running() for future in list(self._pending))
        self._pool.shutdown(wait=False, cancel_futures=True)
        if busy:  # they would hold up the end of the program, and outlive it
            for process in processes:
                process.kill()

    def _to_pool(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have the pool call a function, or another pool if this one is broken or was ended."""
        if self._ended:
            self._renew(self._pool)
        pool = self._pool
        try:
            return pool.submit(function, *args)
        except BrokenExecutor:
            self._renew(pool)
            return self._pool.submit(function, *args)

    def _renew(self, pool: FuturesExecutor) -> None:
        """Put another pool in the place of *pool*, unless that was done before."""
        with self._lock:
            if self._pool is pool:
                self._pool = self._make()
                self._ended = False

    def _start(self, run: Run, reporter: Reporter) -> Future[Any] | None:
        if not self.remote:
            return self._to_pool(self._perform, run, reporter)
        # The other process cannot report when it begins: the time of submitting is the nearest.
        if not reporter.begin(run):
            return None
        job = run.job
        assert job.func is not None
        call = _call if run._output is None else _call_and_capture
        return self._to_pool(call, job.func, job.args, dict(job.kwargs))

    def _perform(self, run: Run, reporter: Reporter) -> None:
        """Execute a run in a thread of the pool."""
        self._here.run = run
        try:
            perform(run, reporter)
        finally:
            self._here.run = None

    def _done(self, run: Run, reporter: Reporter, future: Future[Any]) -> None:
        self._pending.pop(future, None)
        if future.cancelled():
            reporter.cancelled(run)
            return
        error = future.exception()
        value = future.result() if self.remote and error is None else None
        if self.remote and run._output is not None:
            value = _keep_printed(run, value, error)
        if isinstance(error, BrokenExecutor):
            reporter.lost(run, error)
        elif error is not None:
            # Also of a pool that is not remote: there perform() reports, unless it was never
            # called, since the pool could not carry it to where it runs.
            reporter.end(run, None, error if self.remote else _never_called(error))
        elif self.remote:
            reporter.end(run, value, None)
        settle(reporter)


def _like(pool: FuturesExecutor) -> FuturesExecutor:
    """Return a pool like a broken one, if it is known how that was made; else itself."""
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
    # Left out where it was not given: Python 3.10 does not know the last one.
    return ProcessPoolExecutor(**{k: v for k, v in options.items() if v is not None})


def _call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    # As in a thread: each run has a context of its own.
    return Context().run(lambda: completed(func(*args, **kwargs)))


def _call_and_capture(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, Kept]:
    from schedcore.capture import call_elsewhere

    return Context().run(call_elsewhere, lambda: completed(func(*args, **kwargs)))


def _keep_printed(run: Run, gave: Any, error: BaseException | None) -> Any:
    """Keep what a run printed in another process; return what its function returned."""
    from schedcore.capture import PRINTED

    value, kept = (None, getattr(error, PRINTED, Kept())) if error is not None else gave
    keep_from_elsewhere(run, kept)
    return value


def _never_called(error: BaseException) -> BaseException:
    told = RuntimeError(
        f"the pool raised {type(error).__name__}: {error}; if it calls functions in other"
        " processes, say FuturesAdapter(pool, remote=True)"
    )
    told.__cause__ = error
    return told
