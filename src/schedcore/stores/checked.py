"""A store of the user's, whose results are checked: a wrong one is an error that names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, cast, get_origin

from schedcore.basics.protocols import fits, missing, results
from schedcore.errors import InvalidOptionError, StoreError, short
from schedcore.stores.base import Decision, Executors, Settled, Slot
from schedcore.stores.contract import Batch, Store


def checked_store(store: object) -> Store:
    """Return a user's store with its results checked.

    Raises:
        InvalidOptionError: if it lacks a method of :class:`~schedcore.Store`.
    """
    lacks = missing(store, Store)
    if isinstance(store, type) or lacks:
        expected = 'a store, or the URL of one such as "sqlite:///jobs.db"'
        lack = ", and not its class" if isinstance(store, type) else f"; it has no {lacks}"
        raise InvalidOptionError("store", store, expected + lack)
    return cast(Store, CheckedStore(store))


class CheckedStore:
    """Passes each call on, and checks the result against the contract's annotation.

    Args:
        store: The user's store.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def __repr__(self) -> str:
        return repr(self._store)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in _results():
            return found
        checked = _checked(self._store, name, found, _results()[name])
        setattr(self, name, checked)  # asked for once
        return checked

    def take(self, now_us: int, limit: int, executors: Executors = None) -> Batch:
        """Take due jobs; see :meth:`~schedcore.stores.contract.Store.take`."""
        take = _checked(self._store, "take", self._store.take, Batch)
        return CheckedBatch(self._store, take(now_us, limit, executors))


class CheckedBatch:
    """A batch of a user's store, likewise.

    Args:
        store: The user's store.
        batch: Its batch.
    """

    def __init__(self, store: object, batch: Batch) -> None:
        self._batch = batch
        self._slots = _checked(store, "take().slots", lambda: batch.slots, Sequence[Slot])
        self._settle = _checked(store, "take().settle", batch.settle, Settled)

    @property
    def slots(self) -> Sequence[Slot]:
        """The jobs, earliest due first."""
        slots: Sequence[Slot] = self._slots()
        return slots

    def settle(self, decided: Sequence[Decision], now_us: int) -> Settled:
        """Settle the jobs; see :meth:`~schedcore.stores.contract.Batch.settle`."""
        settled: Settled = self._settle(decided, now_us)
        return settled

    def give_back(self) -> None:
        """Give back jobs that were not settled."""
        self._batch.give_back()

    def __enter__(self) -> CheckedBatch:
        self._batch.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._batch.__exit__(kind, error, trace)


@cache
def _results() -> Mapping[str, Any]:
    return results(Store)


def _checked(store: object, name: str, call: Callable[..., Any], kind: Any) -> Callable[..., Any]:
    """Return a function that checks its result.

    Raises:
        StoreError: if a result is of another type.
    """

    def checked(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        if not fits(result, kind):
            expected = kind.__name__ if get_origin(kind) is None else kind
            problem = f"{name}() returned {short(result)}: expected {expected}"
            raise StoreError(short(store), problem)
        return result

    return checked
