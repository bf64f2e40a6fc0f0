"""One run of a job, how it ended, and the run that is under way in this thread or task."""

from __future__ import annotations

import reprlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime
from enum import Enum
from threading import Event
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, NamedTuple

from schedcore.clock import SECOND, from_us, passing_us
from schedcore.errors import text_of
from schedcore.job import Job

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Outcome(str, Enum):
    """How a due occurrence ended.  Each one ends in exactly one of these."""

    EXECUTED = "executed"
    """The function returned."""
    FAILED = "failed"
    """The function raised."""
    MISSED = "missed"
    """It was later than ``misfire_grace_time`` allows."""
    COALESCED = "coalesced"
    """An earlier occurrence of the same backlog ran for it."""
    SKIPPED = "skipped"
    """``max_instances`` runs of the job were under way."""
    PAUSED = "paused"
    """Its job was paused."""
    SHED = "shed"
    """The executor's queue was full."""
    CANCELLED = "cancelled"
    """It was called off, before it began or under way."""
    TIMED_OUT = "timed_out"
    """It took longer than the job's ``timeout``, and was given up."""
    LOST = "lost"
    """Its process ended while it was under way."""

    # Enum's own hash is written in Python, 5 times slower; outcomes are counted at each run.
    __hash__ = str.__hash__


class RunRecord(NamedTuple):
    """What is remembered of one outcome; holds text only, so that it keeps nothing alive."""

    run_id: int | None
    """None where no run was made: missed, coalesced and skipped occurrences."""
    job_id: str
    outcome: Outcome
    scheduled_us: int
    """When it was due; the first one, where the record stands for several."""
    started_us: int | None = None
    ended_us: int | None = None
    late_us: int = 0
    """How long after its due time it started, or was given up."""
    occurrences: int = 1
    """How many occurrences the record stands for."""
    result: str | None = None
    """The repr of what the function returned, shortened; None where that was None."""
    error_type: str | None = None
    error_text: str | None = None
    attempt: int = 1
    """Which attempt ended it, from 1."""

    def __repr__(self) -> str:
        parts = [f"<RunRecord of {self.job_id!r}: {self.outcome.value}"]
        if self.occurrences != 1:
            parts.append(f"{self.occurrences} occurrences")
        parts.append(f"due {self.scheduled.isoformat()}")
        if self.late_us:
            parts.append(f"{self.lateness:.3f} s late")
        if self.started_us is not None and self.ended_us is not None:
            parts.append(f"took {(self.ended_us - self.started_us) / SECOND:.3f} s")
        if self.attempt != 1:
            parts.append(f"attempt {self.attempt}")
        if self.error_type is not None:
            parts.append(f"{self.error_type}: {self.error_text}")
        elif self.result is not None:
            parts.append(f"result {self.result}")
        if self.run_id is not None:
            parts.append(f"run {self.run_id}")
        return ", ".join(parts) + ">"

    @property
    def scheduled(self) -> datetime:
        """When it was due, in UTC."""
        return from_us(self.scheduled_us)

    @property
    def started(self) -> datetime | None:
        """When the function was called, in UTC."""
        return None if self.started_us is None else from_us(self.started_us)

    @property
    def ended(self) -> datetime | None:
        """When the function returned or raised, in UTC."""
        return None if self.ended_us is None else from_us(self.ended_us)

    @property
    def lateness(self) -> float:
        """Seconds by which it started late, or by which it was too late."""
        return self.late_us / SECOND


