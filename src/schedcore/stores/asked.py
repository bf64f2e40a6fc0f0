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
"""For how long a store knows the run that was opened for a key, if not too many came since."""


class Asked(NamedTuple):
    """A requested run of a job."""

    job: Job
    """The stored definition, with its function resolved, and the arguments of this run."""
    own_call: bool = False
    """Whether these differ from the stored job's arguments; then they are stored with the run."""
    key: str | None = None
    """Tells who asks again: for the same key of the same job, within :data:`KEYS_KEPT_US`, no
    second run is opened.  None: every time is a new one."""
    note: AuditRecord | None = None
    """What the audit is to keep of it, with the run's id put in."""


class Earlier(NamedTuple):
    """A run that was opened for the same key before."""

    run_id: int


Opened = Run | Earlier | RunRecord | None
"""What came of one that was asked for: it was opened, or before; or it was recorded as skipped, for
want of room.  None: the job was removed."""


class Backfill(NamedTuple):
    """Due times that have passed, for which a job is to run."""

    job: Job
    """The stored definition, with its function resolved."""
    times: Sequence[int]
    """The oldest first, and one at least."""
    again: bool = False
    """Whether also those for which a run was executed, or is open."""

    @property
    def query(self) -> RunQuery:
        """Which outcomes may account for one of them."""
        last_us = self.times[-1] + self.job.trigger.jitter_us
        executed = (Outcome.EXECUTED,)
        return RunQuery(self.job.id, executed, self.times[0], last_us + 1, limit=None)

    def left(
        self, due_us: int | None, fire_us: int | None, runs: Iterable[tuple[int, str]]
    ) -> list[int]:
        """Return those of the times that are to run.

        One that the schedule will bring yet is not: it would run twice.  Neither is one for which a
        run accounts that accounts for none before; a jitter may have put that off.

        Args:
            due_us: When the job is due next; None: it is paused, so its schedule brings nothing.
            fire_us: The fire time that comes next.
            runs: The due time and the cause of each that was executed, as far as is kept, or is
                open.  The open ones are to be read first: they may end meanwhile.
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
    """Return the due times and causes of runs, as :meth:`Backfill.left` takes them."""
    found = [(each.scheduled_us, each.cause) for each in records]
    return found + [(run.due_us, run.cause) for run in runs]
