"""A notice as an HTTP request, and what its answer says of trying again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from schedcore.basics.http_request import is_url, request
from schedcore.errors import InvalidOptionError
from schedcore.notices.base import RefusedError

_LATER: Final = (408, 425, 429)
"""Statuses of the client's side that say: not now."""


def check_url(option: str, url: object) -> str:
    """Return the URL of a channel; what stands in it may be a secret, and is in no error's text.

    Raises:
        InvalidOptionError: if it is none.
    """
    if isinstance(url, str) and is_url(url):
        return url
    raise InvalidOptionError(
        option, "...", 'a URL such as "https://example.com/hook", without a password'
    )


def send(
    url: str, method: str, body: bytes | None, headers: Mapping[str, str], timeout: float
) -> None:
    """Send a request, and return once a status of 200 to 299 came; what follows it is not read.

    Args:
        url: Where to; of http or https.
        method: Such as ``"POST"``.
        body: What to send, if anything.
        headers: Of the request.
        timeout: Seconds that all of it may take, but for the look-up of the name.

    Raises:
        RefusedError: after a redirection, or a status that says that trying again is of no use.
        OSError: after any other status, or without one.
    """
    status, place, _ = request(url, method, body, headers, timeout)
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        host = "elsewhere" if place is None else (urlsplit(place).netloc or "another path")[:200]
        raise RefusedError(f"it answered {status} with a redirect to {host}, which is not followed")
    if 400 <= status < 500 and status not in _LATER:
        raise RefusedError(f"it answered {status}")
    raise OSError(f"it answered {status}")
