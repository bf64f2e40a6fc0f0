"""The values that stores accept and return: jobs with their places, changes, and results.

:mod:`~schedcore.stores.contract` defines the methods of a store.
Times are integer microseconds since the Unix epoch.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from schedcore.job import Job
from schedcore.planning import Backlog
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.ends import End


class Entry(NamedTuple):
    """A job and its place in the schedule, as a value for readers."""

    job: Job
    fire_us: int | None
    """The next nominal fire time; None: the job was added paused."""
    due_us: int | None
    """When to act: the fire time plus its jitter.  None: paused."""
    broken: str | None = None
    """Why the job currently cannot run; it is tried again when it is due."""
    backlog_us: int | None = None
    """When the backlog of which this is the rest was found; None: there is no backlog."""
    version: object = None
    """Differs from that of every older entry of the same job; only the store reads it."""


def make_entry(
    job: Job,
    fire_us: int | None,
    due_us: int | None,
    backlog_us: int | None = None,
    broken: str | None = None,
) -> Entry:
    """Return an entry, like ``Entry(...)`` in half the time.

    Each added job creates one; a named tuple's own constructor takes 0.27 us.
    """
    return tuple.__new__(Entry, (job, fire_us, due_us, broken, backlog_us, None))


class Slot:
    """A job that was taken: its definition, its place, and how many of its runs are open.

    The memory store keeps its jobs in these, and one is a row of a store on disk.
    Only the store changes it.
    """

    __slots__ = (
        "backlog_us",
        "behind",
        "born",
        "broken",
        "due_us",
        "fire_us",
        "job",
        "queued_us",
        "runs",
        "seq",
    )

    def __init__(self, entry: Entry, seq: int) -> None:
        self.job, self.fire_us, self.due_us, self.broken, self.backlog_us, _ = entry
        self.born = seq
        """Differs from that of every other job of its store."""
        self.seq = seq
        """The version: grows with each change of job or place, and fences off older readers."""
        self.runs: Sequence[Run] = ()
        """Its active runs, in the order in which they were started."""
        self.behind: deque[Run] | None = None
        """Its waiting runs: they start when those end.  None: it has none."""
        self.queued_us: int | None = None
        """For the due queue's own use."""

    def entry(self) -> Entry:
        """Return the job as a value to be read."""
        # Not Entry(...): that takes 0.2 us longer, and each read of a job creates one.
        return tuple.__new__(
            Entry, (self.job, self.fire_us, self.due_us, self.broken, self.backlog_us, self.seq)
        )


class Change(NamedTuple):
    """A change, replacement or removal of one job."""

    old: Entry
    """The job as it was read."""
    new: Entry | None
    """The new job and place; None: the job is removed."""
    another: bool = False
    """Whether *new* is another job under the same id: it starts with no open runs."""
    records: Sequence[RunRecord] = ()
    """Outcomes of past fire times that the change skips."""


class Declared(NamedTuple):
    """A job that code or settings declare at each start."""

    entry: Entry
    """The job, in the place it would have if it were new."""
    fingerprint: str
    """Equal for equal definitions, in any process: the place in the schedule is no part of it."""


Otherwise = Literal["change", "replace", "refuse"]
"""To give the job the new definition, put another job in its place (whose open runs are not its
own), or raise ConflictingIdError."""


class NotRun(NamedTuple):
    """Due fire times that do not run."""

    outcome: Outcome
    backlog: Backlog
    late_us: int
    reason: str | None = None
    """The reason, beyond the outcome."""

    def record(self, job_id: str) -> RunRecord:
        """Return their record in the history."""
        first_us, occurrences = self.backlog
        return RunRecord(
            None,
            job_id,
            self.outcome,
            first_us,
            late_us=self.late_us,
            occurrences=occurrences,
            reason=self.reason,
        )


class Settlement(NamedTuple):
    """A step's decision about one job that it took."""

    slot: Slot
    job: Job
    fire_us: int | None
    """Its next fire time; None: it had its last one, and is removed."""
    due_us: int | None
    times: Sequence[int]
    """The due times to run now, oldest first."""
    backlog_us: int | None = None
    broken: str | None = None
    not_run: Sequence[NotRun] = ()


Executors = Mapping[str, int] | Collection[str] | None
"""Names of executors, and how many jobs of each at most; or the names alone; None: any."""

Decision = int | None | Settlement
"""A settlement, or in the plain case the next fire time alone: the job is on time and works off no
backlog, runs once at its fire time, and is due next without jitter (None: it had its last one).

The plain case is nearly every fire, and a container for each would double its cost.
"""


class Skipped(NamedTuple):
    """Fire times that were skipped at ``max_instances``."""

    job: Job
    times: Sequence[int]
    record: RunRecord
    """Their records in the history."""


class Settled(NamedTuple):
    """The result of settling one batch."""

    runs: list[Run]
    """Runs to submit, in this order."""
    skipped: list[Skipped]
    not_run: list[tuple[Job, NotRun]]
    evicted: list[End]
    """Runs that were cancelled in favour of others, to be abandoned."""
    removed: list[str]
    """Ids of jobs that had their last fire time."""


class Ended(NamedTuple):
    """The result of recording ends of runs."""

    recorded: list[End]
    """The recorded ends: of runs that had not ended before."""
    runs: list[Run]
    """Runs that waited, to be submitted now."""
    due_us: int | None = None
    """When a job is due again whose backlog waited for the last of them; None: there is none."""


class Written(NamedTuple):
    """The result of a change."""

    conflicts: Sequence[str]
    """Ids of jobs that were changed since they were read, or exist already; empty: it was made."""
    ended: Sequence[End] = ()
    """Of runs that had not begun, and ended with the change."""
