"""A client of a running server: its REST API over HTTP, TLS or a Unix socket.

By the standard library: one server, JSON, and no redirects; importing it takes 20 ms, so that is
done when something is asked.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from schedcore.errors import InvalidOptionError, SchedError

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPMessage

DEFAULT_PREFIX: Final = "/scheduler"
"""What the paths of an API begin with, unless its settings or a URL say otherwise."""
_PATIENCE: Final = 10.0, 60.0
"""Seconds to wait for a connection, and for an answer, which takes longer at a busy server."""
_SOCKET: Final = "unix:"
_PORTS: Final = {"http": 80, "https": 443}
_EXPECTED: Final = (
    "a URL such as http://127.0.0.1:5000/scheduler, or unix:/run/schedcore.sock:/scheduler"
)
_AWAY: Final = frozenset((502, 503, 504))
"""What servers, and proxies before them, answer while they cannot do their work."""


class Refused(SchedError):
    """The server has understood, and does not do it.

    Args:
        status: The status of its answer.
        text: Its ``error_message``.
        details: All that the answer says.
    """

    def __init__(self, status: int, text: str, details: Mapping[str, Any]) -> None:
        self.status, self.details = status, details
        super().__init__(text)


class Unreachable(SchedError):
    """There is no server, none of ours, or one that cannot do its work at the moment."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    json: Any
    headers: HTTPMessage


class Place(NamedTuple):
    """Where an API is."""

    url: str
    """As it was given."""
    tls: bool
    host: str
    port: int
    socket: str
    """The path of a Unix socket; empty: there is none."""
    prefix: str

    @classmethod
    def of(cls, url: str, option: str) -> Place:
        """Read a URL.

        Args:
            url: ``http:``, ``https:`` or ``unix:``; without a path, that is ``/scheduler``.
            option: What an error calls it.

        Raises:
            InvalidOptionError: if it is none, or has more in it than a place.
        """
        if url.startswith(_SOCKET):
            path, _, prefix = url.removeprefix(_SOCKET).partition(":")
            if path and prefix[:1] in ("", "/") and hasattr(socket, "AF_UNIX"):
                return cls(url, False, "localhost", 80, path, _prefix_of(prefix))
            raise InvalidOptionError(option, url, _EXPECTED)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            raise InvalidOptionError(option, url, _EXPECTED) from None
        if "@" in parts.netloc:  # it would be shown with every error
            raise InvalidOptionError(
                option, "...@...", "a URL without credentials: --user and --token give them"
            )
        clean = url.isascii() and url.isprintable() and not set(" ?#") & set(url)
        if not host or not clean:
            raise InvalidOptionError(option, url, _EXPECTED)
        return cls(url, parts.scheme == "https", host, port, "", _prefix_of(parts.path))


def _prefix_of(path: str) -> str:
    return path.rstrip("/") or DEFAULT_PREFIX


