"""A run in another process: the task that is sent, its call, and the report that is returned.

The report is small, whatever the function returns: a value or an error that takes more than
:data:`MOST_BYTES`, or cannot be pickled, is returned as text.  So no result or exception of a run
can harm its worker or the scheduler.
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
"""Maximum size of a pickled result or exception; larger ones are returned as text."""


class Task(NamedTuple):
    """A run as it is sent to another process: the call, and the data of ``current_run()``."""

    run_id: int
    job_id: str
    due_us: int
    started_us: int | None
    attempt: int
    by_hand: bool
    backlog: bool
    captures: bool
    """Whether its output is captured."""
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Failure(NamedTuple):
    """The exception of a function, as text, and pickled if possible."""

    module: str
    name: str
    text: str
    trace: str
    base: str
    """The first built-in class among its base classes."""
    pickled: bytes | None = None


class Report(NamedTuple):
    """The result of a run in another process."""

    failure: Failure | None = None
    pickled: bytes | None = None
    """The pickled result; None: the result is None, or only text."""
    text: str | None = None
    printed: Kept | None = None
    """The output that was not sent yet."""
    value: Any = None
    """The result, if it was sent as plain data."""


def task_of(run: Run) -> Task:
    """Return the task of a run that has begun."""
    job = run.job
    assert job.func is not None  # the engine has resolved it
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
        InvalidOptionError: if it can never do so.
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


def execute_task(task: Task) -> Report:
    """Call the function of a task, in another process; raises nothing, SystemExit included."""
    return execute_task_as(task, run_of(task))


def run_of(task: Task) -> Run:
    """Return the run of a task, as ``current_run()`` gives it in another process."""
    run = Run(task.run_id, (task.job_id,), task.due_us)  # type: ignore[arg-type]
    run._job = None  # its definition stays in the scheduler's process
    run._started_us, run._attempt = task.started_us, task.attempt
    run._by_hand, run._backlog = task.by_hand, task.backlog
    if task.captures:
        from schedcore.output.capture import capture_here

        capture_here()
        run._output = Capture()
    return run


def execute_task_as(task: Task, run: Run) -> Report:
    """Call the function of a task as a run; raises nothing."""
    try:
        # As in a thread: each run has its own context.
        value = Context().run(call_as, run, task.func, task.args, task.kwargs)
        report = _returned(value)
    except BaseException as error:  # noqa: BLE001 — SystemExit in a job ends only the job
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
    """Return a value pickled, if that is small and restores the same type with the same text."""
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
    """Return the result of a run's function; as text if the value was not sent.

    Raises:
        BaseException: the exception of the function, or one like it.
    """
    failure = report.failure
    if failure is not None:
        raise _error_of(failure) from TracebackElsewhere(failure.trace)
    if report.text is None:
        return None
    value = unpickled(report.pickled) if report.value is None else report.value
    return ResultText(report.text) if value is None else value


def unpickled(data: bytes | None) -> Any:
    """Return a value; None if it was not sent, or cannot be restored here."""
    if data is None:
        return None
    try:
        return pickle.loads(data)
    except BaseException:  # noqa: BLE001 — whatever a user's class does: the text tells it
        return None


def _error_of(failure: Failure) -> BaseException:
    """Return an exception like the one that was raised in another process."""
    found = unpickled(failure.pickled)
    if isinstance(found, BaseException):
        return found
    # A class of the same name: the history shows it, and retries depend on it.
    base = getattr(builtins, failure.base, Exception)
    about = {
        "__module__": failure.module,
        "__qualname__": failure.name,
        "__str__": lambda _: failure.text,
    }
    name = failure.name.rpartition(".")[2]
    try:
        error: BaseException = type(name, (base,), about)()
    except TypeError:  # UnicodeDecodeError and others that need other arguments
        error = type(name, (Exception,), about)()
    return error
