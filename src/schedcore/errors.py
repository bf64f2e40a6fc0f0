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

Each text names the value, what was expected, and how to fix it.
"""

from __future__ import annotations

import reprlib
import threading
from collections.abc import Iterable


class SchedError(Exception):
    """Base of all errors raised by schedcore."""


class ChangesLostError(SchedError, LookupError):
    """Some of the changes since the given position are no longer stored."""

    def __init__(self, since: object) -> None:
        super().__init__(
            f"not all changes since {short(since)} are still stored, or it is from another store:"
            " read jobs and runs again, and continue from the 'next' of changes without 'since'"
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
    """The job kept changing while a change was prepared, so the change was not made."""

    def __init__(self, job_id: str, times: int) -> None:
        super().__init__(
            f"job {job_id!r} was changed by somebody else {times} times while this change was"
            " prepared; this change was not made, so try again"
        )
        self.job_id = job_id


class JobLookupError(SchedError, LookupError):
    """No job with this id is stored."""

    def __init__(self, job_id: object) -> None:
        hint = "get_jobs() lists the jobs" if isinstance(job_id, str) else "an id is text: job.id"
        super().__init__(f"there is no job with id {short(job_id)}; {hint}")
        self.job_id = job_id


class RunLookupError(SchedError, LookupError):
    """No run with this id is known."""

    def __init__(self, run_id: object) -> None:
        super().__init__(
            f"no run with id {short(run_id)} is open or in the history; runs() lists the open ones,"
            " history() those that ended"
        )
        self.run_id = run_id


class RunEndedError(RunLookupError):
    """The run has ended, so it cannot be cancelled."""

    def __init__(self, run_id: object) -> None:
        super(RunLookupError, self).__init__(f"run {short(run_id)} has ended; get_run() shows how")
        self.run_id = run_id


class InvalidOptionError(SchedError, ValueError):
    """One option cannot be read, is out of range, or contradicts another.

    Args:
        option: The option's name, as the caller wrote it.
        value: The given value; its repr is shortened in the text.
        expected: What would be accepted, in words.
    """

    def __init__(self, option: str, value: object, expected: str) -> None:
        # Either may have been made of what was given, which may be of any length.
        self.option, self.value, self.expected = option[:_MOST_OPTION], value, _cut(expected)
        super().__init__(f"{self.option}={short(value)}: expected {self.expected}")


class InvalidTriggerError(InvalidOptionError):
    """One option of a trigger cannot be read, or contradicts another."""


class FuncRefError(InvalidOptionError):
    """A function reference names no callable, or a callable has no reference."""


class StoreError(SchedError):
    """A store cannot be used: it is not a database, has another version, or is not writable.

    Args:
        store: Which one; without passwords.
        problem: What is wrong, and how to fix it, in words.
    """

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(f"store {store}: {problem}")
        self.store, self.problem = store, problem


class StoreUnavailableError(StoreError):
    """A store cannot be used at the moment: it is locked or unreachable, or its disk is full.

    Nothing of the call was done; try again.
    """


class MaxInstancesError(SchedError):
    """``max_instances`` runs of the job are active, or too many of its runs wait.

    Args:
        job_id: Which job.
        max_instances: How many runs of it may be active.
        most_waiting: How many may wait for a worker, if that limit is reached; None: it is not.
    """

    def __init__(self, job_id: str, max_instances: int, most_waiting: int | None = None) -> None:
        super().__init__(
            f"job {job_id!r} already has {max_instances} active run(s), which is its"
            " max_instances; wait for a run to end, or raise max_instances"
            if most_waiting is None
            else f"job {job_id!r} already has {most_waiting:,} runs that wait for a worker, and no"
            " more may wait; wait until some begin, or run it less often"
        )
        self.job_id, self.max_instances = job_id, max_instances


class SchedulerAlreadyRunningError(SchedError):
    """The call needs a scheduler that is not started, and this one is.

    Args:
        way_out: What to do, in words.
    """

    def __init__(self, way_out: str = "shutdown() stops it, and takes until it returns") -> None:
        super().__init__(f"the scheduler is running already; {way_out}")


class SchedulerNotRunningError(SchedError):
    """The call needs a started scheduler."""

    def __init__(self) -> None:
        super().__init__("the scheduler is not running; start() starts it")


def whole(option: str, value: object, least: int = 1) -> int:
    """Return *value* if it is a whole number of *least* or more.

    Raises:
        InvalidOptionError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidOptionError(option, value, f"a whole number of {least} or more")
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
    """Return whether *error* is Ctrl-C, raised in the main thread and meant for the program.

    Other errors of a user's code concern only that code: ``SystemExit`` in a job ends only its run.
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
        return f"(its text is not available: __str__ raised {type(broken).__name__})"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."


MOST_TRACEBACK = 20_000
"""Length to which a traceback is cut: its last characters, which show where it was raised."""


class TracebackElsewhere(Exception):
    """The traceback of an error that was raised in another process: its cause here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def traceback_of(error: BaseException) -> str:
    """Return the traceback of *error* as text, bounded, whatever its ``__str__`` does."""
    from traceback import format_exception  # 4 ms, and only for errors

    try:
        # Keep the last frames: where it was raised, rather than how a recursion got there.
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
