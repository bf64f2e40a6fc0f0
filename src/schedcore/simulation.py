"""The same engine in virtual time: a year of jobs in seconds, and forecasts."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from schedcore.basics.logs import GuardedLogger
from schedcore.clock import SECOND, ManualClock, from_us, to_us
from schedcore.engine import Engine
from schedcore.errors import InvalidOptionError, SchedulerAlreadyRunningError
from schedcore.events import Listeners
from schedcore.executors.base import Executor, Reporter
from schedcore.executors.inline import InlineExecutor
from schedcore.history.history import History
from schedcore.lifetime.health import State
from schedcore.load_forecast import mean_us
from schedcore.run import Outcome, Run
from schedcore.scheduler import Scheduler
from schedcore.stores.memory import MemoryStore

# The outcomes of simulated runs are not logged.
_silent = GuardedLogger(__name__, silent=True)

MAX_FIRES = 100_000
"""Maximum number of fire times in one forecast."""


def simulate(scheduler: Scheduler, until: datetime | timedelta) -> Mapping[Outcome, int]:
    """Run a scheduler's jobs in virtual time, in this thread, and return when *until* is reached.

    The clock jumps from one due time to the next.  Each run is really called, and takes no virtual
    time unless it moves the clock itself.  The same jobs and the same start give the same runs
    every time (with jitter: pass ``Scheduler(random=Random(seed))``).

    Args:
        scheduler: One that is not started and was made with ``clock=ManualClock(...)``.
        until: The end of the simulation: an aware datetime, or a timedelta from now.

    Returns:
        How many occurrences ended in each outcome so far, as :meth:`Scheduler.counts` does.

    Raises:
        SchedulerAlreadyRunningError: if the scheduler is started.
        InvalidOptionError: if its clock is not a ManualClock, or *until* has passed.
    """
    clock = scheduler._clock
    if scheduler.state is not State.STOPPED:
        raise SchedulerAlreadyRunningError
    if not isinstance(clock, ManualClock):
        raise InvalidOptionError("clock", clock, "Scheduler(clock=ManualClock(...))")
    end_us = _end_us(until, clock.now_us())
    with _all_inline(scheduler._executors):
        _drive(scheduler._engine, clock, end_us)
    return scheduler.counts()


class Fire(NamedTuple):
    """One future run."""

    time: datetime
    """Its due time, in the zone of the job's trigger."""
    job_id: str


class Forecast(NamedTuple):
    """The future runs, if nothing is changed and nothing fails."""

    fires: list[Fire]
    """The runs, in the order of their times."""
    peaks: Mapping[str, int]
    """Maximum number of open runs at once, by executor."""
    longest_wait: float
    """Longest wait of a run for a free worker, in seconds."""
    skipped: int
    """How many runs are skipped because ``max_instances`` of their job are active."""
    complete: bool
    """Whether all fire times are listed; not so beyond :data:`MAX_FIRES`."""

    def __repr__(self) -> str:
        more = "" if self.complete else " or more"
        return (
            f"<Forecast: {len(self.fires)}{more} run(s), {self.skipped} skipped,"
            f" longest wait {self.longest_wait:.3f} s>"
        )


def forecast(
    scheduler: Scheduler,
    until: datetime | timedelta,
    durations: Mapping[str, float] | None = None,
) -> Forecast:
    """Compute what will fire when, and the resulting load, without running or changing anything.

    The scheduler's jobs are copied into a separate engine, whose executors have as many workers as
    the real ones and call nothing.

    Args:
        scheduler: Started or not.
        until: The end of the forecast: an aware datetime, or a timedelta from now.
        durations: Seconds that a run takes, by job id; default: the mean of the recorded runs, and
            0 for jobs that never ran.

    Raises:
        InvalidOptionError: if *until* has passed.
    """
    clock = ManualClock(from_us(scheduler._clock.now_us()))
    end_us = _end_us(until, clock.now_us())
    store = MemoryStore(History(per_job=1, overall=1))
    entries = scheduler.entries()
    store.write(entries, clock.now_us())
    totals = scheduler.totals([entry.job.id for entry in entries]).jobs
    means = {job_id: (mean_us(ended) or 0) / SECOND for job_id, ended in totals.items()}
    stage = _Stage(clock, means | dict(durations or {}))
    executors = {
        name: _SimulatedExecutor(stage, executor) for name, executor in scheduler._executors.items()
    }
    random = Random(0)
    listeners = Listeners()
    engine = Engine(store, dict(executors), listeners, clock, random, _silent)
    _drive(engine, clock, end_us, stage)
    return Forecast(
        stage.fires,
        {name: executor.peak for name, executor in executors.items() if executor.peak},
        stage.longest_wait_us / SECOND,
        engine.runs.settled().counts(None).get(Outcome.SKIPPED, 0),
        len(stage.fires) < MAX_FIRES,
    )


