"""How the last runs of a job went: what a list of jobs shows beside each."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final, NamedTuple

from schedcore.clock import SECOND
from schedcore.history.record import Outcome, RunRecord

LOOKED_AT: Final = 100
"""Outcomes of a job that are looked at: the last ones."""
_FAILURES: Final = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST})


class LastRuns(NamedTuple):
    """How the last runs of a job went, as far as they are kept, and the last 100 at most."""

    last: RunRecord | None
    """The outcome that was recorded last; None: none is kept."""
    failures_in_a_row: int
    """How many runs failed, timed out or were lost since the last one that was executed.  What did
    not run, or was cancelled, counts for neither."""
    mean_duration: float | None
    """Seconds that those took that were executed; None: none was."""
    p95_duration: float | None
    """Seconds within which 95 of 100 of them had ended."""


def last_runs(records: Sequence[RunRecord]) -> LastRuns:
    """Return how runs of a job went.

    Args:
        records: Its outcomes, the latest first.
    """
    failures = 0
    for record in records:
        if record.outcome is Outcome.EXECUTED:
            break
        failures += record.outcome in _FAILURES
    durations = sorted(
        record.ended_us - record.started_us
        for record in records
        if record.outcome is Outcome.EXECUTED
        and record.started_us is not None
        and record.ended_us is not None
    )
    if not durations:
        return LastRuns(records[0] if records else None, failures, None, None)
    mean = sum(durations) / len(durations) / SECOND
    longest = durations[ceil(0.95 * len(durations)) - 1] / SECOND
    return LastRuns(records[0], failures, mean, longest)
