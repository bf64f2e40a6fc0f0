"""A notice as an HTTP request, and whether its response allows a retry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from schedcore.basics.http_request import is_url, request
from schedcore.errors import InvalidOptionError
from schedcore.notices.base import RefusedError

_LATER: Final = (408, 425, 429)
"""Client error statuses that allow a retry."""


def check_url(option: str, url: object) -> str:
    """Return the URL of a channel; it may contain a secret, so no error text contains it.

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
    """Send a request, and return after a status of 200 to 299, without reading the body.

    Args:
        url: Where to; of http or https.
        method: Such as ``"POST"``.
        body: What to send, if anything.
        headers: Of the request.
        timeout: Seconds that all of it may take, but for the look-up of the name.

    Raises:
        RefusedError: after a redirect, or a status that makes a retry useless.
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
