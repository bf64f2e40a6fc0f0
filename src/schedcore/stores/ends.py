"""The end of a run, before it is recorded in the history."""

from typing import Any, NamedTuple

from schedcore.errors import text_of
from schedcore.job import Job
from schedcore.run import Outcome, Run, short_repr


class End(NamedTuple):
    """The end of a run, as an executor or the engine reports it; text, except the last two."""

    run: Run
    job: Job | None
    """The definition that was run; None: the run had already ended."""
    outcome: Outcome
    ended_us: int
    result: str | None = None
    error_type: str | None = None
    error_text: str | None = None
    value: Any = None
    """What the function returned, for listeners."""
    error: BaseException | None = None
    """What the function raised, for listeners and the log."""


def end_of(
    run: Run,
    outcome: Outcome,
    ended_us: int,
    value: object = None,
    error: BaseException | None = None,
) -> End:
    """Return the end of *run*, with the texts of *value* and *error* for the history."""
    job = run._job
    if error is not None:
        name, text = type(error).__qualname__, text_of(error)
        return End(run, job, outcome, ended_us, None, name, text, None, error)
    return End(run, job, outcome, ended_us, short_repr(value), None, None, value, None)


def end_of_evicted(run: Run, ended_us: int) -> End:
    """Return the end of a run that is cancelled for a new one of its job."""
    run._reason = Outcome.CANCELLED, "for a new run: overlap is 'cancel'"
    return end_of(run, Outcome.CANCELLED, ended_us)


def end_of_waiting(run: Run, outcome: Outcome, ended_us: int) -> End:
    """Return the end of a run that has not begun when its job is paused, removed or replaced,
    or when the scheduler shuts down.

    A run that waits for its next attempt has failed, with the error of the last attempt.
    """
    if run._error_type is not None:
        error = run._error_type, run._error_text
        return End(run, run._job, Outcome.FAILED, ended_us, None, *error)
    if outcome is Outcome.CANCELLED:
        run._reason = outcome, "since its job was removed or replaced"
    return end_of(run, outcome, ended_us)


def mark_ended(end: End) -> None:
    """Set the end on a run, and release its arguments and function."""
    run = end[0]
    run._outcome, run._ended_us = end[2], end[3]
    run._result, run._error_type, run._error_text = end[4], end[5], end[6]
    run._job = None


def mark_retried(failed: End, attempt: int) -> None:
    """Mark a failed run as waiting for its next attempt, which has this number."""
    run = failed.run
    run.may_begin()  # first: no reader of both may see the next attempt with the last beginning
    run._attempt = attempt
    run._error_type, run._error_text = failed.error_type, failed.error_text
