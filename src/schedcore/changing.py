"""A change of one job in a store where others change it too, and where it moves on by itself."""

from __future__ import annotations

from collections.abc import Callable

from schedcore.stores.base import Entry, make_entry

ATTEMPTS = 20
"""How often a change is worked out, if somebody else changes the job each time meanwhile."""

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


def rebased(changed: Entry, read: Entry, now: Entry) -> Entry | None:
    """Return the change that led from *read* to *changed*, made to the job as it stands *now*.

    A change may take longer to work out than the job takes to become due again.  So what it left
    where it was has moved on, and what it put elsewhere stays there.

    Returns:
        None where the change has to be worked out anew: another change was made meanwhile.
    """
    if now.job is not read.job or (now.due_us is None) != (read.due_us is None):
        return None
    if changed.job.trigger is read.job.trigger and changed[1:3] == read[1:3]:
        return make_entry(changed.job, now.fire_us, now.due_us, now.judged_us, changed.broken)
    if changed.due_us is None and changed.fire_us is not None:  # paused, and stays where it was
        return None
    return changed
