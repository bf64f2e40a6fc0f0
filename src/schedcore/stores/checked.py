"""A store of the user's, whose results are checked: a wrong one is an error that names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, TypeVar, cast, get_origin

from schedcore.basics.protocols import fits, missing, results
from schedcore.errors import InvalidOptionError, StoreError, short
from schedcore.stores.base import Decision, Executors, Settled, Slot
from schedcore.stores.contract import Batch, Store

T = TypeVar("T")


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
        if name not in _results():
            return getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = getattr(self._store, name)(*args, **kwargs)
            return _checked(self._store, f"{name}()", result, _results()[name])

        return call

    def take(self, now_us: int, limit: int, executors: Executors = None) -> Batch:
        """Take due jobs; see :meth:`~schedcore.stores.contract.Store.take`."""
        batch = self._store.take(now_us, limit, executors)
        return CheckedBatch(self._store, _checked(self._store, "take()", batch, Batch))


class CheckedBatch:
    """A batch of a user's store, likewise.

    Args:
        store: The user's store.
        batch: Its batch.
    """

    def __init__(self, store: object, batch: Batch) -> None:
        self._store = store
        self._batch = batch

    @property
    def slots(self) -> Sequence[Slot]:
        """The jobs, earliest due first."""
        return _checked(self._store, "take().slots", self._batch.slots, Sequence[Slot])

    def settle(self, decided: Sequence[Decision], now_us: int) -> Settled:
        """Settle the jobs; see :meth:`~schedcore.stores.contract.Batch.settle`."""
        settled = self._batch.settle(decided, now_us)
        return _checked(self._store, "take().settle()", settled, Settled)

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


def _checked(store: object, call: str, result: T, kind: Any) -> T:
    """Return the result of a call.

    Raises:
        StoreError: if it is of another type.
    """
    if fits(result, kind):
        return result
    expected = kind.__name__ if get_origin(kind) is None else kind
    raise StoreError(short(store), f"{call} returned {short(result)}: expected {expected}")
