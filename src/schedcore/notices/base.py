"""What a channel is, and how it fails."""

from __future__ import annotations

from typing import Protocol

from schedcore.notices.notice import Notice


class RefusedError(Exception):
    """A notice was not taken, and is not to be sent again: its text says why."""


class Channel(Protocol):
    """Tells somebody.  Called in a thread of its own, one notice after the other."""

    kind: str
    """Such as ``"webhook"``; shown to people."""
    patience: float
    """Seconds after which a notice is given up that is not taken."""

    def send(self, notice: Notice) -> None:
        """Tell of a notice, within bounded time.

        Raises:
            RefusedError: if it is not to be tried again.
            Exception: anything else: it is tried again later.
        """
        ...
