"""The job of a change, what is done to it, and the audit's record of that."""

from __future__ import annotations

from collections.abc import Sequence

from schedcore.changes.audit import PYTHON, Actor, AuditRecord
from schedcore.stores.base import Change, Entry


def id_of(change: Change | Entry) -> str:
    """Return the id of the job that is changed or added."""
    return (change if isinstance(change, Entry) else change.old).job.id


def verb_of(change: Change | Entry) -> str:
    """Return what a change does to its job, as :attr:`AuditRecord.verb` names it."""
    if isinstance(change, Entry):
        return "added"
    old, new, another, _ = change
    if new is None:
        return "removed"
    if another:
        return "replaced"
    if new.broken is not None and new.broken != old.broken:
        return "parked"
    if (old.due_us is None) != (new.due_us is None):
        return "resumed" if old.due_us is None else "paused"
    return "changed"


def effective_changes(changes: Sequence[Change | Entry]) -> Sequence[Change | Entry]:
    """Return those of *changes* that change anything; the others only compare."""
    return [each for each in changes if isinstance(each, Entry) or each.new is not each.old]


def record_of_change(change: Change | Entry, by: Actor, at_us: int) -> AuditRecord:
    """Return the audit's record of a change, with the old and the new values.

    Args:
        change: The change; an entry alone is an added job.
        by: The actor.
        at_us: When it is made.
    """
    before = after = None
    if by is not PYTHON or not isinstance(change, Entry):  # else the definition is in the code
        from schedcore.stores.differences import difference  # 10 ms (json, jobdata)

        before, after = difference(change)
    return AuditRecord(0, at_us, *by, verb_of(change), id_of(change), None, before, after)
