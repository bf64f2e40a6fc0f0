"""The endpoints of the scheduler itself: how it does, and whether it runs."""

from __future__ import annotations

import logging

from schedhttp.errors import Forbidden
from schedhttp.request import Incoming, read_flag, read_object
from schedhttp.shapes import HEALTH, INFO, HolderInfo, SchedulerInfo
from schedhttp.views.base import NOTHING, Reply, Service

log = logging.getLogger(__package__)


def get_scheduler_info(service: Service, request: Incoming) -> Reply:
    """Tell where the scheduler is and may run, whether it does, and which process holds it."""
    scheduler, settings = service.scheduler, service.settings
    holder = scheduler.holder()
    info = SchedulerInfo(
        settings.current_host,
        settings.allowed_hosts,
        scheduler.running,
        scheduler.state,
        holder and HolderInfo.of(holder),
    )
    return Reply(INFO.to_dict(info))


def start_scheduler(service: Service, request: Incoming) -> Reply:
    """Start the scheduler."""
    read_object(request, required=False)
    if not service.settings.may_run_here:
        raise Forbidden(
            f"the scheduler may not run on {service.settings.current_host!r}:"
            " SCHEDULER_ALLOWED_HOSTS does not name it"
        )
    service.scheduler.start()
    return _done(request, "started")


def pause_scheduler(service: Service, request: Incoming) -> Reply:
    """Start no more runs; those under way go on."""
    read_object(request, required=False)
    service.scheduler.pause()
    return _done(request, "paused")


def resume_scheduler(service: Service, request: Incoming) -> Reply:
    """Go on after a pause."""
    read_object(request, required=False)
    service.scheduler.resume()
    return _done(request, "resumed")


def shutdown_scheduler(service: Service, request: Incoming) -> Reply:
    """Shut the scheduler down; `wait` tells whether to wait for the runs under way."""
    wait = read_flag(read_object(request, required=False), "wait", True)
    # Not left: another worker would go on with what the client wants to have ended.
    service.scheduler.shutdown(wait, service.settings.shutdown_timeout, leave=False)
    return _done(request, "shut down")


def _done(request: Incoming, what: str) -> Reply:
    """Have the log tell who ordered what: jobs that do not run are soon asked about."""
    client = request.whole.remote_addr or "a client of this computer"
    log.info("the scheduler was %s over HTTP, by %s", what, client)
    return NOTHING


def get_health(service: Service, request: Incoming) -> Reply:
    """Tell whether the scheduler does its work: 200 if so, else 503."""
    health = service.scheduler.health()
    body = HEALTH.to_dict(health, runs=len(service.scheduler.runs()))
    return Reply(body, 200 if health.ok else 503)


def get_live(service: Service, request: Incoming) -> Reply:
    """Tell anybody whether the scheduler does its work, and nothing else: for probes."""
    ok = service.scheduler.health().ok
    return Reply({"ok": ok}, 200 if ok else 503)


def get_openapi(service: Service, request: Incoming) -> Reply:
    """Describe the API in OpenAPI 3.1."""
    return Reply(service.openapi(request.environ.get("SCRIPT_NAME", "")))
