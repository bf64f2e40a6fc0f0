"""Requests as servers hand them over, bodies above all."""

from __future__ import annotations

import io
import socket
import threading
from typing import Any

import pytest
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from schedhttp import connection
from schedhttp.request import Incoming
from tests.patience import SOON


class Trickle(io.RawIOBase):
    """A stream that gives three bytes at most, however many it is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(3 if size < 0 else min(size, 3))

    def readable(self) -> bool:
        return True


class Broken(io.RawIOBase):
    """A stream whose connection is gone."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("connection reset")


def request(stream: Any, most: int = 20, **environ: Any) -> Incoming:
    return Incoming(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "wsgi.input": stream,
            "wsgi.url_scheme": "http",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            **environ,
        },
        most,
    )


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({"CONTENT_LENGTH": "9"}, b'{"a": 12}', id="as declared"),
        pytest.param({"CONTENT_LENGTH": "4"}, b'{"a"', id="no more than declared"),
        pytest.param({"CONTENT_LENGTH": "0"}, b"", id="none"),
        pytest.param({}, b"", id="no length: nothing that a server would let an app read"),
        pytest.param({"CONTENT_LENGTH": ""}, b"", id="an empty length"),
        pytest.param({"CONTENT_LENGTH": "nine"}, b"", id="a length that is none"),
        pytest.param({"CONTENT_LENGTH": "-9"}, b"", id="a negative length"),
        pytest.param({"wsgi.input_terminated": True}, b'{"a": 12} more', id="up to the end"),
        pytest.param(
            {
                "wsgi.input_terminated": True,
                "HTTP_TRANSFER_ENCODING": "chunked",
                "CONTENT_LENGTH": "2",
            },
            b'{"a": 12} more',
            id="chunks count, and not a length beside them",
        ),
    ],
)
def test_a_body_is_read_as_far_as_it_goes(environ, expected):
    assert request(io.BytesIO(b'{"a": 12} more'), **environ).body() == expected


def test_a_body_that_comes_bit_by_bit_is_read_whole():
    stream = Trickle(b'{"a": 12} more')
    assert request(stream, CONTENT_LENGTH="9").body() == b'{"a": 12}'


@pytest.mark.parametrize("stream", [io.BytesIO(b"{"), Trickle(b"{}"), Broken()])
def test_a_client_that_goes_away_is_an_error(stream):
    with pytest.raises(ClientDisconnected):
        request(stream, CONTENT_LENGTH="9").body()


def test_a_client_that_takes_nothing_of_its_response_is_given_up(monkeypatch):
    monkeypatch.setattr(connection, "SEND_WITHIN", 0.02)
    ours, clients = socket.socketpair()
    hangs_up = threading.Timer(SOON, clients.close)
    hangs_up.start()
    with ours, clients:
        connection.end_reading({"gunicorn.socket": ours})
        with pytest.raises(BlockingIOError):
            ours.sendall(b"x" * 10_000_000)
        hangs_up.cancel()


@pytest.mark.parametrize(
    "environ",
    [
        {"CONTENT_LENGTH": "21"},
        {"CONTENT_LENGTH": "9" * 15},
        {"CONTENT_LENGTH": "9" * 400},
        {"wsgi.input_terminated": True},
    ],
)
def test_a_body_that_is_too_long_is_not_read_to_its_end(environ):
    stream = io.BytesIO(b"x" * 100)
    with pytest.raises(RequestEntityTooLarge):
        request(stream, **environ).body()
    assert stream.tell() <= 21


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("", "/"),
        ("/a", "/a"),
        ("//a//b/", "/a//b/"),
        ("a", "/a"),
        ("/gr\u00c3\u00b6\u00c3\u009fe", "/gr\u00f6\u00dfe"),
        ("/\u00ff", "/\ufffd"),
    ],
)
def test_the_path_is_that_of_werkzeug(raw, path):
    incoming = request(io.BytesIO(), PATH_INFO=raw)
    assert incoming.path == incoming.whole.path == path
