"""Limits how many requests may wait at a time, so that threads remain for the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from schedhttp.request import Incoming
from schedhttp.workers import gunicorn


class WaitLimit:
    """Lets some requests wait, and tells others not to.

    Half of the threads may wait for runs, and a quarter for changes.

    Args:
        threads: How many threads the server has; gunicorn's number is read from it instead.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._counts = {"run": 0, "changes": 0}

    @contextmanager
    def place(self, request: Incoming) -> Iterator[None]:
        """Answer *request* inside; its attributes say whether it may wait, and for how long."""
        waits_for = _kind_of(request)
        if waits_for is None:
            yield
            return
        request.longest_wait = gunicorn.longest_request()
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
        # Read each time: the worker may not exist yet when this object is created.
        threads = gunicorn.threads() or self._threads
        return max(1, threads // 2) if waits_for == "run" else threads // 4


def _kind_of(request: Incoming) -> str | None:
    """Return what a request waits for; None: nothing."""
    end = request.path.rstrip("/").rpartition("/")[2]
    if request.method == "POST":
        return "run" if end == "run" else None
    return "changes" if end == "changes" and request.has_query else None
