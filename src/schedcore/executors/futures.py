"""Any ``concurrent.futures.Executor``, behind the engine's contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from concurrent.futures import Executor as FuturesExecutor
from functools import partial
from typing import Any

from schedcore.executors.base import Reporter, perform
from schedcore.run import Run, run_here


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
        self._pending: dict[Future[Any], Run] = {}

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

    def _start(self, run: Run, reporter: Reporter) -> Future[Any] | None:
        if not self._apart:
            return self._pool.submit(perform, run, reporter)
        # The other process cannot say when it begins; the hand-over is as near as can be known.
        if not reporter.begin(run):
            return None
        job = run.job
        assert job.func is not None
        return self._pool.submit(_call, job.func, job.args, dict(job.kwargs))

    def _done(self, run: Run, reporter: Reporter, future: Future[Any]) -> None:
        self._pending.pop(future, None)
        if future.cancelled():
            reporter.cancelled(run)
            return
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            reporter.lost(run, error)
        elif self._apart:
            reporter.end(run, None if error is not None else future.result(), error)


def _call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return func(*args, **kwargs)
