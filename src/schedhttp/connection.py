"""The connection of a request, if gunicorn exposes it.

Nothing here imports gunicorn: under other servers there is no such connection.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from werkzeug.exceptions import ClientDisconnected

from schedcore.clock import Deadline

_REST_WITHIN = 0.25
"""Seconds within which the rest of an unread body must arrive for the connection to stay open."""
_MOST_REST = 65_536
_BODY_WITHIN = 10.0
"""Maximum seconds between two parts of a body that is read."""
SEND_WITHIN = 5.0
"""Maximum seconds in which a client takes nothing of a response."""


def is_own_socket(environ: Mapping[str, Any]) -> bool:
    """Return whether a request came over a Unix socket that only this process's user can open."""
    connection = environ.get("gunicorn.socket")
    if getattr(connection, "family", None) != getattr(socket, "AF_UNIX", connection):
        return False
    try:
        found = os.stat(connection.getsockname(), follow_symlinks=False)  # type: ignore[union-attr]
    except (OSError, ValueError):  # one that is not in the file system
        return False
    return (
        stat.S_ISSOCK(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def is_gone(environ: Mapping[str, Any]) -> bool:
    """Return whether the client has closed the connection before it got its answer."""
    connection = _plain(environ)
    if connection is None:
        return False
    timeout = connection.gettimeout()
    try:
        connection.settimeout(0)
        # Readable: either the client's next request, or the end of the connection.
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(timeout)


def check_client(environ: Mapping[str, Any]) -> None:
    """Stop waiting if the client has disconnected.

    Raises:
        ClientDisconnected: if it has.
    """
    if is_gone(environ):
        raise ClientDisconnected


def bound_wait(environ: Mapping[str, Any]) -> None:
    """Let reading a request's body fail if the client stops sending: a thread waits for it."""
    connection = _plain(environ)
    if connection is not None and _has_body(environ):
        connection.settimeout(_BODY_WITHIN)


def end_reading(environ: Mapping[str, Any]) -> None:
    """Stop waiting for a client whose body was not read, or whose connection ends now.

    gunicorn would wait for seconds for the rest of the body, and for the client to close, and
    without end for it to take a long response: a few clients that do none of that would block the
    answers to all others.
    """
    connection = _plain(environ)
    if connection is None:
        return
    is_last = (
        environ.get("HTTP_CONNECTION", "").strip().lower() == "close"
        or environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
    )
    with suppress(OSError):
        if _has_body(environ):
            body = environ["wsgi.input"]
            if not _is_read(connection, body):
                body.failed = is_last = True  # where the next request begins is unknown
            connection.settimeout(None)
        # A timeout of Python's would bound the whole response, however long it is.
        seconds, rest = divmod(SEND_WITHIN, 1)
        bound = struct.pack("ll", int(seconds), int(rest * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bound)
        if is_last:
            connection.shutdown(socket.SHUT_RD)


def _has_body(environ: Mapping[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


def _is_read(connection: socket.socket, body: Any) -> bool:
    """Read the rest of a body if it is short and was sent; return whether it is complete."""
    deadline, rest = Deadline(_REST_WITHIN), _MOST_REST
    try:
        while deadline.left() and rest > 0:
            connection.settimeout(_REST_WITHIN)
            more = body.read(4096)
            if not more:
                return True
            rest -= len(more)
    except Exception:  # noqa: BLE001 — late, cut off, or not chunked: no next request follows
        return False
    return False


def _plain(environ: Mapping[str, Any]) -> socket.socket | None:
    """Return the connection of a request under gunicorn, if it has no TLS."""
    connection = environ.get("gunicorn.socket")
    return connection if type(connection) is socket.socket else None
