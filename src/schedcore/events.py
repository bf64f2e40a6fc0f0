"""Events of a scheduler, for listeners.

The codes are bits, so a mask can combine several: ``EVENT_JOB_EXECUTED | EVENT_JOB_ERROR``.
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
    "a plain function, since nothing awaits its result; it may pass the event to your own loop:"
    " asyncio.run_coroutine_threadsafe(handle(event), loop)"
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
    """A job's definition or its place in the schedule changed."""

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
    """Runs of a job were handed to its executor, or skipped at ``max_instances``."""

    code: int
    job_id: str
    scheduled_run_times: tuple[datetime, ...]
    """In UTC."""
    name: str = ""
    """The job's name."""
    func_ref: str | None = None
    """Its function as ``"package.module:name"``, or None if no text leads back to it."""
    run_id: int | None = None
    """The id of the submitted run; None: the fire times were skipped."""

    @property
    def jobstore(self) -> str:
        """``"default"``: there is one store; for listeners written for APScheduler."""
        return "default"


class JobExecutionEvent(NamedTuple):
    """A run ended, or fire times were missed.

    It names the job and its function even if the job was removed meanwhile, like one with a date.
    """

    code: int
    job_id: str
    scheduled_run_time: datetime
    """The fire time in UTC; the first one, if several were missed together."""
    run_id: int | None = None
    retval: Any = None
    """What the function returned."""
    exception: BaseException | None = None
    """What the function raised; ``exception.__traceback__`` shows where."""
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
    """The listeners, and the codes that each of them asks for.  Thread-safe.

    Attributes:
        mask: All codes that some listener asks for.  Test it before creating an event: that costs
            more than dispatching a job.
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
        """Call *listener* with each event whose code is in *mask*, in the event's own thread.

        Raises:
            InvalidOptionError: if *listener* is not callable, is a coroutine or generator function,
                or *mask* names no event.
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
        """Stop calling *listener*; an unknown one is ignored."""
        with self._lock:
            for pair in tuple(self._all):
                if pair[0] == listener:
                    self._all.remove(pair)
            self._publish()

    def emit(self, event: Event) -> None:
        """Call the listeners that ask for the code of *event*.

        An exception of a listener is logged, and the others are called; only Ctrl-C in the main
        thread is raised again after that.
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
        """Apply the current listeners, and repeat if a signal handler changed them meanwhile."""
        self._changes += 1
        changes = None
        while changes != self._changes:
            changes = self._changes
            self._listeners = tuple(self._all)
            together = 0
            for _, mask in self._listeners:
                together |= mask
            self.mask = together  # in one step: other threads read it without the lock


def _named_by(event: Event) -> dict[str, object]:
    """Return the job and the run that an event names."""
    fields: dict[str, object] = {}
    for name in ("job_id", "run_id"):
        if (value := getattr(event, name, None)) is not None:
            fields[name] = str(value)
    return fields
