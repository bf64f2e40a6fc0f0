"""How many requests may wait for runs at a time: threads are left that answer the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from schedhttp.request import Incoming
from schedhttp.workers import gunicorn


class Waiting:
    """Lets requests that run a job wait in half of the threads, and tells the others not to.

    Args:
        threads: How many threads the server has, where it is not gunicorn, which tells itself.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._most: int | None = None
        self._count = 0

    @contextmanager
    def place(self, request: Incoming) -> Iterator[None]:
        """Answer *request* meanwhile; :attr:`Incoming.may_wait` tells whether it got a place."""
        if request.method != "POST" or not request.path.rstrip("/").endswith("/run"):
            yield
            return
        with self._lock:
            if self._most is None:  # the worker is there by now
                self._most = max(1, (gunicorn.threads() or self._threads) // 2)
            has_place = self._count < self._most
            self._count += has_place
        if not has_place:
            request.may_wait = False
        try:
            yield
        finally:
            with self._lock:
                self._count -= has_place
