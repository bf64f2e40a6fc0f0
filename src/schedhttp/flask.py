"""The Flask mount: an extension with the surface that users of Flask-APScheduler know."""

from __future__ import annotations

import atexit
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask
from flask import request as current_request
from werkzeug import Response

from schedcore import Election, JobHandle, Run, Scheduler, SchedulerNotRunningError, State
from schedcore.events import EVENT_ALL, Listener
from schedcore.stores.base import Entry
from schedcore.triggers import plaindata
from schedhttp import codec, gunicorns, hosting, reloader, routes
from schedhttp.app import App, Rendered
from schedhttp.appcontext import in_app_context
from schedhttp.guard import HTTPBasicAuth
from schedhttp.incoming import Incoming
from schedhttp.settings import PREFIX, Settings

if TYPE_CHECKING:
    from typing import Literal, overload

    from typing_extensions import Unpack

    from schedcore import typed_options as t

__all__ = ["APScheduler", "FlaskScheduler", "HTTPBasicAuth"]

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])


class FlaskScheduler:
    """A scheduler that is configured by a Flask app, and served by it.

    Args:
        scheduler: One that is made already; left out, :meth:`init_app` makes it as the app's
            config describes it.
        app: Calls :meth:`init_app` at once.
    """

    def __init__(self, scheduler: Scheduler | None = None, app: Flask | None = None) -> None:
        self._scheduler = scheduler
        self._settings = Settings()
        self._api: App | None = None
        self._host: hosting.Host | None = None
        self._authenticate: Callable[[Any], object] | None = None
        self._early: list[Callable[[Scheduler], object]] = []
        self.app: Flask | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read the app's config, make the scheduler, add the config's jobs, and mount the API.

        Raises:
            InvalidOptionError: if a setting that begins with ``SCHEDULER_`` makes no sense.
        """
        values = {name: value for name, value in app.config.items() if name.startswith(PREFIX)}
        settings = Settings().changed(values)
        scheduler = self._scheduler or self._make(settings, app)
        self.app, self._settings, self._scheduler = app, settings, scheduler
        app.extensions["scheduler"] = self
        app.apscheduler = self  # type: ignore[attr-defined]  # where Flask-APScheduler puts itself
        early, self._early = self._early, []
        for each in early:
            each(scheduler)
        hosting.add_jobs(scheduler, settings.jobs)
        self._api = api = App(scheduler, settings)
        if gunicorns.is_here():
            self._host = hosting.Host(api, lambda environ: _answer(app, api, environ), True)
        if self._authenticate is not None:
            self._api.guard.authenticate(self._authenticate)
        if settings.api_enabled:
            self._mount(app, self._api)

    # What the config says

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler itself.

        Raises:
            RuntimeError: if :meth:`init_app` was not called yet.
        """
        if self._scheduler is None:
            raise RuntimeError("there is no scheduler yet: call init_app(app) first")
        return self._scheduler

    @property
    def host_name(self) -> str:
        """The name of this host."""
        return socket.gethostname()

    @property
    def running(self) -> bool:
        """Whether the scheduler is started."""
        return self._scheduler is not None and self._scheduler.running

    @property
    def state(self) -> State:
        """Whether the scheduler is stopped, running or paused."""
        return State.STOPPED if self._scheduler is None else self._scheduler.state

    @property
    def allowed_hosts(self) -> list[str]:
        """Names of the hosts that may run the scheduler."""
        return list(self._settings.allowed_hosts)

    @property
    def api_enabled(self) -> bool:
        """Whether the REST API is served."""
        return self._settings.api_enabled

    @property
    def api_prefix(self) -> str:
        """What the API's paths begin with."""
        return self._settings.api_prefix

    @property
    def endpoint_prefix(self) -> str:
        """What the names of the API's endpoints begin with."""
        return self._settings.endpoint_prefix

    @property
    def auth(self) -> Any:
        """The setting ``SCHEDULER_AUTH``."""
        return self._settings.auth

    def authenticate(self, func: F) -> F:
        """Decorate the function that is given the credentials and tells whether they hold.

        It gets an object with ``username`` and ``password``, and returns true, false, or "read"
        for those who may look and not touch.
        """
        self._authenticate = func
        if self._api is not None:
            self._api.guard.authenticate(func)
        return func

    # Lifecycle

    def start(self, paused: bool = False) -> None:
        """Start the scheduler, if this host may run it.

        Under gunicorn, the workers elect the one that runs it, once they have loaded the app.

        Raises:
            SchedulerAlreadyRunningError: if it is started.
        """
        if self._host is not None:
            self._host.start(State.PAUSED if paused else State.RUNNING)
            return
        if not self._settings.may_run_on(self.host_name):
            log.warning(
                "the scheduler is not started: SCHEDULER_ALLOWED_HOSTS does not name this host, %s",
                self.host_name,
            )
            return
        self.scheduler.start(paused=paused)
        if self.scheduler.standing is not None:
            reloader.call_in_parent(self._leave)
            atexit.register(self._leave_for_good)

    def shutdown(self, wait: bool = True) -> None:
        """Shut the scheduler down; raises SchedulerNotRunningError if it is not started."""
        if self._host is not None:
            self._host.stop()
        else:
            self.scheduler.shutdown(wait=wait)

    def _leave(self) -> None:
        """Leave the scheduler to the process that a reloader starts."""
        with suppress(SchedulerNotRunningError):
            self.scheduler.shutdown(wait=False)

    def _leave_for_good(self) -> None:
        self._leave()
        standing = self.scheduler.standing
        if standing is not None and not reloader.is_child():
            standing.election.sweep()

    def pause(self) -> None:
        """Start no more runs before :meth:`resume`."""
        self.scheduler.pause()

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        self.scheduler.resume()

    # Jobs

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def task(self, trigger: Literal["date"] | None = None, *, id: str | None = ...,
            replace_existing: bool = ..., **options: Unpack[t.DateCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: Literal["interval"], *, id: str | None = ...,
            replace_existing: bool = ...,
            **options: Unpack[t.IntervalCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: Literal["cron"], *, id: str | None = ...,
            replace_existing: bool = ..., **options: Unpack[t.CronCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: Literal["calendarinterval"], *, id: str | None = ...,
            replace_existing: bool = ...,
            **options: Unpack[t.CalendarIntervalCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: t.Combination, *, id: str | None = ...,
            replace_existing: bool = ...,
            **options: Unpack[t.CombinationCallJob]) -> Callable[[F], F]: ...
        @overload
        def task(self, trigger: t.MadeTrigger, *, id: str | None = ...,
            replace_existing: bool = ..., **options: Unpack[t.CallJob]) -> Callable[[F], F]: ...
        # fmt: on

    def task(self, *args: Any, **kwargs: Any) -> Callable[[F], F]:
        """Decorate a function to add it as a job; also before :meth:`init_app`.

        The arguments are those of :meth:`Scheduler.scheduled_job`.
        """

        def decorate(func: F) -> F:
            self._when_made(lambda scheduler: scheduler.scheduled_job(*args, **kwargs)(func))
            return func

        return decorate

    def register(self, func: F) -> F:
        """Allow *func* to be named by a request; also before :meth:`init_app`."""
        self._when_made(lambda scheduler: scheduler.register(func))
        return func

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: Literal["date"] | None = None,
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.DateCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: Literal["interval"],
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.IntervalCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: Literal["cron"],
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.CronCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: Literal["calendarinterval"],
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.CalendarIntervalCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: t.Combination,
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.CombinationCallJob]) -> JobHandle: ...
        @overload
        def add_job(self, id: str, func: t.Func, *, trigger: t.MadeTrigger,
            replace_existing: bool = ..., jobstore: str | None = ...,
            **options: Unpack[t.CallJob]) -> JobHandle: ...
        # fmt: on

    def add_job(self, id: str, func: Callable[..., Any] | str, **kwargs: Any) -> JobHandle:
        """Add a job; the options are those of :meth:`Scheduler.add_job`."""
        return self.scheduler.add_job(func, id=id, **_here(kwargs))

    def remove_job(self, id: str, jobstore: str | None = None) -> None:
        """Remove a job."""
        _here({"jobstore": jobstore})
        self.scheduler.remove_job(id)

    def remove_all_jobs(self, jobstore: str | None = None) -> None:
        """Remove every job."""
        _here({"jobstore": jobstore})
        self.scheduler.remove_all_jobs()

    def get_job(self, id: str, jobstore: str | None = None) -> JobHandle | None:
        """Return the job with this id, or None."""
        _here({"jobstore": jobstore})
        return self.scheduler.get_job(id)

    def get_jobs(self, jobstore: str | None = None) -> list[JobHandle]:
        """Return all jobs: the earliest due first, paused ones last."""
        _here({"jobstore": jobstore})
        return self.scheduler.get_jobs()

    if TYPE_CHECKING:
        # fmt: off
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *,
            trigger: Literal["date"] | None = None, func: t.Func = ...,
            **changes: Unpack[t.DateCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *,
            trigger: Literal["interval"] = ..., func: t.Func = ...,
            **changes: Unpack[t.IntervalCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *,
            trigger: Literal["cron"] = ..., func: t.Func = ...,
            **changes: Unpack[t.CronCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *,
            trigger: Literal["calendarinterval"] = ..., func: t.Func = ...,
            **changes: Unpack[t.CalendarIntervalCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *, trigger: t.Combination = ...,
            func: t.Func = ..., **changes: Unpack[t.CombinationCallJob]) -> JobHandle: ...
        @overload
        def modify_job(self, id: str, jobstore: str | None = None, *, trigger: t.MadeTrigger,
            func: t.Func = ..., **changes: Unpack[t.CallJob]) -> JobHandle: ...
        # fmt: on

    def modify_job(self, id: str, jobstore: str | None = None, **changes: Any) -> JobHandle:
        """Change a job: its options, and its trigger by name and options, as a PATCH does."""
        _here({"jobstore": jobstore})

        def wanted(entry: Entry) -> Mapping[str, Any]:
            own = {k: v for k, v in changes.items() if k in codec.JOB_FIELDS and k != "trigger"}
            trigger = {k: v for k, v in changes.items() if k not in own}
            if trigger:
                own["trigger"] = plaindata.merge(
                    entry.job.trigger, trigger, self.scheduler.timezone, id
                )
            return own

        return self.scheduler.update_job(id, wanted)

    def pause_job(self, id: str, jobstore: str | None = None) -> JobHandle:
        """Stop scheduling a job."""
        _here({"jobstore": jobstore})
        return self.scheduler.pause_job(id)

    def resume_job(self, id: str, jobstore: str | None = None) -> JobHandle:
        """Schedule a paused job again."""
        _here({"jobstore": jobstore})
        return self.scheduler.resume_job(id)

    def run_job(self, id: str, jobstore: str | None = None) -> Run:
        """Run a job now, and wait until it has ended."""
        _here({"jobstore": jobstore})
        return self.scheduler.run_job(id)

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL) -> None:
        """Call *callback* with each event whose code is in *mask*; also before :meth:`init_app`."""
        self._when_made(lambda scheduler: scheduler.add_listener(callback, mask))

    def remove_listener(self, callback: Listener) -> None:
        """Stop calling *callback*."""
        self.scheduler.remove_listener(callback)

    # Inside

    def _when_made(self, action: Callable[[Scheduler], object]) -> None:
        if self._scheduler is None:
            self._early.append(action)
        else:
            action(self._scheduler)

    def _make(self, settings: Settings, app: Flask) -> Scheduler:
        executors = hosting.make_executors(settings.executors)
        if settings.app_context:
            executors = in_app_context(executors, app)
        scheduler = Scheduler(
            timezone=settings.timezone,
            job_defaults=settings.job_defaults,
            executors=executors,
            election=_election(settings, app),
        )
        if scheduler.standing is not None and not gunicorns.is_here():
            # A reloader's child starts while its app is still loaded, and declares them again.
            scheduler.standing.leaves_added = False
        return scheduler

    def _mount(self, app: Flask, api: App) -> None:
        """Give the app one rule for each endpoint, so that ``url_for`` knows them.

        The answers come from the same table and the same code as those of the stand-alone app.
        """

        def answer(**_values: Any) -> Response:
            return api.respond(current_request)

        prefix = self.api_prefix
        app.url_map.converters.update(routes.CONVERTERS)
        for route in routes.ROUTES:
            app.add_url_rule(
                prefix + route.path or "/",
                endpoint=self.endpoint_prefix + route.name,
                view_func=answer,
                methods=[route.method],
                provide_automatic_options=False,
                strict_slashes=False,
                merge_slashes=False,
            )

        def answer_what_has_no_rule() -> Response | None:
            """Answer 404, 405 and OPTIONS below the prefix in JSON, and leave the app its own."""
            path = current_request.path
            if current_request.routing_exception is not None and (
                path == prefix or path.startswith(prefix + "/")
            ):
                return api.respond(current_request)
            return None

        if prefix:
            app.before_request(answer_what_has_no_rule)


APScheduler = FlaskScheduler
"""The name in Flask-APScheduler."""


def _election(settings: Settings, app: Flask) -> Election | None:
    """Return the election between gunicorn's workers, or between a reloader's processes."""
    if gunicorns.is_here():
        return hosting.make_election(
            settings, gunicorns.instance(), "flask", app.import_name, app.root_path
        )
    instance = reloader.instance()  # where it is not known, there is none
    return hosting.make_election(Settings(), instance, "flask", instance) if instance else None


def _answer(app: Flask, api: App, environ: dict[str, Any]) -> Rendered:
    """Answer what another worker met; there, the ``before_request`` functions were called."""
    with app.request_context(environ):
        return api.answer_here(Incoming(environ, api.settings.api_max_body, current_request))


def _here(options: dict[str, Any]) -> dict[str, Any]:
    """Return *options* without ``jobstore``, of which there is one."""
    jobstore = options.pop("jobstore", None)
    if jobstore not in (None, "default"):
        raise ValueError(f"jobstore={jobstore!r}: expected none, since there is one store of jobs")
    return options
