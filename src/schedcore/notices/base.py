"""The contract of a channel, and its error."""

from __future__ import annotations

from typing import Protocol

from schedcore.notices.notice import Notice


class RefusedError(Exception):
    """The notice was not accepted, and must not be sent again; the text says why."""


class Channel(Protocol):
    """Sends notices.  Called in its own thread, with one notice at a time."""

    kind: str
    """A display name, such as ``"webhook"``."""
    patience: float
    """Seconds after which an undelivered notice is given up."""

    def send(self, notice: Notice) -> None:
        """Send a notice, within bounded time.

        Raises:
            RefusedError: if it must not be retried.
            Exception: anything else: it is retried later.
        """
        ...
