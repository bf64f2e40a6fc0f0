"""Requested runs, outside the schedule."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from schedcore.admission import MOST_WAITING
from schedcore.changes.audit import AuditRecord
from schedcore.errors import MaxInstancesError
from schedcore.history.query import RunQuery
from schedcore.job import Job
from schedcore.run import Outcome, Run, RunRecord

KEYS_KEPT_US: Final = 86_400 * 10**6
"""For how long a store remembers the run that was opened for a key, unless there are too many."""


class RunRequest(NamedTuple):
    """A requested run of a job."""

    job: Job
    """The stored definition, with its function resolved, and the arguments of this run."""
    own_call: bool = False
    """Whether these differ from the stored job's arguments; then they are stored with the run."""
    key: str | None = None
    """Identifies repeated requests: for the same key of the same job, within :data:`KEYS_KEPT_US`,
    no second run is opened.  None: each request opens a new run."""
    note: AuditRecord | None = None
    """The record for the audit, in which the run's id is set."""


class EarlierRun(NamedTuple):
    """A run that was opened for the same key before."""

    run_id: int


Opened = Run | EarlierRun | RunRecord | None
"""The result of a request: the run was opened, now or earlier; or it was recorded as skipped, since
there was no room.  None: the job was removed."""


class Backfill(NamedTuple):
    """Past due times for which a job should run."""

    job: Job
    """The stored definition, with its function resolved."""
    times: Sequence[int]
    """The due times, at least one, the oldest first."""
    again: bool = False
    """Whether to include those for which a run was executed, or is open."""

    @property
    def query(self) -> RunQuery:
        """The query for outcomes that may account for one of them."""
        last_us = self.times[-1] + self.job.trigger.jitter_us
        executed = (Outcome.EXECUTED,)
        return RunQuery(self.job.id, executed, self.times[0], last_us + 1, limit=None)

    def left(
        self, due_us: int | None, fire_us: int | None, runs: Iterable[tuple[int, str]]
    ) -> list[int]:
        """Return those of the times that still have to run.

        A time that is still in the schedule does not: it would run twice.  Neither does a time that
        has a run.  Each run accounts for one time; jitter may have delayed it.

        Args:
            due_us: When the job is due next; None: it is paused, so nothing is in the schedule.
            fire_us: The next fire time.
            runs: The due time and the cause of each run that is open, or was executed and is still
                in the history.  Read the open ones first: they may end meanwhile.
        """
        times = self.times
        if due_us is not None and fire_us is not None:
            times = [each for each in times if each < fire_us]
        if self.again:
            return list(times)
        jitter_us = self.job.trigger.jitter_us
        found = list(runs)
        filled = {at for at, cause in found if cause == "backfill"}
        ran = sorted((at for at, cause in found if cause == "schedule"), reverse=True)

        def has_run(time_us: int) -> bool:
            if time_us in filled:
                return True
            while ran and ran[-1] < time_us:
                ran.pop()
            if not ran or ran[-1] > time_us + jitter_us:
                return False
            ran.pop()
            return True

        return [each for each in times if not has_run(each)]

    def check_room(self, open_runs: int) -> None:
        """Raise MaxInstancesError if too many runs of the job would wait."""
        most = self.job.options.max_instances
        if open_runs + len(self.times) > MOST_WAITING + most:
            raise MaxInstancesError(self.job.id, most, MOST_WAITING)


def runs_of(records: Iterable[RunRecord], runs: Iterable[Run]) -> list[tuple[int, str]]:
    """Return the due times and causes of runs, for :meth:`Backfill.left`."""
    found = [(each.scheduled_us, each.cause) for each in records]
    return found + [(run.due_us, run.cause) for run in runs]
