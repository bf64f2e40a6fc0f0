"""Combinations: instants that all of several triggers share, or that any of them contains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import ClassVar, NamedTuple

from schedcore.clock import UTC, SystemClock, from_us, to_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers.base import Trigger
from schedcore.triggers.options import jitter_of
from schedcore.triggers.values import JitteredTrigger, set_slot
from schedcore.triggers.zones import HORIZON_US, MIN_US

MAX_MEMBERS = 64
"""Maximum number of triggers in a combination, nested ones included."""
MAX_DEPTH = 8
"""How deep combinations may be nested."""
MAX_ROUNDS = 4096
"""How many fire times of members one search compares, over the whole tree, before it gives up.
About 10 ms.  Each one is the next that can match, so a member that fires every second costs nothing
next to one that fires yearly.
"""
LIST_ROUNDS = 8 * MAX_ROUNDS
"""How many of them a list of fire times, or a count, may take: some 0.1 s."""

_TRIED_US = (
    to_us(datetime(2025, 1, 1, tzinfo=UTC)),
    to_us(datetime(2050, 1, 1, tzinfo=UTC)),
    to_us(datetime(2000, 1, 1, tzinfo=UTC)),
    MIN_US,
)


class _Rounds:
    """What is left of a search's budget, handed down a tree: one for each question to a leaf."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_ROUNDS) -> None:
        self.left = left

    def spend(self) -> None:
        if self.left <= 0:
            raise _OutOfRoundsError
        self.left -= 1


class _OutOfRoundsError(Exception):
    """The budget of a search is used up."""


def _next(trigger: Trigger, after_us: int, rounds: _Rounds) -> int | None:
    """Return a member's next fire time; a combination goes on with the same budget."""
    if isinstance(trigger, _Combination) and type(trigger).next_us is _Combination.next_us:
        return trigger.search(after_us, rounds)
    rounds.spend()
    return trigger.next_us(after_us)


def _first(trigger: Trigger, now_us: int, rounds: _Rounds) -> int | None:
    """Return a member's :meth:`Trigger.first_us`, likewise."""
    if isinstance(trigger, _Combination) and type(trigger).first_us is _Combination.first_us:
        return trigger.search_first(now_us, rounds)
    rounds.spend()
    return trigger.first_us(now_us)


class Coming(NamedTuple):
    """Fire times in order, and whether the search for more was cut short."""

    instants: list[int]
    truncated: bool


def coming(
    trigger: Trigger,
    after_us: int,
    n: int,
    until_us: int = HORIZON_US,
    rounds: int = LIST_ROUNDS,
) -> Coming:
    """Return up to *n* fire times in ``(after_us, until_us]``, for no more than *rounds*.

    Any trigger will do; only combinations ever need more than one round for each fire time.
    """
    instants: list[int] = []
    left = rounds
    while len(instants) < n:
        given = min(left, MAX_ROUNDS)
        budget = _Rounds(given)
        try:
            found = _next(trigger, after_us, budget)
        except _OutOfRoundsError:
            return Coming(instants, True)
        if found is None or found > until_us:
            break
        instants.append(found)
        after_us = found
        left -= given - budget.left
    return Coming(instants, False)


