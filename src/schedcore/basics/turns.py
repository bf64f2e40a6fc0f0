"""Work that one thread at a time does, for all the others, too."""

from __future__ import annotations

import threading
from typing import Final

MOST_NESTED: Final = 10
"""How deep such work may lead into itself: a thousand runs that end while they are submitted, each
of which lets the next one start, must not be a thousand calls deep."""


class Turn:
    """Lets one thread at a time do some work, which may lead into itself.

    Whoever is not let in leaves the work to the thread that is, which looks again when it leaves::

        while work and turn.take():
            try:
                ...
            finally:
                turn.leave()
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0

    def take(self) -> bool:
        """Take the turn; False: another thread has it, or this one is too deep inside."""
        if not self._lock.acquire(blocking=False):
            return False
        if self._depth == MOST_NESTED:
            self._lock.release()
            return False
        self._depth += 1
        return True

    def leave(self) -> None:
        """Give the turn back."""
        self._depth -= 1
        self._lock.release()