class Run:
    """One run of a job: waiting, under way, or ended.

    Attributes:
        id: Unique over processes, and growing: see :class:`~schedcore.runids.RunIds`.
        job: The definition that is run, as it was when the run fell due.
        job_id: Its id.
        due_us: When it fell due, in microseconds since the Unix epoch.
        queued_us: When it was handed to its executor, by the clock that never steps.
        started_us: When the function was called; None while it waits.
        ended_us: When the function returned or raised; None until then.
        attempt: Which attempt this is, from 1.
        cancelled: Whether it was given up, cancelled or timed out: what it returns will not be
            heard.  A function that takes long should look at it now and then, and return.
        record: How it ended, for a run that was made to be waited for.
        awaited: Set when such a run has ended; None for others.
    """

    __slots__ = (
        "attempt",
        "awaited",
        "cancelled",
        "due_us",
        "ended_us",
        "id",
        "job",
        "job_id",
        "queued_us",
        "record",
        "started_us",
    )

    def __init__(self, run_id: int, job: Job, due_us: int, awaited: Event | None = None) -> None:
        self.id = run_id
        self.job = job
        self.job_id = job.id
        self.due_us = due_us
        self.queued_us: int | None = None
        self.started_us: int | None = None
        self.ended_us: int | None = None
        self.attempt = 1
        self.cancelled = False
        self.record: RunRecord | None = None
        self.awaited = awaited

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.job_id!r}, due {self.scheduled_time.isoformat()}>"

    @property
    def scheduled_time(self) -> datetime:
        """When the run fell due, in UTC."""
        return from_us(self.due_us)

    @property
    def lateness(self) -> float:
        """Seconds from the due time to the call of the function; 0 while it waits."""
        return 0.0 if self.started_us is None else (self.started_us - self.due_us) / SECOND

    def settle(self, record: RunRecord) -> None:
        """Note how the run ended, for those who wait for it."""
        if self.awaited is not None:
            self.record = record
            self.awaited.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended or *timeout* seconds are over; return whether it ended.

        Only for a run that was made to be waited for.
        """
        assert self.awaited is not None, "this run was not made to be waited for"
        return self.awaited.wait(timeout)


_current: ContextVar[Run] = ContextVar("schedcore_current_run")


def current_run() -> Run:
    """Return the run that this thread or task is executing.

    Raises:
        LookupError: if it is not executing one.
    """
    run = _current.get(None)
    if run is None:
        raise LookupError("no run is under way here: call current_run() inside a job")
    return run


def run_here() -> Run | None:
    """Return the run that this thread or task is executing, or None."""
    return _current.get(None)


def call(run: Run) -> Any:
    """Call the run's function with :func:`current_run` set; whatever it raises comes out.

    A coroutine that it returns is run to its end, on an event loop made for it.

    Raises:
        TypeError: if it returns a generator, of whose function nothing ran.
    """
    _, func, args, kwargs, _, _, _, _ = run.job
    assert func is not None  # the engine resolved it
    token = _current.set(run)
    try:
        value = func(*args, **kwargs) if kwargs else func(*args)
        return value if value is None else completed(value)
    finally:
        _current.reset(token)


def completed(value: Any) -> Any:
    """Return what a function gave, or what comes of it: a coroutine is run to its end.

    Raises:
        TypeError: if it is a generator, which nobody will go through.
    """
    return _run_coroutine(value) if type(value) is CoroutineType else _no_generator(value)


def _no_generator(value: Any) -> Any:
    """Return *value*, unless nothing of the function that made it ran.

    Such a function itself is refused when its job is added; a wrapper around it cannot be told.
    """
    if type(value) is GeneratorType or type(value) is AsyncGeneratorType:
        raise TypeError(
            f"the function returned the generator {value.__qualname__}, which nobody goes through:"
            " go through it in the function, as in 'for _ in ...: pass'"
        )
    return value


def _run_coroutine(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    import asyncio  # 28 ms, and seldom needed here

    async def in_real_time() -> Any:
        go_by_real_time(asyncio.get_running_loop())
        return await coroutine

    return asyncio.run(in_real_time())


def load_asyncio() -> None:
    """Import what coroutines run on: 28 ms, for those who have coroutine functions."""
    import asyncio  # noqa: F401


def go_by_real_time(loop: AbstractEventLoop) -> None:
    """Have an event loop's delays be of real time, also where freezegun has frozen it."""
    with suppress(AttributeError):  # one that is not of Python's own, and has a clock of its own
        loop.time = lambda: passing_us() / SECOND  # type: ignore[method-assign]


async def call_async(run: Run) -> Any:
    """Call the run's function in this task, and await what it returns if that can be awaited."""
    job = run.job
    func: Callable[..., Any] = job.func  # type: ignore[assignment]  # the engine resolved it
    _current.set(run)  # the context is the task's own and ends with it
    value = func(*job.args, **job.kwargs)
    return await value if isinstance(value, Awaitable) else _no_generator(value)


def record_of(
    run: Run,
    outcome: Outcome,
    now_us: int,
    value: object = None,
    error: BaseException | None = None,
) -> RunRecord:
    """Return the record of a run that ended now; it holds text only, and keeps nothing alive."""
    due_us, started_us = run.due_us, run.started_us
    late_us = (now_us if started_us is None else started_us) - due_us
    # Not RunRecord(...): each run comes by here, and that call takes 0.1 us longer.
    return tuple.__new__(
        RunRecord,
        (
            run.id,
            run.job_id,
            outcome,
            due_us,
            started_us,
            now_us,
            late_us if late_us > 0 else 0,
            1,
            None if value is None else short_repr(value),
            None if error is None else type(error).__qualname__,
            None if error is None else text_of(error),
            run.attempt,
        ),
    )


def short_repr(value: object) -> str | None:
    """Return a bounded repr of *value*, whatever its own ``__repr__`` does; None for None."""
    if value is None:
        return None
    try:
        return _SHORT.repr(value)[:MAX_RESULT]
    except BaseException as error:  # noqa: BLE001 — a user's __repr__ may raise anything
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


MAX_RESULT = 1_000
"""Characters that are kept of the repr of what a function returned."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
