"""Builds a scheduler, its store, its executors and its jobs from settings."""

from __future__ import annotations

import logging
import os
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schedcore import (
    ConflictingIdError,
    InvalidOptionError,
    SchedError,
    Scheduler,
)
from schedcore.executors import make_executor
from schedcore.executors.base import Executor
from schedcore.job import MAX_ID_LENGTH
from schedcore.output.text import storable
from schedcore.stores import urls as stores
from schedcore.stores.contract import Store
from schedhttp import codec
from schedhttp.settings import ConfigError, Settings, variable

log = logging.getLogger(__name__)


def set_up_logging(settings: Settings) -> None:
    """Send a stand-alone server's log to standard error, unless others have set up logging.

    A later call, with settings that were read again, replaces what an earlier one set up.
    """
    root = logging.getLogger()
    own = [handler for handler in root.handlers if handler.name == _OWN]
    is_json = settings.log_format == "json"
    if is_json or own:
        logging.captureWarnings(is_json)  # otherwise they are lines of text
    if root.handlers and not own:
        return
    for handler in own:
        root.removeHandler(handler)
    root.addHandler(_handler(is_json))
    root.setLevel(settings.log_level)


def _handler(is_json: bool) -> logging.Handler:
    handler = logging.StreamHandler()
    handler.name = _OWN
    if is_json:
        from schedcore.json_logs import JsonFormatter

        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter(_LINE))
    return handler


_OWN = "schedhttp"
"""The name of a stand-alone server's handler, which distinguishes it from those of others."""
_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def make_scheduler(
    settings: Settings,
    place_of: Callable[[str], str] = variable,
    name: str = "schedhttp",
) -> Scheduler:
    """Return the scheduler that the settings describe, with their jobs, not started.

    Args:
        settings: All of them.
        place_of: Returns the place of a setting, for errors.
        name: The name of the app that declares the jobs, unless the settings set it.

    Raises:
        ConfigError: if a setting is invalid.
    """
    for folder in settings.python_path:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    executors = make_executors(settings.executors, place_of("executors"))
    store = open_store(settings, place_of("store"))
    try:
        scheduler = Scheduler(
            timezone=settings.timezone,
            job_defaults=settings.job_defaults,
            executors=executors,
            store=store,
            name=settings.name or name,
            capture_output=settings.capture_output,
            redact=settings.redact,
            notices=settings.notices,
            remind_every=settings.remind_every,
        )
    except InvalidOptionError as error:
        setting = error.option.partition("[")[0]
        known = setting in ("executors", "name", "notices", "remind_every")
        raise ConfigError(place_of(setting if known else "job_defaults"), error) from error
    trace(scheduler, settings, place_of("tracing"))
    add_jobs(scheduler, settings.jobs, place_of("jobs"))
    return scheduler


def trace(scheduler: Scheduler, settings: Settings, place: str = "SCHEDULER_TRACING") -> None:
    """Create spans for the scheduler's runs, if the settings ask for them.

    Args:
        scheduler: Not started yet.
        settings: All of them.
        place: That of the setting, to be named in errors.

    Raises:
        ConfigError: if OpenTelemetry is not installed.
    """
    if not settings.tracing:
        return
    try:
        from schedcore.tracing import trace_runs
    except ImportError as error:
        reason = f"spans need a package: pip install opentelemetry-api ({error})"
        raise ConfigError(place, reason) from error
    trace_runs(scheduler)


def add_jobs(
    scheduler: Scheduler, jobs: Iterable[Mapping[str, Any]], place: str = "SCHEDULER_JOBS"
) -> None:
    """Add the jobs of the settings.

    Args:
        scheduler: The scheduler.
        jobs: The arguments of ``add_job``, for each of them.
        place: Their place, to be named in errors.

    Raises:
        ConfigError: if one is invalid, naming its index and its id.
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
        place: Their place, to be named in errors.

    Raises:
        ConfigError: if one is described by something else.
    """
    try:
        return {name: make_executor(name, what) for name, what in described.items()}
    except InvalidOptionError as error:  # it names the executor itself: executors['x']
        raise ConfigError(place.removesuffix(": executors"), error) from error


def open_store(settings: Settings, place: str = "SCHEDULER_STORE") -> Store:
    """Return the store that the settings name, or that of the stand-alone server; opened.

    Args:
        settings: All of them.
        place: That of the setting, to be named in errors.

    Raises:
        ConfigError: if there is no such store, or it cannot be used.
    """
    store = DEFAULT_STORE if settings.store is None else settings.store
    try:
        found: Store = stores.open_store(store) if isinstance(store, str) else store
        found.changes(None)
    except SchedError as error:
        raise ConfigError(place, error) from error
    keep = getattr(found, "keep", None)
    if keep is not None and settings.retention:  # a store in memory keeps its own limits
        found.keep = keep._replace(**settings.retention)  # type: ignore[attr-defined]
    return found


def name_of(config: str | None) -> str:
    """Return the name of the app of a stand-alone server, unless a setting sets it.

    Args:
        config: The path of the file that its settings come from, if there is one.
    """
    return storable(os.path.abspath(config))[-MAX_ID_LENGTH:] if config else "schedhttp"


DEFAULT_STORE = "sqlite:///schedcore.db"
"""Where the stand-alone server keeps its jobs: in its working folder."""
ONE_PROCESS = (
    "in memory each process has its own jobs, and this server has {} processes: name a store"
    " that they share, as in SCHEDULER_STORE=sqlite:///schedcore.db, or start one worker"
)
