"""Queries for recorded outcomes, and their order."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from schedcore.run import Outcome, Run, RunRecord

MOST_ID: Final = 2**63 - 1
"""The largest number of databases: no run in one has a larger id."""


def bounded(number: int) -> int:
    """Return *number* within 64 bits, as databases and iterators need it."""
    return max(-MOST_ID, min(number, MOST_ID))


class RunQuery(NamedTuple):
    """A query for a part of the history, newest first.

    The newest is the last one recorded; with a bound in time, the one with the latest due time.
    """

    job_id: str | None = None
    """Which job; None: all."""
    outcomes: Collection[Outcome] | None = None
    """Which outcomes; None: any."""
    since_us: int | None = None
    """Due at this time or later."""
    until_us: int | None = None
    """Due before this time."""
    before: int | None = None
    """The id of a run: only outcomes after it, in this order.  If that run is no longer stored,
those from the first older run on.
    """
    limit: int | None = None
    """Maximum number; None: all that are stored."""
    offset: int = 0
    """How many to skip."""
    job_ids: Collection[str] | None = None
    """Which jobs; None: any."""

    @property
    def by_time(self) -> bool:
        """Whether the order is that of due times, and not of recording."""
        return self.since_us is not None or self.until_us is not None

    def bounded(self) -> RunQuery:
        """Return the same query for a database: with all numbers within 64 bits."""
        given = ((name, getattr(self, name)) for name in _NUMBERS)
        within: dict[str, Any] = {name: bounded(n) for name, n in given if n is not None}
        return self._replace(**within)

    def matches(self, record: Run | RunRecord) -> bool:
        """Return whether the query selects an outcome, ignoring its position."""
        _, outcomes, since_us, until_us, *_, job_ids = self
        if job_ids is not None and record.job_id not in job_ids:
            return False
        if outcomes is not None and record.outcome not in outcomes:
            return False
        due_us = due_us_of(record)
        return (since_us is None or due_us >= since_us) and (until_us is None or due_us < until_us)


_NUMBERS: Final = ("since_us", "until_us", "before", "limit", "offset")


def due_us_of(record: Run | RunRecord) -> int:
    """Return the due time of a record."""
    return record.scheduled_us if isinstance(record, RunRecord) else record.due_us


EVERYTHING: Final = RunQuery()
"""All outcomes that are kept."""
