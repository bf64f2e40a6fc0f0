"""Where runs are executed."""

from __future__ import annotations

from collections.abc import Mapping

from schedcore.executors.base import Executor
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.executors.threads import ThreadPool
from schedcore.job import COROUTINE_EXECUTOR, DEFAULT_EXECUTOR


def with_defaults(executors: Mapping[str, Executor]) -> dict[str, Executor]:
    """Return *executors* and those that every scheduler has, unless they are given."""
    both = dict(executors)
    if DEFAULT_EXECUTOR not in both:
        both[DEFAULT_EXECUTOR] = ThreadPool()
    if COROUTINE_EXECUTOR not in both:
        both[COROUTINE_EXECUTOR] = CoroutineLoop()
    return both
