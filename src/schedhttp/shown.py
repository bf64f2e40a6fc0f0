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
    """Since when it is there."""

    @classmethod
    def of(cls, holder: Holder) -> HolderInfo:
        """Return what the API shows of *holder*."""
        return cls(holder.pid, holder.host, from_us(holder.since_us))


class StoreShown(NamedTuple):
    """Where jobs are kept."""

    kind: str
    """`memory`, `sqlite`, `postgresql`, or the name of another class."""
    reachable: bool
    schema: int | None
    """The version of its tables."""
    clock_offset: float | None
    """Seconds by which its clock is ahead of this computer's; null: it has none of its own."""
    notifications: bool
    """Whether it tells at once what other processes change; if not, they look now and then."""

    @classmethod
    def of(cls, store: StoreInfo) -> StoreShown:
        """Return what the API shows of *store*: not where it is."""
        return cls(
            store.kind, store.reachable, store.schema, store.clock_offset, store.notifications
        )


class NodeShown(NamedTuple):
    """A process that has joined the store."""

    id: int
    """Given by the store at each start, and never again."""
    host: str
    pid: int
    since: datetime
    """When it joined."""
    state: str
    """`alive`; `leaving`: runs of it go on; `left`; or `dead`."""
    takes: bool
    """Whether it takes due jobs."""
    renewed: float | None
    """Seconds since it said that it is alive; null: the operating system knows."""
    runs: int
    """How many open runs belong to it."""
    executors: tuple[str, ...]
    """The names of its executors."""
    app: str
    """In whose name it declares jobs."""

    @classmethod
    def of(cls, node: NodeInfo, now_us: int) -> NodeShown:
        """Return what the API shows of *node*."""
        renewed = None if node.renewed_us is None else max(0, now_us - node.renewed_us) / SECOND
        return cls(
            *(node.id, node.host, node.pid, from_us(node.since_us), node.state, node.takes),
            *(renewed, node.runs, node.executors, node.app),
        )


class SchedulerInfo(NamedTuple):
    """Where a scheduler is, and what it does: in all processes on its store."""

    current_host: str
    """The name of the host that answers."""
    allowed_hosts: tuple[str, ...]
    """Names of the hosts that may run the scheduler; `*` is any."""
    running: bool
    """Whether the scheduler is started."""
    state: State
    holder: HolderInfo | None
    """The process that takes due jobs; of several that do, the one that has for longest."""
    store: StoreShown
    nodes: tuple[NodeShown, ...]
    """The processes that have joined the store, or were there lately; none, if it is not shared."""
    channels: tuple[ChannelState, ...]
    """The channels through which jobs tell of failures."""


class RunShown(NamedTuple):
    """A run, or due times that did not run."""

    run_id: str | None
    """Null where no run was made: missed, coalesced and skipped occurrences.  A number, as text
    since it may have more digits than JavaScript can tell apart."""
    job_id: str
    outcome: Outcome | None
    """Null: it has not ended."""
    scheduled: datetime
    """When it was due; the first one, if this is of several."""
    started: datetime | None
    """When the function was called."""
    ended: datetime | None
    lateness: float
    """Seconds by which it started late, or by which it was too late."""
    occurrences: int
    """How many due times this is of."""
    result: str | None
    """The repr of what the function returned, shortened; null where that was None."""
    error_type: str | None
    error_text: str | None
    attempt: int
    """Which attempt this is, or ended it, from 1."""
    cause: str
    """Why it was due: `schedule`; `manual`: somebody ran it; or `backfill`: it was one of several
    due times that had come before the first of them ran."""
    reason: str | None
    """Facts that the other fields do not tell."""
    node: int | None
    """The process that it belongs or belonged to, on a store that processes share."""
    state: str
    """`waiting`, `running` or `ended`."""
    why: str
    """What became of it and why, in one sentence."""

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
    """The outcome of a job that was recorded last."""

    run_id: str | None
    """Null: no run was made."""
    outcome: Outcome
    at: datetime
    """When it ended; of what did not run, when it was due."""


class LastRunsShown(NamedTuple):
    """How the last runs of a job went, as far as they are kept, and the last 100 at most."""

    last_run: LastRun | None
    """The outcome that was recorded last."""
    failures_in_a_row: int
    """How many runs failed, timed out or were lost since the last one that was executed."""
    mean_duration: float | None
    """Seconds that those took that were executed; null: none was."""
    p95_duration: float | None
    """Seconds within which 95 of 100 of them had ended."""

    @classmethod
    def of(cls, runs: LastRuns) -> LastRunsShown:
        """Return what the API shows of *runs*."""
        last = runs.last
        if last is not None:
            run_id = None if last.run_id is None else str(last.run_id)
            last_run = LastRun(run_id, last.outcome, last.ended or last.scheduled)
        return cls(None if last is None else last_run, *runs[1:])


class Backfilled(NamedTuple):
    """Runs that were opened for due times that have passed."""

    runs: tuple[str, ...]
    """Their ids, the oldest due time first."""


BACKFILLED: Final = Shape(Backfilled, more={"count": (int, "How many there are.")})
HOLDER: Final = nested(HolderInfo)
STORE: Final = nested(StoreShown)
NODE: Final = nested(NodeShown)
CHANNEL: Final = nested(ChannelState)
INFO: Final = Shape(SchedulerInfo)
HEALTH: Final = Shape(
    Health,
    more={
        "runs": (int | None, "Number of open runs; null: not known."),
        "reason": (str | None, "Why the store cannot be used; null: it can."),
    },
)
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
