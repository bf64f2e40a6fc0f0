"""What the API shows of schedulers, runs and changes, as value classes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from schedcore import (
    AuditRecord,
    ChannelState,
    Health,
    Outcome,
    Output,
    Run,
    RunRecord,
    State,
)
from schedcore.clock import SECOND, from_us
from schedcore.history.last_runs import LastRuns
from schedhttp.shapes import Shape, nested

if TYPE_CHECKING:
    from schedcore import Holder, NodeInfo, StoreInfo


class HolderInfo(NamedTuple):
    """The process that takes due jobs."""

    pid: int
    host: str
    since: datetime
    """When it joined."""

    @classmethod
    def of(cls, holder: Holder) -> HolderInfo:
        """Return what the API shows of *holder*."""
        return cls(holder.pid, holder.host, from_us(holder.since_us))


class StoreShown(NamedTuple):
    """Where jobs are stored."""

    kind: str
    """`memory`, `sqlite`, `postgresql`, or the name of another class."""
    reachable: bool
    schema: int | None
    """The version of its tables."""
    clock_offset: float | None
    """How far its clock is ahead of this computer's, in seconds; null: it has none of its own."""
    notifications: bool
    """Whether it announces changes of other processes at once; if not, it is polled."""

    @classmethod
    def of(cls, store: StoreInfo) -> StoreShown:
        """Return what the API shows of *store*: not where it is."""
        return cls(
            store.kind, store.reachable, store.schema, store.clock_offset, store.notifications
        )


class NodeShown(NamedTuple):
    """A process that has joined the store."""

    id: int
    """A number that the store assigns at each start, and never reuses."""
    host: str
    pid: int
    since: datetime
    """When it joined."""
    state: str
    """`alive`; `leaving`: its runs continue; `left`; or `dead`."""
    takes: bool
    """Whether it takes due jobs."""
    renewed: float | None
    """Seconds since it renewed its lease; null: the operating system knows whether it is alive."""
    runs: int
    """Number of open runs that it owns."""
    executors: tuple[str, ...]
    """The names of its executors."""
    app: str
    """The name of the app that it declares jobs for."""

    @classmethod
    def of(cls, node: NodeInfo, now_us: int) -> NodeShown:
        """Return what the API shows of *node*."""
        renewed = None if node.renewed_us is None else max(0, now_us - node.renewed_us) / SECOND
        return cls(
            *(node.id, node.host, node.pid, from_us(node.since_us), node.state, node.takes),
            *(renewed, node.runs, node.executors, node.app),
        )


class SchedulerInfo(NamedTuple):
    """A scheduler's host and state: in all processes on its store."""

    current_host: str
    """The name of the answering host."""
    allowed_hosts: tuple[str, ...]
    """Names of the hosts that may run the scheduler; `*` means any."""
    running: bool
    """Whether the scheduler is started."""
    state: State
    holder: HolderInfo | None
    """The process that takes due jobs; if several do, the one that joined first."""
    store: StoreShown
    nodes: tuple[NodeShown, ...]
    """The processes that have joined the store, or did recently; empty if it is not shared."""
    channels: tuple[ChannelState, ...]
    """The channels for notices about jobs."""


