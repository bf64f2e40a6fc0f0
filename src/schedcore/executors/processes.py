"""A pool of processes, each of which executes one run at a time and can be killed with it."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from schedcore.basics.atfork import Lock, call_in_child
from schedcore.clock import Deadline
from schedcore.errors import InvalidOptionError, SchedError
from schedcore.executors.base import Reporter, report_lost
from schedcore.executors.remote import Report, check_by_name, result_of, task_of
from schedcore.executors.threads import ThreadPool
from schedcore.executors.worker import Channel
from schedcore.job import Job
from schedcore.jobs import signal_name
from schedcore.output.text import keep_from_elsewhere
from schedcore.run import Run

GRACE: Final = 6.0
"""Seconds between SIGTERM and SIGKILL for the process of a run that must end: one
more than :func:`~schedcore.jobs.run_command` gives its program."""
LAST_GRACE: Final = 0.5
"""The same at the shutdown of the pool, after its timeout."""
POLL_S: Final = 0.5
"""How often to check whether a process exists, since others may hold its socket open."""


class ProcessEndedError(SchedError):
    """The process of a run ended before the run did.

    Args:
        pid: The id of the process.
        status: Its exit status; less than 0: the signal that ended it.
    """

    def __init__(self, pid: int, status: int) -> None:
        how = f"exit status {status}" if status >= 0 else f"ended by {signal_name(-status)}"
        super().__init__(f"its process {pid} died: {how}")
        self.pid, self.status = pid, status


class ProcessPool:
    """Executes runs in up to *max_workers* processes, one run per process at a time.

    A process is started when a run needs one and none is idle, and is then reused.  It is a fresh
    interpreter that imports what its runs need (never a fork of this process, whose threads would
    stay behind with their locks held).  Functions are imported there by name, and their arguments
    are pickled; results and errors are returned, as text if they are large or cannot be pickled.
    :func:`~schedcore.current_run` works, except for the job's definition.

    A run that is cancelled or times out gets SIGTERM, which raises ``SystemExit`` in it, and is
    killed with all that it started after :data:`GRACE` seconds.  If a process dies, its own run is
    lost, and no other.  When the scheduler's process ends, however it ends, its workers end too.
    For POSIX systems.

    Args:
        max_workers: How many runs may be active at once, 1 or more.
        max_queue: How many runs may wait for a process; more are shed.  None: any number.
        name: Prefix of the names of the threads that wait for the processes.

    Raises:
        InvalidOptionError: if a bound is not a whole number of 1 or more.
    """

    remote = True

    def __init__(
        self, max_workers: int = 4, max_queue: int | None = None, name: str = "schedcore-processes"
    ) -> None:
        # One thread for each process, which only waits for it.
        self._threads = ThreadPool(max_workers, max_queue, name, self._execute)
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._lock = threading.RLock()  # a signal handler may cancel a run
        self._freed = threading.Condition(self._lock)
        self._idle: list[_Process] = []
        self._busy: dict[Run, _Process] = {}
        self._ending: set[_Process] = set()
        self._open = True  # from the first run that is submitted to the next shutdown

    def after_fork_in_child(self) -> None:
        """Forget the processes, which belong to the parent."""
        for process in (*self._idle, *self._busy.values(), *self._ending):
            process.forget()
        self._begin_anew()

    def __repr__(self) -> str:
        return f"ProcessPool(max_workers={self.max_workers}, max_queue={self._threads.max_queue})"

    @property
    def max_workers(self) -> int:
        """How many runs may be active at once."""
        return self._threads.max_workers

    def check_job(self, job: Job) -> None:
        """Raise InvalidOptionError unless another process can import the function of *job*."""
        check_by_name(job)
        if getattr(job.func, "__module__", None) == "__main__" and not _has_script():
            expected = (
                "a function of a module that can be imported: a process has no way to what was"
                " typed into a notebook, python -c or standard input; put it into a file"
            )
            raise InvalidOptionError("func", job.func, expected)

    def submit(self, runs: Sequence[Run], reporter: Reporter) -> None:
        """Accept *runs* for execution; return at once."""
        self._open = True
        self._threads.submit(runs, reporter)

    def room(self) -> int:
        """Return how many runs can begin soon."""
        return self._threads.room()

    def data_lock(self) -> Lock:
        """Return the lock that guards all its data."""
        return self._lock

    def abandon(self, run: Run) -> None:
        """End the process of a run, and replace it."""
        with self._lock:
            process = self._busy.pop(run, None)
            if process is None:
                return
            self._ending.add(process)
        self._threads.abandon(run)
        process.end(GRACE)

    def shutdown(self, timeout: float | None) -> None:
        """Finish the runs that were submitted, waiting up to *timeout* seconds; end all processes.

        Runs that have not ended by then are lost, and end with their processes.
        """
        self._threads.shutdown(timeout)
        with self._lock:
            left = {*self._busy.values(), *self._ending}
            idle, self._idle = self._idle, []
            self._open = False
        for process in idle:
            process.close()
        for process in left:
            process.end(LAST_GRACE)
        deadline = Deadline(2 * LAST_GRACE)
        for process in idle:
            process.wait(deadline.left())
        with self._freed:  # until their runs are reported
            self._freed.wait_for(lambda: not self._busy and not self._ending, deadline.left())

    def _execute(self, run: Run, reporter: Reporter) -> int | None:
        """Execute a run in a process, and report it; raises nothing."""
        try:
            return self._perform(run, reporter)
        except BaseException as error:  # noqa: BLE001 — the report failed; the thread continues
            report_lost(run, reporter, error)
            return None

    def _perform(self, run: Run, reporter: Reporter) -> int | None:
        try:
            process = self._process_for(run)
        except OSError as failed:  # too many processes or open files
            return reporter.end(run, None, failed) if reporter.begin(run) else None
        if process is None:
            return None
        report: Report | None = None
        try:
            if not reporter.begin(run):
                return None
            value, error = None, None
            try:
                report = process.call(run)
                value = result_of(report)
            except ProcessEndedError as ended:
                reporter.lost(run, ended)
                return None
            except BaseException as raised:  # noqa: BLE001 — the run's exception
                error = raised
            if report is not None and report.printed is not None:
                keep_from_elsewhere(run, report.printed)
            return reporter.end(run, value, error) - (run._started_us or 0)
        finally:
            self._release(run, process)

    def _process_for(self, run: Run) -> _Process | None:
        """Return a process; None: the pool was shut down meanwhile, and the run does not begin."""
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is None or not process.alive:
            process = _Process()
        with self._lock:
            if self._open:
                self._busy[run] = process
                return process
        process.reap()
        return None

    def _release(self, run: Run, process: _Process) -> None:
        """Keep a process for the next run, unless it has died or must end with this one."""
        with self._lock:
            kept = self._busy.pop(run, None) is not None and process.alive and self._open
            if kept:
                self._idle.append(process)
        if not kept:
            process.reap()
            with self._freed:
                self._ending.discard(process)
                self._freed.notify_all()


class _Process:
    """A worker process, and our end of its socket; one thread at a time uses it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        lifeline, kept = os.pipe()
        self._lifeline = os.fdopen(kept, "wb")  # open as long as this process exists
        with theirs, os.fdopen(lifeline, "rb"):
            number = theirs.fileno()
            program = (
                f"import sys; sys.path[:] = {sys.path!r};"
                " from schedcore.executors.worker import main;"
                f" main({number}, {lifeline}, {os.getpid()})"
            )
            try:
                self._popen = subprocess.Popen(
                    [sys.executable, *_interpreter_flags(), "-c", program],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(number, lifeline),
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                self._lifeline.close()
                raise
        ours.settimeout(POLL_S)
        self._channel = Channel(ours, self._check_alive)
        self._timer: threading.Timer | None = None
        self._knows_main = False
        self.alive = True

    def call(self, run: Run) -> Report:
        """Have it execute a run, store the run's output, and return its report.

        Raises:
            ProcessEndedError: if it dies meanwhile.
        """
        task = pickle.dumps(task_of(run), pickle.HIGHEST_PROTOCOL)
        try:
            if not self._knows_main and b"__main__" in task:
                self._channel.send(_about_main())
                self._knows_main = True
            self._channel.send(task)
            while True:
                said = self._channel.receive()
                if isinstance(said, Report):
                    return said
                keep_from_elsewhere(run, said)
        except (EOFError, OSError):
            raise ProcessEndedError(self._popen.pid, self.reap()) from None

    def _check_alive(self) -> None:
        if self._popen.poll() is not None:
            raise EOFError("the process has ended, and what it started holds the socket open")

    def end(self, grace: float) -> None:
        """Send SIGTERM, and kill it if it has not ended after *grace* seconds; return at once."""
        self.alive = False
        self._popen.terminate()
        timer = self._timer = threading.Timer(grace, self._kill_if_there)
        timer.daemon = True
        timer.start()

    def _kill_if_there(self) -> None:
        if self._popen.returncode is None:  # otherwise its pid may have been reused
            self._kill()

    def _kill(self) -> None:
        """Kill its whole process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let it end once it is idle."""
        self.alive = False
        self._disconnect()

    def wait(self, timeout: float | None) -> None:
        """Wait for its end; kill it if it does not end in time."""
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.reap()

    def reap(self) -> int:
        """Kill the rest of its process group, and return its exit status."""
        self.alive = False
        self._channel.sock.close()
        if self._popen.returncode is None:
            # It has closed its end of the socket, so usually it is just ending.
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(LAST_GRACE)
        if self._timer is not None:
            self._timer.cancel()
        self._kill()
        self._disconnect()
        return self._popen.wait()

    def forget(self) -> None:
        """In a forked child: leave the process to the parent."""
        self._disconnect()
        self._popen.returncode = 0  # otherwise Popen's finalizer warns

    def _disconnect(self) -> None:
        self._channel.sock.close()
        self._lifeline.close()


def _interpreter_flags() -> list[str]:
    """Return the command-line options of this interpreter, such as ``-W error``."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags


def _has_script() -> bool:
    """Return whether this program was started from a file, which a worker can import."""
    main = sys.modules["__main__"]
    named = getattr(main, "__spec__", None) is not None  # by -m
    return named or os.path.exists(getattr(main, "__file__", None) or "")


def _about_main() -> dict[str, Any]:
    """Return what a worker needs to import this program's script."""
    from multiprocessing import spawn

    about = spawn.get_preparation_data("schedcore worker")
    wanted = ("sys_argv", "init_main_from_name", "init_main_from_path")
    return {name: about[name] for name in wanted if name in about}
