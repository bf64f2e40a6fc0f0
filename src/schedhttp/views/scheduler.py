"""The endpoints for the scheduler itself: its state, its health, its metrics, its forecast."""

from __future__ import annotations

import logging
from typing import Final

from schedcore import Health, Scheduler, State, StoreError
from schedcore.clock import Deadline, Waker
from schedcore.load_forecast import MOST_HOURS
from schedhttp.errors import BadRequest, Forbidden, NotInstalled
from schedhttp.load_shapes import FORECAST, ForecastShown
from schedhttp.request import Incoming, read_count, read_flag, read_object
from schedhttp.shown import (
    HEALTH,
    INFO,
    HolderInfo,
    NodeShown,
    SchedulerInfo,
    StoreShown,
)
from schedhttp.views.base import NOTHING, Reply, Service

log = logging.getLogger(__package__)

HOURS: Final = 24
_METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of Prometheus' text format."""


def get_scheduler_info(service: Service, request: Incoming) -> Reply:
    """Show where the scheduler is and may run, and the processes on its store."""
    scheduler, settings = service.scheduler, service.settings
    state, holder = scheduler.shared_state(), scheduler.holder()
    now_us = scheduler.clock.now_us()
    info = SchedulerInfo(
        settings.current_host,
        settings.allowed_hosts,
        state is not State.STOPPED and not scheduler.stalled,
        state,
        holder and HolderInfo.of(holder),
        StoreShown.of(scheduler.store_info()),
        tuple(NodeShown.of(node, now_us) for node in scheduler.nodes()),
        tuple(scheduler.notice_channels()),
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
    return NOTHING


def pause_scheduler(service: Service, request: Incoming) -> Reply:
    """Start no more runs; active ones continue."""
    read_object(request, required=False)
    service.scheduler.pause()
    return NOTHING


def resume_scheduler(service: Service, request: Incoming) -> Reply:
    """Resume after a pause."""
    read_object(request, required=False)
    service.scheduler.resume()
    return NOTHING


def shutdown_scheduler(service: Service, request: Incoming) -> Reply:
    """Shut the scheduler down; `wait` says whether to wait for active runs."""
    wait = read_flag(read_object(request, required=False), "wait", True)
    deadline = Deadline(service.settings.shutdown_timeout)
    # Not left: another process would go on with what the client wants to have ended.
    service.scheduler.shutdown(wait, deadline.left(), leave=False)
    if wait:
        _wait_for_others(service.scheduler, deadline)
    return NOTHING


def _wait_for_others(scheduler: Scheduler, deadline: Deadline) -> None:
    """Wait for the active runs of other processes."""
    pause = _FIRST_PAUSE
    while any(n.runs for n in scheduler.nodes() if n.state == "alive") and deadline.left():
        Waker().sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
"""Seconds between two looks for runs of other processes, at first and in the end."""


def get_health(service: Service, request: Incoming) -> Reply:
    """Return whether the scheduler works: 200 if so, else 503."""
    health, runs = _health(service.scheduler)
    headers = {} if health.reason is None else {"Retry-After": "1"}
    return Reply(HEALTH.to_dict(health, runs=runs), 200 if health.ok else 503, headers)


def get_live(service: Service, request: Incoming) -> Reply:
    """Return whether the process is alive, to any client: for probes.

    If not, the prober restarts it, which also ends active runs: that fixes a loop that hangs, but
    neither an unreachable store nor an ordered stop.
    """
    ok = not service.scheduler.stalled
    return Reply({"ok": ok}, 200 if ok else 503)


def get_ready(service: Service, request: Incoming) -> Reply:
    """Return whether to send requests to this process, to any client: for probes."""
    ready = _is_ready(service.scheduler)
    headers = {} if ready else {"Retry-After": "1"}
    return Reply({"ready": ready}, 200 if ready else 503, headers)


def _is_ready(scheduler: Scheduler) -> bool:
    """Return whether it is in the state that all processes should be in, and on time."""
    try:
        health, wanted = scheduler.health(), scheduler.shared_state()
    except StoreError:
        return False
    here = State.RUNNING if health.state is State.STANDBY else health.state
    return health.ok and here is wanted and health.behind < MOST_BEHIND


MOST_BEHIND = 10.0
"""Seconds by which due jobs may be late before a process is not ready for more."""


def _health(scheduler: Scheduler) -> tuple[Health, int | None]:
    """Return a scheduler's health, and its number of open runs if its store can be read."""
    try:
        return scheduler.health(), len(scheduler.runs())
    except StoreError as error:
        reason = error.problem
    return Health(False, scheduler.state, 0.0, 0.0, 0, 0, 0, 0, reason=reason), None


def get_openapi(service: Service, request: Incoming) -> Reply:
    """Describe the API in OpenAPI 3.1."""
    return Reply(service.openapi(request.environ.get("SCRIPT_NAME", "")))


def get_forecast(service: Service, request: Incoming) -> Reply:
    """Return the runs of the next hours, and when there are more than workers.

    An estimate: each run, active ones included, takes as long as those of its job did on average.
    """
    hours = read_count(request, "hours", HOURS, MOST_HOURS)
    if not hours:
        raise BadRequest(f"hours=0: expected a whole number from 1 to {MOST_HOURS}")
    return Reply(FORECAST.to_dict(ForecastShown.of(service.scheduler.forecast(hours))))


def get_metrics(service: Service, request: Incoming) -> Reply:
    """Show the metrics of the scheduler, in Prometheus' text format."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest

        from schedcore.metrics import SchedulerCollector
    except ImportError as error:
        raise NotInstalled(
            f"metrics need a package: pip install prometheus-client ({error})"
        ) from None
    # Of its own: in the one that all programs share there are metrics of others as well.
    registry = CollectorRegistry()
    registry.register(SchedulerCollector(service.scheduler, service.settings.metrics_jobs))
    return Reply(generate_latest(registry), headers={"Content-Type": _METRICS_MEDIA})
