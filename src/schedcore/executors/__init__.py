"""Where runs are executed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from schedcore.basics.logs import GuardedLogger
from schedcore.errors import InvalidOptionError, did_you_mean, whole
from schedcore.executors.base import Executor
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.executors.threads import ThreadPool
from schedcore.job import COROUTINE_EXECUTOR, DEFAULT_EXECUTOR

if TYPE_CHECKING:
    from schedcore.stores.base import Entry

log = GuardedLogger(__name__)

_KINDS: Final = ("threadpool", "processpool", "dask")
_METHODS: Final = ("submit", "abandon", "shutdown")
_AN_EXECUTOR: Final = (
    "an executor such as ThreadPool(20), a concurrent.futures pool, or a table such as"
    ' {"type": "threadpool", "max_workers": 20} (or "processpool", or {"type": "dask", "address":'
    ' "tcp://..."})'
)


def check_executor(executors: Mapping[str, Executor], name: str) -> None:
    """Check that there is an executor called *name*.

    Raises:
        InvalidOptionError: naming those that there are, with a hint at the one that was meant.
    """
    if name not in executors:
        known = ", ".join(sorted(executors))
        hint = did_you_mean(name, executors)
        raise InvalidOptionError("executor", name, f"one of the executors {known}{hint}")


def with_defaults(executors: Mapping[str, Any]) -> dict[str, Executor]:
    """Return *executors* and those that every scheduler has, unless they are given.

    Raises:
        InvalidOptionError: if one is none, or its name is no text.
    """
    if not isinstance(executors, Mapping):
        raise InvalidOptionError("executors", executors, "a mapping of names to executors")
    both = {_check_name(name): make_executor(name, what) for name, what in executors.items()}
    if DEFAULT_EXECUTOR not in both:
        both[DEFAULT_EXECUTOR] = ThreadPool()
    if COROUTINE_EXECUTOR not in both:
        both[COROUTINE_EXECUTOR] = CoroutineLoop()
    return both


def make_executor(name: str, what: Any) -> Executor:
    """Return the executor that *what* is or describes.

    Args:
        name: What it is called; its threads' names begin with it.
        what: An executor, a ``concurrent.futures`` pool, which gets an adapter, or a table:
            ``type`` (``"threadpool"`` unless given, or ``"processpool"``) and ``max_workers``; or
            the type ``"dask"`` and an ``address``.

    Raises:
        InvalidOptionError: if it is none of these.
    """
    option = f"executors[{name!r}]"
    if isinstance(what, Mapping):
        return _described(option, name, what)
    if isinstance(what, type):
        raise InvalidOptionError(option, what, f"{_AN_EXECUTOR}, and not its class")
    # A pool of that package can only be there if the package was imported: 25 ms.
    futures = sys.modules.get("concurrent.futures")
    if futures is not None and isinstance(what, futures.Executor):
        from schedcore.executors.futures import FuturesAdapter

        return FuturesAdapter(what)
    for method in _METHODS:
        if not callable(getattr(what, method, None)):
            raise InvalidOptionError(option, what, f"{_AN_EXECUTOR}; it has no {method}()")
    return what  # type: ignore[no-any-return]


def _described(option: str, name: str, table: Mapping[str, Any]) -> Executor:
    options = dict(table)
    kind = options.pop("type", "threadpool")
    given = "address" if kind == "dask" else "max_workers"
    value = options.pop(given, 10)
    if kind not in _KINDS or options:
        wrong = str(next(iter(options), kind))
        hint = did_you_mean(wrong, ["type", given, *_KINDS])
        raise InvalidOptionError(option, dict(table), _AN_EXECUTOR + hint)
    if kind == "dask":
        return _dask(option, value)
    workers = whole(f"{option}.max_workers", value)
    if kind == "threadpool":
        return ThreadPool(workers, name=f"schedcore-{name}")
    from schedcore.executors.processes import ProcessPool

    return ProcessPool(workers, name=f"schedcore-{name}")


def _dask(option: str, address: Any) -> Executor:
    try:
        from schedcore.executors.dask import DaskExecutor
    except ImportError as error:
        way_out = f"pip install distributed ({error})"
        raise InvalidOptionError(option, address, way_out) from None
    if not isinstance(address, str):
        raise InvalidOptionError(f"{option}.address", address, 'text such as "tcp://host:8786"')
    return DaskExecutor(address)


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidOptionError("executors", name, "text as the name of each executor")
    return name


def prepare(executors: Mapping[str, Executor], entries: Callable[[], Sequence[Entry]]) -> None:
    """Have executors load what the jobs that *entries* returns need, rather than at a fire."""
    if "asyncio" in sys.modules:  # all that there is to prepare
        return
    try:
        used = {entry.job.options.executor for entry in entries()}
    except Exception as error:  # noqa: BLE001 — the loop meets it too, and is not well
        log.error("the store cannot tell its jobs", error=error)
        return
    for name in used:
        load = getattr(executors.get(name), "prepare", None)
        if load is not None:
            load()
