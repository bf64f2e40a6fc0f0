"""Runs that are adopted from a dead process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schedcore.clock import passing_us
from schedcore.executors.base import Executor
from schedcore.run import Run
from schedcore.running.runs import Runs


def take_over(runs: Runs, executors: Mapping[str, Executor], adopted: Sequence[Run]) -> None:
    """Submit runs of a dead process, and follow up those that cluster workers have begun.

    Args:
        runs: Follows them from now on.
        executors: By name.
        adopted: The runs that the store assigned to this process.
    """
    begun: dict[str, list[Run]] = {}
    for run in adopted:
        if run._started_us is not None and run._job is not None:
            run._queued_us = passing_us()
            begun.setdefault(run._job.options.executor, []).append(run)
    runs.submit([run for run in adopted if run._started_us is None])
    for name, together in begun.items():
        find = getattr(executors.get(name), "find", None)
        for run in together if find is None else find(together, runs.reporter):
            unknown = LookupError(f"the executor {name!r} no longer knows it")
            runs.reporter.lost(run, unknown)
