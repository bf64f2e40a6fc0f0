"""How the last runs of a job went, as lists of jobs show it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final, NamedTuple

from schedcore.clock import SECOND
from schedcore.history.record import Outcome, RunRecord, took_us

MOST_RECORDS: Final = 100
"""Maximum number of a job's last outcomes to consider."""
_FAILURES: Final = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST})


class LastRuns(NamedTuple):
    """How the last runs of a job went: those in the history, at most the last 100."""

    last: RunRecord | None
    """The last recorded outcome; None: none is stored."""
    failures_in_a_row: int
    """How many runs failed, timed out or were lost since the last executed one.  Runs that were
    cancelled or did not run count as neither."""
    mean_duration: float | None
    """Mean duration of the executed runs in seconds; None: there were none."""
    p95_duration: float | None
    """Their 95th percentile, in seconds."""


def last_runs(records: Sequence[RunRecord]) -> LastRuns:
    """Return how runs of a job went.

    Args:
        records: Its outcomes, newest first.
    """
    failures = 0
    for record in records:
        if record.outcome is Outcome.EXECUTED:
            break
        failures += record.outcome in _FAILURES
    durations = sorted(
        span_us
        for record in records
        if record.outcome is Outcome.EXECUTED and (span_us := took_us(record)) is not None
    )
    if not durations:
        return LastRuns(records[0] if records else None, failures, None, None)
    mean = sum(durations) / len(durations) / SECOND
    longest = durations[ceil(0.95 * len(durations)) - 1] / SECOND
    return LastRuns(records[0], failures, mean, longest)
