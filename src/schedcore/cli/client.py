"""A client of a running server: its REST API over HTTP, TLS or a Unix socket.

It uses the standard library: one server, JSON, and no redirects.  Importing that takes 20 ms, so
it is imported at the first request.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from schedcore.basics.shown_urls import without_password
from schedcore.errors import InvalidOptionError, SchedError

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPMessage

DEFAULT_PREFIX: Final = "/scheduler"
"""The default prefix of the API's paths; settings or a URL may set another one."""
_TIMEOUTS: Final = 10.0, 60.0
"""Seconds to wait for a connection, and for an answer, which takes longer on a busy server."""
_SOCKET: Final = "unix:"
_PORTS: Final = {"http": 80, "https": 443}
_EXPECTED: Final = (
    "a URL such as http://127.0.0.1:5000/scheduler, or unix:/run/schedcore.sock:/scheduler"
)
_AWAY: Final = frozenset((502, 503, 504))
"""Statuses of servers that are unavailable, and of proxies in front of them."""


class Refused(SchedError):
    """The server refused a request.

    Args:
        status: The status of its answer.
        text: Its ``error_message``.
        details: The whole answer.
    """

    def __init__(self, status: int, text: str, details: Mapping[str, Any]) -> None:
        self.status, self.details = status, details
        super().__init__(text)


class Unreachable(SchedError):
    """There is no server, it is another one, or it is unavailable."""


class Answer(NamedTuple):
    """The answer of the server."""

    status: int
    json: Any
    headers: HTTPMessage


class Place(NamedTuple):
    """The address of an API."""

    url: str
    """The address as it was given."""
    tls: bool
    host: str
    port: int
    socket: str
    """The path of a Unix socket; empty if there is none."""
    prefix: str

    @classmethod
    def of(cls, url: str, option: str) -> Place:
        """Parse a URL.

        Args:
            url: ``http:``, ``https:`` or ``unix:``; the default path is ``/scheduler``.
            option: Its name in errors.

        Raises:
            InvalidOptionError: if it is not a URL, or contains more than an address.
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
            raise InvalidOptionError(option, without_password(url), _EXPECTED) from None
        if "@" in parts.netloc:  # otherwise every error would show the password
            raise InvalidOptionError(
                option, "...@...", "a URL without credentials: --user and --token give them"
            )
        clean = url.isascii() and url.isprintable() and not set(" ?#") & set(url)
        if not host or not clean:
            raise InvalidOptionError(option, without_password(url), _EXPECTED)
        return cls(url, parts.scheme == "https", host, port, "", _prefix_of(parts.path))


def _prefix_of(path: str) -> str:
    return path.rstrip("/") or DEFAULT_PREFIX


class Api:
    """Sends requests to one server.

    Args:
        place: The server's address.
        authorization: The value of this header; None: no credentials.
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
            method: The HTTP method.
            parts: The parts of the path below the prefix, not yet encoded.
            query: The parameters; None is left out, and a list repeats its parameter.
            body: The body, which is sent as JSON; None: no body.
            headers: Additional headers.
            also: An error status that counts as an answer here.

        Raises:
            Refused: if the server refuses the request.
            Unreachable: if there is no server, or it is unavailable.
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
        """Yield up to *most* items of a list, by requests for *page* items each."""
        answer = self("GET", *parts, query={**query, "limit": min(most, page)})
        while True:
            yield from answer.json[:most]
            most -= len(answer.json)
            following = next_page(answer.headers.get("Link", ""))
            if most <= 0 or not answer.json or following is None:
                return
            answer = self("GET", *parts, query=following | {"limit": min(most, page)})

    def close(self) -> None:
        """Close the connection."""
        if self._kept is not None:
            self._kept.close()

    def _target(self, parts: tuple[str, ...], query: Mapping[str, object] | None) -> str:
        for part in parts:
            if part in ("", ".", ".."):  # proxies resolve these, to another path
                raise InvalidOptionError("id", part, "an id; no server has one like that")
        path = "".join(f"/{quote(part, safe='', errors='replace')}" for part in parts)
        given = {name: value for name, value in (query or {}).items() if value is not None}
        asked = f"?{urlencode(given, doseq=True, errors='replace')}" if given else ""
        return f"{self.place.prefix}{path}{asked}"

    def _send(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str], again: bool
    ) -> tuple[int, HTTPMessage, bytes]:
        """Send one request, and read the whole answer.

        The server may have closed a kept connection, which is noticed only when it is used.  So a
        request that must not be repeated gets a new connection, and all others are sent *again*.
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
        except (OSError, HTTPException, UnicodeError) as error:  # the last: an invalid host name
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
        if connection.sock is not None:  # otherwise it would reconnect itself, over TCP
            self._kept = connection
        return found

    def _connection(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        place, (to_connect, to_answer) = self.place, _TIMEOUTS
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
        """Parse the answer of a server of this project.

        Raises:
            Unreachable: if it is from another server.
        """
        if 300 <= status < 400:
            location = headers.get("Location", "elsewhere")
            raise Unreachable(f"{self.place.url} redirects to {location}: give the URL of the API")
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
        data = answer.json if isinstance(answer.json, dict) else {}
        text = str(data.get("error_message") or f"the response has status {answer.status}")
        if answer.status in _AWAY:
            return Unreachable(f"{self.place.url}: {text}")
        for method, command in _COMMANDS.items():
            text = text.replace(method, command)
        if answer.status == 401:
            text += "; --token, --user, SCHEDCORE_TOKEN and SCHEDCORE_USER set them"
        return Refused(answer.status, text, data)


_COMMANDS = {
    "get_jobs() lists": "'schedcore jobs' lists",
    "runs() lists the open ones, history()": "'schedcore ps' lists the open ones, 'schedcore runs'",
    "get_run() shows how": "'schedcore runs' shows how",
}
"""What the library's errors advise, and the command that does it."""


def next_page(link: str) -> dict[str, object] | None:
    """Return the parameters of the next page of a list, from the header ``Link``."""
    from urllib.parse import parse_qs

    for each in link.split(", "):
        target, _, relation = each.partition(">; ")
        if relation == 'rel="next"':
            return {**parse_qs(target.partition("?")[2], keep_blank_values=True)}
    return None
