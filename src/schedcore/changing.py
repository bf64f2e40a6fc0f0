"""Changes of one job, in a store where others change it too and where it moves on by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schedcore.planning import Place, passed_over, set_back
from schedcore.run import Outcome, RunRecord
from schedcore.stores.base import Entry, Passed, make_entry

ATTEMPTS = 20
"""How often a change is made anew because somebody else changed the job meanwhile."""

Check = Callable[[Entry], object]
"""Called with a job as it is just before it is changed; if it raises, the job stays as it is."""


def checked(check: Check | None, change: Callable[[Entry], Entry]) -> Callable[[Entry], Entry]:
    """Return *change* with *check* before it, each time that the job is read."""
    if check is None:
        return change

    def check_and_change(entry: Entry) -> Entry:
        check(entry)
        return change(entry)

    return check_and_change


def rebased(changed: Entry, read: Entry, now: Entry) -> Entry | None:
    """Return the change that made *changed* of *read*, made to the job as it is *now*.

    To make a change may take longer than the job takes to become due again.  A place that the
    change left alone is the one that the job has now; a place that it set stays.

    Returns:
        None if the change has to be made anew, since another one was made meanwhile.
    """
    if now.job is not read.job or (now.due_us is None) != (read.due_us is None):
        return None
    if changed.job.trigger is read.job.trigger and changed[1:3] == read[1:3]:
        return make_entry(changed.job, now.fire_us, now.due_us, now.judged_us, changed.broken)
    if changed.due_us is None and changed.fire_us is not None:  # paused, and stays where it was
        return None
    return changed


def passed_records(old: Entry, new: Entry | None, now_us: int) -> Sequence[RunRecord]:
    """Return the outcomes of the fire times that have come, and that a change passes over.

    They end as paused if the job was paused, and as cancelled otherwise.

    Args:
        old: The job before the change.
        new: The job after it; None: it is removed.
        now_us: The moment of the change.
    """
    first_us = old.fire_us
    if first_us is None or now_us < first_us or (new is not None and new.fire_us == first_us):
        return ()
    trigger = old.job.trigger
    same = new is not None and (new.job.trigger is trigger or new.job.trigger == trigger)
    until_us = new.fire_us if new is not None and same else None
    backlog = passed_over(trigger, first_us, now_us, until_us)
    if backlog is None:
        return ()
    outcome = Outcome.PAUSED if old.due_us is None else Outcome.CANCELLED
    return (Passed(outcome, backlog, now_us - first_us).record(old.job.id),)


def set_back_entry(entry: Entry, now_us: int, jump_us: int) -> Entry:
    """Return *entry* in its place after the wall clock was set back by -*jump_us*.

    See :func:`~schedcore.planning.set_back`.
    """
    place = Place(entry.job.trigger, entry.fire_us, entry.due_us, entry.judged_us)
    moved = set_back(place, now_us, jump_us, broken=bool(entry.broken))
    if moved is place:
        return entry
    job = entry.job._replace(trigger=moved.trigger)
    return entry._replace(
        job=job, fire_us=moved.fire_us, due_us=moved.due_us, judged_us=moved.judged_us
    )
