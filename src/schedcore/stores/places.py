"""A place among what was committed to a store, from which whoever reads it goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from schedcore.errors import InvalidOptionError

if TYPE_CHECKING:
    from schedcore.changes.audit import AuditRecord
    from schedcore.run import RunRecord

T = TypeVar("T")
U = TypeVar("U")

MARK: Final = 8
"""Characters by which a place tells its store from others."""
_PLACE: Final = r"([0-9a-f]{8})\.(\d{1,18})\.(\d{1,18})"


class Place(NamedTuple):
    """Behind one thing that was committed, and ahead of the next one."""

    mark: str
    """Of the store that it is a place in."""
    tx: int
    """The transaction; 0 where the store's numbers follow the order of commits by themselves."""
    seq: int
    """The number that the store gave."""

    def __str__(self) -> str:
        return ".".join(map(str, self))

    def knows(self, place: Place) -> bool:
        """Return whether a place is one of the store that has this one as its end.

        After an older copy of a database was put in its place, some are not.
        """
        return place.mark == self.mark and place[1:] <= self[1:]


def read_place(text: str) -> Place:
    """Return a place from its text.

    Raises:
        InvalidOptionError: if it is none.
    """
    match = re.fullmatch(_PLACE, text)
    if match is None:
        raise InvalidOptionError("place", text, "what an earlier call returned, or None")
    mark, tx, seq = match.groups()
    return Place(mark, int(tx), int(seq))


class Places(NamedTuple):
    """A place among outcomes, and one among changes: together one among all that happened."""

    outcomes: Place
    changes: Place

    def __str__(self) -> str:
        return f"{self.outcomes}-{self.changes}"

    def knows(self, places: Places) -> bool:
        """Return whether places are of the store that has these as its ends."""
        return self.outcomes.knows(places.outcomes) and self.changes.knows(places.changes)


class Happened(NamedTuple):
    """A part of all that happened on a store."""

    place: str
    """Where to go on from; opaque, and can be kept."""
    records: Sequence[RunRecord | AuditRecord]
    """Outcomes and changes, each once, in the order in which they were committed."""
    whole: bool
    """Whether nothing was cut that came after the place that was asked for; False also for one of
    another store, after which nothing is known."""


def read_places(text: str) -> Places:
    """Return two places from their text.

    Raises:
        InvalidOptionError: if it is none.
    """
    parts = text.split("-", 1)
    return Places(read_place(parts[0]), read_place(parts[-1]))


def in_order(
    places: Places,
    outcomes: Sequence[tuple[tuple[int, int], T]],
    changes: Sequence[tuple[tuple[int, int], tuple[int, int], U]],
    limit: int,
) -> tuple[Places, list[T | U]]:
    """Return the first *limit* of outcomes and changes in one order, and the place behind them.

    Args:
        places: What both come after.
        outcomes: Each with its numbers as in a place.
        changes: Each with those of the outcome that came last before it, and its own.
        limit: How many are returned; of each kind, no more were left out before its last one.
    """
    found: list[T | U] = []
    last, made = places
    ended, done = 0, 0
    while len(found) < limit and (ended < len(outcomes) or done < len(changes)):
        if done == len(changes) or (
            ended < len(outcomes) and outcomes[ended][0] <= changes[done][0]
        ):
            numbers, outcome = outcomes[ended]
            last = Place(last.mark, *numbers)
            ended += 1
            found.append(outcome)
        else:
            _, numbers, change = changes[done]
            made = Place(made.mark, *numbers)
            done += 1
            found.append(change)
    return Places(last, made), found
