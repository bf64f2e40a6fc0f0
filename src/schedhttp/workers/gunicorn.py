"""Whether this process is gunicorn's master or a worker, and whether its app is loaded.

``gunicorn_conf.py`` and ``python -m schedhttp`` give gunicorn the hooks below.  Without them
(``gunicorn app:app``), a worker is recognised by its signal handlers.
Nothing here imports gunicorn: if it is not running, there is neither a master nor a worker.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from schedcore.clock import Deadline, Waker

_POLL_EVERY = 0.02
_LOAD_WITHIN = 600.0
"""Seconds within which a worker must have loaded its app."""

_PART_OF_TIMEOUT = 0.8

_worker: Any | None = None
"""The worker object of this process, set by a hook."""
_when_loaded: deque[Callable[[], object]] = deque()
_loading = threading.Lock()


def post_fork(_arbiter: object, worker: Any) -> None:
    """Store this process's worker object: a hook of gunicorn, called before the app loads."""
    global _worker  # noqa: PLW0603 — a process is one worker for its whole life
    _worker = worker


def post_worker_init(_worker: object) -> None:
    """Call what waits for the app: a hook of gunicorn, called when the app is loaded."""
    with _loading:  # a request waits here until another thread has done it
        while _when_loaded:
            _when_loaded.popleft()()


def is_here() -> bool:
    """Return whether gunicorn runs this process."""
    return "gunicorn.arbiter" in sys.modules


def worker() -> Any | None:
    """Return gunicorn's worker object, if this process is a worker that has started."""
    if _worker is not None:
        return _worker
    return _worker_by_handler() if is_here() else None


def _worker_by_handler() -> Any | None:
    """Find the worker without hooks: it sets its signal handlers before it loads the app."""
    owner = getattr(signal.getsignal(signal.SIGABRT), "__self__", None)
    kinds = type(owner).__mro__
    return owner if any(kind.__module__.startswith("gunicorn.workers") for kind in kinds) else None


def in_master() -> bool:
    """Return whether this is gunicorn's master, which loads the app before it forks (--preload).

    A scheduler started there would run in the master, in addition to those of the workers.
    """
    return is_here() and worker() is None


def has_loaded() -> bool:
    """Return whether this process is a worker that has loaded its app, and serves."""
    of = worker()
    return of is not None and bool(getattr(of, "booted", True))


def call_when_loaded(callback: Callable[[], object]) -> None:
    """Call *callback* once this process is a worker that has loaded its app.

    If gunicorn has our hooks, it is called in the main thread before the worker serves.  Otherwise
    it is called in another thread, or by the first request, which calls :func:`post_worker_init`.
    """
    _when_loaded.append(callback)
    threading.Thread(target=_wait_for_load, name="schedhttp-loading", daemon=True).start()


def _wait_for_load() -> None:
    deadline = Deadline(_LOAD_WITHIN)
    while _when_loaded and deadline.left():  # a child that executes another program never loads
        if has_loaded():
            post_worker_init(None)
        Waker().sleep(_POLL_EVERY)


def end_gently() -> None:
    """Let Ctrl-C, and the QUIT that gunicorn's master then sends, end this worker as TERM does.

    gunicorn's own handler of both takes a lock of its thread pool: the second signal would wait
    inside the first for ever, until the worker is killed.  Only the main thread can set handlers.
    """
    of = worker()
    if of is None or threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == of.handle_quit:  # and not one of the app's own
            signal.signal(number, of.handle_exit)


def processes() -> int:
    """Return how many processes of this server answer requests, as far as gunicorn shows."""
    of = worker()
    return 1 if of is None else int(of.cfg.workers)


def is_first() -> bool:
    """Return whether this process logs what all workers of a start have in common.

    gunicorn numbers its workers one after the other: of those that a start or a reload brings,
    exactly one is the first.
    """
    of = worker()
    return of is None or (of.age - 1) % of.cfg.workers == 0


def addresses() -> list[str]:
    """Return where this worker listens, as ``http://127.0.0.1:5000`` or ``unix:/run/s.sock``.

    Empty if it is about to end and has closed its sockets.
    """
    try:
        return [str(each) for each in getattr(worker(), "sockets", ())]
    except (OSError, AttributeError):  # gunicorn drops a socket that it has closed
        return []


def longest_request() -> float:
    """Return how many seconds a request may take.

    gunicorn kills a worker without threads, with its active runs, if a request takes longer than
    its timeout.
    """
    of = worker()
    if of is None or not type(of).__module__.endswith(".sync") or not of.cfg.timeout:
        return math.inf
    return _PART_OF_TIMEOUT * float(of.cfg.timeout)


def threads() -> int | None:
    """Return how many threads of this worker answer requests; None: unknown or irrelevant."""
    of = worker()
    if of is None or not type(of).__module__.endswith((".sync", ".gthread")):
        return None
    return int(of.cfg.threads)
