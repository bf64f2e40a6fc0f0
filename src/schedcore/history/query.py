"""Which recorded outcomes are asked for, and in which order."""

from collections.abc import Collection
from typing import Final, NamedTuple

from schedcore.run import Outcome, Run, RunRecord


class RunQuery(NamedTuple):
    """A part of the history: what is asked for, from the latest on.

    The latest is what was recorded last; with a bound in time, what was due last.
    """

    job_id: str | None = None
    """Of which job; None: of all."""
    outcomes: Collection[Outcome] | None = None
    """With which outcomes; None: with any."""
    since_us: int | None = None
    """Due then or later."""
    until_us: int | None = None
    """Due before then."""
    before: int | None = None
    """The id of a run: what comes after it in the order asked for.

    If that run is not kept, what comes from the first one on that was made before it.
    """
    limit: int | None = None
    """How many at most; None: all that are kept."""
    offset: int = 0
    """How many to pass over."""
    job_ids: Collection[str] | None = None
    """Of which jobs; None: of any."""

    @property
    def by_time(self) -> bool:
        """Whether the order is that of due times, and not of recording."""
        return self.since_us is not None or self.until_us is not None

    def matches(self, record: Run | RunRecord) -> bool:
        """Return whether an outcome is asked for, wherever in the order it is."""
        _, outcomes, since_us, until_us, *_, job_ids = self
        if job_ids is not None and record.job_id not in job_ids:
            return False
        if outcomes is not None and record.outcome not in outcomes:
            return False
        due_us = due_us_of(record)
        return (since_us is None or due_us >= since_us) and (until_us is None or due_us < until_us)


def due_us_of(record: Run | RunRecord) -> int:
    """Return when what is recorded was due."""
    return record.scheduled_us if isinstance(record, RunRecord) else record.due_us


EVERYTHING: Final = RunQuery()
"""All outcomes that are kept."""
