"""The contract of a channel, and its error."""

from __future__ import annotations

from typing import Final, Protocol

from schedcore.errors import InvalidOptionError
from schedcore.notices.notice import Notice

_PATIENCE: Final = 60.0


class RefusedError(Exception):
    """The notice was not accepted, and must not be sent again; the text says why."""


class Channel(Protocol):
    """Sends notices.  Called in its own thread, with one notice at a time.

    It may have an attribute ``patience``: seconds after which an undelivered notice is given up,
    60 by default.
    """

    def send(self, notice: Notice) -> None:
        """Send a notice, within bounded time.

        Raises:
            RefusedError: if it must not be retried.
            Exception: anything else: it is retried later.
        """
        ...


def patience_of(channel: Channel) -> float:
    """Return the seconds after which a notice that the channel does not accept is given up.

    Raises:
        InvalidOptionError: if the channel has something else than a number of seconds.
    """
    patience = getattr(channel, "patience", _PATIENCE)
    if isinstance(patience, int | float) and patience >= 0:
        return float(patience)
    raise InvalidOptionError("patience", patience, "seconds, 0 or more")
