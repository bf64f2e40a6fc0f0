"""Future runs, and how many of them overlap: an estimate of bounded cost.

:func:`schedcore.forecast` plays the same through with the engine, run by run; this is for pages
that are looked at while the scheduler works, and takes some tenths of a second for any jobs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from schedcore.clock import SECOND, from_us
from schedcore.errors import InvalidOptionError
from schedcore.history.totals import JobTotals
from schedcore.run import Outcome
from schedcore.stores.base import Entry
from schedcore.triggers.combining import coming
from schedcore.triggers.cron import CronTrigger
from schedcore.triggers.interval import IntervalTrigger

MOST_HOURS: Final = 168
BUDGET: Final = 30_000
"""Fire times that are looked up one by one, of all jobs together."""
_ROUNDS: Final = 4
"""Comparisons of a combination's members for each of them."""
_MOST_SLICES: Final = 96
_SLICES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200)
"""Seconds that the parts may have into which the time is divided."""
_ENDED: Final = (Outcome.EXECUTED, Outcome.FAILED, Outcome.TIMED_OUT)


class Slice(NamedTuple):
    """A part of the period."""

    begin_us: int
    runs: float
    """How many runs become due in it."""
    most: float
    """Maximum number of runs at once, if each began when it is due."""
    most_us: int
    """When that is."""


class JobAhead(NamedTuple):
    """The forecast for one job."""

    job_id: str
    executor: str
    times_us: tuple[int, ...]
    """The first due times."""
    runs: int
    """How many there are."""
    took_us: int | None
    """Mean duration of its runs; None: none has ended yet."""


class ExecutorAhead(NamedTuple):
    """The forecast for one executor."""

    name: str
    workers: int | None
    """How many runs can be active at once, in all processes; None: any number."""
    slices: tuple[Slice, ...]


class Crowd(NamedTuple):
    """A period with more runs than workers, so that some begin late."""

    executor: str
    workers: int
    begin_us: int
    end_us: int
    most: float
    """How many runs there would be at once."""
    most_us: int
    """When that is."""


class LoadForecast(NamedTuple):
    """The future runs, if nothing is changed, nothing fails, and durations stay the same."""

    begin_us: int
    end_us: int
    slice_us: int
    """How long each part of it is."""
    jobs: tuple[JobAhead, ...]
    """The jobs that have runs in the period, in the order of their first runs."""
    executors: tuple[ExecutorAhead, ...]
    crowds: tuple[Crowd, ...]
    exact_until_us: int
    """From then on, only the mean number of concurrent runs is known for jobs that run often."""
    unknown: tuple[str, ...]
    """Jobs without a forecast, since their triggers raise."""

    @property
    def runs(self) -> int:
        """Number of runs in the period."""
        return sum(job.runs for job in self.jobs)

    def __repr__(self) -> str:
        begin, end = from_us(self.begin_us).isoformat(), from_us(self.end_us).isoformat()
        crowds = f", {len(self.crowds)} time(s) with too few workers" if self.crowds else ""
        runs = f"{self.runs} run(s) of {len(self.jobs)} job(s)"
        return f"<LoadForecast {begin} to {end}: {runs}{crowds}>"


def check_hours(hours: float) -> None:
    """Refuse a period that cannot be forecast.

    Raises:
        InvalidOptionError: if *hours* is not more than 0, or more than a week's.
    """
    if (
        isinstance(hours, bool)
        or not isinstance(hours, (int, float))
        or not 0 < hours <= MOST_HOURS
    ):
        raise InvalidOptionError("hours", hours, f"a number of more than 0, {MOST_HOURS} at most")


def mean_us(totals: JobTotals) -> int | None:
    """Return how long the runs of a job took on average; None: none has ended."""
    ended = [totals[outcome] for outcome in _ENDED if outcome in totals]
    n = sum(total.n for total in ended)
    return sum(total.took_us for total in ended) // n if n else None


