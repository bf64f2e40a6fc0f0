"""The endpoint of metrics, which Prometheus reads."""

from __future__ import annotations

from schedhttp.errors import NotInstalled
from schedhttp.request import Incoming
from schedhttp.views.base import Reply, Service

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of Prometheus' text format."""


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
    return Reply(generate_latest(registry), headers={"Content-Type": MEDIA})
