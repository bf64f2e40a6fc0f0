"""The program of a worker process: it executes the tasks that it receives, one at a time.

Its scheduler is at the other end of a socket.  A thread watches the socket: when it is closed,
however the scheduler ended, the worker ends with its whole process group.  While a run does not
release the interpreter's lock, that thread cannot run; then Linux itself kills the group.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from schedcore import jobs
from schedcore.executors.remote import Report, Task, execute_task, execute_task_as, failed, run_of
from schedcore.output.text import printed
from schedcore.run import Run

FLUSH_S: Final = 0.1
"""Seconds between two transfers of a run's output."""
WATCH_MS: Final = 2_000
"""How often a worker checks for its scheduler, in case another process holds the socket open."""
LEAVE_S: Final = 1.0
"""Seconds that an idle worker has to end after its scheduler."""
_HEAD: Final = struct.Struct("!Q")

importing_main = threading.Event()
"""Set while this worker imports the scheduler's script."""


class Channel:
    """Sends and receives objects over a socket, only between our own processes.

    Args:
        sock: The connected socket.
        on_timeout: Called at each timeout of the socket; raises EOFError if the other has ended.
    """

    def __init__(
        self, sock: socket.socket, on_timeout: Callable[[], object] = lambda: None
    ) -> None:
        self.sock = sock
        self._on_timeout = on_timeout
        self._buffer = bytearray()
        self._sending = threading.Lock()

    def send(self, what: object) -> None:
        """Send an object; raises what pickling raises, and then nothing was sent."""
        self.send_pickled(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))

    def send_pickled(self, data: bytes) -> None:
        """Send a pickled object."""
        with self._sending:
            left = memoryview(_HEAD.pack(len(data)) + data)
            while left:
                try:
                    left = left[self.sock.send(left) :]
                except TimeoutError:
                    self._on_timeout()

    def receive(self) -> Any:
        """Return the next object.

        Raises:
            EOFError: if the other end is closed.
        """
        data = self._buffer
        while len(data) < _HEAD.size or len(data) < _HEAD.size + _HEAD.unpack_from(data)[0]:
            try:
                chunk = self.sock.recv(65_536)
            except TimeoutError:
                self._on_timeout()
                continue
            if not chunk:
                raise EOFError("the other end is closed")
            data += chunk
        end = _HEAD.size + _HEAD.unpack_from(data)[0]
        what = pickle.loads(memoryview(data)[_HEAD.size : end])
        self._buffer = data[end:]
        return what


class _Flusher:
    """Sends the output of the current run while it runs."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._run: Run | None = None
        self._lock = threading.Lock()
        self._begun = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, run: Run) -> None:
        """Begin to send the output of a run that captures."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._flush, name="flusher", daemon=True)
            self._thread.start()
        self._run = run
        self._begun.set()

    def end(self) -> None:
        """Stop sending; the rest of the output is in the report."""
        with self._lock:
            self._run = None
        self._begun.clear()

    def _flush(self) -> None:
        never = threading.Event()
        while self._begun.wait():
            never.wait(FLUSH_S)
            with self._lock:
                output = None if self._run is None else printed(self._run)
                if output is not None and output.total:
                    with suppress(OSError):  # the watcher ends this process
                        self._channel.send(output.take())


class _Lifeline:
    """The end of a pipe; the scheduler holds the other end, and writes nothing.

    (``PR_SET_PDEATHSIG`` would report the end of the thread that started this process.)

    Args:
        number: Its file descriptor.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._flags: int | None = None
        with suppress(AttributeError, OSError):  # another system: only the thread watches
            fcntl.fcntl(number, fcntl.F_SETOWN, -os.getpid())  # the whole process group
            fcntl.fcntl(number, fcntl.F_SETSIG, signal.SIGKILL)
            self._flags = fcntl.fcntl(number, fcntl.F_GETFL)

    def hold(self) -> None:
        """From now on, let the kernel kill this process group when the scheduler ends."""
        if self._flags is None:
            return
        fcntl.fcntl(self._number, fcntl.F_SETFL, self._flags | os.O_ASYNC)
        gone = select.poll()
        gone.register(self._number, 0)
        if gone.poll(0):  # the scheduler has just ended
            os.killpg(os.getpid(), signal.SIGKILL)

    def let_go(self) -> None:
        """Disable this again: an idle process ends by itself."""
        if self._flags is not None:
            fcntl.fcntl(self._number, fcntl.F_SETFL, self._flags)


def main(number: int, lifeline: int, parent: int) -> None:
    """Serve the scheduler at the other end of an inherited socket until that is closed.

    Args:
        number: The file descriptor of the socket.
        lifeline: The file descriptor of a pipe, which is closed with the scheduler's process.
        parent: The pid of the scheduler's process.
    """
    channel = Channel(socket.socket(fileno=number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = _Worker(channel, _Lifeline(lifeline), parent)
    signal.signal(signal.SIGTERM, server.stop)
    jobs.own_group = False
    threading.Thread(target=server.watch, name="watcher", daemon=True).start()
    with suppress(EOFError, OSError):
        server.serve()


class _Worker:
    """The state of this process: its current run, and whether it must end."""

    def __init__(self, channel: Channel, lifeline: _Lifeline, parent: int) -> None:
        self._channel = channel
        self._lifeline = lifeline
        self._parent = parent
        self._flusher = _Flusher(channel)
        self._pid = os.getpid()
        self._busy = self._stopping = False
        self._main_failed: BaseException | None = None

    def serve(self) -> None:
        while not self._stopping:
            what = self._channel.receive()
            if isinstance(what, bytes):
                report = self._perform(what)
                if not self._stopping:
                    self._channel.send(report)
            else:
                self._main_failed = _import_main(what)

    def _perform(self, pickled: bytes) -> Report:
        self._busy = True
        self._lifeline.hold()
        try:
            try:
                task: Task = pickle.loads(pickled)
            except BaseException as error:  # noqa: BLE001 — such as a failed import
                return failed(self._main_failed or error)
            run = run_of(task) if task.captures else None
            if run is not None:
                self._flusher.begin(run)
            try:
                return execute_task(task) if run is None else execute_task_as(task, run)
            finally:
                self._leave_if_forked()
                if run is not None:
                    self._flusher.end()
        finally:
            self._lifeline.let_go()
            self._busy = False

    def _leave_if_forked(self) -> None:
        """End this process if it is a forked child that returned from a run: it is not a worker.

        Otherwise it would report instead of its parent.
        """
        if os.getpid() != self._pid:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(0)

    def stop(self, *_: object) -> None:
        """End this process: a signal handler, which raises SystemExit in the main thread."""
        self._stopping = True
        raise SystemExit

    def watch(self) -> None:
        """End this process when its scheduler's process has ended, whatever a run is doing."""
        gone = select.poll()
        gone.register(self._channel.sock.fileno(), 0)  # reports only the end of the connection
        while not gone.poll(WATCH_MS) and os.getppid() == self._parent:
            pass
        if not self._busy:  # the main thread ends by itself
            threading.Event().wait(LEAVE_S)
        os.killpg(os.getpid(), signal.SIGKILL)


def _import_main(about: dict[str, Any]) -> BaseException | None:
    """Import the scheduler's script, which a task refers to; return the exception, if any."""
    from multiprocessing import spawn

    importing_main.set()
    try:
        spawn.prepare(about)
    except BaseException as error:  # noqa: BLE001 — the task that needs the script reports it
        return error
    finally:
        importing_main.clear()
    return None
