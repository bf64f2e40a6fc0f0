"""What jobs can run without code of yours: a program."""

from __future__ import annotations

import codecs
import os
import selectors
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

from schedcore.errors import InvalidOptionError, SchedError
from schedcore.output import keep
from schedcore.run import run_here

MOST_OUTPUT: Final = 1_000
"""Characters that are kept of what a program prints: the last ones."""
LOOK: Final = 0.1
"""Seconds between two looks at whether the run was cancelled."""
GRACE: Final = 5.0
"""Seconds that a program has to end after it was asked to, before it is killed."""


class CommandFailedError(SchedError):
    """A program ended with another status than 0.

    Args:
        argv: The program and its arguments.
        status: Its exit status; less than 0: the signal that ended it.
        output: The end of what it printed.
    """

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        how = f"exit status {status}" if status >= 0 else f"ended by {signal_name(-status)}"
        super().__init__(f"{argv[0]}: {how}" + (f": {output}" if output else ""))
        self.argv, self.status, self.output = list(argv), status, output

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return CommandFailedError, (self.argv, self.status, self.output)


def run_command(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
) -> str:
    """Run a program to its end, and return the end of what it printed.

    No shell reads the arguments: for a line of shell, name one
    (``["/bin/sh", "-c", "df -h | mail root"]``).  Output and errors are read together.  The program
    is in a process group of its own: if the run is cancelled or times out, the whole group is asked
    to end (SIGTERM), and killed after :data:`GRACE` seconds.  What it leaves in the background
    cannot print any more once it has ended.  For POSIX systems.

    Args:
        argv: The program and its arguments.
        cwd: The folder that it runs in; left out, that of this process.
        env: Variables besides those of this process.
        input: What it reads from its standard input; left out, nothing.

    Raises:
        CommandFailedError: if it ends with another status than 0.
        OSError: if it cannot be started.
    """
    words = _checked(argv)
    tail = bytearray()
    process = None
    try:
        with _as_file(input) as file, _interrupted_later():
            process = subprocess.Popen(
                words,
                cwd=cwd,
                env=None if env is None else {**os.environ, **env},
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdout is not None
        _follow(process, process.stdout.fileno(), tail)
    except BaseException:  # Ctrl-C, too
        if process is not None:
            _end(process)
        raise
    finally:
        if process is not None and process.stdout is not None:
            process.stdout.close()
    output = tail.decode("utf-8", "replace").strip()[-MOST_OUTPUT:]
    if process.returncode:
        raise CommandFailedError(words, process.returncode, output)
    return output


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Have Ctrl-C wait until a program is started: before, nobody would know what to end."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def _checked(argv: object) -> list[str]:
    if (
        isinstance(argv, str)
        or not isinstance(argv, Sequence)
        or not argv
        or not all(isinstance(word, str) for word in argv)
    ):
        raise InvalidOptionError(
            "argv", argv, "a program and its arguments, such as ['rsync', '-a', 'in', 'out']"
        )
    return list(argv)


def _as_file(text: str | None) -> IO[bytes]:
    """Return a file with *text* in it: unlike a pipe, it blocks nobody, whoever reads it."""
    if text is None:
        return open(os.devnull, "rb")
    file = tempfile.TemporaryFile()  # noqa: SIM115 — the caller closes it
    file.write(text.encode())
    file.seek(0)
    return file


def _follow(process: subprocess.Popen[bytes], output: int, tail: bytearray) -> None:
    """Keep the end of what a program prints, until it has ended or its run is cancelled."""
    run = run_here()
    decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    def read() -> bool:
        chunk = _read(output)
        if chunk:
            tail.extend(chunk)
            del tail[: -4 * MOST_OUTPUT]  # a character has 4 bytes at most
            if run is not None:
                keep(run, decode(chunk))
        return bool(chunk)

    os.set_blocking(output, False)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        reading = True
        while process.poll() is None:
            if run is not None and run.cancelled:
                _end(process)
            elif not reading:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK)
            elif selector.select(LOOK):
                reading = read()
    while reading and read():
        continue


def _read(output: int) -> bytes:
    """Read what there is; nothing, if there is no more."""
    try:
        return os.read(output, 65_536)
    except BlockingIOError:  # something in the background holds the other end
        return b""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started in its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def signal_name(number: int) -> str:
    """Return the name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
