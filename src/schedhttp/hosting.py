"""A scheduler and its API inside a server's worker process: made, started and ended there."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor as FuturesExecutor
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import Any

from schedcore import (
    InvalidOptionError,
    RunLookupError,
    Scheduler,
    SchedulerNotRunningError,
    ThreadPool,
)
from schedcore.clock import Waker
from schedcore.errors import did_you_mean
from schedcore.executors.base import Executor
from schedcore.executors.futures import FuturesAdapter
from schedhttp.app import App, StartResponse
from schedhttp.settings import Settings
from schedhttp.solo import SoloLock

log = logging.getLogger(__name__)

_WAITING = (
    "another worker of this server runs the scheduler: after a reload it ends within moments; if"
    " there are several workers, start one only, since each would run every job"
)


def make_scheduler(settings: Settings) -> Scheduler:
    """Return a scheduler as the settings describe it, with their jobs; it is not started.

    Raises:
        InvalidOptionError: if a setting makes no sense.
    """
    for folder in settings.python_path:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    scheduler = Scheduler(
        timezone=settings.timezone,
        job_defaults=settings.job_defaults,
        executors=make_executors(settings.executors),
    )
    add_jobs(scheduler, settings.jobs)
    return scheduler


def add_jobs(scheduler: Scheduler, jobs: Iterable[Mapping[str, Any]]) -> None:
    """Add the jobs of the settings.

    Raises:
        InvalidOptionError: if one makes no sense.
    """
    for job in jobs:
        if "func" not in job:
            raise InvalidOptionError("SCHEDULER_JOBS", dict(job), "a func in each job")
        scheduler.add_job(**job)


def make_executors(described: Mapping[str, Any]) -> dict[str, Executor]:
    """Return the executors that the settings describe, by name.

    Raises:
        InvalidOptionError: if one is described by something else.
    """
    return {name: _make_executor(name, what) for name, what in described.items()}


def _make_executor(name: str, what: Any) -> Executor:
    if isinstance(what, FuturesExecutor):
        return FuturesAdapter(what)
    if not isinstance(what, Mapping):
        if callable(getattr(what, "submit", None)) and callable(getattr(what, "shutdown", None)):
            return what  # type: ignore[no-any-return]
        raise InvalidOptionError("SCHEDULER_EXECUTORS", {name: what}, _AN_EXECUTOR)
    options = dict(what)
    kind = options.pop("type", "threadpool")
    workers = options.pop("max_workers", 10)
    if kind not in ("threadpool", "processpool") or options:
        wrong = did_you_mean(next(iter(options), str(kind)), ["type", "max_workers", "threadpool"])
        raise InvalidOptionError("SCHEDULER_EXECUTORS", {name: dict(what)}, _AN_EXECUTOR + wrong)
    pool = ThreadPool(workers, name=f"schedcore-{name}")  # checks the number for both
    return pool if kind == "threadpool" else FuturesAdapter(ProcessPoolExecutor(workers))


_AN_EXECUTOR = (
    'a table such as {"type": "threadpool", "max_workers": 20} (or "processpool"), or an executor'
)


class Hosted:
    """A WSGI app that brings its scheduler along.

    Args:
        settings: All of them.

    Raises:
        InvalidOptionError: if a setting makes no sense.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scheduler = make_scheduler(settings)
        self.app = App(self.scheduler, settings)
        self._mutex = threading.Lock()
        self._started_in: int | None = None
        self._ending = False
        self._ended = threading.Event()
        self._lock: SoloLock | None = None

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if self._started_in != os.getpid():
            self.start()
        return self.app(environ, start_response)

    def start(self) -> None:
        """Start the scheduler in this process, once; in the master of a pre-forking server, not.

        While another worker of the same server runs its scheduler, this one waits for its end, and
        answers requests with 503: a reload starts the new worker before it ends the old one.
        """
        with self._mutex:
            if self._started_in == os.getpid():
                return
            if in_gunicorn_master():
                log.warning(
                    "loaded in gunicorn's master (--preload): the scheduler starts in the worker,"
                    " with its first request; without --preload, at once"
                )
                return
            self._started_in = os.getpid()
            atexit.register(self.stop)
            if _in_gunicorn():
                self._lock = SoloLock(str(os.getppid()))
                if threading.current_thread() is threading.main_thread():
                    self._stop_when_told()
            if self._lock is None or self._lock.acquire(wait=False):
                self._begin()
                return
        log.warning("%s", _WAITING)
        self.app.unavailable = _WAITING
        threading.Thread(target=self._wait, name="schedhttp-waiting", daemon=True).start()

    def stop(self) -> None:
        """End the scheduler, giving the runs under way the time that the settings say.

        Those that take longer are given up, so that requests that wait for them are answered.
        """
        with self._mutex:
            if self._started_in != os.getpid():
                return
            first, self._ending = not self._ending, True
        if not first:
            self._ended.wait(self.settings.shutdown_timeout + 1)
            return
        try:
            for run in self.scheduler.shutdown(timeout=self.settings.shutdown_timeout):
                log.warning("%r did not end in time and is given up", run)
                with suppress(RunLookupError):  # it has ended just now
                    self.scheduler.cancel(run.id)
        except SchedulerNotRunningError:
            log.debug("the scheduler was not running")  # shut down over HTTP, or still waiting
        finally:
            if self._lock is not None:
                self._lock.release()
            self._ended.set()

    def _stop_when_told(self) -> None:
        """End the scheduler when gunicorn's worker is told to end, and not only when it does.

        The worker first waits for requests under way, until it is killed at the same deadline;
        such a request may itself wait for a run.
        Ctrl-C reaches the worker too, and so does the QUIT that gunicorn's master then sends it:
        both end it as TERM does.

        gunicorn's own handlers take locks (of its queues, of its pool), and would block for ever
        if the signal came while the main thread held one; now and then, on a busy machine, the
        worker had to be killed.  So the handler here does no more than wake a thread, and that
        calls gunicorn's handler of TERM.
        """
        graceful = signal.getsignal(signal.SIGTERM)
        told = Waker()

        def wait_and_stop() -> None:
            told.sleep()
            if callable(graceful):
                graceful(signal.SIGTERM, None)
            self.stop()

        threading.Thread(target=wait_and_stop, name="schedhttp-ending", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda _number, _frame: told.wake())

    def _wait(self) -> None:
        assert self._lock is not None
        self._lock.acquire(wait=True)
        with self._mutex:
            if not self._ending:
                self._begin()
                self.app.unavailable = None

    def _begin(self) -> None:
        if not self.settings.autostart:
            return
        if not self.settings.may_run_on(socket.gethostname()):
            log.warning(
                "the scheduler is not started: SCHEDULER_ALLOWED_HOSTS does not name this host, %s",
                socket.gethostname(),
            )
            return
        self.scheduler.start()


def _in_gunicorn() -> bool:
    return "gunicorn.arbiter" in sys.modules


def in_gunicorn_master() -> bool:
    """Tell whether this is gunicorn's master, which loads the app before it forks (--preload).

    A scheduler started there would run in the master, beside those of the workers.
    A worker is known by its signal handlers, set before it loads the app.
    """
    if not _in_gunicorn():
        return False
    owner = getattr(signal.getsignal(signal.SIGABRT), "__self__", None)
    return not any(kind.__module__.startswith("gunicorn.workers") for kind in type(owner).__mro__)
