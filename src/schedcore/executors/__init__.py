"""Executors: where runs are executed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from schedcore.basics.logs import GuardedLogger
from schedcore.errors import InvalidOptionError, did_you_mean, whole
from schedcore.executors.base import Executor
from schedcore.executors.coroutines import CoroutineLoop
from schedcore.executors.threads import ThreadPool
from schedcore.job import COROUTINE_EXECUTOR, DEFAULT_EXECUTOR

if TYPE_CHECKING:
    from schedcore.stores.base import Entry
    from schedcore.stores.contract import Store

log = GuardedLogger(__name__)

_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "threadpool": ("max_workers",),
    "processpool": ("max_workers",),
    "dask": ("address",),
    "celery": ("broker", "app", "backend", "max_workers", "queue"),
}
"""The types of executors in tables, and the options of each."""
_ADAPTERS: Final = (
    ("concurrent.futures", "Executor", "schedcore.executors.futures:FuturesAdapter"),
    ("celery", "Celery", "schedcore.executors.celery:CeleryExecutor"),
    ("distributed", "Client", "schedcore.executors.dask:DaskExecutor"),
)
"""Packages, their classes, and the adapters that turn an object of these into an executor."""
_METHODS: Final = ("submit", "abandon", "shutdown")
_AN_EXECUTOR: Final = (
    "an executor such as ThreadPool(20), a concurrent.futures pool, a Celery app, a Dask client, or"
    " a table such as"
    ' {"type": "threadpool", "max_workers": 20} (or "processpool", or {"type": "dask", "address":'
    ' "tcp://..."}, or {"type": "celery", "broker": "redis://..."})'
)


def check_executor(executors: Mapping[str, Executor], name: str) -> None:
    """Check that there is an executor called *name*.

    Raises:
        InvalidOptionError: naming those that exist, and suggesting a similar name.
    """
    if name not in executors:
        known = ", ".join(sorted(executors))
        hint = did_you_mean(name, executors)
        raise InvalidOptionError("executor", name, f"one of the executors {known}{hint}")


def with_defaults(executors: Mapping[str, Any]) -> dict[str, Executor]:
    """Return *executors* with the default ones, unless those are given.

    Raises:
        InvalidOptionError: if one is not an executor, or its name is not text.
    """
    if not isinstance(executors, Mapping):
        raise InvalidOptionError("executors", executors, "a mapping of names to executors")
    both = {_check_name(name): make_executor(name, what) for name, what in executors.items()}
    if DEFAULT_EXECUTOR not in both:
        both[DEFAULT_EXECUTOR] = ThreadPool()
    if COROUTINE_EXECUTOR not in both:
        both[COROUTINE_EXECUTOR] = CoroutineLoop()
    return both


def check_store(executors: Mapping[str, Executor], store: Store) -> None:
    """Let workers of clusters begin runs in a store.

    Raises:
        InvalidOptionError: if an executor needs a shared store, and this one is not.
    """
    remote = getattr(store, "remote", None)
    outliving = {name: each for name, each in executors.items() if hasattr(each, "find")}
    if remote is not None:
        remote.serve(outliving)
        return
    for name, executor in outliving.items():
        if getattr(executor, "needs_store", False):
            raise InvalidOptionError(
                f"executors[{name!r}]",
                executor,
                "a store that its workers can reach, in which each run begins once:"
                ' Scheduler(store="sqlite:///jobs.db") for workers of this machine, or'
                ' "postgresql://..."',
            )


def make_executor(name: str, what: Any) -> Executor:
    """Return the executor that *what* is or describes.

    Args:
        name: Its name; the names of its threads begin with it.
        what: An executor; a ``concurrent.futures`` pool, a Celery app or a Dask client, which get
            an adapter; or a table: ``type`` (``"threadpool"`` unless given, or ``"processpool"``)
            and ``max_workers``; or the type ``"dask"`` and an ``address``; or the type
            ``"celery"``, a ``broker`` and a ``backend`` or an ``app``, and ``max_workers`` and
            ``queue``.

    Raises:
        InvalidOptionError: if it is none of these.
    """
    option = f"executors[{name!r}]"
    if isinstance(what, Mapping):
        return _described(option, name, what)
    if isinstance(what, type):
        raise InvalidOptionError(option, what, f"{_AN_EXECUTOR}, and not its class")
    missing = [method for method in _METHODS if not callable(getattr(what, method, None))]
    if not missing:
        return what  # type: ignore[no-any-return]
    adapter = _adapter_of(what)
    if adapter is None:
        raise InvalidOptionError(option, what, f"{_AN_EXECUTOR}; it has no {missing[0]}()")
    return adapter(what)


def _adapter_of(what: Any) -> Callable[[Any], Executor] | None:
    """Return the adapter for a user's pool, app or client; None: its class is unknown."""
    for package, kind, adapter in _ADAPTERS:
        # An object of a package can only exist if the package was imported.
        found = sys.modules.get(package)
        if found is not None and isinstance(what, getattr(found, kind)):
            module, _, name = adapter.partition(":")
            make: Callable[[Any], Executor] = getattr(import_module(module), name)
            return make
    return None


