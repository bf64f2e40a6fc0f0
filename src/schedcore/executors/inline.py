"""Runs in the calling thread, at once: for simulations and tests."""

from __future__ import annotations

from collections.abc import Sequence

from schedcore.executors.base import Reporter, perform
from schedcore.run import Run


class InlineExecutor:
    """Executes each run within ``submit``, one after the other; coroutines too, to their end."""

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Execute *runs* before returning."""
        for run in runs:
            perform(run, reporter)

    def abandon(self, run: Run) -> None:
        """Do nothing: a run that the calling thread is inside of cannot be left."""

    def shutdown(self, timeout: float | None) -> None:
        """Do nothing: no run is ever waiting."""
