"""Servers for the commands to ask: a real one, and one that answers whatever a test says."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

TASKS = '''
import time
from pathlib import Path

def ok(*args, **kwargs):
    print("called with", args, kwargs)
    return "fine"

def fail():
    print("about to \\x1b[2Jfail")
    raise ValueError("no \\x1b]0;owned\\x07 such \\u202egpj.exe")

def hold(path):
    """Begin a file, and wait until it is gone."""
    print("holding", flush=True)
    Path(path).touch()
    while Path(path).exists():
        time.sleep(0.01)
'''


@contextmanager
def real_server(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """Run ``python -m schedhttp`` with the tasks above; yield where it listens."""
    (folder / "tasks.py").write_text(TASKS)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SCHED")}
    listening = arguments or ("--port", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "schedhttp", *listening],
        cwd=folder,
        env=inherited | {"SCHEDULER_API_ALLOWED_FUNCS": "tasks:*"} | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    place = None
    for line in process.stderr:
        lines.append(line)
        if place := re.search(r"Listening at: (http\S+|unix:\S+)", line):
            break
    # Read to the end, or the server would block on a full pipe.
    reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()))
    reader.start()
    try:
        assert place is not None, "".join(lines)
        yield place[1]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        reader.join()
        process.stderr.close()


PROGRAM = [sys.executable, "-m", "schedcore"]


def typed(
    *arguments: str, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, without a terminal."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def on_a_terminal(
    *arguments: str, answer: str = "", until: str | None = None, **environment: str
) -> tuple[int, str]:
    """Run a command on a terminal; return its exit status, and what it has written there.

    Args:
        arguments: Of the command.
        answer: What is typed.
        until: Once this has been written, it is interrupted.
        environment: More of it.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200", **environment},
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    written = b""
    try:
        while part := os.read(ours, 65_536):
            written += part
            if until is not None and until.encode() in written:
                process.send_signal(signal.SIGINT)
                until = None
    except OSError:  # nobody has the other end any more
        pass
    os.close(ours)
    return process.wait(timeout=60), written.decode()


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    port: int
    """Of the client: of the same one, it is the same connection."""


class Fake:
    """A server that answers what it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], tuple[int, Any] | None] = lambda asked: (200, [])
        self.headers: dict[str, str] = {}
        self.hangs_up = False
        """Whether it closes each connection after an answer, and tells nobody."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                asked = Asked(
                    self.command, self.path, dict(self.headers), body, self.client_address[1]
                )
                fake.asked.append(asked)
                told = fake.answer(asked)
                if told is None:  # it hangs up
                    self.close_connection = True
                    return
                status, answer = told
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                for name, value in fake.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = self.close_connection or fake.hangs_up

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def encrypt(self, certificate: Path) -> None:
        """Have it speak TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = self.url.replace("http:", "https:")

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
