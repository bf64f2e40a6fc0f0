"""One HTTP request, in bounded time, that is never redirected."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ssl import SSLContext, create_default_context
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import (
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from schedcore.errors import InvalidOptionError
from schedcore.notices.base import RefusedError

_URL: Final = re.compile(r"https?://[^\s/?#@{}]+([/?][!-~]*)?")
_LATER: Final = (408, 425, 429)
"""Statuses of the client's side that say: not now."""


def check_url(option: str, url: object) -> str:
    """Return the URL of a channel; what stands in it may be a secret, and is in no error's text.

    Raises:
        InvalidOptionError: if it is none.
    """
    try:
        if isinstance(url, str) and _URL.fullmatch(url) and urlsplit(url).port != 0:
            return url
    except ValueError:  # a port beyond 65535
        pass
    raise InvalidOptionError(
        option, "...", 'a URL such as "https://example.com/hook", without a password'
    )


def send(
    url: str, method: str, body: bytes | None, headers: Mapping[str, str], timeout: float
) -> None:
    """Send a request, and return once a status of 200 to 299 came; what follows it is not read.

    Proxies are those of the environment (``https_proxy``).

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
    made: list[HTTPConnection] = []
    status, place = 0, None
    late = threading.Event()

    def cut() -> None:
        late.set()
        for connection in made:
            sock = connection.sock
            if sock is not None:
                with suppress(OSError):  # it is closed already
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which may be busy

    request = Request(url, body, dict(headers), method=method)
    # Time-outs of sockets hold for each wait alone: a byte each second would never end.
    timer = threading.Timer(timeout, cut)
    timer.daemon = True
    timer.start()
    try:
        with _opener(made.append).open(request, timeout=timeout) as response:
            status, place = response.status, response.headers.get("Location")
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if not (late.is_set() or isinstance(reason, TimeoutError)):
            raise OSError(f"{type(reason).__name__}: {reason}") from None
    finally:
        timer.cancel()
    if late.is_set() or not status:  # late also where what had come looks like an answer
        raise TimeoutError(f"no answer within {timeout:g} s")
    _check_status(status, place)


def _check_status(status: int, place: str | None) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        host = "elsewhere" if place is None else (urlsplit(place).netloc or "another path")[:200]
        raise RefusedError(f"it answered {status}, to go to {host}: that is not followed")
    if 400 <= status < 500 and status not in _LATER:
        raise RefusedError(f"it answered {status}")
    raise OSError(f"it answered {status}")


def _opener(note: Callable[[HTTPConnection], object]) -> OpenerDirector:
    """Return what opens URLs: by http and https alone, and following nothing.

    Args:
        note: Given each connection that is made.
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
            return self.do_open(noting(HTTPSConnection), req, context=_context())

    opener = OpenerDirector()
    for handler in (ProxyHandler(), Http(), Https(), _AsItIs()):
        opener.add_handler(handler)
    return opener


class _AsItIs(HTTPErrorProcessor):
    """Returns each response, whatever its status: nothing is followed."""

    def http_response(self, request: Request, response: Any) -> Any:  # noqa: ARG002
        return response

    https_response = http_response


@cache
def _context() -> SSLContext:
    return create_default_context()  # reads the certificates: 20 ms
