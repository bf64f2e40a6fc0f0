"""From any worker to the process that holds the engine, and back with the answer.

What is forwarded is the WSGI environ as the server made it, and not HTTP made anew from it: the
holder sees the request as if the client had met it, and decides alone who may do what.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge

from schedcore.clock import Patience, Waker
from schedcore.leader.election import Holder
from schedcore.leader.membership import Standing
from schedhttp.app import Rendered
from schedhttp.errors import Unavailable
from schedhttp.request import NO_WAIT, OWN_SOCKET, Incoming
from schedhttp.settings import Settings
from schedhttp.workers import wire
from schedhttp.workers.leader import HolderDoors

log = logging.getLogger(__name__)

WAIT = 2.0
"""Seconds that a request waits for a holder: a new one is there after a quarter of a second."""
_LOOK_EVERY = 0.05
_CONNECT = 1.0
_SLICE = 0.5
_AFTER_RUN = 60.0
"""Seconds beyond those of a run after which a holder that does not answer is given up."""
_MOST_ANSWER = 1 << 31
_TOLD = ("HTTP_", "REMOTE_", "REQUEST_", "SERVER_", "CONTENT_")
_TOLD_TOO = {"SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI", "wsgi.url_scheme"}
_TOLD_TOO |= {OWN_SOCKET, NO_WAIT}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Change nothing, so that they may be asked again; whose bodies nobody reads."""
_REFUSED = frozenset({401, 403, 429})
_NOBODY = "no process of this server holds the scheduler at the moment: try again"
_UNKNOWN = (
    "the process that held the scheduler ended while it answered; whether the request was carried"
    " out is not known, so look before it is sent again"
)


class Forwarder:
    """Answers requests here if this process holds the engine, and otherwise asks the one that does.

    Args:
        standing: Tells who holds.
        doors: Lets requests in here.
        settings: Bounds of a request.
        here: Answers a request in this process; with a text, refuses it as unavailable.
        check_sender: Refuses senders that are not even to have their bodies read.
    """

    def __init__(
        self,
        standing: Standing,
        doors: HolderDoors,
        settings: Settings,
        here: Callable[[Incoming, str | None], Rendered],
        check_sender: Callable[[Incoming], None],
    ) -> None:
        self._standing = standing
        self._doors = doors
        self._settings = settings
        self._here = here
        self._check_sender = check_sender

    def __call__(self, request: Incoming) -> Rendered:
        """Return the answer to *request*, which is carried out at most once.

        Raises:
            Unavailable: if the holder went away after it had got the request, and the request may
                not simply be repeated.
            HTTPException: if the client did not send all of its body.
            Refusal: if its body is not to be read at all.
        """
        patience = Patience(WAIT)
        frame: tuple[dict[str, str], bytes] | None = None
        while True:
            if self._doors.enter():
                try:
                    return self._here(request, None)
                finally:
                    self._doors.leave()
            holder = self._standing.holder()
            if holder is not None and holder.address:
                if frame is None:
                    refusal = self._refusal(request, holder)
                    if refusal is not None:
                        return refusal
                    frame = self._frame(request)
                answer = self._ask(holder, *frame)
                if answer is not None:
                    return answer
            if not patience.left():
                return self._here(request, _NOBODY)
            Waker().sleep(_LOOK_EVERY)

    def _refusal(self, request: Incoming, holder: Holder) -> Rendered | None:
        """Return the answer to who is not even to have a body read; None: it may be read.

        Whether credentials hold, the holder alone can tell: it counts those that do not.  It is
        asked with what stands before the body.

        Raises:
            Refusal: if there is no need to ask.
        """
        if request.method in _SAFE_METHODS:
            return None
        self._check_sender(request)
        environ = request.environ
        if environ.get("CONTENT_LENGTH", "0") == "0" and "HTTP_TRANSFER_ENCODING" not in environ:
            return None
        if "HTTP_AUTHORIZATION" not in environ:
            return None
        meta = {**_told(environ), "REQUEST_METHOD": "OPTIONS", "CONTENT_LENGTH": "0"}
        meta.pop("HTTP_TRANSFER_ENCODING", None)
        answer = self._ask(holder, meta, b"")
        return answer if answer is not None and answer[0] in _REFUSED else None

    def _frame(self, request: Incoming) -> tuple[dict[str, str], bytes]:
        """Return what is told of a request, and its body."""
        meta = _told(request.environ)
        if request.method in _SAFE_METHODS:
            return meta, b""
        in_chunks = meta.pop("HTTP_TRANSFER_ENCODING", None)
        try:
            body = request.body()
        except RequestEntityTooLarge:
            # The length that was declared tells so; without one, the least that does.
            if in_chunks or not meta.get("CONTENT_LENGTH"):
                meta["CONTENT_LENGTH"] = str(request.most + 1)
            return meta, b""
        meta["CONTENT_LENGTH"] = str(len(body))
        request.keep(body)  # this process may be the holder by the time that it is answered
        return meta, body

    def _ask(self, holder: Holder, meta: dict[str, str], body: bytes) -> Rendered | None:
        """Return the holder's answer; None: it did not get the whole request, so ask again."""
        try:
            connection = _connected(holder)
        except (OSError, EOFError, ValueError):  # gone, or going
            return None
        with connection:
            try:
                wire.send(connection, meta, body)
            except OSError:
                return None
            try:
                return self._answer(connection, holder)
            except (OSError, EOFError, ValueError) as error:
                log.warning("process %d went away while it answered: %s", holder.pid, error)
        if meta["REQUEST_METHOD"] in _SAFE_METHODS:
            return None
        raise Unavailable(_UNKNOWN, {"Retry-After": "1"})

    def _answer(self, connection: socket.socket, holder: Holder) -> Rendered:
        patience = Patience(self._settings.api_run_timeout + _AFTER_RUN)
        # Waited for without reading, so that nothing is read in part.
        while not _is_readable(connection):
            now = self._standing.holder()
            if now is not None and now.term != holder.term:
                raise EOFError("another process took over")
            if not patience.left():
                raise TimeoutError("it does not answer")
        meta, content = wire.receive(connection, _MOST_ANSWER)
        return meta["status"], [(name, value) for name, value in meta["headers"]], content


def _told(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return what the holder is told of a request, besides its body."""
    return {
        name: value
        for name, value in environ.items()
        if isinstance(value, str) and (name in _TOLD_TOO or name.startswith(_TOLD))
    }


def _connected(holder: Holder) -> socket.socket:
    """Return a connection on which the holder waits for a request.

    Raises:
        OSError, EOFError, ValueError: if it does not.
    """
    kind, _, where = holder.address.partition(":")
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT)
        connection.connect(where if kind == "unix" else ("127.0.0.1", int(where)))
        nonce = secrets.token_bytes(wire.NONCE_LENGTH)
        connection.sendall(nonce)
        shown = wire.exactly(connection, wire.PROOF_LENGTH)
        if not hmac.compare_digest(shown, wire.proof(holder.secret, nonce)):
            raise ValueError("somebody else listens there")
        connection.sendall(holder.secret.encode())
        if wire.exactly(connection, 1) != wire.COME_IN:
            raise EOFError("it holds no more")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_readable(connection: socket.socket) -> bool:
    connection.settimeout(_SLICE)
    try:
        connection.recv(
            1, socket.MSG_PEEK
        )  # nothing at all: it is closed, which is told by reading
    except TimeoutError:
        return False
    connection.settimeout(_AFTER_RUN)
    return True
