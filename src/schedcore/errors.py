"""Every error the engine raises on purpose.

    SchedError
    ├── ChangesLostError               also LookupError
    ├── ConflictingIdError             also ValueError
    ├── JobChangedError
    ├── JobLookupError                 also LookupError
    ├── RunLookupError                 also LookupError
    │   └── RunEndedError
    ├── InvalidOptionError             also ValueError
    │   ├── InvalidTriggerError
    │   └── FuncRefError
    ├── MaxInstancesError
    ├── SchedulerAlreadyRunningError
    └── SchedulerNotRunningError

Each text names the value, what was expected, and the way out.
"""

from __future__ import annotations

import reprlib
import threading
from collections.abc import Iterable


class SchedError(Exception):
    """Base of all errors raised by schedcore."""


class ChangesLostError(SchedError, LookupError):
    """What came after a place among the changes is not all kept any more."""

    def __init__(self, since: object) -> None:
        super().__init__(
            f"not all that came after {short(since)} is kept any more, or it is of another store:"
            " read jobs and runs anew, and go on from what changes without since give as next"
        )
        self.since = since


class ConflictingIdError(SchedError, ValueError):
    """A job with this id is stored already."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"a job with id {job_id!r} exists; pass replace_existing=True to replace it"
        )
        self.job_id = job_id


class JobChangedError(SchedError):
    """A change could not be made, since somebody else kept changing the job meanwhile."""

    def __init__(self, job_id: str, times: int) -> None:
        super().__init__(
            f"job {job_id!r} was changed by somebody else {times} times while this change was"
            " worked out; nothing was changed by it, so try again"
        )
        self.job_id = job_id


class JobLookupError(SchedError, LookupError):
    """No job with this id is stored."""

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f"there is no job with id {short(job_id)}; get_jobs() lists those there are"
        )
        self.job_id = job_id


class RunLookupError(SchedError, LookupError):
    """No run with this id is known."""

    def __init__(self, run_id: object) -> None:
        super().__init__(
            f"no run with id {short(run_id)} is waiting or under way, and none that has ended is"
            " kept; runs() and history() list those there are"
        )
        self.run_id = run_id


class RunEndedError(RunLookupError):
    """The run has ended: there is nothing to cancel."""

    def __init__(self, run_id: object) -> None:
        super(RunLookupError, self).__init__(f"run {short(run_id)} has ended; get_run() tells how")
        self.run_id = run_id


class InvalidOptionError(SchedError, ValueError):
    """One option cannot be read, is out of range, or contradicts another.

    Args:
        option: The option's name, as the caller wrote it.
        value: What was given; its repr is shortened in the text.
        expected: What would have been accepted, in words.
    """

    def __init__(self, option: str, value: object, expected: str) -> None:
        # Either may have been made of what was given, which may be of any length.
        self.option, self.value, self.expected = option[:_MOST_OPTION], value, _cut(expected)
        super().__init__(f"{self.option}={short(value)}: expected {self.expected}")


class InvalidTriggerError(InvalidOptionError):
    """One option of a trigger cannot be read, or contradicts another."""


class FuncRefError(InvalidOptionError):
    """A function reference does not lead to a callable, or a callable has no reference."""


class StoreError(SchedError):
    """A store cannot be used: it is no database, or one of another version, or not to be written.

    Args:
        store: Which one; without passwords.
        problem: What is wrong, and the way out, in words.
    """

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(f"store {store}: {problem}")
        self.store, self.problem = store, problem


class StoreUnavailableError(StoreError):
    """A store cannot be used at the moment: it is locked, away, or its disk is full.

    Nothing of the call was done; it can be tried again.
    """


class MaxInstancesError(SchedError):
    """The job runs as many times at once as its ``max_instances`` allows, or too many runs wait.

    Args:
        job_id: Which job.
        max_instances: As many runs of it may be active.
        most_waiting: As many may wait for a worker, and that many do; None: that is not why.
    """

    def __init__(self, job_id: str, max_instances: int, most_waiting: int | None = None) -> None:
        super().__init__(
            f"job {job_id!r} is running {max_instances} time(s) already, which is its"
            " max_instances; wait for a run to end, or raise max_instances"
            if most_waiting is None
            else f"job {job_id!r} has {most_waiting:,} runs that wait for a worker already, and no"
            " more may wait; wait for some to begin, or run it less often"
        )
        self.job_id, self.max_instances = job_id, max_instances


class SchedulerAlreadyRunningError(SchedError):
    """What was called is for a scheduler that is not started, and this one is.

    Args:
        way_out: What to do, in words.
    """

    def __init__(self, way_out: str = "shutdown() stops it, and takes until it returns") -> None:
        super().__init__(f"the scheduler is running already; {way_out}")


class SchedulerNotRunningError(SchedError):
    """The call needs a started scheduler."""

    def __init__(self) -> None:
        super().__init__("the scheduler is not running; start() starts it")


def whole(option: str, value: object) -> int:
    """Return *value* if it is a whole number of 1 or more.

    Raises:
        InvalidOptionError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidOptionError(option, value, "a whole number of 1 or more")
    return value


def check_timeout(timeout: float | None) -> float | None:
    """Return *timeout* if it is a number of seconds of 0 or more, or None.

    Raises:
        InvalidOptionError: if it is not.
    """
    # Not "timeout < 0": that would let nan pass.
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0
    ):
        raise InvalidOptionError("timeout", timeout, "a number of seconds of 0 or more, or None")
    return timeout


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known word closest to *word*, or ``""``."""
    import difflib  # 2 ms, and only for mistakes

    close = difflib.get_close_matches(word.lower()[:64], list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def is_interrupt(error: BaseException) -> bool:
    """Return whether *error* is Ctrl-C, raised into the main thread and meant for the program.

    Other errors of a user's code are its own: ``SystemExit`` in a job ends that run, no more.
    """
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
    )


def text_of(error: BaseException) -> str:
    """Return the error's text, bounded, whatever its ``__str__`` does."""
    try:
        return str(error)[:500]
    except BaseException as broken:  # noqa: BLE001 — a user's __str__ may raise anything
        return f"(its text cannot be had: __str__ raised {type(broken).__name__})"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."


MOST_TRACEBACK = 20_000
"""Characters that are kept of a traceback: the last ones, which tell where it was raised."""


class TracebackElsewhere(Exception):
    """The traceback of an error that was raised in another process: its cause here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def traceback_of(error: BaseException) -> str:
    """Return the traceback of *error* as text, bounded, whatever its ``__str__`` does."""
    from traceback import format_exception  # 4 ms, and only for errors

    try:
        # Of many frames the last: where it was raised, and not how a recursion went there.
        return "".join(format_exception(type(error), error, error.__traceback__, limit=-100))[
            -MOST_TRACEBACK:
        ]
    except BaseException:  # noqa: BLE001 — a user's error may hold anything
        return f"{type(error).__qualname__}: {text_of(error)}"


def short(value: object) -> str:
    """Return the repr of *value*, bounded, whatever its ``__repr__`` does."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # an int of more than 4300 digits, which Python refuses to write
        return f"<{type(value).__name__} too long to show>"


_MOST_OPTION = 80
_MOST_TEXT = 1_500
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