class Api:
    """Asks one server.

    Args:
        place: Where it is.
        authorization: The value of the header with that name; None: without credentials.
    """

    def __init__(self, place: Place, authorization: str | None = None) -> None:
        self.place = place
        self._headers = {"Accept": "application/json", "User-Agent": "schedcore"}
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._kept: HTTPConnection | None = None

    def __call__(
        self,
        method: str,
        *parts: str,
        query: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        also: int = 200,
    ) -> Answer:
        """Return the answer to one request.

        Args:
            method: ``"GET"`` and so on.
            parts: The path below the prefix, as it is before it is encoded.
            query: Parameters; those that are None are left out, of a list each counts.
            body: What is sent as JSON; None: nothing.
            headers: More of them.
            also: A status that is an answer here, though it tells of trouble.

        Raises:
            Refused: if the server does not do it.
            Unreachable: if there is no server, or it cannot do anything at the moment.
        """
        target = self._target(parts, query)
        sent = self._headers | dict(headers or {})
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        again = method == "GET" or "Idempotency-Key" in sent
        status, found, text = self._send(method, target, data, sent, again)
        answer = self._read(status, found, text)
        if answer.status >= 400 and answer.status != also:
            raise self._error(answer)
        return answer

    def items(
        self, *parts: str, query: Mapping[str, object], most: int, page: int = 1_000
    ) -> Iterator[Any]:
        """Yield up to *most* items of a list, which may take several requests of *page* items."""
        answer = self("GET", *parts, query={**query, "limit": min(most, page)})
        while True:
            yield from answer.json[:most]
            most -= len(answer.json)
            following = next_page(answer.headers.get("Link", ""))
            if most <= 0 or not answer.json or following is None:
                return
            answer = self("GET", *parts, query=following | {"limit": min(most, page)})

    def close(self) -> None:
        """Let go of the connection."""
        if self._kept is not None:
            self._kept.close()

    def _target(self, parts: tuple[str, ...], query: Mapping[str, object] | None) -> str:
        for part in parts:
            if part in ("", ".", ".."):  # which proxies shorten, to another address
                raise InvalidOptionError("id", part, "an id; no server has one like that")
        path = "".join(f"/{quote(part, safe='', errors='replace')}" for part in parts)
        given = {name: value for name, value in (query or {}).items() if value is not None}
        asked = f"?{urlencode(given, doseq=True, errors='replace')}" if given else ""
        return f"{self.place.prefix}{path}{asked}"

    def _send(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str], again: bool
    ) -> tuple[int, HTTPMessage, bytes]:
        """Send one request, and read all of the answer.

        A connection that was kept may have been closed meanwhile, which is seen only when it is
        used.  So what must not be done twice has a new one, and all else is sent *again*.
        """
        from http.client import HTTPException

        kept, self._kept = self._kept, None
        if kept is not None and not again:
            kept.close()
            kept = None
        try:
            if kept is not None:
                try:
                    return self._ask(kept, method, target, data, headers)
                except (ConnectionError, HTTPException):
                    kept.close()
            return self._ask(self._connection(), method, target, data, headers)
        except (OSError, HTTPException, UnicodeError) as error:  # the last: no name of a host
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{self.place.url} cannot be reached: {reason}") from error

    def _ask(
        self,
        connection: HTTPConnection,
        method: str,
        target: str,
        data: bytes | None,
        headers: Mapping[str, str],
    ) -> tuple[int, HTTPMessage, bytes]:
        try:
            connection.request(method, target, data, headers)
            response = connection.getresponse()
            found = response.status, response.headers, response.read()
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # else it would open itself again, and by TCP
            self._kept = connection
        return found

    def _connection(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        place, (to_connect, to_answer) = self.place, _PATIENCE
        kind = HTTPSConnection if place.tls else HTTPConnection
        connection = kind(place.host, place.port, timeout=to_connect)
        try:
            if place.socket:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(to_connect)
                connection.sock.connect(place.socket)
            else:
                connection.connect()
            connection.sock.settimeout(to_answer)
        except OSError:
            connection.close()
            raise
        return connection

    def _read(self, status: int, headers: HTTPMessage, text: bytes) -> Answer:
        """Return an answer of a server of ours.

        Raises:
            Unreachable: if it is somebody else's.
        """
        if 300 <= status < 400:
            told = headers.get("Location", "elsewhere")
            raise Unreachable(f"{self.place.url} redirects to {told}: give the URL of the API")
        if not text:
            return Answer(status, None, headers)
        try:
            return Answer(status, json.loads(text), headers)
        except ValueError:
            kind = headers.get("Content-Type", "something")
            raise Unreachable(
                f"{self.place.url} answers {status} with {kind}, which is not a response of"
                " schedcore"
            ) from None

    def _error(self, answer: Answer) -> SchedError:
        told = answer.json if isinstance(answer.json, dict) else {}
        text = str(told.get("error_message") or f"the response has status {answer.status}")
        if answer.status in _AWAY:
            return Unreachable(f"{self.place.url}: {text}")
        if answer.status == 401:
            text += "; --token, --user, SCHEDCORE_TOKEN and SCHEDCORE_USER set them"
        return Refused(answer.status, text, told)


def next_page(link: str) -> dict[str, object] | None:
    """Return the parameters of the next part of a list, which the header ``Link`` tells of."""
    from urllib.parse import parse_qs

    for each in link.split(", "):
        target, _, relation = each.partition(">; ")
        if relation == 'rel="next"':
            return {**parse_qs(target.partition("?")[2], keep_blank_values=True)}
    return None
