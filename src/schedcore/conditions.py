"""Doing something to a job only if it is what the caller thinks, in one step with the doing."""

from __future__ import annotations

from collections.abc import Callable

from schedcore.stores.base import Entry, Store

Check = Callable[[Entry], object]
"""Given a job as it is at the moment at which something is to be done to it; what it raises leaves
the job alone."""


def checked(check: Check | None, change: Callable[[Entry], Entry]) -> Callable[[Entry], Entry]:
    """Return *change*, with *check* before it each time that the job is read."""
    if check is None:
        return change

    def check_and_change(entry: Entry) -> Entry:
        check(entry)
        return change(entry)

    return check_and_change


def take_out(store: Store, job_id: str, check: Check | None) -> Entry:
    """Remove a job in the very state that *check* saw, and return it.

    Raises:
        JobLookupError: if there is no job with this id.
    """
    if check is None:
        return store.remove(job_id)
    while True:
        entry = store.get(job_id)
        check(entry)
        if store.swap(((entry, None),))[0]:
            return entry
