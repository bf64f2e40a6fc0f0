"""The Flask extension, with the interface of Flask-APScheduler."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar, overload

from flask import Flask, has_request_context

from schedcore import (
    JobLookupError,
    Scheduler,
    SchedulerAlreadyRunningError,
    SchedulerNotRunningError,
    State,
)
from schedhttp import build, startup_log
from schedhttp.app import App
from schedhttp.flask import cli, config, mount, store_file
from schedhttp.flask.app_context import in_app_context
from schedhttp.flask.jobs import FlaskJobs
from schedhttp.settings import Settings, variable
from schedhttp.workers import gunicorn, reloader
from schedhttp.workers.host import Host

log = logging.getLogger(__package__)
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_OF_THE_SCHEDULER = (
    *("timezone", "job_defaults", "executors", "app_context", "store", "name"),
    *("capture_output", "redact", "retention"),
    *("notices", "remind_every"),
)
"""Settings that are used only to create a scheduler, not for an existing one."""


class _Option(Generic[T]):
    """A setting that is shown by the extension, and may be set on it before ``init_app()``.

    The app's config overrides it.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, extension: None, owner: type) -> _Option[T]: ...
    @overload
    def __get__(self, extension: FlaskScheduler, owner: type) -> T: ...
    def __get__(self, extension: FlaskScheduler | None, owner: type) -> _Option[T] | T:
        if extension is None:
            return self
        value: Any = getattr(extension._settings, self._name)
        return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]

    def __set__(self, extension: FlaskScheduler, value: T) -> None:
        extension._set(self._name, value)


