"""The misfire policy, whole, as one pure function: which fire times run, which not, what next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from schedcore.triggers.base import Trigger

if TYPE_CHECKING:
    from schedcore.retry import RandomSource

PORTION = 100
"""Fire times of one backlog that are taken at once where each of them is to run."""
COUNT_LIMIT = 10_000
"""Fire times of one backlog that are counted by walking, for triggers that cannot reckon: 10 ms."""


_NO_LIMIT = 1 << 62


class Backlog(NamedTuple):
    """Fire times that do not run: the first of them, and how many there are."""

    first_us: int
    occurrences: int


class Plan(NamedTuple):
    """What becomes of a job that is due."""

    runs: tuple[int, ...]
    """Fire times to run now, the oldest first."""
    missed: Backlog | None
    """Fire times that are later than the grace time allows."""
    coalesced: Backlog | None
    """Fire times that the one in ``runs`` stands for besides its own."""
    next_us: int | None
    """The next fire time, which is past where a backlog is taken in portions; None: no more."""


def following(trigger: Trigger, fire_us: int) -> int | None:
    """Return the fire time after *fire_us*, or None; whatever the trigger raises comes out.

    Raises:
        ValueError: if the trigger does not move on: its job would be due for ever.
    """
    found = trigger.next_us(fire_us)
    if found is not None and found <= fire_us:
        raise ValueError(f"{trigger!r} gave {found} as the fire time after {fire_us}")
    return found


def plan(trigger: Trigger, coalesce: bool, grace_us: int | None, fire_us: int, now_us: int) -> Plan:
    """Return what becomes of a job whose fire time *fire_us* has come, at *now_us*.

    A fire time is missed if it is older than *grace_us* (None: never).  Of a backlog with
    *coalesce*, the oldest fire time within the grace runs and stands for all the later ones;
    its cost does not depend on how long the backlog is.  Without, each runs, in portions.

    Args:
        trigger: Asked for its fire times; whatever it raises comes out.
        coalesce: Whether a backlog runs once.
        grace_us: Microseconds after its time at which a run may still start, or None.
        fire_us: The fire time that has come; it need not be one of the trigger's own.
        now_us: The present, no earlier than *fire_us*.

    Raises:
        ValueError: as :func:`following` does.
    """
    second = following(trigger, fire_us)
    late = grace_us is not None and now_us - fire_us > grace_us
    if second is None or second > now_us:
        if late:
            return Plan((), Backlog(fire_us, 1), None, second)
        return Plan((fire_us,), None, None, second)

    missed = None
    first: int | None = fire_us
    if grace_us is not None and late:
        first = trigger.next_us(max(fire_us, now_us - grace_us - 1))
        last_missed_us = now_us if first is None else min(now_us, first - 1)
        missed = Backlog(fire_us, 1 + count(trigger, fire_us, last_missed_us))
    if first is None or first > now_us:
        return Plan((), missed, None, first)
    if coalesce:
        return _once(trigger, first, missed, now_us)
    return _each(trigger, first, missed, now_us)


def due_time(fire_us: int, jitter_us: int, random: RandomSource) -> int:
    """Return when to act on a nominal fire time: then, or up to *jitter_us* later at random."""
    return fire_us + random.randrange(jitter_us + 1) if jitter_us else fire_us


def count(trigger: Trigger, after_us: int, until_us: int) -> int:
    """Return how many fire times lie in ``(after_us, until_us]``.

    Exact for triggers that can reckon; of others, those beyond :data:`COUNT_LIMIT` are left out.
    """
    return trigger.count_us(after_us, until_us, _NO_LIMIT if trigger.reckons else COUNT_LIMIT)


def _once(trigger: Trigger, first_us: int, missed: Backlog | None, now_us: int) -> Plan:
    second = trigger.next_us(first_us)
    coalesced = None
    if second is not None and second <= now_us:
        coalesced = Backlog(second, count(trigger, first_us, now_us))
    return Plan((first_us,), missed, coalesced, trigger.next_us(now_us))


def _each(trigger: Trigger, first_us: int, missed: Backlog | None, now_us: int) -> Plan:
    runs: list[int] = []
    coming: int | None = first_us
    while coming is not None and coming <= now_us and len(runs) < PORTION:
        runs.append(coming)
        coming = trigger.next_us(coming)
    return Plan(tuple(runs), missed, None, coming)
