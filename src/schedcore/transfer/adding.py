"""Adds jobs to a store, all or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schedcore.changes.audit import actor
from schedcore.errors import JobChangedError
from schedcore.job import Job
from schedcore.jobdata import fingerprint
from schedcore.stores.base import Change, Declared, Entry
from schedcore.stores.contract import Store
from schedcore.stores.not_run import not_run_records


class Comparison(NamedTuple):
    """Jobs to be added to a store, compared with the stored jobs of the same ids."""

    new: list[Entry]
    same: list[Entry]
    """Jobs that are stored with the same definition."""
    other: list[Entry]
    """Jobs that are stored with another definition."""


def compared(entries: Sequence[Entry], there: Sequence[Entry]) -> Comparison:
    """Compare *entries* with those that are *there*."""
    known = {entry.job.id: fingerprint_of(entry.job) for entry in there}
    found = Comparison([], [], [])
    for entry in entries:
        there_now = known.get(entry.job.id)
        same = there_now is not None and there_now == fingerprint_of(entry.job)
        (found.new if there_now is None else found.same if same else found.other).append(entry)
    return found


def fingerprint_of(job: Job) -> str:
    """Return the fingerprint of the same job declared in code, which then adopts this one."""
    return fingerprint(job, job.trigger.unbound())


def add(store: Store, entries: Sequence[Entry], now_us: int) -> None:
    """Add jobs in one transaction; those that are stored with the same definition stay unchanged.

    Raises:
        ConflictingIdError: if an id is taken by another definition: nothing was written.
    """
    declared = [Declared(entry, fingerprint_of(entry.job)) for entry in entries]
    store.declare(None, declared, now_us, "refuse", actor())


def replace(store: Store, entries: Sequence[Entry], now_us: int) -> None:
    """Add or replace jobs with their places in the schedule, in one transaction.

    Raises:
        JobChangedError: if somebody else changes one of them meanwhile: nothing was written.
    """
    there = {entry.job.id: entry for entry in store.entries()}
    changes: list[Change | Entry] = []
    for entry in entries:
        old = there.get(entry.job.id)
        changes.append(
            entry if old is None else Change(old, entry, True, not_run_records(old, entry, now_us))
        )
    conflicts = store.write(changes, now_us, actor()).conflicts
    if conflicts:
        raise JobChangedError(conflicts[0], 1)