class FlaskScheduler(FlaskJobs):
    """A scheduler that a Flask app configures and serves.

    Args:
        scheduler: An existing scheduler; by default, :meth:`init_app` creates one from the app's
            config.
        app: If given, :meth:`init_app` is called at once.

    Attributes:
        app: The app that it was initialised with last.
        api_enabled: Whether the REST API is served.
        api_prefix: What the API's paths begin with.
        endpoint_prefix: What the names of the API's endpoints begin with.
        auth: The setting ``SCHEDULER_AUTH``.
        allowed_hosts: Names of the hosts that may run the scheduler; a copy.
        dashboard: Whether the dashboard is served.
        dashboard_prefix: What the paths of its pages begin with.

    All but ``app``, and ``host_name``, may be set before :meth:`init_app`; the app's config
    overrides them.
    """

    api_enabled = _Option[bool]()
    api_prefix = _Option[str]()
    endpoint_prefix = _Option[str]()
    auth = _Option[Any]()
    allowed_hosts = _Option[list[str]]()
    dashboard = _Option[bool]()
    dashboard_prefix = _Option[str]()

    def __init__(self, scheduler: Scheduler | None = None, app: Flask | None = None) -> None:
        super().__init__(scheduler)
        self._given = scheduler
        self._base = self._settings = Settings()
        self._api: App | None = None
        self._host: Host | None = None
        self._watched: config.Watched | None = None
        self._authenticate: Callable[[Any], object] | None = None
        self._of_config: set[str] = set()
        self._not_started = False
        self.app: Flask | None = None
        if app is not None:
            self.init_app(app)

    def __repr__(self) -> str:
        app = "no app" if self.app is None else f"app {self.app.name!r}"
        return f"<{type(self).__name__} of {app}: {self._scheduler or 'no scheduler yet'}>"

    def init_app(self, app: Flask) -> None:
        """Read the app's config, create the scheduler, add the config's jobs, and mount the API.

        It may be called again, for another app, after the scheduler was shut down or if it was not
        started.  That app gets its own scheduler, with the settings of its config and with
        decorated jobs; jobs that were added by :meth:`add_job` stay with the first one.

        Raises:
            InvalidOptionError: if a setting that begins with ``SCHEDULER_`` is invalid, or the
                app's own endpoints conflict with the API's.
            SchedulerAlreadyRunningError: if this extension runs the scheduler of another app.
        """
        if self.app is not None and self._in_use():
            raise SchedulerAlreadyRunningError(
                "call shutdown() before init_app() is called again, or give each app an extension"
                " of its own"
            )
        settings = config.with_key_of_app(config.read(app.config, self._base), app)
        if settings.api_enabled:
            mount.check_names(app, settings.endpoint_prefix, settings.api_prefix)
            if settings.dashboard:
                mount.check_pages(app, settings.dashboard_prefix)
        scheduler = self._given or self._make(settings, app)
        if self._given is not None:
            _log_ignored(settings)
        api = App(scheduler, settings)
        if self._authenticate is not None:
            api.guard.authenticate(self._authenticate)
        before, self._scheduler = self._scheduler, scheduler
        try:  # the modules of these jobs, imported now, may add more to it by decorators
            self._add_jobs_of_config(scheduler, settings, again=scheduler is before)
        except BaseException:
            self._scheduler = before
            raise
        self.app, self._settings, self._api = app, settings, api
        self._watched = config.Watched(app.config)
        app.extensions["scheduler"] = self
        app.apscheduler = self  # type: ignore[attr-defined]  # where Flask-APScheduler puts itself
        self._host = None
        if gunicorn.is_here():
            self._host = Host(api)
        if settings.api_enabled:
            mount.mount(app, api, self._watched)

    # What the config says

    @property
    def host_name(self) -> str:
        """The name of this host."""
        return self._settings.current_host

    @host_name.setter
    def host_name(self, name: str) -> None:
        self._set("host_name", name)

    @property
    def running(self) -> bool:
        """Whether the scheduler is started."""
        return self._scheduler is not None and self._scheduler.running

    @property
    def state(self) -> State:
        """Whether the scheduler is stopped, running or paused."""
        return State.STOPPED if self._scheduler is None else self._scheduler.state

    def authenticate(self, func: F) -> F:
        """Decorate the function that checks credentials.

        It gets an object with ``username`` and ``password``, and returns True, False, or "read" for
        read-only access.
        """
        if self._api is not None:
            self._api.guard.authenticate(func)
        self._authenticate = func
        return func

    # Lifecycle

    def start(self, paused: bool = False) -> None:
        """Start the scheduler, if this host may run it.

        If several processes share a store, each calls this, and one takes due jobs.  If somebody
        paused or stopped the scheduler for all of them, it stays so when another process is loaded;
        a call in a request starts it for all. Under gunicorn it takes effect once the worker has
        loaded the app. If Flask's command line loads the app for a command other than ``run``,
        nothing starts.

        Raises:
            SchedulerAlreadyRunningError: if it is started.
            StoreError: if its store cannot be used.
            InvalidOptionError: if the app has a blueprint by now whose endpoints begin as the
                API's, or there are several processes, and the jobs are in memory.
        """
        scheduler = self.scheduler
        self._check_late_changes()
        self._not_started = False
        begin = partial(_begin, scheduler, paused, is_order=has_request_context())
        if self._host is not None:
            self._host.start(begin)
            return
        command = cli.loading_command()
        if command is not None:
            self._not_started = True
            log.warning(
                "the scheduler is not started, since `%s` serves nothing; a command that needs it"
                " calls start() itself",
                f"flask {command}".strip(),
            )
            return
        if not self._settings.may_run_here:
            self._not_started = True
            log.warning(startup_log.NOT_ON_THIS_HOST, self.host_name)
            return
        begin()
        reloader.call_in_parent(partial(self._leave, scheduler))
        if scheduler.store_info().kind != "memory":
            atexit.register(self._leave, scheduler)

    def shutdown(self, wait: bool = True) -> None:
        """Shut the scheduler down in this process; others on its store continue.

        Raises:
            SchedulerNotRunningError: if it is not started; but not where :meth:`start` had to leave
                it so.
        """
        if self._host is not None:
            self._host.stop()
        elif not self._not_started:
            self.scheduler.shutdown(wait=wait)
            atexit.unregister(self._leave)

    def _in_use(self) -> bool:
        started = self._host is not None and self._host.started
        return started or self.state is not State.STOPPED

    def _leave(self, scheduler: Scheduler) -> None:
        """Stop here: a reloader's child runs the scheduler instead, or the next start does."""
        with suppress(SchedulerNotRunningError):
            scheduler.shutdown(wait=False)
            self._not_started = True

    def _check_late_changes(self) -> None:
        """Log settings that came too late, and refuse a blueprint that conflicts with the API."""
        changed = [] if self._watched is None else self._watched.changed()
        if changed:
            log.warning(
                "without effect, since init_app(app) has read the settings already: %s",
                ", ".join(changed),
            )
        if self.app is not None and self.api_enabled:
            mount.check_blueprints(self.app, self.endpoint_prefix)

    def pause(self) -> None:
        """Start no more runs before :meth:`resume`, in all processes on the store."""
        self.scheduler.pause()

    def resume(self) -> None:
        """Resume after :meth:`pause`."""
        self.scheduler.resume()

    # Inside

    def _set(self, name: str, value: object) -> None:
        """Set a setting that :meth:`init_app` will read.

        Raises:
            RuntimeError: if it has already read the settings.
            InvalidOptionError: if the value is invalid.
        """
        if self.app is not None:
            raise RuntimeError(
                f"{name} was set after init_app(app), which has read the settings: set it before,"
                f" or {variable(name)} in the app's config"
            )
        self._base = self._settings = self._base.changed({name: value})

    def _make(self, settings: Settings, app: Flask) -> Scheduler:
        executors = build.make_executors(settings.executors)
        if settings.app_context:
            executors = in_app_context(executors, app)
        scheduler = Scheduler(
            timezone=settings.timezone,
            job_defaults=settings.job_defaults,
            executors=executors,
            store=build.open_store(store_file.with_store(settings, app, self)),
            name=settings.name or app.import_name,
            capture_output=settings.capture_output,
            redact=settings.redact,
            notices=settings.notices,
            remind_every=settings.remind_every,
        )
        build.trace(scheduler, settings)
        self._add_declared(scheduler)
        return scheduler

    def _add_jobs_of_config(self, scheduler: Scheduler, settings: Settings, again: bool) -> None:
        """Add the config's jobs; to a scheduler that was given, in place of an earlier app's."""
        if self._given is None:
            build.add_jobs(scheduler, settings.jobs)
            return
        for job_id in self._of_config if again else ():
            with suppress(JobLookupError):
                scheduler.remove_job(job_id)
        before = {job.id for job in scheduler.get_jobs()}
        build.add_jobs(scheduler, settings.jobs)
        self._of_config = {job.id for job in scheduler.get_jobs()} - before


APScheduler = FlaskScheduler
"""The name in Flask-APScheduler."""


def _log_ignored(settings: Settings) -> None:
    default = Settings()
    given = [n for n in _OF_THE_SCHEDULER if getattr(settings, n) != getattr(default, n)]
    if given:
        log.warning(
            "not taken from the app's config, since the extension was given a scheduler: %s (give"
            " them to Scheduler())",
            ", ".join(map(variable, given)),
        )


def _begin(scheduler: Scheduler, paused: bool, is_order: bool) -> None:
    """Start a scheduler; unless this is an order, in the state of the others on its store."""
    if is_order:
        scheduler.start(paused)
        return
    scheduler.follow(autostart=not paused)
    if paused and scheduler.state is State.STOPPED:
        scheduler.start(paused=True)