def _described(option: str, name: str, table: Mapping[str, Any]) -> Executor:
    options = dict(table)
    kind = options.pop("type", "threadpool")
    known = _KINDS.get(kind, ())
    given = {name: options.pop(name) for name in known if name in options}
    if kind not in _KINDS or options:
        wrong = str(next(iter(options), kind))
        hint = did_you_mean(wrong, ["type", *known, *_KINDS])
        raise InvalidOptionError(option, _shown(table), _AN_EXECUTOR + hint)
    if kind == "dask":
        return _dask(option, given.get("address"))
    if kind == "celery":
        return _celery(option, given)
    workers = whole(f"{option}.max_workers", given.get("max_workers", 10))
    if kind == "threadpool":
        return ThreadPool(workers, name=f"schedcore-{name}")
    from schedcore.executors.processes import ProcessPool

    return ProcessPool(workers, name=f"schedcore-{name}")


def _shown(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table without the passwords in its URLs."""
    from schedcore.basics.shown_urls import without_password

    return {k: without_password(v) if isinstance(v, str) else v for k, v in table.items()}


def _dask(option: str, address: Any) -> Executor:
    try:
        from schedcore.executors.dask import DaskExecutor
    except ImportError as error:
        way_out = f"pip install distributed ({error})"
        raise InvalidOptionError(option, address, way_out) from None
    if not isinstance(address, str):
        raise InvalidOptionError(f"{option}.address", address, 'text such as "tcp://host:8786"')
    return DaskExecutor(address)


def _celery(option: str, given: Mapping[str, Any]) -> Executor:
    try:
        from schedcore.executors.celery import CeleryExecutor
    except ImportError as error:
        way_out = f'pip install "celery[redis]" ({error})'
        raise InvalidOptionError(option, _shown(given), way_out) from None
    try:
        return CeleryExecutor(**given)
    except InvalidOptionError as error:
        raise InvalidOptionError(f"{option}.{error.option}", error.value, error.expected) from None


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidOptionError("executors", name, "text as the name of each executor")
    return name


def prepare(executors: Mapping[str, Executor], entries: Callable[[], Sequence[Entry]]) -> None:
    """Let executors load what the jobs from *entries* need, before the first run."""
    if "asyncio" in sys.modules:  # nothing else needs to be prepared
        return
    try:
        used = {entry.job.options.executor for entry in entries()}
    except Exception as error:  # noqa: BLE001 — the loop meets and reports it too
        log.error("the store cannot tell its jobs", error=error)
        return
    for name in used:
        load = getattr(executors.get(name), "prepare", None)
        if load is not None:
            load()
