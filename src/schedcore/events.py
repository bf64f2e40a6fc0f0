"""What happens in a scheduler, as events for listeners.

The codes are bits, so that a mask can name several: ``EVENT_JOB_EXECUTED | EVENT_JOB_ERROR``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from types import CoroutineType
from typing import Any, Final, NamedTuple

from schedcore.basics.atfork import Lock, hold_while_forking
from schedcore.basics.callables import makes_coroutine, makes_generator
from schedcore.basics.funcref import name_of
from schedcore.basics.logs import GuardedLogger
from schedcore.errors import InvalidOptionError, is_interrupt, traceback_of
from schedcore.job import Job

log = GuardedLogger(__name__)

_PLAIN: Final = (
    "a plain function that does its work when it is called, since nobody awaits it; it may hand"
    " the event to a loop of yours: asyncio.run_coroutine_threadsafe(handle(event), loop)"
)

EVENT_SCHEDULER_STARTED: Final = 1 << 0
EVENT_SCHEDULER_SHUTDOWN: Final = 1 << 1
EVENT_SCHEDULER_PAUSED: Final = 1 << 2
EVENT_SCHEDULER_RESUMED: Final = 1 << 3
EVENT_ALL_JOBS_REMOVED: Final = 1 << 8
EVENT_JOB_ADDED: Final = 1 << 9
EVENT_JOB_REMOVED: Final = 1 << 10
EVENT_JOB_MODIFIED: Final = 1 << 11
EVENT_JOB_EXECUTED: Final = 1 << 12
EVENT_JOB_ERROR: Final = 1 << 13
EVENT_JOB_MISSED: Final = 1 << 14
EVENT_JOB_SUBMITTED: Final = 1 << 15
EVENT_JOB_MAX_INSTANCES: Final = 1 << 16
EVENT_JOB_CANCELLED: Final = 1 << 17
EVENT_ALL: Final = (1 << 18) - 1


class SchedulerEvent(NamedTuple):
    """Something happened to the scheduler as a whole."""

    code: int
    """Which of the ``EVENT_*`` codes it is."""


class JobEvent(NamedTuple):
    """Something happened to a job's definition or its place in the schedule."""

    code: int
    job_id: str
    name: str = ""
    """The job's name."""
    func_ref: str | None = None
    """Its function as ``"package.module:name"``, or None if no text leads back to it."""

    @property
    def jobstore(self) -> str:
        """``"default"``: there is one store; for listeners written for APScheduler."""
        return "default"

    @classmethod
    def of(cls, code: int, job: Job) -> JobEvent:
        """Return the event of something that happened to *job*."""
        return cls(code, job.id, job.name, job.func_ref)


class JobSubmissionEvent(NamedTuple):
    """Fire times of a job were handed to its executor, or skipped at ``max_instances``."""

    code: int
    job_id: str
    scheduled_run_times: tuple[datetime, ...]
    """In UTC."""
    name: str = ""
    """The job's name."""
    func_ref: str | None = None
    """Its function as ``"package.module:name"``, or None if no text leads back to it."""
    run_id: int | None = None
    """That of the run that was submitted; None: they were skipped."""

    @property
    def jobstore(self) -> str:
        """``"default"``: there is one store; for listeners written for APScheduler."""
        return "default"


class JobExecutionEvent(NamedTuple):
    """A run ended, or fire times were missed.

    It names the job and its function also if the job is removed by now, as one with a date is.
    """

    code: int
    job_id: str
    scheduled_run_time: datetime
    """In UTC; of the first one, where several were missed together."""
    run_id: int | None = None
    retval: Any = None
    """What the function returned."""
    exception: BaseException | None = None
    """What the function raised; ``exception.__traceback__`` tells where."""
    occurrences: int = 1
    """How many fire times were missed together."""
    name: str = ""
    """The job's name."""
    func_ref: str | None = None
    """Its function as ``"package.module:name"``, or None if no text leads back to it."""

    @property
    def jobstore(self) -> str:
        """``"default"``: there is one store; for listeners written for APScheduler."""
        return "default"

    @property
    def traceback(self) -> str | None:
        """The traceback of the exception as text, its last 20,000 characters; None without one."""
        return None if self.exception is None else traceback_of(self.exception)


Event = SchedulerEvent | JobEvent | JobSubmissionEvent | JobExecutionEvent
Listener = Callable[[Any], object]


class Listeners:
    """The listeners, and the codes that each asks for.  Thread-safe.

    Attributes:
        mask: All codes that some listener asks for.  Test it before making an event: to make one
            costs more than the dispatch of a job.
        failures: How many times a listener raised.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may add one while another is added
        self._all: list[tuple[Listener, int]] = []
        self._changes = 0
        self._listeners: tuple[tuple[Listener, int], ...] = ()
        self.mask = 0
        self.failures = 0
        hold_while_forking(self)

    def data_lock(self) -> Lock:
        """Return the lock that guards the listeners."""
        return self._lock

    def add(self, listener: Listener, mask: int = EVENT_ALL) -> None:
        """Call *listener* with each event whose code is in *mask*, in the thread it happens in.

        Raises:
            InvalidOptionError: if *listener* cannot be called, is asynchronous or a generator
                function, or *mask* names no event.
        """
        if not callable(listener):
            raise InvalidOptionError("listener", listener, "a callable that takes one event")
        if makes_coroutine(listener) or makes_generator(listener):
            raise InvalidOptionError("listener", listener, _PLAIN)
        if isinstance(mask, bool) or not isinstance(mask, int) or not mask & EVENT_ALL:
            raise InvalidOptionError("mask", mask, "EVENT_* codes joined by |")
        with self._lock:
            self._all.append((listener, mask))
            self._publish()

    def remove(self, listener: Listener) -> None:
        """Stop calling *listener*; one that is not there is no error."""
        with self._lock:
            for pair in tuple(self._all):
                if pair[0] == listener:
                    self._all.remove(pair)
            self._publish()

    def emit(self, event: Event) -> None:
        """Call the listeners that ask for the code of *event*.

        What a listener raises is logged, and the others are called; only Ctrl-C in the main thread
        is raised again, after that.
        """
        interrupt = None
        for listener, mask in self._listeners:
            if mask & event.code:
                try:
                    answer = listener(event)
                    if type(answer) is CoroutineType:
                        answer.close()
                        raise TypeError(f"it returned a coroutine: expected {_PLAIN}")
                except BaseException as error:  # noqa: BLE001 — logged; the others are called
                    self.failures += 1
                    # Not the event itself: it may hold a result of any size.
                    log.error(
                        "listener %s raised on event %d of job %r; it stays registered",
                        name_of(listener),
                        event.code,
                        getattr(event, "job_id", None),
                        error=error,
                        fields=_named_by(event),
                    )
                    if is_interrupt(error):
                        interrupt = error
        if interrupt is not None:
            raise interrupt

    def _publish(self) -> None:
        """Put the present listeners into effect; again if a signal handler changed them."""
        self._changes += 1
        changes = None
        while changes != self._changes:
            changes = self._changes
            self._listeners = tuple(self._all)
            self.mask = 0
            for _, mask in self._listeners:
                self.mask |= mask


def _named_by(event: Event) -> dict[str, object]:
    """Return which job and run an event names."""
    fields: dict[str, object] = {}
    for name in ("job_id", "run_id"):
        if (value := getattr(event, name, None)) is not None:
            fields[name] = str(value)
    return fields
