"""One run of a job, from its due time to its outcome, and the call of its function."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from schedcore.clock import SECOND, Flag, from_us, passing_us
from schedcore.history.record import Outcome as Outcome  # used with runs, nearly everywhere
from schedcore.history.record import RunRecord as RunRecord
from schedcore.job import Job

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Run:
    """One run of a job, from its due time to its outcome.

    It waits (behind another run of its job, for a worker, or for its next attempt), its function is
    called, and it ends.  Users only read it; its store and the engine change it.
    """

    # Read-only from outside: each field is behind a property.  The engine, the stores and the
    # executors write the slots themselves, since each run passes through there.
    __slots__ = (
        "_attempt",
        "_awaited",
        "_backlog",
        "_by_hand",
        "_cancelled",
        "_due_us",
        "_ended_us",
        "_error_text",
        "_error_type",
        "_final",
        "_hurry",
        "_id",
        "_job",
        "_job_id",
        "_node",
        "_outcome",
        "_output",
        "_queued_us",
        "_reason",
        "_reporter",
        "_result",
        "_slot",
        "_start",
        "_started_us",
        "_timer",
        "_waits",
    )

    # Left unset where there is nothing to say: each run would pay for it.
    _node: int | None
    _reason: tuple[Outcome, str | None]
    occurrences = 1
    """Number of occurrences: one.  Some records stand for several."""

    def __init__(self, run_id: int, job: Job, due_us: int, slot: Any = None) -> None:
        self._id = run_id
        self._job: Job | None = job
        self._job_id = job[0]
        self._due_us = due_us
        self._slot = slot  # of the store that holds it
        self._attempt = 1
        self._queued_us: int | None = None  # handed to its executor, by the monotonic clock
        self._reporter: Any = None  # whom its executor tells of it, where that keeps it
        self._start: object = None  # there until somebody takes it
        self._started_us: int | None = None
        self._ended_us: int | None = None
        self._outcome: Outcome | None = None
        self._result: str | None = None
        self._error_type: str | None = None
        self._error_text: str | None = None
        self._cancelled = False
        self._final = False  # it is not tried again: its job was paused or removed meanwhile
        self._waits = False  # behind other runs of its job, and not submitted yet
        self._backlog = False  # one of several due times of which each one is to run
        self._hurry = (
            False  # a run waits for its place, or somebody for its end: record that at once
        )
        self._by_hand = False  # somebody asked for it, besides the schedule
        self._awaited: Flag | None = None
        self._timer: object = None
        self._output: Any = None  # what it prints, where that is kept (output/); None: it is not

    def __repr__(self) -> str:
        return f"<Run {self._id} of {self._job_id!r}, due {self.scheduled.isoformat()}>"

    @property
    def id(self) -> int:
        """The run's id: unique, and growing with time."""
        return self._id

    @property
    def job_id(self) -> str:
        """The id of its job."""
        return self._job_id

    @property
    def job(self) -> Job:
        """The definition that is run, as of the run's due time.

        Raises:
            LookupError: once the run has ended, since an ended run keeps no arguments alive.
        """
        if self._job is None:
            raise LookupError(f"{self!r} has ended, and keeps no definition")
        return self._job

    @property
    def fence(self) -> int:
        """A number that grows with each run of its job, in all processes of its store.

        A resource that remembers the greatest one it has seen can refuse an older run, for example
        one of a process that was considered dead and comes back.
        """
        return self._id

    @property
    def due_us(self) -> int:
        """Its fire time, in microseconds since the Unix epoch."""
        return self._due_us

    @property
    def scheduled(self) -> datetime:
        """Its fire time, in UTC."""
        return from_us(self._due_us)

    @property
    def cause(self) -> str:
        """Why it is due: ``"schedule"``, ``"manual"`` or ``"backfill"``; see :class:`RunRecord`."""
        if self._by_hand:
            return "manual"
        return "backfill" if self._backlog else "schedule"

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._attempt

    @property
    def started_us(self) -> int | None:
        """When the function was called, in microseconds since the Unix epoch; None: not yet."""
        return self._started_us

    @property
    def ended_us(self) -> int | None:
        """When it ended, in microseconds since the Unix epoch; None: not yet."""
        return self._ended_us

    @property
    def state(self) -> str:
        """``"waiting"``, ``"running"``: its function was called; or ``"ended"``."""
        if self._outcome is not None:
            return "ended"
        return "waiting" if self._started_us is None else "running"

    @property
    def node(self) -> int | None:
        """The number of the process that owns it, on a shared store; None: no process yet."""
        return getattr(self, "_node", None)

    @property
    def reason(self) -> str | None:
        """Facts about how it ended early; see :attr:`RunRecord.reason`."""
        return None if self._outcome is None else reason_of(self, self._outcome)

    @property
    def outcome(self) -> Outcome | None:
        """Its outcome; None: it has not ended."""
        return self._outcome

    @property
    def error_type(self) -> str | None:
        """The type of the error that its last attempt raised; None: it did not fail."""
        return self._error_type

    @property
    def error_text(self) -> str | None:
        """The text of that."""
        return self._error_text

    def why(self) -> str:
        """Return one sentence that describes its state or its outcome, and the reason."""
        if (record := self.record) is not None:
            return record.why()
        if self._started_us is not None:
            return f"running: since {from_us(self._started_us).isoformat()}"
        if self._waits:
            return "waiting: other runs of its job have not ended"
        if self._error_type is not None:
            error = f"{self._error_type}: {self._error_text}"
            return f"waiting: attempt {self._attempt} follows, after {error}"
        return "waiting: no worker of its executor has begun it"

    @property
    def lateness(self) -> float:
        """Seconds from the fire time to the call of the function; 0 while it waits."""
        began_us = self._due_us if self._started_us is None else self._started_us
        return max(0, began_us - self._due_us) / SECOND  # the clock may have been set back

    @property
    def cancelled(self) -> bool:
        """Whether it was ended early, so that the function's result will be ignored.

        Long-running functions should check this from time to time, and return.
        """
        return self._cancelled

    def take_start(self) -> bool:
        """Return True to the first caller only, which may begin or withdraw the run.

        For the engine and stores: both may call it at the same moment, in two threads.
        """
        try:
            del self._start  # in one step, and without a lock, which a fork would inherit
        except AttributeError:
            return False
        return True

    def withdraw(self) -> bool:
        """Prevent it from beginning; False: it has begun.  For stores."""
        return self._started_us is None and self.take_start()

    def may_begin(self) -> None:
        """Let it begin, after :meth:`withdraw` or for another attempt.  For stores."""
        self._started_us = self._start = None

    @property
    def record(self) -> RunRecord | None:
        """Its record in the history; None: it has not ended."""
        return None if self._outcome is None else record_of(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended or *timeout* seconds have passed; return whether it ended.

        Only for runs that :meth:`Scheduler.run_job` returned.
        """
        if self._awaited is None:
            assert self._outcome is not None, "this run was not made to be waited for"
            return True
        return self._awaited.wait(timeout)


def reason_of(run: Run, outcome: Outcome) -> str | None:
    """Return the reason for ending the run with this outcome, if one was set.

    The run may end with another outcome, if it ends by itself just before.
    """
    meant, reason = getattr(run, "_reason", (None, None))
    return reason if meant is outcome else None


def record_of(run: Run) -> RunRecord:
    """Return the record of a run that has ended."""
    assert run._outcome is not None
    assert run._ended_us is not None
    late_us = (run._ended_us if run._started_us is None else run._started_us) - run._due_us
    return RunRecord(
        run._id,
        run._job_id,
        run._outcome,
        run._due_us,
        run._started_us,
        run._ended_us,
        max(0, late_us),
        1,
        run._result,
        run._error_type,
        run._error_text,
        run._attempt,
        run.cause,
        run.reason,
        run.node,
    )


def ended_run(job: Job, record: RunRecord) -> Run:
    """Return the run that a record describes."""
    assert record.run_id is not None
    run = Run(record.run_id, job, record.scheduled_us)
    end_as(run, record)
    return run


def end_as(run: Run, record: RunRecord) -> None:
    """Set the end that a record describes on a run that ended in another process."""
    run._started_us, run._ended_us, run._result = record[4], record[5], record[8]
    run._error_type, run._error_text = record.error_type, record.error_text
    run._attempt, run._by_hand = record.attempt, record.cause == "manual"
    run._backlog, run._node = record.cause == "backfill", record.node
    run._reason = record.outcome, record.reason
    run._outcome, run._job = record.outcome, None


_current: ContextVar[Run] = ContextVar("schedcore_current_run")


def current_run() -> Run:
    """Return the run that this thread or task is executing.

    Raises:
        LookupError: if it is not executing one.
    """
    run = _current.get(None)
    if run is None:
        raise LookupError("no run is active here: call current_run() inside a job")
    return run


def run_here() -> Run | None:
    """Return the run that this thread or task is executing, or None."""
    return _current.get(None)


def named(run: Run) -> dict[str, object]:
    """Return the fields that name a run in a log record; its id as text, as in the API."""
    return {"job_id": run._job_id, "run_id": str(run._id)}


def call(run: Run) -> Any:
    """Call the run's function with :func:`current_run` set; its exceptions are raised.

    If it returns a coroutine, that is run to its end, on a new event loop.

    Raises:
        TypeError: if it returns a generator, since none of that function's code ran.
    """
    job = run._job
    assert job is not None
    _, func, args, kwargs, _, _, _, _ = job
    assert func is not None  # the engine resolved it
    token = _current.set(run)
    try:
        value = func(*args, **kwargs) if kwargs else func(*args)
        return value if value is None else completed(value)
    finally:
        _current.reset(token)


def call_as(
    run: Run, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Call a function with :func:`current_run` set to *run*; its exceptions are raised."""
    token = _current.set(run)
    try:
        return completed(func(*args, **kwargs))
    finally:
        _current.reset(token)


def completed(value: Any) -> Any:
    """Return a function's result; a coroutine is run to its end.

    Raises:
        TypeError: if it is a generator, which nothing iterates over.
    """
    return _run_coroutine(value) if type(value) is CoroutineType else _no_generator(value)


def _no_generator(value: Any) -> Any:
    """Return *value*, unless it is a generator, so that none of the function's code ran.

    A generator function is refused when its job is added; a wrapper of one looks like any function.
    """
    if type(value) is GeneratorType or type(value) is AsyncGeneratorType:
        raise TypeError(
            f"the function returned the generator {value.__qualname__}, never iterated over:"
            " iterate over it in the function, as in 'for _ in ...: pass'"
        )
    return value


def _run_coroutine(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    import asyncio  # 28 ms, and seldom needed here

    async def in_real_time() -> Any:
        go_by_real_time(asyncio.get_running_loop())
        return await coroutine

    return asyncio.run(in_real_time())


def load_asyncio() -> None:
    """Import asyncio: 28 ms, only for users of coroutine functions."""
    import asyncio  # noqa: F401


def loop_here() -> AbstractEventLoop | None:
    """Return the event loop that is running in this thread, or None."""
    loaded = sys.modules.get("asyncio")  # where nobody has imported it, none runs
    return None if loaded is None else loaded._get_running_loop()


def go_by_real_time(loop: AbstractEventLoop) -> None:
    """Make an event loop use real time for its delays, also while freezegun has frozen the time."""
    with suppress(AttributeError):  # one that is not of Python's own, and has a clock of its own
        loop.time = lambda: passing_us() / SECOND  # type: ignore[method-assign]


async def call_async(run: Run) -> Any:
    """Call the run's function in this task, and await what it returns if that can be awaited."""
    job = run._job
    assert job is not None
    func: Callable[..., Any] = job.func  # type: ignore[assignment]  # the engine resolved it
    token = _current.set(run)
    try:
        value = func(*job.args, **job.kwargs)
        return await value if isinstance(value, Awaitable) else _no_generator(value)
    finally:
        with suppress(ValueError):  # a coroutine that is closed from elsewhere
            _current.reset(token)


class ResultText(str):
    """What a function returned in another process, as stored in the history."""

    __slots__ = ()


def short_repr(value: object) -> str | None:
    """Return a bounded repr of *value*, whatever its own ``__repr__`` does; None for None."""
    if value is None:
        return None
    if type(value) is ResultText:
        return str(value)
    try:
        return _SHORT.repr(value)[:MAX_RESULT]
    except BaseException as error:  # noqa: BLE001 — a user's __repr__ may raise anything
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


MAX_RESULT = 1_000
"""Length to which the repr of a function's result is cut."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
