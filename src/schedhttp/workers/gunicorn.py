"""gunicorn's master and its workers: which of them this process is, and how a worker ends.

``gunicorn_conf.py`` and ``python -m schedhttp`` give gunicorn the hooks below, which tell it.
Started without them (``gunicorn app:app``), a worker is known by its signal handlers.
Nothing here imports gunicorn: where it is not running, there is neither.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from schedcore.clock import Patience, Waker

_LOOK_EVERY = 0.02


_worker: Any | None = None
"""The worker that this process is, as a hook told."""
_has_loaded = threading.Event()


def post_fork(_arbiter: object, worker: Any) -> None:
    """Know the worker that this process is: a hook of gunicorn's, called before the app loads."""
    global _worker  # noqa: PLW0603 — a process is one worker, and for good
    _worker = worker


def post_worker_init(_worker: object) -> None:
    """Know that the app is loaded: a hook of gunicorn's."""
    _has_loaded.set()


def is_here() -> bool:
    """Tell whether gunicorn runs this process."""
    return "gunicorn.arbiter" in sys.modules


def worker() -> Any | None:
    """Return gunicorn's worker object, if this process is a worker that has begun."""
    if _worker is not None:
        return _worker
    return _worker_by_handler() if is_here() else None


def _worker_by_handler() -> Any | None:
    """Return the worker without its hooks: it sets its signal handlers before it loads the app."""
    owner = getattr(signal.getsignal(signal.SIGABRT), "__self__", None)
    kinds = type(owner).__mro__
    return owner if any(kind.__module__.startswith("gunicorn.workers") for kind in kinds) else None


def in_master() -> bool:
    """Tell whether this is gunicorn's master, which loads the app before it forks (--preload).

    A scheduler started there would run in the master, beside those of the workers.
    """
    return is_here() and worker() is None


def addresses(of: Any) -> list[str]:
    """Return where a worker listens, as ``http://127.0.0.1:5000`` or ``unix:/run/s.sock``."""
    return [str(each) for each in getattr(of, "sockets", ())]


def threads() -> int | None:
    """Return how many threads of this worker answer requests; None: not known, or no matter."""
    of = worker()
    if of is None or not type(of).__module__.endswith((".sync", ".gthread")):
        return None
    return int(of.cfg.threads)


def has_loaded(of: Any) -> bool:
    """Tell whether a worker has loaded its app, and serves."""
    return _has_loaded.is_set() if of is _worker else bool(getattr(of, "booted", True))


def wait_until_loaded(seconds: float) -> bool:
    """Wait until this process is a worker that has loaded its app; False: it did not."""
    patience = Patience(seconds)
    while patience.left():
        found = worker()
        if found is not None and has_loaded(found):
            return True
        _has_loaded.wait(_LOOK_EVERY)  # it may be set before the worker is known, or never
    return False


def only_wake(told: Waker) -> Callable[[], object]:
    """Have the signals that end a worker do no more than wake *told*; return what TERM did.

    gunicorn's own handlers take locks (of its queues, of its pool), and would block for ever if
    the signal came while the main thread held one; now and then, on a busy machine, the worker had
    to be killed.  Ctrl-C reaches the worker too, and so does the QUIT that gunicorn's master then
    sends it: both end it as TERM does.

    To be called in the main thread.
    """
    graceful = signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda _number, _frame: told.wake())

    def end() -> object:
        return graceful(signal.SIGTERM, None) if callable(graceful) else None

    return end


def end_gracefully(of: Any, graceful: Callable[[], object]) -> None:
    """Do what TERM does to a worker, from another thread than the main one."""
    graceful()
    pipe = getattr(of, "PIPE", None)
    if pipe and threading.current_thread() is not threading.main_thread():
        # A sync worker sleeps in select(), and has looked at what was changed before it was.
        with suppress(OSError):
            os.write(pipe[1], b"1")


def instance() -> str:
    """Return what the workers of one gunicorn share over reloads, and a later start does not have.

    The master's process and when it began; "" where neither gunicorn nor /proc is.
    """
    if not is_here():
        return ""
    return process_start(os.getpid() if in_master() else os.getppid())


def process_start(pid: int) -> str:
    """Return what tells a process from all others since the computer was started; "": not known."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
    # The name of the program, in brackets, may have spaces and brackets in it (proc(5)).
    return f"{boot}-{pid}-{told.rpartition(')')[2].split()[19]}"
