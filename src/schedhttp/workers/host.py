"""A scheduler in a server's processes: started when the app is loaded, and stopped with it."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from schedcore import (
    InvalidOptionError,
    RunLookupError,
    SchedError,
    Scheduler,
    SchedulerNotRunningError,
    StoreError,
    StoreUnavailableError,
)
from schedcore.basics.atfork import call_in_child
from schedcore.clock import Waker
from schedhttp import startup_log
from schedhttp.app import App, StartResponse
from schedhttp.build import ONE_PROCESS, make_scheduler, name_of
from schedhttp.settings import ConfigError, Settings, place_of
from schedhttp.workers import gunicorn

log = logging.getLogger(__name__)

_WATCH_EVERY = 0.2
"""Seconds between two checks of whether gunicorn is ending its worker."""
_TRY_AGAIN = 1.0
"""Seconds between two attempts to start while the store is unreachable."""

Begin = Callable[[], object]


class Host:
    """Starts a scheduler in the serving process once the app is loaded, and stops it.

    Each process of a server has one, and all schedulers share a store.

    Args:
        app: The API of the scheduler.
        config: The path of the file that the settings come from, if there is one.
    """

    def __init__(self, app: App, config: str | None = None) -> None:
        self._app = app
        self._scheduler: Scheduler = app.service.scheduler
        self._settings = app.settings
        self._config = config
        startup_log.log_starts(self._scheduler)
        self._in_master = False
        self._reset()
        call_in_child(self)

    def _reset(self) -> None:
        self._acting = threading.Lock()
        self._begin: Begin | None = None
        self._watches = False

    @property
    def started(self) -> bool:
        """Whether :meth:`start` was called, and :meth:`stop` was not."""
        return self._begin is not None

    def start(self, begin: Begin) -> None:
        """Have *begin* called in this process; do nothing if that was requested before.

        Under gunicorn, this waits until the worker has loaded the whole app, since later code may
        still declare jobs.  A call in the master (--preload) counts for each worker.

        Raises:
            ConfigError: if there are several processes, and each would have its own jobs.
        """
        check_processes(self._scheduler, gunicorn.processes())
        if self._begin is not None:
            return
        self._begin = begin
        self._in_master = gunicorn.in_master()
        if not self._in_master:
            self._start_here(begin)

    def after_fork_in_child(self) -> None:
        """Start in gunicorn's worker whose app was loaded in the master."""
        begin = self._begin if self._in_master else None
        self._reset()
        if begin is not None:
            self._in_master, self._begin = False, begin
            self._begin_when_loaded(begin)

    def _start_here(self, begin: Begin) -> None:
        gunicorn.end_gently()
        if gunicorn.has_loaded():
            self._begin_in_worker(begin)
        elif gunicorn.is_here():
            self._begin_when_loaded(begin)
        else:
            try:
                self._try_to_begin(begin)
            except BaseException:
                self._begin = None
                raise

    def _begin_when_loaded(self, begin: Begin) -> None:
        # A worker that answers a request has loaded its app.
        self._app.get_ready = partial(gunicorn.post_worker_init, None)
        gunicorn.call_when_loaded(partial(self._begin_in_worker, begin))

    def _begin_in_worker(self, begin: Begin) -> None:
        """Start, retry until the store can be reached, and stop with gunicorn's worker."""
        gunicorn.end_gently()
        if not self._watches:
            self._watches = True
            self._in_thread(self._stop_with_worker)
        try:
            check_processes(self._scheduler, gunicorn.processes())
            self._try_to_begin(begin)
        except StoreUnavailableError as error:
            log.error("the scheduler is not started yet: %s", error)
            self._in_thread(partial(self._begin_later, begin))
        except SchedError as error:
            log.error("the scheduler is not started: %s", error)
        self._app.get_ready = None

    def _in_thread(self, target: Callable[[], object]) -> None:
        threading.Thread(target=target, name="schedhttp-host", daemon=True).start()

    def _begin_later(self, begin: Begin) -> None:
        while begin is self._begin:
            Waker().sleep(_TRY_AGAIN)
            with suppress(StoreUnavailableError):
                self._try_to_begin(begin)
                return

    def _try_to_begin(self, begin: Begin) -> None:
        with self._acting:
            if begin is not self._begin:  # stopped, and maybe started again
                return
            atexit.register(self.stop)
            if self._settings.may_run_here:
                begin()
            else:
                log.warning(startup_log.NOT_ON_THIS_HOST, self._settings.current_host)
        if gunicorn.is_first():
            with suppress(StoreError):
                startup_log.log_serving(self._app, gunicorn.addresses())
                startup_log.log_readable_config(self._settings, self._config)

    def _stop_with_worker(self) -> None:
        """Stop the scheduler as soon as gunicorn's worker is told to end.

        The worker first waits for active requests, and is killed at the same deadline; such a
        request may itself wait for a run.
        """
        worker = gunicorn.worker()
        while worker is not None and worker.alive:
            Waker().sleep(_WATCH_EVERY)
        self.stop()

    def stop(self) -> None:
        """Stop the scheduler in this process; others on its store continue.

        Active runs have the time that the settings allow.  Those that take longer are cancelled, so
        that requests that wait for them are answered.
        """
        self._begin = None
        with self._acting, suppress(SchedulerNotRunningError):
            for run in self._scheduler.shutdown(timeout=self._settings.shutdown_timeout):
                log.warning("%r did not end in time and is given up", run)
                with suppress(RunLookupError):  # it has just ended
                    self._scheduler.cancel(run.id)


def check_processes(scheduler: Scheduler, processes: int) -> None:
    """Refuse a server with several processes and jobs in memory: each process would run all jobs.

    Raises:
        ConfigError: with the way out.
    """
    if processes > 1 and scheduler.store_info().kind == "memory":
        raise ConfigError("SCHEDULER_STORE", ONE_PROCESS.format(processes))


class Hosted:
    """A WSGI app with its own scheduler.

    Args:
        settings: All of them.
        config: The path of the file that the settings come from, if there is one.

    Raises:
        ConfigError: if a setting is invalid, naming its place.
    """

    def __init__(self, settings: Settings, config: str | None = None) -> None:
        self.settings = settings
        self.scheduler = make_scheduler(
            settings, lambda name: place_of(name, config, os.environ), name_of(config)
        )
        try:
            self.app = App(self.scheduler, settings)
        except InvalidOptionError as error:
            if config is None or error.option in os.environ:
                raise
            raise ConfigError(config, error) from error
        self._host = Host(self.app, config=config)
        self._started_in: int | None = None

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if self._started_in != os.getpid():  # a server that forks, other than gunicorn
            self.start()
        return self.app(environ, start_response)

    def start(self) -> None:
        """Start the scheduler here, unless it is stopped for all processes; see :class:`Host`."""
        self._host.start(lambda: self.scheduler.follow(self.settings.autostart))
        self._started_in = os.getpid()

    def stop(self) -> None:
        """Stop the scheduler in this process."""
        self._host.stop()
