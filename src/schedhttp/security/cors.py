"""Cross-origin resource sharing: the headers that let pages of trusted sites use the API.

Only sites in ``SCHEDULER_API_TRUSTED_ORIGINS`` get them.  Browsers are not asked to send stored
credentials (cookies, passwords): a page sends its ``Authorization`` header itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from schedhttp.request import Incoming

Headers = list[tuple[str, str]]

_VARY = ("Vary", "Origin")
_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST"
_REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
_SHOWN_HEADERS = (
    "Allow, ETag, Link, Location, Preference-Applied, Retry-After, WWW-Authenticate, X-Run-Id,"
    " X-Run-Outcome, X-Total-Count"
)
_SECONDS = "600"
"""Seconds for which a browser may cache a preflight answer; Chromium's maximum is 7,200."""


class Cors:
    """The response headers for trusted sites.

    Args:
        origins: The origins, as browsers send them: ``"https://ops.example.com"``.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def preflight(self, request: Incoming) -> Headers | None:
        """Return the headers that answer a browser's preflight request.

        Such a request has no credentials, and the answer only says what is allowed in general.
        None: it is not a preflight request, or the site is not trusted.
        """
        if (
            request.method != "OPTIONS"
            or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in request.environ
            or not self._is_trusted(request)
        ):
            return None
        return [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
            ("Access-Control-Max-Age", _SECONDS),
        ]

    def headers(self, request: Incoming) -> Headers:
        """Return the additional headers of every answer to *request*, errors included."""
        if not self._origins:
            return []
        if not self._is_trusted(request):
            return [_VARY]
        return [
            _VARY,
            ("Access-Control-Allow-Origin", request.environ["HTTP_ORIGIN"]),
            ("Access-Control-Expose-Headers", _SHOWN_HEADERS),
        ]

    def _is_trusted(self, request: Incoming) -> bool:
        return request.environ.get("HTTP_ORIGIN") in self._origins
