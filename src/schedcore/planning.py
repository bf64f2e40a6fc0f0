"""Decides about fire times, in pure functions.

:func:`plan` is the misfire policy: which fire times of a due job run, which are missed or
coalesced, and which one comes next.  :func:`passed_over` counts fire times that a change of a job
removes from the schedule, and :func:`set_back` moves a job after the wall clock was set back.

A *fire time* is a moment of the trigger; a *due time* is when the job acts on it: at that time, or
later by its jitter.  Both are integer microseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from schedcore.errors import short
from schedcore.triggers.base import Trigger

if TYPE_CHECKING:
    from schedcore.retry import RandomSource

PORTION = 100
"""How many fire times of a backlog with ``coalesce=False`` are planned at once; the rest is
held."""
COUNT_LIMIT = 10_000
"""Maximum number of fire times of one backlog that are counted one by one: 10 ms.

That is for triggers that cannot count by arithmetic (``Trigger.reckons`` is false).
"""
CORRECTION_US = 3 * 3600 * 1_000_000
"""Setting the wall clock back by this much, three hours, counts as correcting a wrong clock."""
_NO_LIMIT = 1 << 62


class Backlog(NamedTuple):
    """Fire times that do not run: the first of them, and how many there are."""

    first_us: int
    occurrences: int


class Plan(NamedTuple):
    """The plan for a due job."""

    runs: tuple[int, ...]
    """Fire times to run now, oldest first."""
    missed: Backlog | None
    """Fire times that are later than the grace time allows."""
    coalesced: Backlog | None
    """Fire times for which the one in ``runs`` stands."""
    next_us: int | None
    """The next fire time; None: there is none.  If it is past, it is the rest of a backlog."""


class Place(NamedTuple):
    """The place of a job in the schedule."""

    trigger: Trigger
    fire_us: int | None
    """The nominal fire time that comes next; None: the job was added paused."""
    due_us: int | None
    """The due time: at the fire time or after it.  None: paused."""
    backlog_us: int | None
    """When the backlog was found due of which this is the rest; None: it is none."""


def following(trigger: Trigger, fire_us: int) -> int | None:
    """Return the fire time after *fire_us*, or None; exceptions of the trigger are raised.

    Raises:
        ValueError: if the trigger does not advance: the job would be due forever.
        TypeError: if it gives something else than a time.
    """
    found = trigger.next_us(fire_us)
    if found is not None and (type(found) is not int or found <= fire_us):
        raise _no_fire_time(trigger, found, fire_us)
    return found


def first_fire(trigger: Trigger, now_us: int) -> int | None:
    """Return the first fire time of a job that is added at *now_us*, or None.

    Raises:
        TypeError: if the trigger gives something else than a time.
    """
    found = trigger.first_us(now_us)
    if found is not None and type(found) is not int:
        raise _no_fire_time(trigger, found, now_us)
    return found


def _no_fire_time(trigger: Trigger, found: object, after_us: int) -> Exception:
    text = f"{trigger!r} gave {short(found)} as the fire time after {after_us}"
    if type(found) is int:
        return ValueError(text)
    return TypeError(f"{text}: expected microseconds since the Unix epoch as an int, or None")


def plan(
    trigger: Trigger,
    coalesce: bool,
    grace_us: int | None,
    fire_us: int,
    now_us: int,
    backlog_us: int | None = None,
) -> Plan:
    """Return the plan for a job whose fire time *fire_us* has come, at *now_us*.

    A fire time is missed if it is older than *grace_us* (None: never).  With *coalesce*, the oldest
    fire time of a backlog within the grace runs for all later ones too; the cost does not depend on
    the length of the backlog.  Without, each runs, in portions of :data:`PORTION`.

    Args:
        trigger: Asked for its fire times; its exceptions are raised.
        coalesce: Whether a backlog runs once.
        grace_us: Microseconds after its time at which a run may still start, or None.
        fire_us: The fire time that has come; it need not belong to the trigger.
        now_us: The present; earlier than *fire_us* after the wall clock was set back.
        backlog_us: When the backlog was found due of which this is the rest, which decides whether
            its fire times are late; None: now.

    Raises:
        ValueError: as :func:`following` does; likewise TypeError.
    """
    second = following(trigger, fire_us)
    if backlog_us is None:
        backlog_us = now_us
    late = grace_us is not None and backlog_us - fire_us > grace_us
    if second is None or second > now_us:
        if late:
            return Plan((), Backlog(fire_us, 1), None, second)
        return Plan((fire_us,), None, None, second)

    missed = None
    first: int | None = fire_us
    if grace_us is not None and late:
        first = following(trigger, backlog_us - grace_us - 1)
        last_missed_us = now_us if first is None else min(now_us, first - 1)
        missed = Backlog(fire_us, 1 + count(trigger, fire_us, last_missed_us))
    if first is None or first > now_us:
        return Plan((), missed, None, first)
    if coalesce:
        return _once(trigger, first, missed, now_us)
    return _each(trigger, first, missed, now_us)


def _once(trigger: Trigger, first_us: int, missed: Backlog | None, now_us: int) -> Plan:
    """Return the plan of a coalescing backlog: its first fire time runs for the others."""
    second = following(trigger, first_us)
    coalesced = None
    if second is not None and second <= now_us:
        coalesced = Backlog(second, count(trigger, first_us, now_us))
    return Plan((first_us,), missed, coalesced, following(trigger, now_us))


def _each(trigger: Trigger, first_us: int, missed: Backlog | None, now_us: int) -> Plan:
    """Return the plan of a backlog of which each fire time runs: its first portion."""
    runs: list[int] = []
    coming: int | None = first_us
    while coming is not None and coming <= now_us and len(runs) < PORTION:
        runs.append(coming)
        coming = following(trigger, coming)
    return Plan(tuple(runs), missed, None, coming)


def due_time(fire_us: int, jitter_us: int, random: RandomSource) -> int:
    """Return the due time of a fire time: equal, or up to *jitter_us* later at random."""
    return fire_us + random.randrange(jitter_us + 1) if jitter_us else fire_us


def passed_over(
    trigger: Trigger, first_us: int | None, now_us: int, until_us: int | None = None
) -> Backlog | None:
    """Return the past fire times, as of *now_us*, that a change of the job skips.

    Args:
        trigger: That of the job before the change.
        first_us: The fire time that was next; None: there was none.
        now_us: The moment of the change.
        until_us: The next fire time after the change, if the trigger stays; None: all are out.
    """
    last_us = now_us if until_us is None else min(now_us, until_us - 1)
    if first_us is None or first_us > last_us:
        return None
    return Backlog(first_us, 1 + count(trigger, first_us, last_us))


def count(trigger: Trigger, after_us: int, until_us: int) -> int:
    """Return how many fire times lie in ``(after_us, until_us]``.

    Exact for triggers that count by arithmetic; for others, at most :data:`COUNT_LIMIT`.
    """
    return trigger.count_us(after_us, until_us, _NO_LIMIT if trigger.reckons else COUNT_LIMIT)


def set_back(place: Place, now_us: int, jump_us: int, broken: bool = False) -> Place:
    """Return the place of a job after the wall clock was set back.

    A trigger of elapsed time (``Trigger.elapsed``, an interval) goes on at once and keeps its
    spacing: a fire time that had come by the old clock stays due, and the first one that had not
    comes within one span from now.  A wall-clock trigger waits until the clock shows its fire time
    again, so that nothing runs twice; unless the clock was set back by :data:`CORRECTION_US` or
    more, which corrects a wrong clock: then the first fire time from the new present on is next
    (Debian's cron(8), "Notes").  A ``next_run_time`` that the user chose stays.

    Args:
        place: The place before.
        now_us: What the clock shows since.
        jump_us: By how much it was moved; negative.
        broken: Whether the job currently cannot run, and waits to be tried again.

    Returns:
        *place* itself, if nothing changes.  Exceptions of the trigger are raised.
    """
    trigger, fire_us, due_us, _ = place
    if fire_us is None:
        return place
    if broken and trigger.kind is None:  # a user's trigger, which may not answer, is not asked
        return place if due_us is None else place._replace(due_us=due_us + jump_us)
    old_now_us = now_us - jump_us
    if fire_us > old_now_us and trigger.next_us(old_now_us) != fire_us:
        return place
    if trigger.elapsed:
        if fire_us > old_now_us:
            return _from_now_on(place, now_us, old_now_us)
        return _due_still(place, now_us, jump_us)
    return _on_the_wall(place, now_us, jump_us, broken)


def _from_now_on(place: Place, now_us: int, old_now_us: int) -> Place:
    """Return the place of a job of elapsed time whose fire time had not come by the old clock."""
    trigger, fire_us, due_us, backlog_us = place
    assert fire_us is not None
    second_us = trigger.next_us(fire_us)
    span_us = 0 if second_us is None else second_us - fire_us
    # A start date in the future stays where it is.  One within a span of the old present counts as
    # the one that adding the job set: it moves, as elapsed time does.
    if fire_us - old_now_us > span_us and trigger.next_us(0) == fire_us:
        return place
    again = trigger.set_back_to(now_us)
    first_us = again.next_us(now_us)
    if first_us is None or first_us >= fire_us:
        return place
    delay_us = 0 if due_us is None else due_us - fire_us  # the jitter that was drawn
    return Place(again, first_us, None if due_us is None else first_us + delay_us, backlog_us)


def _due_still(place: Place, now_us: int, jump_us: int) -> Place:
    """Return the place of a job of elapsed time whose fire time had come by the old clock."""
    trigger, fire_us, due_us, backlog_us = place
    assert fire_us is not None
    trigger = trigger.set_back_to(fire_us + jump_us)
    # Earlier by as many whole spans as the jump has: a backlog neither loses nor gains fire times.
    first_us = trigger.next_us(fire_us + jump_us - 1)
    if first_us is None or first_us > fire_us:
        first_us = fire_us
    back_us = fire_us - first_us
    if due_us is not None:  # what is left of a wait, for its jitter say, stays as long as it was
        due_us = max(now_us, due_us + jump_us)
    return Place(trigger, first_us, due_us, None if backlog_us is None else backlog_us - back_us)


def _on_the_wall(place: Place, now_us: int, jump_us: int, waits: bool) -> Place:
    """Return the place of a job with a wall-clock trigger."""
    trigger, fire_us, due_us, backlog_us = place
    assert fire_us is not None
    held = backlog_us is not None
    if (
        jump_us <= -CORRECTION_US
        and fire_us > now_us
        and trigger.next_us(fire_us - 1) == fire_us
        and (first_us := trigger.next_us(now_us)) is not None
        and first_us < fire_us
    ):
        if due_us is not None:
            due_us = first_us if waits or held else due_us - fire_us + first_us
        return Place(trigger, first_us, due_us, None)
    if due_us is None or not (waits or held):
        return place
    due_us += jump_us
    return place._replace(due_us=due_us if held else max(fire_us, due_us))
