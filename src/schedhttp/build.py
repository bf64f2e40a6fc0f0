"""Builds a scheduler, its executors, its jobs and its election from settings."""

from __future__ import annotations

import hashlib
import logging
import os
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from schedcore import (
    ConflictingIdError,
    Election,
    InvalidOptionError,
    SchedError,
    Scheduler,
)
from schedcore.executors import make_executor
from schedcore.executors.base import Executor
from schedhttp import codec
from schedhttp.settings import ConfigError, Settings, variable
from schedhttp.workers import gunicorn

log = logging.getLogger(__name__)


def set_up_logging(settings: Settings) -> None:
    """Send a stand-alone server's log to standard error, unless logging is set up already."""
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
        place_of: Returns the place of a setting, to be named in errors.

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
        place: Their place, to be named in errors.

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
        place: Their place, to be named in errors.

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


def election_of(settings: Settings, config: str | None) -> Election | None:
    """Return the election of a stand-alone server; see :func:`make_election`."""
    # Servers of one folder that are configured differently are different; a reload changes neither.
    own = sorted((k, v) for k, v in os.environ.items() if k.startswith("SCHEDULER_"))
    # Hashed: the name is shown in logs, and there are passwords among them.
    mark = hashlib.sha256(repr(own).encode(errors="surrogateescape")).hexdigest() if own else ""
    return make_election(
        settings, gunicorn.instance(), os.path.abspath(config) if config else "", mark[:16]
    )
