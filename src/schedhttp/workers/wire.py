"""What two workers of one server say to each other: JSON and bytes, with their lengths before."""

from __future__ import annotations

import hmac
import json
import socket
import struct
from typing import Any

SECRET_LENGTH = 64
NONCE_LENGTH = PROOF_LENGTH = 32
COME_IN, NOT_HERE = b"+", b"-"
MOST_META = 1 << 23
_LENGTHS = struct.Struct(">II")


def proof(secret: str, nonce: bytes) -> bytes:
    """Return what shows that a holder knows the secret, before anybody tells it anything.

    Its port may have become another's (RFC 2104; a Unix socket's folder is this user's alone).
    """
    return hmac.digest(secret.encode(), nonce, "sha256")


def send(connection: socket.socket, meta: object, body: bytes) -> None:
    """Send both, whole.

    Raises:
        OSError: if not all of it could be sent: then the other side has not got a whole frame.
    """
    text = json.dumps(meta).encode("ascii")
    connection.sendall(_LENGTHS.pack(len(text), len(body)) + text + body)


def receive(connection: socket.socket, most_body: int) -> tuple[Any, bytes]:
    """Return what the other side sent.

    Raises:
        EOFError: if it went away before the end.
        ValueError: if it is longer than allowed, or no JSON.
        OSError: if the connection failed, or nothing came for as long as its time-out.
    """
    text_length, body_length = _LENGTHS.unpack(exactly(connection, _LENGTHS.size))
    if text_length > MOST_META or body_length > most_body:
        raise ValueError(f"a frame of {text_length} and {body_length} bytes is too long")
    return json.loads(exactly(connection, text_length)), exactly(connection, body_length)


def exactly(connection: socket.socket, length: int) -> bytes:
    """Return that many bytes.

    Raises:
        EOFError: if the other side went away before.
        OSError: if the connection failed, or nothing came for as long as its time-out.
    """
    data = bytearray(length)
    view, got = memoryview(data), 0
    while got < length:
        more = connection.recv_into(view[got:])
        if not more:
            raise EOFError("the other side went away")
        got += more
    return bytes(data)
