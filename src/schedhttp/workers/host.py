"""A scheduler in a server's processes: started where the app is loaded, and ended with it."""

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
from schedhttp import announcing
from schedhttp.app import App, StartResponse
from schedhttp.build import ONE_PROCESS, make_scheduler, name_of
from schedhttp.settings import ConfigError, Settings, place_of
from schedhttp.workers import gunicorn

log = logging.getLogger(__name__)

_WATCH_EVERY = 0.2
"""Seconds between two looks of whether gunicorn ends its worker."""
_TRY_AGAIN = 1.0
"""Seconds between two tries to start while the store is away."""

Begin = Callable[[], object]


class Host:
    """Starts a scheduler in the process that serves, when it has loaded the app, and ends it.

    Each of a server's processes has one, and all schedulers are on the same store.

    Args:
        app: The API of the scheduler.
        config: The path of the file that the settings come from, if there is one.
    """

    def __init__(self, app: App, config: str | None = None) -> None:
        self._app = app
        self._scheduler: Scheduler = app.service.scheduler
        self._settings = app.settings
        self._config = config
        announcing.announce_starts(self._scheduler)
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
        """Have *begin* called in this process; nothing, if that was asked before.

        Under gunicorn only once the worker has loaded the whole app, since code further down may
        still declare jobs; what is called in its master (--preload) counts for each worker.

        Raises:
            ConfigError: if there are several processes, and each would have jobs of its own.
        """
        check_processes(self._scheduler, gunicorn.processes())
        if self._begin is not None:
            return
        self._begin = begin
        self._in_master = gunicorn.in_master()
        if not self._in_master:
            self._start_here(begin)

    def after_fork_in_child(self) -> None:
        """Start in gunicorn's worker, whose app was loaded in the master."""
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
        # A worker that is asked has loaded.
        self._app.get_ready = partial(gunicorn.post_worker_init, None)
        gunicorn.call_when_loaded(partial(self._begin_in_worker, begin))

    def _begin_in_worker(self, begin: Begin) -> None:
        """Begin, and again until the store is there; end with gunicorn's worker."""
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
                log.warning(announcing.NOT_ON_THIS_HOST, self._settings.current_host)
        with suppress(StoreError):
            holder = self._scheduler.holder()
            if holder is None or holder.pid == os.getpid():  # of many workers, one tells it
                announcing.announce_serving(self._app, gunicorn.addresses())
                announcing.announce_readable(self._settings, self._config)

    def _stop_with_worker(self) -> None:
        """End the scheduler when gunicorn's worker is told to end, and not only when it does.

        The worker first waits for requests under way, until it is killed at the same deadline;
        such a request may itself wait for a run.
        """
        worker = gunicorn.worker()
        while worker is not None and worker.alive:
            Waker().sleep(_WATCH_EVERY)
        self.stop()

    def stop(self) -> None:
        """End the scheduler in this process; others that are on its store go on.

        The runs under way have the time that the settings say.  Those that take longer are given
        up, so that requests that wait for them are answered.
        """
        self._begin = None
        with self._acting, suppress(SchedulerNotRunningError):
            for run in self._scheduler.shutdown(timeout=self._settings.shutdown_timeout):
                log.warning("%r did not end in time and is given up", run)
                with suppress(RunLookupError):  # it has ended just now
                    self._scheduler.cancel(run.id)


def check_processes(scheduler: Scheduler, processes: int) -> None:
    """Refuse a server of several processes whose jobs are in memory: each would run them all.

    Raises:
        ConfigError: with the way out.
    """
    if processes > 1 and scheduler.store_info().kind == "memory":
        raise ConfigError("SCHEDULER_STORE", ONE_PROCESS.format(processes))


class Hosted:
    """A WSGI app that brings its scheduler along.

    Args:
        settings: All of them.
        config: The path of the file that they come from, if there is one.

    Raises:
        ConfigError: if a setting makes no sense, naming where it stands.
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
        if self._started_in != os.getpid():  # a server that forks, and is not gunicorn
            self.start()
        return self.app(environ, start_response)

    def start(self) -> None:
        """Start the scheduler in this process, if no other has stopped it; see :class:`Host`."""
        self._host.start(lambda: self.scheduler.follow(self.settings.autostart))
        self._started_in = os.getpid()

    def stop(self) -> None:
        """End the scheduler in this process."""
        self._host.stop()
