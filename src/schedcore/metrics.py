"""Prometheus metrics of a scheduler: a collector for a registry of prometheus-client.

Metrics from the store (outcomes, jobs, open runs, nodes) are the same in every process, and survive
restarts; metrics of the loop are those of the answering process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import inf
from typing import Final, NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

import schedcore
from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND
from schedcore.errors import whole
from schedcore.history.totals import BOUNDS, Histogram, Total, Totals
from schedcore.lifetime.health import Health, State
from schedcore.notices.notice import ChannelState
from schedcore.run import Outcome, Run
from schedcore.scheduler import Scheduler
from schedcore.stores.base import Entry
from schedcore.stores.cluster import NodeInfo

MOST_JOBS: Final = 1_000
"""Default number of jobs with their own series: each has four to six."""
_STATES: Final = ("scheduled", "running", "paused", "broken")

log = GuardedLogger(__name__)


class Known(NamedTuple):
    """Data from the store, read completely before any metric is returned."""

    entries: list[Entry]
    runs: list[Run]
    nodes: list[NodeInfo]
    channels: list[ChannelState]
    labelled: list[Entry]
    """The jobs that have series of their own."""
    totals: Totals


class SchedulerCollector:
    """Collects the metrics of one scheduler.

    A program registers it in a registry of prometheus-client, which serves it::

        from prometheus_client import REGISTRY
        REGISTRY.register(SchedulerCollector(scheduler))

    Args:
        scheduler: Whose metrics.
        most_jobs: How many jobs have their own series, the first ones by id: each series costs
            Prometheus memory.  The others are only in the metrics without a job's id.

    Raises:
        InvalidOptionError: if *most_jobs* is not a whole number of 1 or more.
    """

    def __init__(self, scheduler: Scheduler, most_jobs: int = MOST_JOBS) -> None:
        self._scheduler = scheduler
        self._most_jobs = whole("most_jobs", most_jobs)

    def describe(self) -> list[Metric]:
        """Return nothing: so a registry does not ask the store when this is registered."""
        return []

    def __repr__(self) -> str:
        return f"<SchedulerCollector of {self._scheduler!r}>"

    def collect(self) -> Iterator[Metric]:
        """Return all metrics; without a store that can be reached, those of this process alone."""
        try:
            known = self._ask_store()
        except Exception as error:  # noqa: BLE001 — that it cannot be reached is a metric as well
            log.error("the store cannot be read for metrics", error=error)
            known = None
        yield InfoMetricFamily(
            "schedcore", "The version of schedcore.", {"version": schedcore.__version__}
        )
        yield _gauge("store_reachable", "Whether the store can be used.", known is not None)
        if known is not None:
            yield from _of_all(known)
            yield from _of_jobs(known)
        yield from _of_process(self._scheduler.health())

    def _ask_store(self) -> Known:
        scheduler = self._scheduler
        entries = scheduler.entries()
        labelled = sorted(entries, key=_id_of)[: self._most_jobs]
        totals = scheduler.totals([entry.job.id for entry in labelled])
        nodes, channels = scheduler.nodes(), scheduler.notice_channels()
        return Known(entries, scheduler.runs(), nodes, channels, labelled, totals)


def _of_all(known: Known) -> Iterator[Metric]:
    """Return what is said of all jobs together."""
    totals = known.totals
    runs = CounterMetricFamily(
        "schedcore_runs", "Occurrences of all jobs, by how they ended.", labels=["outcome"]
    )
    for outcome in Outcome:
        runs.add_metric([outcome.value], totals.overall.get(outcome, 0))
    yield runs
    yield _histogram("run_duration_seconds", "How long runs took.", totals.took)
    help_text = "How long after its due time the first attempt of a run began."
    yield _histogram("run_lateness_seconds", help_text, totals.late)
    begun = {run.job_id for run in known.runs if run.started_us is not None}
    states = Counter(_state_of(entry, begun) for entry in known.entries)
    yield _gauges("jobs", "Jobs by state.", "state", {name: states[name] for name in _STATES})
    running = sum(run.started_us is not None for run in known.runs)
    by_state = {"running": running, "waiting": len(known.runs) - running}
    yield _gauges("open_runs", "Runs that have not ended.", "state", by_state)
    due = [entry.due_us for entry in known.entries if entry.due_us is not None]
    if due:
        help_text = "When the first job is due."
        yield _gauge("next_due_timestamp_seconds", help_text, min(due) / SECOND)
    if known.nodes:
        alive = Counter(node.takes for node in known.nodes if node.state == "alive")
        help_text = "Processes on the store that are alive, by whether they take due jobs."
        yield _gauges("nodes", help_text, "takes", {"yes": alive[True], "no": alive[False]})
    waiting = {channel.name: channel.waiting for channel in known.channels}
    yield _gauges("notices_waiting", "Notices that wait to be sent.", "channel", waiting)


def _of_jobs(known: Known) -> Iterator[Metric]:
    """Return what is said of each job that has series of its own."""
    runs = CounterMetricFamily(
        "schedcore_job_runs",
        "Occurrences of a job, by how they ended.",
        labels=["job_id", "outcome"],
    )
    took = CounterMetricFamily(
        "schedcore_job_run_seconds", "Total duration of the runs of a job.", labels=["job_id"]
    )
    due = GaugeMetricFamily(
        "schedcore_job_next_due_timestamp_seconds", "When a job is due next.", labels=["job_id"]
    )
    success = GaugeMetricFamily(
        "schedcore_job_last_success_timestamp_seconds",
        "When a run of a job was last executed.",
        labels=["job_id"],
    )
    for entry in known.labelled:
        label = [entry.job.id]
        totals = known.totals.jobs.get(entry.job.id, {})
        for outcome, total in totals.items():
            runs.add_metric([*label, outcome.value], total.n)
        took.add_metric(label, sum(total.took_us for total in totals.values()) / SECOND)
        if entry.due_us is not None:
            due.add_metric(label, entry.due_us / SECOND)
        if (last := totals.get(Outcome.EXECUTED, Total())).n:
            success.add_metric(label, last.last_us / SECOND)
    yield from (runs, took, due, success)


def _of_process(health: Health) -> Iterator[Metric]:
    """Return what is said of the process that answers."""
    states = {state.name.lower(): float(state is health.state) for state in State}
    yield _gauges("state", "State of this process's scheduler: 1.", "state", states)
    yield _gauge("healthy", "Whether this process's scheduler works.", health.ok)
    help_text = "How late the first job is that is due and was not taken yet."
    yield _gauge("loop_behind_seconds", help_text, health.behind)
    help_text = "How long a step of the loop has been blocked."
    yield _gauge("loop_stalled_seconds", help_text, health.stalled_for)
    help_text = "How long the oldest run has waited for a worker."
    yield _gauges("longest_wait_seconds", help_text, "executor", dict(health.waiting))
    for name, help_text, count in (
        ("loop_failures", "Steps of the loop that raised.", health.loop_failures),
        ("loop_restarts", "Times that the loop's thread was replaced.", health.loop_restarts),
        ("listener_failures", "Times that a listener raised.", health.listener_failures),
    ):
        yield CounterMetricFamily(f"schedcore_{name}", help_text, value=count)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"schedcore_{name}", help_text, value=value)


def _gauges(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"schedcore_{name}", help_text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _histogram(name: str, help_text: str, spans: Histogram) -> Metric:
    buckets = [
        ("+Inf" if bound == inf else str(bound), float(count))
        for bound, count in zip(BOUNDS, accumulate(spans.counts), strict=True)
    ]
    return HistogramMetricFamily(
        f"schedcore_{name}", help_text, buckets=buckets, sum_value=spans.sum_us / SECOND
    )


def _state_of(entry: Entry, begun: set[str]) -> str:
    if entry.broken is not None:
        return "broken"
    if entry.job.id in begun:
        return "running"
    return "paused" if entry.due_us is None else "scheduled"


def _id_of(entry: Entry) -> str:
    return entry.job.id
