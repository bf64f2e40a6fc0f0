"""An HTTP server that notes what it is asked, and answers as a test says."""

from __future__ import annotations

import queue
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.patience import SOON


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict
    body: bytes


class Receiver:
    """Answers with each of *answers* in turn, and then with 200; "hang": not at all."""

    def __init__(self, *answers):
        self.asked = queue.Queue()
        self.released = threading.Event()
        answers = iter(answers)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.asked.put(Asked(self.command, self.path, headers, body))
                answer = next(answers, 200)
                if answer == "hang":
                    receiver.released.wait(SOON)
                    return
                if answer == "drip":
                    self.drip()
                    return
                status, position = answer if isinstance(answer, tuple) else (answer, None)
                self.send_response(status)
                if position:
                    self.send_header("Location", position)
                self.end_headers()

            do_POST = do_GET = do_PUT = handle_one

            def drip(self):
                """Send a header that never ends: each byte comes soon."""
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                try:
                    while not receiver.released.wait(0.02):
                        self.wfile.write(b"x")
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def next(self):
        """Return the next request that comes."""
        return self.asked.get(timeout=SOON)

    def close(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def nobody():
    """Return a URL at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def receivers():
    """Give what makes receivers that answer as given, and close them in the end."""
    made = []

    def make(*answers):
        made.append(Receiver(*answers))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.close()
