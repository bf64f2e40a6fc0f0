"""Totals: counts of all occurrences ever, how long runs took, and how late they began."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

from schedcore.clock import SECOND
from schedcore.history.record import recorded_us, took_us
from schedcore.run import Outcome, Run, RunRecord, record_of

BOUNDS: Final = (
    *(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0),
    *(60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, inf),
)
"""Seconds: each span of time is counted with the first one that it does not exceed."""
_BOUNDS_US: Final = tuple(bound * SECOND for bound in BOUNDS)
_FIRST_US: Final = _BOUNDS_US[0]


class Total(NamedTuple):
    """How often a job ended in one outcome."""

    n: int = 0
    """Number of occurrences."""
    took_us: int = 0
    """Total duration of its runs with this outcome."""
    last_us: int = 0
    """When this was last recorded."""

    def plus(self, n: int, took_us: int, last_us: int) -> Total:
        """Return it with what was recorded after it."""
        # Not the greatest last_us: after a clock was wrong, that may be in the future for years.
        return Total(self.n + n, self.took_us + took_us, last_us)


JobTotals = dict[Outcome, Total]


class Histogram:
    """Spans of time, counted in the places of :data:`BOUNDS`.

    Attributes:
        counts: How many there are in each place.
        sum_us: All spans together, in microseconds.
    """

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * len(BOUNDS)
        self.sum_us = 0

    def __repr__(self) -> str:
        """Show how many spans there are, and how long they are together."""
        return f"<Histogram of {sum(self.counts)} spans, {self.sum_us / SECOND:g} s in all>"

    def add(self, spans_us: Sequence[int]) -> None:
        """Count spans, given in microseconds."""
        if not spans_us:
            return
        if min(spans_us) < 0:  # the clock was set back
            spans_us = [max(0, span) for span in spans_us]
        self.sum_us += sum(spans_us)
        # In memory each run passes here, and nearly all are brief and on time.
        longer = [span for span in spans_us if span > _FIRST_US]
        self.counts[0] += len(spans_us) - len(longer)
        for span in longer:
            self.counts[bisect_left(_BOUNDS_US, span)] += 1

    def put(self, bound: float, count: int, sum_us: int) -> None:
        """Add what was counted up to a bound, which another version may have had."""
        self.counts[bisect_left(BOUNDS, bound)] += count
        self.sum_us += sum_us

    def copy(self) -> Histogram:
        """Return another one that is equal, and changes no more."""
        copied = Histogram()
        copied.counts, copied.sum_us = self.counts.copy(), self.sum_us
        return copied


class Totals(NamedTuple):
    """Counts of all occurrences ever, including those whose records were deleted."""

    overall: Mapping[Outcome, int]
    """Number of occurrences of all jobs, by outcome."""
    jobs: Mapping[str, JobTotals]
    """The same by job, for requested jobs with ended occurrences."""
    took: Histogram
    """How long runs took: all that began, and whose end is known."""
    late: Histogram
    """How long after its due time the first attempt of each of these began."""


def bound_of(span_us: int) -> float:
    """Return with which of :data:`BOUNDS` a span is counted."""
    return BOUNDS[bisect_left(_BOUNDS_US, span_us)]


def add_totals(ended: Sequence[Run | RunRecord], totals: JobTotals) -> list[Run | RunRecord]:
    """Add what ended of one job to its totals; return what of it is no plain success."""
    executed = Outcome.EXECUTED
    # In memory each run passes here, and nearly all are successes.
    good = [
        each
        for each in ended
        if type(each) is Run and each._outcome is executed and each._started_us is not None
    ]
    if good:
        spans: list[int] = [run._ended_us - run._started_us for run in good]  # type: ignore[operator]
        if min(spans) < 0:  # the clock was set back
            spans = [max(0, span) for span in spans]
        last: int = good[-1]._ended_us  # type: ignore[assignment]
        totals[executed] = totals.get(executed, Total()).plus(len(good), sum(spans), last)
        if len(good) == len(ended):
            return []
    counted = set(map(id, good))
    others = [each for each in ended if id(each) not in counted]
    for each in others:
        record = record_of(each) if isinstance(each, Run) else each
        before = totals.get(record.outcome, Total())
        totals[record.outcome] = before.plus(
            record.occurrences, took_us(record) or 0, recorded_us(record)
        )
    return others


def measure(ended: Sequence[Run | RunRecord], took: Histogram, late: Histogram) -> None:
    """Count how long runs took, and how late they began."""
    lost = Outcome.LOST
    runs = [
        each
        for each in ended
        if type(each) is Run and each._started_us is not None and each._outcome is not lost
    ]
    # Not took_us() of records: all in memory passes here, and that takes five times as long.
    took.add([run._ended_us - run._started_us for run in runs])  # type: ignore[operator]
    late.add([run._started_us - run._due_us for run in runs if run._attempt == 1])  # type: ignore[operator]
    for each in ended if len(runs) < len(ended) else ():
        if isinstance(each, RunRecord) and (span_us := took_us(each)) is not None:
            took.add((span_us,))
            if each.attempt == 1:
                late.add((each.late_us,))
