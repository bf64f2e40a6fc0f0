"""A position in the sequence of commits to a store, from which a reader continues."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from schedcore.changes.audit import AuditRecord
from schedcore.errors import InvalidOptionError
from schedcore.run import RunRecord

T = TypeVar("T")
U = TypeVar("U")

STORE_ID_LENGTH: Final = 8
"""Length of the part of a store's id in a position."""
_POSITION: Final = r"([0-9a-f]{8})\.(\d{1,18})\.(\d{1,18})(?:\.(\d{1,18}))?"


class Position(NamedTuple):
    """A position between two committed records."""

    store_id: str
    """The beginning of its store's id."""
    tx: int
    """The transaction; 0 if the store's numbers already follow the order of commits."""
    seq: int
    """The number that the store assigned."""
    last_us: int | None = None
    """When the last record before it was written; None: none was, or the store is in memory.

    After a backup of a database was restored, other records get numbers that were used before.
    """

    def __str__(self) -> str:
        return ".".join(str(part) for part in self if part is not None)

    @property
    def numbers(self) -> tuple[int, int]:
        """What positions of one store are ordered by."""
        return self.tx, self.seq

    def knows(self, position: Position) -> bool:
        """Return whether *position* is a position in the store in memory whose end this one is."""
        return position.store_id == self.store_id and position.numbers <= self.numbers


def read_position(text: str) -> Position:
    """Parse a position.

    Raises:
        InvalidOptionError: if it is not a position.
    """
    match = re.fullmatch(_POSITION, text)
    if match is None:
        raise InvalidOptionError("position", text, "what an earlier call returned, or None")
    store_id, tx, seq, last_us = match.groups()
    return Position(store_id, int(tx), int(seq), None if last_us is None else int(last_us))


class FeedPosition(NamedTuple):
    """A position in the outcomes and one in the changes: together, one in the change feed."""

    outcomes: Position
    changes: Position

    def __str__(self) -> str:
        return f"{self.outcomes}-{self.changes}"

    def knows(self, positions: FeedPosition) -> bool:
        """Return whether *positions* are positions in the store in memory whose ends these are."""
        return self.outcomes.knows(positions.outcomes) and self.changes.knows(positions.changes)


class Happened(NamedTuple):
    """A part of the change feed of a store."""

    position: str
    """The position to continue from; opaque, and can be stored."""
    records: Sequence[RunRecord | AuditRecord]
    """Outcomes and changes, each once, in the order in which they were committed."""
    whole: bool
    """Whether no record after the requested position was deleted; also False for a position of
    another store, or of one whose restored backup ends before it."""


def read_feed_position(text: str) -> FeedPosition:
    """Parse two positions.

    Raises:
        InvalidOptionError: if it is not a position.
    """
    parts = text.split("-", 1)
    return FeedPosition(read_position(parts[0]), read_position(parts[-1]))


def in_order(
    positions: FeedPosition,
    outcomes: Sequence[tuple[tuple[int, int], T]],
    changes: Sequence[tuple[tuple[int, int], tuple[int, int], U]],
    limit: int,
) -> tuple[FeedPosition, list[T | U]]:
    """Return the first *limit* outcomes and changes in one order, and the position behind them.

    Args:
        positions: The positions before both.
        outcomes: Each with its numbers as in a position.
        changes: Each with the numbers of the last outcome before it, and its own.
        limit: The maximum number to return; of each kind, all before its last one are given.
    """
    found: list[T | U] = []
    last, made = positions
    ended, done = 0, 0
    while len(found) < limit and (ended < len(outcomes) or done < len(changes)):
        if done == len(changes) or (
            ended < len(outcomes) and outcomes[ended][0] <= changes[done][0]
        ):
            numbers, outcome = outcomes[ended]
            last = Position(last.store_id, *numbers)
            ended += 1
            found.append(outcome)
        else:
            _, numbers, change = changes[done]
            made = Position(made.store_id, *numbers)
            done += 1
            found.append(change)
    return FeedPosition(last, made), found