def load_ahead(
    entries: Collection[Entry],
    took_us: Mapping[str, int | None],
    workers: Mapping[str, int | None],
    now_us: int,
    hours: float,
    under_way: Iterable[tuple[str, int]] = (),
    budget: int = BUDGET,
) -> LoadForecast:
    """Return the forecast.

    Args:
        entries: The jobs.
        took_us: How long a run of each takes, by job id.
        workers: How many each executor has, by name.
        now_us: The present moment.
        hours: How far to look ahead.
        under_way: Of each run that is open: its executor, and when it ends.
        budget: How many fire times to look up, of all jobs together.
    """
    span_us = round(hours * 3_600 * SECOND)
    end_us = now_us + span_us
    slice_us = SECOND * next(
        (s for s in _SLICES if s * SECOND * _MOST_SLICES >= span_us), _SLICES[-1]
    )
    first_us = now_us // slice_us * slice_us
    wanted = [
        entry
        for entry in entries
        if entry.broken is None and entry.due_us is not None and entry.due_us < end_us
    ]
    share = max(2, budget // max(1, len(wanted)))
    stride = max(1, -(-len(wanted) * _MOST_SLICES // budget))  # parts counted in one, of many jobs
    grid = _Grid(first_us, end_us, slice_us, stride)
    loads = {name: _Load(grid) for name in workers}
    for name, until_us in under_way:
        if name in loads:
            loads[name].go_on(now_us, until_us)
    jobs, unknown, exact_until_us = [], [], end_us
    for entry in wanted:
        job, load = entry.job, loads.get(entry.job.executor)
        took = took_us.get(job.id)
        try:
            times, is_whole = _times(entry, now_us, end_us, share)
            rest = [] if is_whole else _counts(entry, times, grid)
        except Exception:  # noqa: BLE001 — a trigger may be anybody's; the loop tells what it raises
            unknown.append(job.id)
            continue
        if load is not None:
            load.put(times, took or 0, job.max_instances)
            load.spread(rest, took or 0, job.max_instances)
        if rest:
            exact_until_us = min(exact_until_us, times[-1])
        runs = len(times) + round(sum(step.runs for step in rest))
        jobs.append(JobAhead(job.id, job.executor, tuple(times), runs, took))
    jobs.sort(key=lambda ahead: ahead.times_us[0])
    executors = tuple(ExecutorAhead(name, workers[name], loads[name].slices()) for name in loads)
    crowds = tuple(crowd for each in executors for crowd in _crowds(each, end_us, slice_us))
    return LoadForecast(
        *(now_us, end_us, slice_us, tuple(jobs), executors, crowds),
        *(exact_until_us, tuple(unknown)),
    )


def _times(entry: Entry, now_us: int, end_us: int, share: int) -> tuple[list[int], bool]:
    """Return the first due times of a job, and whether there are no others."""
    assert entry.due_us is not None
    after_us = max(now_us, entry.due_us if entry.fire_us is None else entry.fire_us)
    found = coming(entry.job.trigger, after_us, share, end_us - 1, share * _ROUNDS)
    times = [max(now_us, entry.due_us), *found.instants]
    return times[:share], len(times) <= share and not found.truncated


class _Grid(NamedTuple):
    """How the time is divided."""

    first_us: int
    end_us: int
    slice_us: int
    stride: int
    """How many parts make a step, in which the runs of jobs that run often are counted."""

    def steps(self, after_us: int) -> Iterator[tuple[int, int, int]]:
        """Yield the steps behind a moment, each with its number, beginning and end."""
        step_us = self.slice_us * self.stride
        number = (after_us + 1 - self.first_us) // step_us
        while after_us < self.end_us - 1:
            until_us = min(self.first_us + (number + 1) * step_us, self.end_us) - 1
            yield number, after_us, until_us
            after_us, number = until_us, number + 1


class _Step(NamedTuple):
    number: int
    span_us: int
    runs: float


def _counts(entry: Entry, times: list[int], grid: _Grid) -> list[_Step]:
    """Return how many fire times come behind the last of *times*, by steps."""
    last_us, trigger = times[-1], entry.job.trigger
    if isinstance(trigger, (IntervalTrigger, CronTrigger)):
        return [
            _Step(n, until - after, trigger.count_us(after, until, until - after))
            for n, after, until in grid.steps(last_us)
        ]
    # Others would have to be walked through: as often as up to now.
    rate = (len(times) - 1) / max(1, last_us - times[0])
    return [
        _Step(n, until - after, rate * (until - after)) for n, after, until in grid.steps(last_us)
    ]


class _Load:
    """Adds up the runs of one executor."""

    def __init__(self, grid: _Grid) -> None:
        self._grid = grid
        self._runs = [0.0] * -(-(grid.end_us - grid.first_us) // grid.slice_us)
        steps = -(-len(self._runs) // grid.stride)
        self._counted, self._busy_us = [0.0] * steps, [0.0] * steps
        # Each run's beginning is an odd number, its end an even one, so that a worker which
        # becomes free at a moment is there for what begins in it; plain numbers sort fast.
        self._edges: list[int] = []

    def put(self, times: list[int], took_us: int, most: int) -> None:
        """Add the runs of a job at *times*, of which no more than *most* are under way at once."""
        grid = self._grid
        ends: deque[int] = deque(maxlen=most)
        for us in times:
            self._runs[(us - grid.first_us) // grid.slice_us] += 1
            if len(ends) == most and ends[0] > us:
                continue  # it waits, or is skipped
            end = us + took_us
            ends.append(end)
            self.go_on(us, end)

    def go_on(self, begin_us: int, end_us: int) -> None:
        """Add a run that is under way from one moment to another."""
        self._edges.append(2 * begin_us + 1)
        if end_us < self._grid.end_us:
            self._edges.append(2 * max(end_us, begin_us + 1))

    def spread(self, steps: list[_Step], took_us: int, most: int) -> None:
        """Add runs of which only is known how many come in each step."""
        for number, span_us, runs in steps:
            self._counted[number] += runs
            self._busy_us[number] += min(most * span_us, runs * took_us)

    def slices(self) -> tuple[Slice, ...]:
        """Return the parts of the time."""
        self._edges.sort()
        first_us, end_us, slice_us, stride = self._grid
        starts = [first_us + n * slice_us for n in range(len(self._runs))]
        most, when = [0] * len(starts), starts.copy()
        level = place = 0
        for edge in self._edges:
            us, begins = edge >> 1, edge & 1
            # What ends as a part begins is not in it.
            now = (us - (not begins) - first_us) // slice_us
            while place < now:
                place += 1
                most[place] = level
            level += 1 if begins else -1
            if level > most[now]:
                most[now], when[now] = level, us
        most[place + 1 :] = [level] * (len(most) - place - 1)
        parts = []
        for n, start in enumerate(starts):
            step = n // stride
            span_us = min(slice_us * stride, end_us - starts[step * stride])
            part = min(slice_us, end_us - start) / span_us
            mean = self._busy_us[step] / span_us
            runs = self._runs[n] + self._counted[step] * part
            parts.append(Slice(start, round(runs, 3), round(most[n] + mean, 3), when[n]))
        return tuple(parts)


def _crowds(ahead: ExecutorAhead, end_us: int, slice_us: int) -> list[Crowd]:
    """Return the times in which an executor has more runs than workers."""
    crowds: list[Crowd] = []
    workers = ahead.workers
    for part in ahead.slices if workers is not None else ():
        if workers is None or part.most <= workers:
            continue
        until_us = min(part.begin_us + slice_us, end_us)
        crowd = Crowd(ahead.name, workers, part.begin_us, until_us, part.most, part.most_us)
        if crowds and crowds[-1].end_us == part.begin_us:
            last = crowds.pop()
            peak = max((last.most, last.most_us), (crowd.most, crowd.most_us), key=lambda p: p[0])
            crowd = Crowd(ahead.name, workers, last.begin_us, until_us, *peak)
        crowds.append(crowd)
    return crowds
