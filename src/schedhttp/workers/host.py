"""A scheduler and its API inside a server's processes: made, elected, started and ended there."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from schedcore import (
    InvalidOptionError,
    RunLookupError,
    SchedulerNotRunningError,
    State,
)
from schedcore.atfork import call_in_child
from schedcore.clock import Waker
from schedhttp import announcing
from schedhttp.app import App, Rendered, StartResponse
from schedhttp.build import election_of, make_scheduler
from schedhttp.request import Incoming
from schedhttp.settings import ConfigError, Settings, place_of
from schedhttp.workers import gunicorn
from schedhttp.workers.leader import HolderDoors
from schedhttp.workers.proxy import Forwarder

log = logging.getLogger(__name__)

_WATCH_EVERY = 0.2
"""Seconds between two looks of whether gunicorn ends its worker."""
_LOAD_WITHIN = 600.0
"""Seconds in which a worker has to have loaded its app."""


class Host:
    """Keeps a scheduler and its API in a server's process: elected, started and ended there.

    Args:
        app: The API of the scheduler.
        respond: Answers a request that another process of the server met, given its environ; left
            out, the API does.
        when_loaded: Whether to start only when gunicorn's worker has loaded the whole app, since
            code further down may still declare jobs.
        config: The path of the file that the settings come from, if there is one.
    """

    def __init__(
        self,
        app: App,
        respond: Callable[[dict[str, Any]], Rendered] | None = None,
        when_loaded: bool = False,
        config: str | None = None,
    ) -> None:
        self._app = app
        self._scheduler = app.service.scheduler
        announcing.announce_starts(self._scheduler)
        self._settings = app.settings
        self._when_loaded = when_loaded
        self._config = config
        self._started_in: int | None = None
        self._in_master = False
        self._reset()
        standing = self._scheduler.standing
        if standing is not None:
            doors = HolderDoors(
                standing.election,
                lambda: standing.holds,
                respond
                or (lambda environ: app.answer_here(Incoming(environ, app.settings.api_max_body))),
                self._settings.api_max_body,
            )
            standing.doors = doors
            app.forward = Forwarder(
                standing, doors, self._settings, app.answer_here, app.guard.check_sender
            )

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._ending = False
        self._ended = threading.Event()
        self._starts = 0

    @property
    def started(self) -> bool:
        """Whether :meth:`start` was called, and :meth:`stop` was not."""
        return self._in_master or (self._started_in == os.getpid() and not self._ended.is_set())

    def start(self, state: State = State.RUNNING) -> None:
        """Take part in the election in this process; does nothing if it does.

        In gunicorn's master it takes none: the workers do so after their fork, each by itself.

        Args:
            state: In which to start the engine, if this process comes to hold it.
        """
        with self._mutex:
            if self._started_in == os.getpid() and not self._ended.is_set():
                return
            self._ending = False
            self._ended.clear()
            self._starts += 1
            number = self._starts
            if gunicorn.in_master():
                if not self._in_master:
                    self._in_master, self._state = True, state
                    call_in_child(self)
                    self._sweep_at_exit()
                return
            self._started_in, self._in_master = os.getpid(), False
        atexit.register(self.stop)
        worker = gunicorn.worker()
        if worker is not None:
            self._stop_with(worker)
        if worker is not None and self._when_loaded and not gunicorn.has_loaded(worker):
            threading.Thread(
                target=self._begin_when_loaded,
                args=(state, number),
                name="schedhttp-loading",
                daemon=True,
            ).start()
        else:
            self._begin(state, number)

    def stop(self) -> None:
        """End the scheduler, giving the runs under way the time that the settings say.

        Those that take longer are given up, so that requests that wait for them are answered.
        """
        with self._mutex:
            self._in_master = False
            if self._started_in != os.getpid():
                return
            first, self._ending = not self._ending, True
        if not first:
            self._ended.wait(self._settings.shutdown_timeout + 5)
            return
        try:
            standing = self._scheduler.standing
            if standing is None:
                self._end_runs()
            else:
                standing.resign(self._end_runs)
        except SchedulerNotRunningError:
            log.debug("the scheduler was not running")  # shut down over HTTP, or by code
        finally:
            self._ended.set()

    def _end_runs(self) -> None:
        for run in self._scheduler.shutdown(timeout=self._settings.shutdown_timeout, leave=False):
            log.warning("%r did not end in time and is given up", run)
            with suppress(RunLookupError):  # it has ended just now
                self._scheduler.cancel(run.id)

    def _begin(self, state: State, number: int) -> None:
        if not self._settings.may_run_here:
            log.warning(announcing.NOT_ON_THIS_HOST, self._settings.current_host)
            state = State.STOPPED
        with self._mutex:
            if self._ending or number != self._starts:  # stopped, and maybe started again
                return
        standing = self._scheduler.standing
        if standing is not None:
            standing.join(state)
        elif state is not State.STOPPED:
            self._scheduler.start(paused=state is State.PAUSED)
        if standing is None or standing.holds:  # of many workers, one tells it
            announcing.announce_serving(self._app, gunicorn.addresses(gunicorn.worker()))
            announcing.announce_readable(self._settings, self._config)

    def _begin_when_loaded(self, state: State, number: int) -> None:
        if gunicorn.wait_until_loaded(_LOAD_WITHIN):
            self._begin(state, number)
        else:
            log.error("gunicorn's worker did not load the app: the scheduler is not started")

    def _stop_with(self, worker: Any) -> None:
        """End the scheduler when gunicorn's worker is told to end, and not only when it does.

        The worker first waits for requests under way, until it is killed at the same deadline;
        such a request may itself wait for a run.  One that stands by must not come to hold the
        engine for the moments that are left.
        """
        told = Waker()
        graceful = None
        if threading.current_thread() is threading.main_thread():
            graceful = gunicorn.only_wake(told)

        def wait_and_stop() -> None:
            while worker.alive and not told.sleep(_WATCH_EVERY):
                continue
            if worker.alive and graceful is not None:
                gunicorn.end_gracefully(worker, graceful)
            self.stop()

        threading.Thread(target=wait_and_stop, name="schedhttp-ending", daemon=True).start()

    def _sweep_at_exit(self) -> None:
        standing, master = self._scheduler.standing, os.getpid()

        def sweep() -> None:
            if standing is not None and os.getpid() == master:  # workers inherit this
                standing.election.sweep()

        atexit.register(sweep)

    def after_fork_in_child(self) -> None:
        """Start in gunicorn's worker, whose app was loaded in the master (--preload)."""
        self._reset()
        if self._in_master:
            self._in_master = False
            threading.Thread(
                target=self._start_in_worker, name="schedhttp-start", daemon=True
            ).start()

    def _start_in_worker(self) -> None:
        # A child that is no worker, but about to become another program, never has one.
        if gunicorn.wait_until_loaded(_LOAD_WITHIN):
            self.start(self._state)


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
            settings,
            election_of(settings, config),
            lambda name: place_of(name, config, os.environ),
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
        if self._started_in != os.getpid():
            self.start()
        return self.app(environ, start_response)

    def start(self) -> None:
        """Take part in the election in this process; see :meth:`Host.start`."""
        self._host.start(State.RUNNING if self.settings.autostart else State.STOPPED)
        if not gunicorn.in_master():
            self._started_in = os.getpid()

    def stop(self) -> None:
        """End the scheduler in this process; see :meth:`Host.stop`."""
        self._host.stop()
