"""A request as the views see it: what nobody looks at is not taken apart.

Most requests need their method, their path and maybe their body.  Werkzeug's ``Request`` takes
2 us to make and 10 us to read a body with; it is made for what is seldom asked: the query,
credentials, conditions, and bodies that come in chunks.
"""

from __future__ import annotations

from typing import Any

from werkzeug import Request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

OWN_SOCKET = "schedhttp.own_socket"
"""In the environ, whatever its value: see :attr:`Incoming.came_by_own_socket`."""
NO_WAIT = "schedhttp.no_wait"
"""In the environ, whatever its value: see :attr:`Incoming.may_wait`."""


class Incoming:
    """One request.

    Args:
        environ: As PEP 3333 has it.
        most: How many bytes its body may have.
        whole: The same as Werkzeug's request, where a framework has made it already.
    """

    __slots__ = ("_kept", "_whole", "environ", "may_change", "method", "most", "path")

    def __init__(self, environ: dict[str, Any], most: int, whole: Request | None = None) -> None:
        self.environ = environ
        self.most = most
        self.may_change = False
        """Whether who sent it was found to have all rights."""
        self.method: str = environ.get("REQUEST_METHOD", "GET").upper()
        raw: str = environ.get("PATH_INFO") or ""
        # PEP 3333: bytes in the guise of Latin-1.
        text = raw if raw.isascii() else raw.encode("latin-1").decode(errors="replace")
        self.path = "/" + text.lstrip("/")
        self._whole = whole
        self._kept: bytes | None = None

    @property
    def whole(self) -> Request:
        """The same as Werkzeug's request."""
        if self._whole is None:
            self._whole = Request(self.environ)
        return self._whole

    @property
    def has_query(self) -> bool:
        """Whether there is something behind a question mark."""
        return bool(self.environ.get("QUERY_STRING"))

    @property
    def came_by_own_socket(self) -> bool:
        """Whether it came over a Unix socket that only the user of this server can open."""
        return OWN_SOCKET in self.environ

    @property
    def may_wait(self) -> bool:
        """Whether a thread of the server is to spare that waits for a run."""
        return NO_WAIT not in self.environ

    def body(self) -> bytes:
        """Return the body.

        Raises:
            RequestEntityTooLarge: if it is longer than allowed.
            ClientDisconnected: if the client sent less than it said.
        """
        if self._kept is not None:
            return self._kept
        length = self._plain_length()
        if length is None:
            return self._body_of_whole()
        if length > self.most:
            raise self._too_long()
        return self._read(length)

    def keep(self, body: bytes) -> None:
        """Have :meth:`body` return *body* from now on: what was read is not there again."""
        self._kept = body

    def _read(self, length: int) -> bytes:
        stream, parts, missing = self.environ["wsgi.input"], [], length
        while missing > 0:  # a stream may give less than it is asked for
            try:
                more: bytes = stream.read(missing)
            except (OSError, ValueError) as error:
                raise ClientDisconnected from error
            if not more:
                raise ClientDisconnected
            parts.append(more)
            missing -= len(more)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _plain_length(self) -> int | None:
        """Return the length that was declared; None: Werkzeug knows what is to be read."""
        if self._whole is not None or "HTTP_TRANSFER_ENCODING" in self.environ:
            return None
        declared: str = self.environ.get("CONTENT_LENGTH") or ""
        # 15 digits are more than anybody may send, and quick to read.
        if not (declared.isascii() and declared.isdigit() and len(declared) <= 15):
            return None
        return int(declared)

    def _body_of_whole(self) -> bytes:
        # One more is read: of a body without a declared length Werkzeug silently drops the rest.
        whole = self.whole
        own = whole.max_content_length  # Flask's MAX_CONTENT_LENGTH, say, where the API is mounted
        self.most = self.most if own is None else min(self.most, own)
        whole.max_content_length = self.most + 1
        if (whole.content_length or 0) <= self.most:
            data = whole.get_data(cache=True)
            if len(data) <= self.most:
                return data
        raise self._too_long()

    def _too_long(self) -> RequestEntityTooLarge:
        return RequestEntityTooLarge(
            f"the body is longer than {self.most} bytes, which SCHEDULER_API_MAX_BODY sets (or the"
            " app's own MAX_CONTENT_LENGTH, if that is less)"
        )