class _Stage:
    """The virtual runs: when each running one ends, and what has fired so far."""

    def __init__(self, clock: ManualClock, durations: Mapping[str, float]) -> None:
        self.clock = clock
        self.fires: list[Fire] = []
        self.longest_wait_us = 0
        self._durations = durations
        self._ends: list[tuple[int, int, Run, _SimulatedExecutor]] = []

    def first_end(self) -> int | None:
        return self._ends[0][0] if self._ends else None

    def begin(self, run: Run, executor: _SimulatedExecutor) -> None:
        now_us = self.clock.now_us()
        self.longest_wait_us = max(self.longest_wait_us, now_us - run.due_us)
        end_us = now_us + round(self._durations.get(run.job_id, 0.0) * SECOND)
        heapq.heappush(self._ends, (end_us, run.id, run, executor))

    def end_due(self) -> None:
        while self._ends and self._ends[0][0] <= self.clock.now_us():
            _, _, run, executor = heapq.heappop(self._ends)
            executor.ended(run)

    def fired(self, run: Run) -> None:
        time = from_us(run.due_us, run.job.trigger.timezone)
        self.fires.append(Fire(time, run.job_id))


class _SimulatedExecutor:
    """An executor that calls nothing; each run takes as long as it is expected to."""

    def __init__(self, stage: _Stage, real: Executor) -> None:
        self.peak = 0
        self._stage = stage
        self._workers: int | None = getattr(real, "max_workers", None)
        self._busy = 0
        self._waiting: deque[Run] = deque()
        self._reporters: dict[int, Reporter] = {}

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        for run in runs:
            self._stage.fired(run)
            self._reporters[run.id] = reporter
            self._waiting.append(run)
        self.peak = max(self.peak, self._busy + len(self._waiting))
        self._begin_waiting()

    def ended(self, run: Run) -> None:
        reporter = self._reporters.pop(run.id, None)
        if reporter is not None:
            self._busy -= 1
            reporter.end(run, None, None)
            self._begin_waiting()

    def abandon(self, run: Run) -> None:
        """Free the worker of a run that takes longer than its timeout, as a pool does."""
        if self._reporters.pop(run.id, None) is not None:
            self._busy -= 1
            self._begin_waiting()

    def shutdown(self, timeout: float | None) -> None:
        """Do nothing: there are no threads."""

    def _begin_waiting(self) -> None:
        while self._waiting and (self._workers is None or self._busy < self._workers):
            run = self._waiting.popleft()
            if self._reporters[run.id].begin(run):
                self._busy += 1
                self._stage.begin(run, self)
            else:
                del self._reporters[run.id]


def _drive(engine: Engine, clock: ManualClock, end_us: int, stage: _Stage | None = None) -> None:
    """Step the engine from due time to due time, up to and including *end_us*."""
    while True:
        now_us = clock.now_us()
        next_us = engine.step(now_us)
        if stage is not None:
            stage.end_due()
            if len(stage.fires) >= MAX_FIRES:
                return
            first_end_us = stage.first_end()
            if first_end_us is not None and (next_us is None or first_end_us < next_us):
                next_us = first_end_us
        if next_us is None or next_us > end_us:
            break
        if next_us > clock.now_us():
            clock.set_us(next_us)
    if clock.now_us() < end_us:
        clock.set_us(end_us)


@contextmanager
def _all_inline(executors: dict[str, Executor]) -> Iterator[None]:
    """Put an inline executor in the place of each, and put them back."""
    real = dict(executors)
    executors.update(dict.fromkeys(real, InlineExecutor()))
    try:
        yield
    finally:
        executors.update(real)


def _end_us(until: datetime | timedelta, now_us: int) -> int:
    if isinstance(until, timedelta):
        end_us = now_us + until // timedelta(microseconds=1)
    elif isinstance(until, datetime) and until.utcoffset() is not None:
        end_us = to_us(until)
    else:
        raise InvalidOptionError("until", until, "an aware datetime, or a timedelta from now")
    if end_us < now_us:
        raise InvalidOptionError("until", until, f"no earlier than now, {from_us(now_us)}")
    return end_us
