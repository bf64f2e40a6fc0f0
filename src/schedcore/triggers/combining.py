"""Combinations: instants that all of several triggers share, or that any of them has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import ClassVar

from schedcore.clock import UTC, to_us
from schedcore.errors import InvalidTriggerError
from schedcore.triggers.base import Trigger
from schedcore.triggers.moments import jitter_of
from schedcore.triggers.values import JitteredTrigger, set_slot
from schedcore.triggers.zones import MIN_US

MAX_MEMBERS = 64
MAX_ROUNDS = 4096
"""How many fire times of its members :class:`AndTrigger` compares before it gives up.

About 10 ms; each one is the next that can match, so a member that fires every second costs
nothing where another one fires yearly.
"""

_TRIED_US = (
    to_us(datetime(2025, 1, 1, tzinfo=UTC)),
    to_us(datetime(2050, 1, 1, tzinfo=UTC)),
    to_us(datetime(2000, 1, 1, tzinfo=UTC)),
    MIN_US,
)


class _Combination(JitteredTrigger, abstract=True):
    """Several triggers in order, and one jitter for all."""

    __slots__ = ("_jitter", "triggers")

    triggers: tuple[Trigger, ...]
    """The members."""

    def __init__(self, triggers: Iterable[Trigger], jitter: object = None) -> None:
        set_slot(self, "triggers", _checked(triggers))
        set_slot(self, "_jitter", jitter_of(jitter))

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
        InvalidTriggerError: if they have no instant in common within ``MAX_ROUNDS`` fire times
            (for members bound later, :meth:`bound_to` tells), or if a member has a jitter.
            A search that gives up later on raises it as well: to answer None would end the job
            in silence.
    """

    __slots__ = ()

    kind: ClassVar[str] = "and"

    def __init__(self, triggers: Iterable[Trigger], jitter: object = None) -> None:
        super().__init__(triggers, jitter)
        if all(_is_bound(member) for member in self.triggers):
            self._check()

    def next_us(self, after_us: int) -> int | None:
        """Return the first common fire time strictly later than *after_us*, or None.

        Raises:
            InvalidTriggerError: if there is none within ``MAX_ROUNDS`` fire times of the members.
        """
        members = self.triggers
        candidate = members[0].next_us(after_us)
        agreed, place = 1, 0
        for _ in range(MAX_ROUNDS):
            if candidate is None or agreed == len(members):
                return candidate
            place = (place + 1) % len(members)
            found = members[place].next_us(candidate - 1)
            agreed = agreed + 1 if found == candidate else 1
            candidate = found
        raise self._never()

    def bound_to(self, now_us: int) -> AndTrigger:
        """Return this trigger with its members bound.

        Raises:
            InvalidTriggerError: if they turn out to have no instant in common.
        """
        members = self._bound_members(now_us)
        return self if members == self.triggers else AndTrigger(members, self._jitter.given)

    def _check(self) -> None:
        """Refuse members that do not meet, as seen from any of the instants tried."""
        for after_us in _TRIED_US:
            try:
                if self.next_us(after_us) is not None:
                    return
            except InvalidTriggerError:
                continue  # zones change: members may meet in another decade
        raise self._never()

    def _never(self) -> InvalidTriggerError:
        return InvalidTriggerError(
            "triggers",
            list(self.triggers),
            "triggers with a fire time in common; these have none, to the instant, within"
            f" {MAX_ROUNDS} fire times; either one is enough with 'or'",
        )


class OrTrigger(_Combination):
    """Fires at every instant at which one of its members fires; once where several do.

    Args:
        triggers: The members, one or more.
        jitter: The longest random delay added to each fire time, in seconds.

    Raises:
        InvalidTriggerError: if there is no member, or one has a jitter.
    """

    __slots__ = ()

    kind: ClassVar[str] = "or"

    def next_us(self, after_us: int) -> int | None:
        """Return the first fire time of any member strictly later than *after_us*, or None."""
        return _earliest(member.next_us(after_us) for member in self.triggers)

    def first_us(self, now_us: int) -> int | None:
        """Return the first fire time of a job added at *now_us*; a date's may have passed."""
        return _earliest(member.first_us(now_us) for member in self.triggers)

    def bound_to(self, now_us: int) -> OrTrigger:
        """Return this trigger with its members bound."""
        members = self._bound_members(now_us)
        return self if members == self.triggers else OrTrigger(members, self._jitter.given)


def _earliest(instants: Iterable[int | None]) -> int | None:
    return min((instant for instant in instants if instant is not None), default=None)


def _is_bound(trigger: Trigger) -> bool:
    """Return whether the moment of adding changes nothing."""
    return trigger.bound_to(MIN_US) == trigger


def _checked(triggers: Iterable[Trigger]) -> tuple[Trigger, ...]:
    expected = f"a list of 1 to {MAX_MEMBERS} triggers"
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
    return members
