"""The doors of the process that holds the engine: a socket for the other workers, and a gate.

Behind the gate requests are answered: those that came over the socket, and those that this worker
met itself.  When it is closed nothing begins any more, so that what is handed over to the next
holder has all that was answered.
"""

from __future__ import annotations

import hmac
import io
import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from schedcore.atfork import call_in_child
from schedcore.leader.election import Election
from schedhttp.app import Rendered
from schedhttp.workers import wire

log = logging.getLogger(__name__)

_SOCKET = ".sock"
# A path takes 108 bytes in Linux's sockaddr_un, 104 in that of the BSDs.
_LONGEST_PATH = 100
_LOOK_EVERY = 1.0
_PATIENCE = 10.0
"""Seconds in which a worker has to send what it announced."""
_GREET_WITHIN = 2.0
"""Seconds in which whoever connects has to show that it is a worker."""
MOST_GREETED = 32
"""How many may be about to show that; one more is turned away."""


class HolderDoors:
    """Lets requests in while this process holds the engine.  Thread-safe.

    Follows :class:`schedcore.leader.membership.Doors`.

    Args:
        election: Whose folder, which only this user may look into, has the socket.
        holds: Tells whether this process holds the engine.
        answer: Answers a request, given its WSGI environ.
        most_body: How many bytes a body may have.
    """

    def __init__(
        self,
        election: Election,
        holds: Callable[[], bool],
        answer: Callable[[dict[str, Any]], Rendered],
        most_body: int,
    ) -> None:
        self._election = election
        self._holds = holds
        self._answer = answer
        self._most_body = most_body
        self._reset()
        call_in_child(self)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._greeted = 0
        self._is_open = False
        self._secret = ""
        self._listener: socket.socket | None = None
        self._path: str | None = None
        self._talking: set[socket.socket] = set()

    # The gate

    def enter(self) -> bool:
        """Begin a request, if this process holds; :meth:`leave` has to follow."""
        with self._changed:
            if not (self._is_open and self._holds()):
                return False
            self._inside += 1
            return True

    def leave(self) -> None:
        """Say that a request is answered."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    # What an election calls

    def open(self) -> tuple[str, str]:
        """Listen; return where, and what to say there.

        Raises:
            OSError: if no socket can be made.
        """
        for stale in self._election.files(_SOCKET):  # of holders that were killed
            stale.unlink(missing_ok=True)
        listener, address = self._listen()
        with self._changed:
            self._listener, self._is_open = listener, True
            self._secret = secrets.token_hex(wire.SECRET_LENGTH // 2)
        threading.Thread(
            target=self._serve, args=(listener,), name="schedhttp-holder", daemon=True
        ).start()
        return address, self._secret

    def close(self) -> None:
        """Begin nothing more, here or over the socket."""
        with self._changed:
            listener, self._listener = self._listener, None
            path, self._path = self._path, None
            self._is_open = False
        if listener is not None:
            with suppress(OSError):  # wakes the thread that accepts, where sockets can do that
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        if path is not None:
            with suppress(OSError):  # gone with its folder
                os.unlink(path)

    def drain(self, seconds: float) -> bool:
        """Wait until all that began is answered, so long at most; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._inside, seconds)

    def after_fork_in_child(self) -> None:
        """Close here what belongs to the parent, or its end would not be noticed by the others."""
        for each in (self._listener, *self._talking):
            if each is not None:
                each.close()
        self._reset()

    # The socket

    def _listen(self) -> tuple[socket.socket, str]:
        path = os.fspath(self._election.path(f".{secrets.token_hex(4)}{_SOCKET}"))
        if hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= _LONGEST_PATH:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(path)
            os.chmod(path, 0o600)
            self._path, address = path, f"unix:{path}"
        else:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind(("127.0.0.1", 0))
            address = f"tcp:{listener.getsockname()[1]}"
        listener.listen(128)
        listener.settimeout(_LOOK_EVERY)
        return listener, address

    def _serve(self, listener: socket.socket) -> None:
        while listener is self._listener:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if listener is self._listener:
                    log.error("cannot accept on the holder's socket: %s", error)
                    threading.Event().wait(_LOOK_EVERY)
                continue
            with self._changed:
                is_welcome = self._greeted < MOST_GREETED
                self._greeted += is_welcome
            if not is_welcome:
                connection.close()
                continue
            threading.Thread(
                target=self._talk, args=(connection,), name="schedhttp-answering", daemon=True
            ).start()

    def _talk(self, connection: socket.socket) -> None:
        self._talking.add(connection)
        try:
            with connection:
                if self._is_worker(connection):
                    self._let_in(connection)
        except (OSError, EOFError, ValueError) as error:
            log.warning("a worker went away before it was answered: %s", error)
        except Exception:  # of the app's own: the other worker answers 503
            log.exception("a request that another worker met could not be answered")
        finally:
            self._talking.discard(connection)

    def _is_worker(self, connection: socket.socket) -> bool:
        """Tell whether who connected knows the secret, having shown that this process does."""
        try:
            connection.settimeout(_GREET_WITHIN)
            nonce = wire.exactly(connection, wire.NONCE_LENGTH)
            connection.sendall(wire.proof(self._secret, nonce))
            said = wire.exactly(connection, wire.SECRET_LENGTH)
        finally:
            with self._changed:
                self._greeted -= 1
        connection.settimeout(_PATIENCE)
        return hmac.compare_digest(said, self._secret.encode())

    def _let_in(self, connection: socket.socket) -> None:
        if not self.enter():
            connection.sendall(wire.NOT_HERE)
            return
        try:
            connection.sendall(wire.COME_IN)
            # One more than allowed: the app itself is to refuse it.
            meta, body = wire.receive(connection, self._most_body + 1)
            status, headers, content = self._answer(environ_of(meta, body))
            wire.send(connection, {"status": status, "headers": headers}, content)
        finally:
            self.leave()


def environ_of(meta: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the WSGI environ of a request that another worker met."""
    return {
        **meta,
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