class _Combination(JitteredTrigger, abstract=True):
    """Several triggers in order, and one jitter for all."""

    __slots__ = ("_jitter", "triggers")

    triggers: tuple[Trigger, ...]
    """The members."""

    def __init__(self, triggers: Iterable[Trigger], jitter: object = None) -> None:
        set_slot(self, "triggers", _checked(triggers))
        set_slot(self, "_jitter", jitter_of(jitter))

    def search(self, after_us: int, rounds: _Rounds) -> int | None:
        """Return the first fire time strictly later than *after_us*, or None, within a budget."""
        raise NotImplementedError

    def search_first(self, now_us: int, rounds: _Rounds) -> int | None:
        """Return the first fire time of a job added at *now_us*, or None, within a budget."""
        return self.search(now_us - 1, rounds)

    def next_us(self, after_us: int) -> int | None:
        """Return the first fire time strictly later than *after_us*, or None.

        Raises:
            InvalidTriggerError: if none is found within ``MAX_ROUNDS`` fire times of the members.
        """
        try:
            return self.search(after_us, _Rounds())
        except _OutOfRoundsError:
            raise self._never() from None

    def first_us(self, now_us: int) -> int | None:
        """Return the first fire time of a job added at *now_us*; a date's may have passed.

        Raises:
            InvalidTriggerError: as :meth:`next_us` does.
        """
        try:
            return self.search_first(now_us, _Rounds())
        except _OutOfRoundsError:
            raise self._never() from None

    def count_us(self, after_us: int, until_us: int, limit: int) -> int:
        """Return how many fire times lie in ``(after_us, until_us]``, up to *limit*.

        A walk, of no more than ``LIST_ROUNDS``: what lies beyond is not counted.
        """
        return len(coming(self, after_us, limit, until_us).instants)

    def next_fire_times(self, n: int, after: datetime | None = None) -> list[datetime]:
        """Return up to *n* fire times strictly later than *after* (None: now), in order.

        Raises:
            InvalidTriggerError: if they are not found within ``LIST_ROUNDS``, or as
                :meth:`next_us` does.
        """
        after_us = SystemClock().now_us() if after is None else to_us(after)
        instants, truncated = coming(self, after_us, n)
        if truncated:
            raise self._never(f"; {len(instants)} of {n} were found")
        return [from_us(instant, self.timezone) for instant in instants]

    def _never(self, found: str = "") -> InvalidTriggerError:
        return InvalidTriggerError(
            "triggers",
            list(self.triggers),
            "triggers with a fire time in common; these have none, to the instant, within"
            f" {MAX_ROUNDS} fire times{found}; either one is enough with 'or'",
        )

    @property
    def timezone(self) -> tzinfo:
        """The zone in which fire times are shown: that of the first member."""
        return self.triggers[0].timezone

    @property
    def elapsed(self) -> bool:  # type: ignore[override]  # it follows from the members
        """Whether all members are spaced by elapsed time."""
        return all(member.elapsed for member in self.triggers)

    def set_back_to(self, now_us: int) -> Trigger:
        """Return this trigger with its members set back, if they are of elapsed time."""
        members = tuple(member.set_back_to(now_us) for member in self.triggers)
        return self if members == self.triggers else type(self)(members, self._jitter.given)

    def unbound(self) -> Trigger:
        """Return this trigger with its members as they were given."""
        members = tuple(member.unbound() for member in self.triggers)
        return self if members == self.triggers else type(self)(members, self._jitter.given)

    def _bound_members(self, now_us: int) -> tuple[Trigger, ...]:
        return tuple(member.bound_to(now_us) for member in self.triggers)

    def options(self) -> dict[str, object]:
        """Return the plain-data form, with the tzinfo itself where a zone has no name."""
        options: dict[str, object] = {
            "trigger": self.kind,
            "triggers": [dict(member.to_dict()) for member in self.triggers],
        }
        if self._jitter.given is not None:
            options["jitter"] = self._jitter.given
        return options

    def __repr__(self) -> str:
        jitter = "" if self._jitter.given is None else f", jitter={self._jitter.given!r}"
        return f"{type(self).__name__}({list(self.triggers)!r}{jitter})"


