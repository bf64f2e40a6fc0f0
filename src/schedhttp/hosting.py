"""A scheduler and its API inside a server's processes: made, elected, started and ended there."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import reprlib
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from schedcore import (
    ConflictingIdError,
    Election,
    InvalidOptionError,
    RunLookupError,
    SchedError,
    Scheduler,
    SchedulerNotRunningError,
    State,
)
from schedcore.clock import Waker
from schedcore.executors import make_executor
from schedcore.executors.base import Executor
from schedcore.forks import tell_in_child
from schedhttp import announcing, codec, gunicorns
from schedhttp.app import App, Rendered, StartResponse
from schedhttp.forward import Forwarder
from schedhttp.holder import HolderDoors
from schedhttp.incoming import Incoming
from schedhttp.settings import ConfigError, Settings, place_of, variable

log = logging.getLogger(__name__)

NOT_ON_THIS_HOST = (
    "the scheduler is not started: SCHEDULER_ALLOWED_HOSTS does not name this host, %s"
)
_WATCH_EVERY = 0.2
"""Seconds between two looks of whether gunicorn ends its worker."""
_LOAD_WITHIN = 600.0
"""Seconds in which a worker has to have loaded its app."""


def set_up_logging(settings: Settings) -> None:
    """Have a stand-alone server's log on standard error, unless logging is set up already."""
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def make_scheduler(
    settings: Settings,
    election: Election | None = None,
    place_of: Callable[[str], str] = variable,
) -> Scheduler:
    """Return a scheduler as the settings describe it, with their jobs; it is not started.

    Args:
        settings: All of them.
        election: Between the processes of the server.
        place_of: Tells where a setting stands, to be named in errors.

    Raises:
        ConfigError: if a setting makes no sense.
    """
    for folder in settings.python_path:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    executors = make_executors(settings.executors, place_of("executors"))
    try:
        scheduler = Scheduler(
            timezone=settings.timezone,
            job_defaults=settings.job_defaults,
            executors=executors,
            election=election,
        )
    except InvalidOptionError as error:
        name = "executors" if error.option == "executors" else "job_defaults"
        raise ConfigError(place_of(name), error) from error
    add_jobs(scheduler, settings.jobs, place_of("jobs"))
    return scheduler


def add_jobs(
    scheduler: Scheduler, jobs: Iterable[Mapping[str, Any]], place: str = "SCHEDULER_JOBS"
) -> None:
    """Add the jobs of the settings.

    Args:
        scheduler: To which one.
        jobs: The arguments of ``add_job``, for each of them.
        place: Where they stand, to be named in errors.

    Raises:
        ConfigError: if one makes no sense, naming its index and its id.
    """
    for index, job in enumerate(jobs):
        try:
            if "func" not in job:
                raise InvalidOptionError("func", None, 'text such as "package.module:function"')
            scheduler.add_job(**codec.without_jobstore(job))
        except (SchedError, TypeError) as error:
            called = f" {reprlib.repr(job['id'])}" if "id" in job else ""
            reason = _SAME_ID if isinstance(error, ConflictingIdError) else error
            raise ConfigError(f"{place}[{index}]{called}", reason) from error


_SAME_ID = "another job has this id already: give one of them another"


def make_executors(
    described: Mapping[str, Any], place: str = "SCHEDULER_EXECUTORS"
) -> dict[str, Executor]:
    """Return the executors that the settings describe, by name.

    Args:
        described: As tables, or as executors.
        place: Where they stand, to be named in errors.

    Raises:
        ConfigError: if one is described by something else.
    """
    try:
        return {name: make_executor(name, what) for name, what in described.items()}
    except InvalidOptionError as error:  # which names the executor itself: executors['x']
        raise ConfigError(place.removesuffix(": executors"), error) from error


def make_election(settings: Settings, instance: str, *app: str, number: int = 1) -> Election | None:
    """Return the election of a server; None, and a warning, if the package for it is missing.

    Args:
        settings: They may name it.
        instance: That of the server; see :class:`schedcore.Election`.
        app: What else tells this app from others on this machine.
        number: Which of the schedulers that one process has under this name: each of them elects
            with those of the same number in the other processes.
    """
    if find_spec("filelock") is None:
        log.warning(
            "the package filelock is not installed (pip install filelock): each process"
            " of this server runs every job, so start one process only"
        )
        return None
    name = settings.election_name or ":".join(filter(None, ("schedhttp", os.getcwd(), *app)))
    if number > 1:
        name += f"#{number}"
    return Election(name, instance=instance)


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
            if gunicorns.in_master():
                if not self._in_master:
                    self._in_master, self._state = True, state
                    tell_in_child(self)
                    self._sweep_at_exit()
                return
            self._started_in, self._in_master = os.getpid(), False
        atexit.register(self.stop)
        worker = gunicorns.worker()
        if worker is not None:
            self._stop_with(worker)
        if worker is not None and self._when_loaded and not gunicorns.has_loaded(worker):
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
            log.warning(NOT_ON_THIS_HOST, self._settings.current_host)
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
            announcing.announce_serving(self._app, gunicorns.addresses(gunicorns.worker()))
            announcing.announce_readable(self._settings, self._config)

    def _begin_when_loaded(self, state: State, number: int) -> None:
        if gunicorns.wait_until_loaded(_LOAD_WITHIN):
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
            graceful = gunicorns.only_wake(told)

        def wait_and_stop() -> None:
            while worker.alive and not told.sleep(_WATCH_EVERY):
                continue
            if worker.alive and graceful is not None:
                gunicorns.end_gracefully(worker, graceful)
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
        if gunicorns.wait_until_loaded(_LOAD_WITHIN):
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
        if not gunicorns.in_master():
            self._started_in = os.getpid()

    def stop(self) -> None:
        """End the scheduler in this process; see :meth:`Host.stop`."""
        self._host.stop()


def election_of(settings: Settings, config: str | None) -> Election | None:
    """Return the election of a stand-alone server; see :func:`make_election`."""
    # Servers of one folder that are configured differently are different; a reload changes neither.
    own = sorted((k, v) for k, v in os.environ.items() if k.startswith("SCHEDULER_"))
    # Hashed: the name is shown in logs, and there are passwords among them.
    mark = hashlib.sha256(repr(own).encode(errors="surrogateescape")).hexdigest() if own else ""
    return make_election(
        settings, gunicorns.instance(), os.path.abspath(config) if config else "", mark[:16]
    )
