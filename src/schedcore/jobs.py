"""Ready-made jobs: run a program, and send an HTTP request."""

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
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final

from schedcore.errors import InvalidOptionError, SchedError, check_timeout
from schedcore.output.text import keep
from schedcore.run import run_here

if TYPE_CHECKING:
    from ssl import SSLContext

MOST_OUTPUT: Final = 1_000
"""Characters that are returned of what a program prints, the last ones, or a URL answers."""
MOST_ANSWER: Final = 64 * 1024
"""Bytes that are read of what a URL answers, for the output of the run."""
POLL_S: Final = 0.1
"""Seconds between two looks at whether the run was cancelled."""
GRACE: Final = 5.0
"""Seconds that a program has to end after it was asked to, before it is killed."""


own_group = True
"""Whether a program gets a process group of its own.  In a worker process it is of the worker's,
which is killed as a whole when the worker ends, however that is."""


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
    has its own process group: if the run is cancelled or times out, the whole group gets SIGTERM,
    and is killed after :data:`GRACE` seconds.  Once the program has ended, output of its background
    processes is discarded.  For POSIX systems.

    Args:
        argv: The program and its arguments.
        cwd: The folder that it runs in; default: that of this process.
        env: Variables in addition to those of this process.
        input: Its standard input; default: empty.

    Raises:
        CommandFailedError: if its exit status is not 0.
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
                start_new_session=own_group,
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


class UrlFailedError(SchedError):
    """A URL answered with an unexpected status.

    Args:
        method: The method of the request.
        url: Its URL; the part after a ``?`` may be a secret, and is not shown.
        status: The status of the answer.
        answer: The beginning of its body, or the target of a redirect.
    """

    def __init__(self, method: str, url: str, status: int, answer: str) -> None:
        place = url.partition("?")[0]
        super().__init__(f"{method} {place}: status {status}" + (f": {answer}" if answer else ""))
        self.method, self.url, self.status, self.answer = method, place, status, answer

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return UrlFailedError, (self.method, self.url, self.status, self.answer)


def call_url(
    url: str,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    expect: int | Sequence[int] | None = None,
    timeout: float = 60.0,
    ca_file: str | None = None,
    cert_file: str | None = None,
) -> str:
    """Send an HTTP request, and return the beginning of the response body.

    Redirects are not followed; proxies come from the environment (``https_proxy``).  If the run is
    cancelled, the connection is closed.

    Args:
        url: The target, http or https, without a password, which belongs in *headers*.
        method: Such as ``"PUT"``; default: ``"POST"`` with a body, and ``"GET"`` without.
        headers: Of the request.
        body: What to send: text as it is, and anything else as JSON.
        expect: The expected status, or several; default: 200 to 299.
        timeout: Seconds for the whole request.
        ca_file: Trusted certificates; default: the system's.
        cert_file: A client certificate and its key, for servers that require one.

    Raises:
        UrlFailedError: if the response has another status.
        OSError: if there is no response; a TimeoutError if there is none in time.
    """
    from schedcore.basics import http_request  # 25 ms

    if not http_request.is_url(url):
        raise InvalidOptionError(
            "url", "...", 'a URL such as "https://example.com/path", without a password in it'
        )
    method = method or ("GET" if body is None else "POST")
    given, sent = _request_of(method, headers, body)
    expected = _statuses(expect)
    run = run_here()
    answer = http_request.request(
        url,
        method,
        sent,
        given,
        check_timeout(timeout) or 0.0,
        MOST_ANSWER,
        _trust(ca_file, cert_file),
        None if run is None else lambda: not run.cancelled,
    )
    text = answer.body.decode("utf-8", "replace")
    if run is not None:
        keep(run, text)
    if answer.status not in expected:
        place = f"it leads to {answer.location}" if answer.location else text.strip()
        raise UrlFailedError(method, url, answer.status, place[:MOST_OUTPUT])
    return text.strip()[:MOST_OUTPUT]


def _request_of(
    method: str, headers: Mapping[str, str] | None, body: Any
) -> tuple[dict[str, str], bytes | None]:
    """Return the headers and the body to send."""
    if not (isinstance(method, str) and method.isascii() and method.isalpha()):
        raise InvalidOptionError("method", method, 'a method of HTTP, such as "PUT"')
    given = {} if headers is None else headers
    if not isinstance(given, Mapping) or not all(
        isinstance(text, str) and "\n" not in text and "\r" not in text
        for pair in given.items()
        for text in pair
    ):
        raise InvalidOptionError("headers", headers, "a mapping of names to texts of one line each")
    kind, sent = "text/plain; charset=utf-8", body
    if body is not None and not isinstance(body, str):
        import json

        kind, sent = "application/json", json.dumps(body)
    named = {name.lower() for name in given}
    more = {} if sent is None or "content-type" in named else {"Content-Type": kind}
    return {"User-Agent": "schedcore", **more, **given}, None if sent is None else sent.encode()


def _statuses(expect: int | Sequence[int] | None) -> Sequence[int]:
    if expect is None:
        return range(200, 300)
    several = [expect] if isinstance(expect, int) else expect
    if isinstance(several, list | tuple) and all(isinstance(each, int) for each in several):
        return several
    raise InvalidOptionError("expect", expect, "a status such as 204, or a list of them")


def _trust(ca_file: str | None, cert_file: str | None) -> SSLContext | None:
    """Return who is trusted, and who we are; None: nothing of that is given."""
    if ca_file is None and cert_file is None:
        return None
    from ssl import create_default_context

    context = create_default_context(cafile=ca_file)
    if cert_file is not None:
        context.load_cert_chain(cert_file)
    return context


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
                    process.wait(POLL_S)
            elif selector.select(POLL_S):
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
    send = partial(os.killpg, process.pid) if own_group else process.send_signal
    with suppress(ProcessLookupError):
        send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        send(signal.SIGKILL)
    process.wait()


def signal_name(number: int) -> str:
    """Return the name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