class AndTrigger(_Combination):
    """Fires at the instants at which all of its members fire.

    Args:
        triggers: The members, one or more.
        jitter: The longest random delay added to each fire time, in seconds.

    Raises:
        InvalidTriggerError: if they have no instant in common within ``MAX_ROUNDS`` fire times,
            those of nested members included (for members that are bound later, :meth:`bound_to`
            raises it), or if a member has a jitter.  A later search that gives up raises it as
            well: returning None would silently end the job.
    """

    __slots__ = ("_flat",)

    kind: ClassVar[str] = "and"

    _flat: tuple[Trigger, ...]
    """The members, with those of a member that is an AND itself in its place."""

    def __init__(self, triggers: Iterable[Trigger], jitter: object = None) -> None:
        super().__init__(triggers, jitter)
        set_slot(self, "_flat", tuple(_flattened(self.triggers)))
        if all(_is_bound(member) for member in self.triggers):
            self._check()

    def search(self, after_us: int, rounds: _Rounds) -> int | None:
        """Return the first common fire time strictly later than *after_us*, or None."""
        members = self._flat
        candidate = _next(members[0], after_us, rounds)
        agreed, place = 1, 0
        while candidate is not None and agreed < len(members):
            place = (place + 1) % len(members)
            found = _next(members[place], candidate - 1, rounds)
            agreed = agreed + 1 if found == candidate else 1
            candidate = found
        return candidate

    def bound_to(self, now_us: int) -> AndTrigger:
        """Return this trigger with its members bound.

        Raises:
            InvalidTriggerError: if they turn out to have no instant in common.
        """
        members = self._bound_members(now_us)
        return self if members == self.triggers else AndTrigger(members, self._jitter.given)

    def _check(self) -> None:
        """Refuse members that do not meet, as seen from any of the instants tried."""
        others = _Rounds()
        for after_us, rounds in zip(_TRIED_US, (_Rounds(), others, others, others), strict=True):
            try:
                if self.search(after_us, rounds) is not None:
                    return
            except _OutOfRoundsError:
                continue  # zones change: members may meet in another decade
        raise self._never()


class OrTrigger(_Combination):
    """Fires at every instant at which one of its members fires; once if several do.

    Args:
        triggers: The members, one or more.
        jitter: The longest random delay added to each fire time, in seconds.

    Raises:
        InvalidTriggerError: if there is no member, or one has a jitter.
    """

    __slots__ = ()

    kind: ClassVar[str] = "or"

    def search(self, after_us: int, rounds: _Rounds) -> int | None:
        """Return the first fire time of any member strictly later than *after_us*, or None."""
        return _earliest(_next(member, after_us, rounds) for member in self.triggers)

    def search_first(self, now_us: int, rounds: _Rounds) -> int | None:
        """Return the first fire time of a job added at *now_us*: a date's may have passed."""
        return _earliest(_first(member, now_us, rounds) for member in self.triggers)

    def bound_to(self, now_us: int) -> OrTrigger:
        """Return this trigger with its members bound."""
        members = self._bound_members(now_us)
        return self if members == self.triggers else OrTrigger(members, self._jitter.given)


def _earliest(instants: Iterable[int | None]) -> int | None:
    return min((instant for instant in instants if instant is not None), default=None)


def _is_bound(trigger: Trigger) -> bool:
    """Return whether the moment of adding changes nothing."""
    if isinstance(trigger, _Combination):
        return all(_is_bound(member) for member in trigger.triggers)
    return trigger.bound_to(MIN_US) == trigger


def _flattened(triggers: Iterable[Trigger]) -> Iterator[Trigger]:
    for trigger in triggers:
        if type(trigger) is AndTrigger:
            yield from _flattened(trigger.triggers)
        else:
            yield trigger


def _checked(triggers: Iterable[Trigger]) -> tuple[Trigger, ...]:
    expected = f"a list of 1 to {MAX_MEMBERS} triggers, nested at most {MAX_DEPTH} deep"
    if isinstance(triggers, (str, Mapping)) or not isinstance(triggers, Iterable):
        raise InvalidTriggerError("triggers", triggers, expected)
    members = tuple(triggers)
    if not 1 <= len(members) <= MAX_MEMBERS:
        raise InvalidTriggerError("triggers", members, expected)
    for member in members:
        if not isinstance(member, Trigger):
            raise InvalidTriggerError("triggers", member, expected)
        if member.jitter_us:
            raise InvalidTriggerError(
                "triggers", member, "members without jitter: give it to the combination"
            )
    if sum(map(_size, members)) > MAX_MEMBERS or max(map(_depth, members)) >= MAX_DEPTH:
        raise InvalidTriggerError(
            "triggers", members, f"{expected}, those within other members included"
        )
    return members


def _size(trigger: Trigger) -> int:
    """Return how many triggers there are in a tree, combinations included."""
    return 1 + (sum(map(_size, trigger.triggers)) if isinstance(trigger, _Combination) else 0)


def _depth(trigger: Trigger) -> int:
    return 1 + max(map(_depth, trigger.triggers)) if isinstance(trigger, _Combination) else 0
