"""How many requests may wait at a time: threads are left that answer the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from schedhttp.request import Incoming
from schedhttp.workers import gunicorn


class Waiting:
    """Lets some requests wait, and tells the others not to.

    For runs in half of the threads, and for what happens in a quarter.

    Args:
        threads: How many threads the server has, where it is not gunicorn, which tells itself.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._counts = {"run": 0, "changes": 0}

    @contextmanager
    def place(self, request: Incoming) -> Iterator[None]:
        """Answer *request* meanwhile; :attr:`Incoming.may_wait` tells whether it got a place."""
        waits_for = _kind_of(request)
        if waits_for is None:
            yield
            return
        with self._lock:
            has_place = self._counts[waits_for] < self._most(waits_for)
            self._counts[waits_for] += has_place
        if not has_place:
            request.may_wait = False
        try:
            yield
        finally:
            with self._lock:
                self._counts[waits_for] -= has_place

    def _most(self, waits_for: str) -> int:
        # Asked each time: the worker may not be there yet when this is made.
        threads = gunicorn.threads() or self._threads
        return max(1, threads // 2) if waits_for == "run" else threads // 4


def _kind_of(request: Incoming) -> str | None:
    """Return what a request may wait for; None: it does not."""
    end = request.path.rstrip("/").rpartition("/")[2]
    if request.method == "POST":
        return "run" if end == "run" else None
    return "changes" if end == "changes" and request.has_query else None
