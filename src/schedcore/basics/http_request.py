"""One HTTP request, in bounded time, without following redirects."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ssl import SSLContext, create_default_context
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import (
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

_URL: Final = re.compile(r"https?://[^\s/?#@{}]+([/?][!-~]*)?")
_POLL_S: Final = 0.1
"""Seconds between two checks whether the response is still wanted."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    location: str | None
    """The target of a redirect."""
    body: bytes
    """The body, up to the requested length."""


def is_url(url: object) -> bool:
    """Return whether *url* is an http or https URL without credentials in it."""
    try:
        return isinstance(url, str) and bool(_URL.fullmatch(url)) and urlsplit(url).port != 0
    except ValueError:  # a port beyond 65535
        return False


def request(
    url: str,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout: float,
    most: int = 0,
    context: SSLContext | None = None,
    is_wanted: Callable[[], bool] | None = None,
) -> Answer:
    """Send a request, and return the response, whatever its status.

    Proxies come from the environment (``https_proxy``).

    Args:
        url: The target, http or https.
        method: Such as ``"POST"``.
        body: What to send, if anything.
        headers: Of the request.
        timeout: Seconds for the whole request, except for resolving the name.
        most: How many bytes of the response are read.
        context: Trusted certificates; None: the system's.
        is_wanted: Whether the response is still wanted; called ten times a second.

    Raises:
        TimeoutError: if no response came in time, or it is no longer wanted.
        OSError: if there is no response for another reason.
    """
    made: list[HTTPConnection] = []
    late, over = threading.Event(), threading.Event()

    def watch() -> None:
        # Socket timeouts apply to each wait: a server that sends a byte every second would never
        # end.
        if is_wanted is None:
            over.wait(timeout)
        else:
            for _ in range(max(1, round(timeout / _POLL_S))):
                if over.wait(_POLL_S) or not is_wanted():
                    break
        if not over.is_set():
            late.set()
            for connection in made:
                sock = connection.sock
                if sock is not None:
                    with suppress(OSError):  # it is closed already
                        # below TLS, which may be busy
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)

    asked = Request(url, body, dict(headers), method=method)
    threading.Thread(target=watch, name="schedcore-request", daemon=True).start()
    answer = None
    try:
        with _opener(made.append, context or _context).open(asked, timeout=timeout) as response:
            kept = response.read(most) if most else b""
            answer = Answer(response.status, response.headers.get("Location"), kept)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if not (late.is_set() or isinstance(reason, TimeoutError)):
            raise OSError(f"{type(reason).__name__}: {reason}") from None
    finally:
        over.set()
    if late.is_set() or answer is None:  # late also where what had come looks like an answer
        raise TimeoutError(f"no answer within {timeout:g} s")
    return answer


def _opener(
    note: Callable[[HTTPConnection], object], context: SSLContext | Callable[[], SSLContext]
) -> OpenerDirector:
    """Return an opener of URLs that only uses http and https, and follows no redirects.

    Args:
        note: Given each connection that is made.
        context: Who is trusted.
    """

    def noting(kind: type[HTTPConnection]) -> Any:
        def make(host: str, **options: Any) -> HTTPConnection:
            connection = kind(host, **options)
            note(connection)
            return connection

        return make

    class Http(HTTPHandler):
        def http_open(self, req: Request) -> HTTPResponse:
            return self.do_open(noting(HTTPConnection), req)

    class Https(HTTPSHandler):
        def https_open(self, req: Request) -> HTTPResponse:
            trusted = context if isinstance(context, SSLContext) else context()
            return self.do_open(noting(HTTPSConnection), req, context=trusted)

    opener = OpenerDirector()
    for handler in (ProxyHandler(), Http(), Https(), _AnyStatus()):
        opener.add_handler(handler)
    return opener


class _AnyStatus(HTTPErrorProcessor):
    """Returns each response, whatever its status, without following redirects."""

    def http_response(self, request: Request, response: Any) -> Any:  # noqa: ARG002
        return response

    https_response = http_response


@cache
def _context() -> SSLContext:
    return create_default_context()  # reads the certificates: 20 ms
