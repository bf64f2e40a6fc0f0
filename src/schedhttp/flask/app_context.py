"""Runs inside a Flask app's context, for executors that run functions in this process."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask

from schedcore import Run, ThreadPool
from schedcore.executors.base import Executor, Reporter
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.job import COROUTINE_EXECUTOR, DEFAULT_EXECUTOR

log = logging.getLogger(__name__)


def in_app_context(executors: Mapping[str, Executor], app: Flask) -> dict[str, Executor]:
    """Return these executors and the default ones, with the app's context."""
    standard: dict[str, Executor] = {
        DEFAULT_EXECUTOR: ThreadPool(),
        COROUTINE_EXECUTOR: CoroutineLoop(),
    }
    return {
        # A context of this process does not reach runs in other processes.
        name: each if getattr(each, "remote", False) else InAppContext(each, app)
        for name, each in {**standard, **executors}.items()
    }


class InAppContext:
    """An executor whose runs can use ``current_app``, as requests do.

    Args:
        executor: Executes the runs.
        app: The Flask app.
    """

    def __init__(self, executor: Executor, app: Flask) -> None:
        self._executor = executor
        self._app = app

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Accept *runs* for execution; return at once."""
        self._executor.submit(runs, _Reporter(reporter, self._app))

    def prepare(self) -> None:
        """Load what runs need, before the first one."""
        prepare = getattr(self._executor, "prepare", None)
        if prepare is not None:
            prepare()

    def abandon(self, run: Run) -> None:
        """Free the worker of a run that was ended early, and stop the run if possible."""
        self._executor.abandon(run)

    def shutdown(self, timeout: float | None) -> None:
        """Finish the runs that were submitted, waiting up to *timeout* seconds."""
        self._executor.shutdown(timeout)


class _Reporter:
    """Enters the context when a run begins, and leaves it when the run ends.

    Both happen in the same thread, or the same task for coroutines, right around the function.
    """

    def __init__(self, reporter: Reporter, app: Flask) -> None:
        self._reporter = reporter
        self._app = app
        self._entered: dict[int, Any] = {}
        # Passed on unchanged
        self.remote, self.begun, self.settle = reporter.remote, reporter.begun, reporter.settle
        self.shed = reporter.shed

    @property
    def captures(self) -> bool:
        return self._reporter.captures

    def begin(self, run: Run) -> bool:
        if not self._reporter.begin(run):
            return False
        context = self._app.app_context()
        context.push()
        self._entered[run.id] = context
        return True

    def end(
        self, run: Run, value: Any, error: BaseException | None, at_us: int | None = None
    ) -> int:
        self._leave(run, error)
        return self._reporter.end(run, value, error, at_us)

    def cancelled(self, run: Run) -> None:
        self._leave(run, None)
        self._reporter.cancelled(run)

    def lost(self, run: Run, error: BaseException) -> None:
        self._entered.pop(run.id, None)
        self._reporter.lost(run, error)

    def _leave(self, run: Run, error: BaseException | None) -> None:
        context = self._entered.pop(run.id, None)
        try:
            if context is not None:
                context.pop(error)
        except Exception:
            log.exception("a teardown function of the app raised after %r", run)