class RunShown(NamedTuple):
    """A run, or due times that did not run."""

    run_id: str | None
    """Null if there was no run: missed, coalesced and skipped occurrences.  A number, as text,
    since it may have more digits than JavaScript can represent."""
    job_id: str
    outcome: Outcome | None
    """Null: it has not ended."""
    scheduled: datetime
    """When it was due; the first one, if this stands for several."""
    started: datetime | None
    """When the function was called."""
    ended: datetime | None
    lateness: float
    """How late it started, or how late it was when it was missed, in seconds."""
    occurrences: int
    """How many due times this stands for."""
    result: str | None
    """The shortened repr of the function's result; null if the result was None."""
    error_type: str | None
    error_text: str | None
    attempt: int
    """The number of this or the last attempt, from 1."""
    cause: str
    """Why it was due: `schedule`; `manual`: somebody ran it; or `backfill`: somebody ran it for a
    past due time, or it was one of several due times that had passed before the first of them
    ran."""
    reason: str | None
    """Facts that are not in other fields."""
    node: int | None
    """The number of the process that owns or owned it, on a shared store."""
    state: str
    """`waiting`, `running` or `ended`."""
    why: str
    """Its state or outcome and the reason, in one sentence."""

    @classmethod
    def of(cls, run: Run | RunRecord) -> RunShown:
        """Return what the API shows of a run, which may have ended a moment ago."""
        record = run.record if isinstance(run, Run) else run
        if record is None:
            assert isinstance(run, Run)
            return cls._of_open(run)
        return cls(
            None if record.run_id is None else str(record.run_id),
            record.job_id,
            record.outcome,
            record.scheduled,
            record.started,
            record.ended,
            record.lateness,
            record.occurrences,
            record.result,
            record.error_type,
            record.error_text,
            record.attempt,
            record.cause,
            record.reason,
            record.node,
            record.state,
            record.why(),
        )

    @classmethod
    def _of_open(cls, run: Run) -> RunShown:
        started = None if run.started_us is None else from_us(run.started_us)
        return cls(
            run_id=str(run.id),
            job_id=run.job_id,
            outcome=None,
            scheduled=run.scheduled,
            started=started,
            ended=None,
            lateness=run.lateness,
            occurrences=1,
            result=None,
            error_type=run.error_type,
            error_text=run.error_text,
            attempt=run.attempt,
            cause=run.cause,
            reason=None,
            node=run.node,
            state=run.state,
            why=run.why(),
        )


class LastRun(NamedTuple):
    """The last recorded outcome of a job."""

    run_id: str | None
    """Null: there was no run."""
    outcome: Outcome
    at: datetime
    """When it ended, or, if it did not run, when it was due."""


class LastRunsShown(NamedTuple):
    """How the last runs of a job went: those in the history, at most the last 100."""

    last_run: LastRun | None
    """The last recorded outcome."""
    failures_in_a_row: int
    """How many runs failed, timed out or were lost since the last executed one."""
    mean_duration: float | None
    """Mean duration of the executed runs in seconds; null: there were none."""
    p95_duration: float | None
    """Their 95th percentile, in seconds."""

    @classmethod
    def of(cls, runs: LastRuns) -> LastRunsShown:
        """Return what the API shows of *runs*."""
        last = runs.last
        if last is not None:
            run_id = None if last.run_id is None else str(last.run_id)
            last_run = LastRun(run_id, last.outcome, last.ended or last.scheduled)
        return cls(None if last is None else last_run, *runs[1:])


class Backfilled(NamedTuple):
    """Runs that were opened for past due times."""

    runs: tuple[str, ...]
    """Their ids, oldest due time first."""


BACKFILLED: Final = Shape(Backfilled, more={"count": (int, "How many there are.")})
HOLDER: Final = nested(HolderInfo)
STORE: Final = nested(StoreShown)
NODE: Final = nested(NodeShown)
CHANNEL: Final = nested(ChannelState)
INFO: Final = Shape(SchedulerInfo)
HEALTH: Final = Shape(Health, more={"runs": (int | None, "Number of open runs; null: not known.")})
LAST_RUN: Final = nested(LastRun)
LAST_RUNS: Final = Shape(LastRunsShown)
RUN: Final = nested(RunShown)
OUTPUT: Final = Shape(Output, more={"run_id": (str, "Of which run.")})


class EventShown(NamedTuple):
    """Something that happened."""

    event: str
    """`run_ended`; `job_added`, `job_changed`, `job_replaced`, `job_paused`, `job_resumed`,
    `job_parked`, `job_removed`; `scheduler_started`, `scheduler_paused`, `scheduler_resumed` or
    `scheduler_stopped`."""
    at: datetime
    """When it happened."""
    job_id: str | None
    """Null: the scheduler."""
    run: RunShown | None
    """The run that ended, or due times that did not run."""


EVENT: Final = Shape(EventShown)
AUDIT: Final = Shape(
    AuditRecord, {"before_text": "before", "after_text": "after"}, frozenset({"run_id"})
)
