"""What is to come as the API shows it."""

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
    """A part of the time that is looked at."""

    begin: datetime
    runs: float
    """How many runs fall due in it; where jobs run often, as many as on average."""
    most: float
    """How many runs would be under way at once, if each began when it is due."""
    at: datetime
    """When that is."""

    @classmethod
    def of(cls, part: Slice) -> SliceShown:
        """Return what the API shows of *part*."""
        return cls(from_us(part.begin_us), part.runs, part.most, from_us(part.most_us))


class ExecutorAheadShown(NamedTuple):
    """What is to come for one executor."""

    name: str
    workers: int | None
    """How many runs can be under way at once, in all processes; null: any number."""
    slices: tuple[SliceShown, ...]

    @classmethod
    def of(cls, ahead: ExecutorAhead) -> ExecutorAheadShown:
        """Return what the API shows of *ahead*."""
        return cls(ahead.name, ahead.workers, tuple(map(SliceShown.of, ahead.slices)))


class JobAheadShown(NamedTuple):
    """What is to come of one job."""

    job_id: str
    executor: str
    runs: int
    """How many fall due."""
    took: float | None
    """Seconds that its runs took on average; null: none has ended yet."""
    next_fire_times: tuple[str, ...]
    """The first ten."""

    @classmethod
    def of(cls, ahead: JobAhead) -> JobAheadShown:
        """Return what the API shows of *ahead*."""
        times = tuple(from_us(us).isoformat() for us in ahead.times_us[:MOST_TIMES])
        took = None if ahead.took_us is None else ahead.took_us / SECOND
        return cls(ahead.job_id, ahead.executor, ahead.runs, took, times)


class CrowdShown(NamedTuple):
    """A time in which more runs are due than there are workers: some begin late."""

    executor: str
    workers: int
    begin: datetime
    end: datetime
    most: float
    """How many runs there would be at once."""
    at: datetime
    """When that is."""

    @classmethod
    def of(cls, crowd: Crowd) -> CrowdShown:
        """Return what the API shows of *crowd*."""
        begin, end, at = map(from_us, (crowd.begin_us, crowd.end_us, crowd.most_us))
        return cls(crowd.executor, crowd.workers, begin, end, crowd.most, at)


class ForecastShown(NamedTuple):
    """What is to come if nothing is changed, nothing fails, and all takes as long as before."""

    begin: datetime
    end: datetime
    exact_until: datetime
    """From then on, of jobs that run often, only means are known."""
    runs: int
    """How many runs fall due."""
    crowds: tuple[CrowdShown, ...]
    executors: tuple[ExecutorAheadShown, ...]
    jobs: tuple[JobAheadShown, ...]
    """The jobs that have runs, in the order of their first ones; 1,000 at most."""
    jobs_left_out: int
    """How many others there are."""
    unknown: tuple[str, ...]
    """Jobs of which nothing is known, since their triggers raise; 1,000 at most."""

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
