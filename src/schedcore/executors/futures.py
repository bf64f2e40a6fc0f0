"""Any ``concurrent.futures.Executor``, behind the engine's contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from concurrent.futures import Executor as FuturesExecutor
from typing import Any

from schedcore.executors.base import Reporter, perform
from schedcore.run import Run


class FuturesAdapter:
    """Executes runs in a ``concurrent.futures.Executor`` of the user's.

    A ``ProcessPoolExecutor`` runs module-level functions with arguments that can be pickled;
    :func:`~schedcore.current_run` is not set there.
    The pool is the user's: it is not shut down with the scheduler, so it serves the next start.

    Args:
        pool: Where the functions are called.
    """

    def __init__(self, pool: FuturesExecutor) -> None:
        self._pool = pool
        self._apart = isinstance(pool, ProcessPoolExecutor)
        self._pending: set[Future[Any]] = set()

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Take *runs* to be run; return at once."""
        for run in runs:
            try:
                future = self._start(run, reporter)
            except BaseException as error:  # noqa: BLE001 — a pool that is broken or shut down
                reporter.end(run, None, error)
                continue
            self._pending.add(future)
            future.add_done_callback(self._pending.discard)

    def abandon(self, run: Run) -> None:
        """Do nothing: a future that runs cannot be stopped, and its worker is the pool's."""

    def shutdown(self, timeout: float | None) -> None:
        """Wait up to *timeout* seconds for the runs submitted; drop those that have not begun."""
        pending = list(self._pending)
        if timeout is None or timeout > 0:
            wait(pending, timeout)
        for future in pending:
            future.cancel()

    def _start(self, run: Run, reporter: Reporter) -> Future[Any]:
        if not self._apart:
            return self._pool.submit(perform, run, reporter)
        job = run.job
        assert job.func is not None
        future = self._pool.submit(_call, job.func, job.args, job.kwargs)
        # The other process cannot say when it begins; the hand-over is as near as can be known.
        if not reporter.begin(run):
            future.cancel()
        else:
            future.add_done_callback(lambda done: _report(run, reporter, done))
        return future


def _call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return func(*args, **kwargs)


def _report(run: Run, reporter: Reporter, future: Future[Any]) -> None:
    if future.cancelled():
        reporter.lost(run, RuntimeError("dropped at shutdown, after it was handed over"))
        return
    error = future.exception()
    if isinstance(error, BrokenExecutor):
        reporter.lost(run, error)
    else:
        reporter.end(run, None if error else future.result(), error)
