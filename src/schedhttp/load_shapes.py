"""The forecast as the API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from schedcore import LoadForecast
from schedcore.clock import SECOND, from_us
from schedcore.load_forecast import Crowd, ExecutorAhead, JobAhead, Slice
from schedhttp.shapes import (
    Shape,
    nested,
)

MOST_JOBS: Final = 1_000
MOST_TIMES: Final = 10


class SliceShown(NamedTuple):
    """A part of the period."""

    begin: datetime
    runs: float
    """Number of runs that become due in it; for jobs that run often, the mean."""
    most: float
    """Maximum number of runs at once, if each began when it is due."""
    at: datetime
    """When that is."""

    @classmethod
    def of(cls, part: Slice) -> SliceShown:
        """Return what the API shows of *part*."""
        return cls(from_us(part.begin_us), part.runs, part.most, from_us(part.most_us))


class ExecutorAheadShown(NamedTuple):
    """The forecast for one executor."""

    name: str
    workers: int | None
    """How many runs can be active at once, in all processes; null: any number."""
    slices: tuple[SliceShown, ...]

    @classmethod
    def of(cls, ahead: ExecutorAhead) -> ExecutorAheadShown:
        """Return what the API shows of *ahead*."""
        return cls(ahead.name, ahead.workers, tuple(map(SliceShown.of, ahead.slices)))


class JobAheadShown(NamedTuple):
    """The forecast for one job."""

    job_id: str
    executor: str
    runs: int
    """Number of runs."""
    took: float | None
    """Mean duration of its runs in seconds; null: none has ended yet."""
    next_fire_times: tuple[str, ...]
    """The first ten."""

    @classmethod
    def of(cls, ahead: JobAhead) -> JobAheadShown:
        """Return what the API shows of *ahead*."""
        times = tuple(from_us(us).isoformat() for us in ahead.times_us[:MOST_TIMES])
        took = None if ahead.took_us is None else ahead.took_us / SECOND
        return cls(ahead.job_id, ahead.executor, ahead.runs, took, times)


class CrowdShown(NamedTuple):
    """A period with more runs than workers, so that some begin late."""

    executor: str
    workers: int
    begin: datetime
    end: datetime
    most: float
    """Maximum number of runs at once."""
    at: datetime
    """When that is."""

    @classmethod
    def of(cls, crowd: Crowd) -> CrowdShown:
        """Return what the API shows of *crowd*."""
        begin, end, at = map(from_us, (crowd.begin_us, crowd.end_us, crowd.most_us))
        return cls(crowd.executor, crowd.workers, begin, end, crowd.most, at)


class ForecastShown(NamedTuple):
    """The future runs, if nothing is changed, nothing fails, and durations stay the same."""

    begin: datetime
    end: datetime
    exact_until: datetime
    """From then on, only means are known for jobs that run often."""
    runs: int
    """Number of runs in the period."""
    crowds: tuple[CrowdShown, ...]
    executors: tuple[ExecutorAheadShown, ...]
    jobs: tuple[JobAheadShown, ...]
    """The jobs that have runs, in the order of their first runs; at most 1,000."""
    jobs_left_out: int
    """Number of other jobs."""
    unknown: tuple[str, ...]
    """Jobs without a forecast, since their triggers raise; at most 1,000."""

    @classmethod
    def of(cls, found: LoadForecast) -> ForecastShown:
        """Return what the API shows of *found*."""
        return cls(
            from_us(found.begin_us),
            from_us(found.end_us),
            from_us(found.exact_until_us),
            found.runs,
            tuple(map(CrowdShown.of, found.crowds)),
            tuple(map(ExecutorAheadShown.of, found.executors)),
            tuple(map(JobAheadShown.of, found.jobs[:MOST_JOBS])),
            max(0, len(found.jobs) - MOST_JOBS),
            found.unknown[:MOST_JOBS],
        )


PARTS: Final = {
    each.__name__: nested(each)
    for each in (SliceShown, ExecutorAheadShown, JobAheadShown, CrowdShown)
}
"""The shapes that stand in others, by name."""
FORECAST: Final = Shape(ForecastShown)
