"""The trigger contract: a set of instants, defined by its successor function."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import ClassVar

from schedcore.clock import UTC, SystemClock, from_us, to_us


class Trigger:
    """A set of instants, defined by the first one strictly after any given instant.

    Pure: the same question has the same answer in any process and at any time. A subclass defines
    :meth:`next_us` (integer microseconds since the Unix epoch, which the engine calls) or
    :meth:`next_after` (aware datetimes); each defaults to the other.  A base class for other
    triggers passes ``abstract=True`` and defines neither. Triggers are immutable, comparable and
    hashable.
    """

    __slots__ = ()

    kind: ClassVar[str | None] = None
    """The name in the plain-data form; None: an unregistered trigger, which has none."""

    elapsed: ClassVar[bool] = False
    """Whether its instants are spaced by elapsed time, instead of following a wall clock."""

    reckons: ClassVar[bool] = False
    """Whether :meth:`count_us` is arithmetic, so that its cost does not depend on the span."""

    @property
    def timezone(self) -> tzinfo:
        """The zone in which the trigger reads wall clocks and shows its fire times."""
        return UTC

    @property
    def jitter_us(self) -> int:
        """The maximum random delay, in microseconds, that the engine adds to each fire time.

        It is not part of the instants: the next fire time is computed from the nominal one.
        """
        return 0

    def __init_subclass__(cls, *, abstract: bool = False, **options: object) -> None:
        super().__init_subclass__(**options)
        if not abstract and cls.next_us is Trigger.next_us and cls.next_after is Trigger.next_after:
            raise TypeError(f"{cls.__name__} has no successor: define next_after() or next_us()")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def next_us(self, after_us: int) -> int | None:
        """Return the first fire time strictly later than *after_us*, or None."""
        found = self.next_after(from_us(after_us))
        return None if found is None else to_us(found)

    def first_us(self, now_us: int) -> int | None:
        """Return the first fire time of a job that is added at *now_us*, at that time or later.

        Only a date trigger may return an instant that has passed.
        """
        return self.next_us(now_us - 1)

    def bound_to(self, now_us: int) -> Trigger:  # noqa: ARG002 — most triggers need no binding
        """Return this trigger with everything set that depends on the moment of adding."""
        return self

    def unbound(self) -> Trigger:
        """Return this trigger as it was before :meth:`bound_to`: the same in every process."""
        return self

    @property
    def is_bound(self) -> bool:
        """Whether :meth:`bound_to` set its start, rather than the user."""
        return False

    def keeps_beat_of(self, old: Trigger) -> Trigger:  # noqa: ARG002 — only a bound one has a beat
        """Return this trigger in phase with *old*, a bound one, if their spacing is the same."""
        return self

    def first_at(self, first_us: int, now_us: int) -> Trigger:
        """Return this trigger for a job whose first run is set to *first_us*.

        Values that depend on the moment of adding count from that run instead, as in APScheduler.
        If that is before *now_us*, nothing else is due from before.
        """
        return self.bound_to(max(first_us, now_us))

    def set_back_to(self, now_us: int) -> Trigger:  # noqa: ARG002 — wall clocks say it themselves
        """Return this trigger for a clock that was set back to *now_us*, before its start."""
        return self

    def count_us(self, after_us: int, until_us: int, limit: int) -> int:
        """Return how many fire times lie in ``(after_us, until_us]``, counting up to *limit*.

        By arithmetic if the trigger allows it, else step by step, at most *limit* steps.
        """
        count = 0
        found = self.next_us(after_us)
        while found is not None and found <= until_us and count < limit:
            count += 1
            found = self.next_us(found)
        return count

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than *after*, an aware datetime, or None.

        Raises:
            ValueError: if *after* has no time zone.
        """
        found = self.next_us(to_us(after))
        return None if found is None else from_us(found, self.timezone)

    def next_fire_times(self, n: int, after: datetime | None = None) -> list[datetime]:
        """Return up to *n* fire times strictly later than *after* (None: now), in order."""
        times: list[datetime] = []
        moment = from_us(SystemClock().now_us()) if after is None else after
        while len(times) < n:
            found = self.next_after(moment)
            if found is None:
                break
            times.append(found)
            moment = found
        return times

    def to_dict(self) -> Mapping[str, object]:
        """Return the plain-data form: flat, JSON-ready, with the user's own units.

        Raises:
            TypeError: if this trigger defines no such form.
        """
        raise TypeError(f"{type(self).__name__} has no plain-data form: define to_dict()")
