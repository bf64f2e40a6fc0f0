"""Cross-origin resource sharing: what browsers need before pages of trusted sites can use the API.

Only sites that ``SCHEDULER_API_TRUSTED_ORIGINS`` names get an answer.  Browsers are not asked
to send what they remember (cookies, passwords): a page sends its ``Authorization`` itself.
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
"""For which a browser need not ask again; the most that Chromium keeps is 7,200."""


class Cors:
    """The response headers for trusted sites.

    Args:
        origins: Those of the sites, as browsers send them: ``"https://ops.example.com"``.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def preflight(self, request: Incoming) -> Headers | None:
        """Return the headers that answer a browser's question whether a page may ask.

        It comes without credentials, and tells nothing but what is allowed in general.  None: it
        is no such question, or that of a site that is not trusted.
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
        """Return what every answer to *request* needs besides, errors included."""
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
