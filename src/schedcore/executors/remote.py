"""A run in another process: what is sent there, its call, and what comes back.

What comes back is small, whatever the function gives: a value or an error that takes more than
:data:`MOST_BYTES`, or cannot be pickled, comes as text.  So nothing that a run returns or raises
harms the worker that ran it, or the scheduler.
"""

from __future__ import annotations

import builtins
import pickle
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, NamedTuple

from schedcore.basics.callables import is_local
from schedcore.errors import InvalidOptionError, TracebackElsewhere, text_of, traceback_of
from schedcore.job import Job
from schedcore.output.text import Capture, Kept, printed
from schedcore.run import ResultText, Run, call_as, short_repr

MOST_BYTES: Final = 64 * 1024
"""Of what a function returns or raises, pickled: more comes as text."""


class Task(NamedTuple):
    """A run as it is sent to another process: what is called, and what ``current_run()`` tells."""

    run_id: int
    job_id: str
    due_us: int
    started_us: int | None
    attempt: int
    by_hand: bool
    backlog: bool
    captures: bool
    """Whether what it prints is kept."""
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Failure(NamedTuple):
    """What a function raised, as text, and pickled where that can be done."""

    module: str
    name: str
    text: str
    trace: str
    base: str
    """The first class of its that is Python's own."""
    pickled: bytes | None = None


class Report(NamedTuple):
    """What came of a run in another process."""

    failure: Failure | None = None
    pickled: bytes | None = None
    """What it returned; None: None, or the text tells."""
    text: str | None = None
    printed: Kept | None = None
    """What it printed and has not been told yet."""
    value: Any = None
    """What it returned, where it came as plain data."""


def task_of(run: Run) -> Task:
    """Return what is sent of a run that has begun."""
    job = run.job
    assert job.func is not None  # the engine resolved it
    return Task(
        run.id,
        run.job_id,
        run.due_us,
        run.started_us,
        run.attempt,
        run._by_hand,
        run._backlog,
        run._output is not None,
        job.func,
        job.args,
        dict(job.kwargs),
    )


def check_by_name(job: Job) -> None:
    """Check that another process can find the function of a job.

    Raises:
        InvalidOptionError: if it never can.
    """
    if job.func is not None and is_local(job.func):
        raise InvalidOptionError(
            "func",
            job.func,
            "a function that another process finds by its name, defined at the top level of a"
            f" module, since the executor {job.executor!r} is a process pool; or another"
            " executor",
        )


# In the other process


def carry_out(task: Task) -> Report:
    """Call the function of a task, in another process; raises nothing, SystemExit included."""
    return carry_out_run(task, run_of(task))


def run_of(task: Task) -> Run:
    """Return the run of a task, as ``current_run()`` gives it in another process."""
    run = Run(task.run_id, (task.job_id,), task.due_us)  # type: ignore[arg-type]
    run._job = None  # its definition stays where the scheduler is
    run._started_us, run._attempt = task.started_us, task.attempt
    run._by_hand, run._backlog = task.by_hand, task.backlog
    if task.captures:
        from schedcore.output.capture import capture_here

        capture_here()
        run._output = Capture()
    return run


def carry_out_run(task: Task, run: Run) -> Report:
    """Call the function of a task as a run; raises nothing."""
    try:
        # As in a thread: each run has a context of its own.
        value = Context().run(call_as, run, task.func, task.args, task.kwargs)
        report = _returned(value)
    except BaseException as error:  # noqa: BLE001 — SystemExit in a job ends the job, no more
        report = failed(error)
    output = printed(run)
    return report if output is None else report._replace(printed=output.take())


def failed(error: BaseException) -> Report:
    """Return the report of a run that raised, or could not be called."""
    return Report(_failure(error))


def _returned(value: Any) -> Report:
    return Report() if value is None else Report(None, _pickled(value), short_repr(value))


def _failure(error: BaseException) -> Failure:
    kind, trace = type(error), error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
        trace = trace.tb_next
    base = next(each for each in kind.__mro__ if each.__module__ == "builtins")
    return Failure(
        kind.__module__,
        kind.__qualname__,
        text_of(error),
        traceback_of(error.with_traceback(trace)),
        base.__name__,
        _pickled(error, text_of(error)),
    )


_OURS: Final = ("schedcore.executors.remote", "schedcore.run")


def _pickled(value: Any, text: str | None = None) -> bytes | None:
    """Return a value pickled, if that is small and gives one of its kind, with the same text."""
    try:
        data = pickle.dumps(value)
        if len(data) > MOST_BYTES:
            return None
        again = pickle.loads(data)
        same = type(again) is type(value) and (text is None or text_of(again) == text)
    except BaseException:  # noqa: BLE001 — whatever a user's class does: the text tells it
        return None
    return data if same else None


# Where the scheduler is


def result_of(report: Report) -> Any:
    """Return what the function of a run returned; as text, if the value did not come.

    Raises:
        BaseException: what the function raised, or one like it.
    """
    failure = report.failure
    if failure is not None:
        raise _error_of(failure) from TracebackElsewhere(failure.trace)
    if report.text is None:
        return None
    value = unpickled(report.pickled) if report.value is None else report.value
    return ResultText(report.text) if value is None else value


def unpickled(data: bytes | None) -> Any:
    """Return a value; None if it did not come, or its class is not here, say."""
    if data is None:
        return None
    try:
        return pickle.loads(data)
    except BaseException:  # noqa: BLE001 — whatever a user's class does: the text tells it
        return None


def _error_of(failure: Failure) -> BaseException:
    """Return an error like the one that was raised in another process."""
    found = unpickled(failure.pickled)
    if isinstance(found, BaseException):
        return found
    # One of the same name: the history tells it, and retries go by it.
    base = getattr(builtins, failure.base, Exception)
    about = {
        "__module__": failure.module,
        "__qualname__": failure.name,
        "__str__": lambda _: failure.text,
    }
    name = failure.name.rpartition(".")[2]
    try:
        error: BaseException = type(name, (base,), about)()
    except TypeError:  # UnicodeDecodeError and others that are not made of a text
        error = type(name, (Exception,), about)()
    return error
