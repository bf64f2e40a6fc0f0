"""A place among what was committed to a store, from which whoever reads it goes on."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from schedcore.errors import InvalidOptionError

MARK: Final = 8
"""Characters by which a place tells its store from others."""
_PLACE: Final = re.compile(r"([0-9a-f]{8})\.(\d{1,18})\.(\d{1,18})")


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


def read_place(text: str) -> Place:
    """Return a place from its text.

    Raises:
        InvalidOptionError: if it is none.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise InvalidOptionError("place", text, "what an earlier call returned, or None")
    mark, tx, seq = match.groups()
    return Place(mark, int(tx), int(seq))
