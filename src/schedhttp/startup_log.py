"""Log lines about a served scheduler when it starts."""

from __future__ import annotations

import ipaddress
import logging
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit

from schedcore import (
    EVENT_SCHEDULER_STARTED,
    Scheduler,
    State,
)
from schedhttp.app import App
from schedhttp.settings import Settings
from schedhttp.workers import gunicorn

log = logging.getLogger(__name__)

NOT_ON_THIS_HOST = (
    "the scheduler is not started: SCHEDULER_ALLOWED_HOSTS does not name this host, %s"
)
_NEXT = 3
_WHAT_LOOPBACK_MEANS = (
    "without credentials every user of this computer is served, and every client of a proxy on it"
    " that adds no header. docs/reference/security.md has stricter options: bind = 'unix:...',"
    " python -m schedhttp --make-token, api_require_credentials = true"
)

_SESSIONS_DIFFER = (
    "each worker has its own sessions of the dashboard, so signing in often has no effect: set"
    " SCHEDULER_DASHBOARD_SECRET, or the Flask app's SECRET_KEY"
)


def log_starts(scheduler: Scheduler) -> None:
    """Log a line whenever *scheduler* starts to take due jobs in this process."""

    def tell(_event: object) -> None:
        if scheduler.state is not State.STANDBY:  # only the process that takes due jobs
            log.info("%s", started_line(scheduler))

    scheduler.add_listener(tell, EVENT_SCHEDULER_STARTED)


def started_line(scheduler: Scheduler) -> str:
    """Return a line with the number of jobs, and those that are due next."""
    jobs = scheduler.get_jobs()
    due = [(job.next_run_time, job.id) for job in jobs if job.next_run_time is not None]
    soonest = sorted(due, key=lambda each: each[0].timestamp())[:_NEXT]
    how = "paused" if scheduler.state is State.PAUSED else "running"
    many = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
    next_ones = ", ".join(f"{job_id!r} at {_to_the_second(when)}" for when, job_id in soonest)
    return f"the scheduler is {how}, with {many}; next: {next_ones or 'none'}"


def storage_line(scheduler: Scheduler) -> str:
    """Return a line that says where the jobs are stored."""
    store = scheduler.store_info()
    if store.kind == "memory":
        return "jobs are stored in memory, until this process ends"
    return f"jobs are stored in {store.url or store.kind}"


def log_serving(app: App, addresses: Sequence[str]) -> None:
    """Log where the jobs are stored and the API is served, and problems with its access.

    Args:
        app: The API.
        addresses: Where the server listens, as ``http://127.0.0.1:5000``; empty: unknown.
    """
    settings = app.settings
    log.info("%s", storage_line(app.service.scheduler))
    if not settings.api_enabled:
        return
    base = (addresses[0] if addresses else "") + quote(settings.api_prefix)
    log.info(
        "the API is at %s, described at %s/openapi.json and in docs/reference/rest.md", base, base
    )
    if app.dashboard is not None:
        pages = quote(settings.dashboard_prefix) or "/"
        log.info("the dashboard is at %s%s", addresses[0] if addresses else "", pages)
        if _sessions_differ(app):
            log.warning("%s", _SESSIONS_DIFFER)
    if app.guard.has_credentials:
        return
    is_own_socket = addresses and all(each.startswith("unix:") for each in addresses)
    if settings.api_loopback_only and not is_own_socket:
        log.info("%s", _WHAT_LOOPBACK_MEANS)
    if all(map(_is_of_this_computer, addresses)):
        return
    if settings.api_loopback_only:
        log.warning(
            "%s can be reached from other computers, but without credentials only this one is"
            " served: set api_users or api_tokens (docs/reference/security.md), or listen at"
            " 127.0.0.1",
            ", ".join(addresses),
        )
    else:
        log.warning(
            "%s: every client that can connect is served, without credentials: set api_users or"
            " api_tokens (docs/reference/security.md), or listen at 127.0.0.1",
            ", ".join(addresses),
        )


def _sessions_differ(app: App) -> bool:
    """Return whether no worker accepts sessions of another: there is no common key to sign them."""
    settings = app.settings
    known = settings.dashboard_secret or settings.api_users or settings.api_tokens
    return app.guard.has_credentials and not known and gunicorn.processes() > 1


def log_readable_config(settings: Settings, config: str | None) -> None:
    """Warn about a file with users or tokens that other users of this computer can read."""
    if config is None or not (settings.api_users or settings.api_tokens):
        return
    with suppress(OSError):
        mode = stat.S_IMODE(os.stat(config).st_mode)
        if mode & 0o044:
            log.warning(
                "%s has users or tokens, and other users of this computer can read it (its mode is"
                " %04o): chmod 600 %s",
                config,
                mode,
                config,
            )


def _is_of_this_computer(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _to_the_second(when: datetime) -> str:
    return when.astimezone(when.tzinfo or timezone.utc).isoformat(" ", "seconds")
