"""Captures what runs print and log, by wrappers of sys.stdout and sys.stderr and a record factory.

Each of them passes everything on.  :func:`~schedcore.current_run` says whether the printing code is
inside a run, by its context and not by its thread: so a thread that a job starts belongs to the run
if it has a copy of the job's context, as those of ``asyncio.to_thread`` have.

Log records are captured when they are created, not by a handler: with a handler of the root logger,
``logging.basicConfig()`` and Flask would not add theirs.
"""

from __future__ import annotations

import codecs
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from schedcore.basics.atfork import Lock, hold_while_forking
from schedcore.errors import TracebackElsewhere
from schedcore.output.text import Capture, between_attempts, keep, keep_lines
from schedcore.run import Run, run_here

_STREAMS: Final = ("stdout", "stderr")
_REDIRECTED: Final = "celery.redirected"
"""Celery's logger of what runs print in its workers: that is already captured."""
_PIECE: Final = 64 * 1024
_format: Final = logging.Formatter("%(levelname)s %(name)s: %(message)s").format


class Stream:
    """Replaces a text stream, and captures what runs write to it.

    Args:
        stream: The original stream, to which everything is passed on.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.active = True

    def write(self, text: str) -> int:
        """Write text."""
        run = run_here()
        # Not the output of logging handlers: the record is already captured.
        if (
            run is not None
            and run._output is not None
            and self.active
            and isinstance(text, str)
            and sys._getframe(1).f_globals.get("__name__") != "logging"
        ):
            keep(run, text)
        return self._stream.write(text)  # type: ignore[no-any-return]

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """The byte stream below."""
        return _Bytes(self._stream.buffer, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Bytes:
    """Replaces the byte stream below a text stream."""

    def __init__(self, stream: Any, above: Stream) -> None:
        self._stream = stream
        self._above = above

    def write(self, data: Any) -> int:
        """Write bytes."""
        run = run_here()
        if run is not None and self._above.active:
            keep_bytes(run, data)
        return self._stream.write(data)  # type: ignore[no-any-return]

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write several byte strings."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_bytes(run: Run, data: Any) -> None:
    """Capture bytes that a run printed; invalid UTF-8 is escaped."""
    try:
        view = memoryview(data).cast("B")
    except TypeError:  # the stream itself reports the error
        return
    decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
    for start in range(0, len(view), _PIECE):
        keep(run, decode(view[start : start + _PIECE]))
    keep(run, decode(b"", final=True))


class _Records:
    """Creates log records by *make*, and captures those of runs."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self.active = True

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **kwargs)
        run = run_here()
        if (
            run is not None
            and run._output is not None
            and self.active
            and record.name != _REDIRECTED
        ):
            keep(run, _line_of(record))
        return record


def _line_of(record: logging.LogRecord) -> str:
    try:
        text = _format(record)
    except Exception:  # noqa: BLE001 — wrong arguments: the handlers report that
        return f"{record.levelname} {record.name}: {record.msg!r}\n"
    # Cached on the record, it would be used by handlers that format errors differently.
    record.exc_text = None
    return f"{text}\n"


def capture_here() -> None:
    """Capture what runs print in this process, which has no scheduler."""
    _places.install(_places)


class StreamCapture(Capture):
    """Captures what runs print and log while their scheduler is started."""

    def start(self) -> None:
        """Replace sys.stdout and sys.stderr."""
        _places.install(self)

    def stop(self) -> None:
        """Restore the streams, unless another scheduler needs the capture."""
        _places.remove(self)

    def failed(self, run: Run, error: BaseException) -> None:
        """Capture the traceback of a run's exception."""
        if run._output is not None and run._outcome is None:
            keep_lines(run, _traceback(error))

    def tried_again(self, run: Run) -> None:
        """Add the line that separates one attempt from the next."""
        keep_lines(run, between_attempts(run._attempt))


def _traceback(error: BaseException) -> str:
    """Return the traceback of an error, starting at the job's function."""
    if isinstance(error.__cause__, TracebackElsewhere):
        return str(error.__cause__.args[0])
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
            trace = trace.tb_next
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as broken:  # noqa: BLE001 — formatting it calls users' code
        return f"{type(error).__name__} (its traceback raised {type(broken).__name__})\n"


_OURS: Final = ("schedcore.executors.base", "schedcore.executors.coroutines", "schedcore.run")


class _Places:
    """The replaced streams of this process, and the schedulers that need them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owners: set[int] = set()
        self._streams: dict[str, Stream] = {}
        # In Python 3.13 and before, print() has no reference of its own to sys.stdout: a stream
        # that is freed while another thread prints to it crashes the interpreter.
        self._former: deque[Stream] = deque(maxlen=16)
        self._records: _Records | None = None

    def data_lock(self) -> Lock:
        return self._lock

    def install(self, owner: object) -> None:
        with self._lock:
            self._owners.add(id(owner))
            for name in _STREAMS:
                self._stand_in(name)
            if self._records is None or not self._records.active:
                self._records = _Records(logging.getLogRecordFactory())
                logging.setLogRecordFactory(self._records)

    def _stand_in(self, name: str) -> None:
        stream, ours = _without_old(getattr(sys, name)), self._streams.get(name)
        if stream is None or stream is ours:  # None: a program without a console
            return
        if ours is not None:  # another wrapper may be above it: output would be captured twice
            self._retire(ours)
        self._streams[name] = Stream(stream)
        setattr(sys, name, self._streams[name])

    def _retire(self, ours: Stream) -> None:
        ours.active = False
        self._former.append(ours)

    def remove(self, owner: object) -> None:
        with self._lock:
            self._owners.discard(id(owner))
            if self._owners:
                return
            for name, ours in self._streams.items():
                self._retire(ours)
                # A foreign wrapper stays, and may pass output on to ours.
                setattr(sys, name, _without_old(getattr(sys, name)))
            self._streams.clear()
            records, self._records = self._records, None
            if records is not None:
                records.active = False
                if logging.getLogRecordFactory() is records:
                    logging.setLogRecordFactory(records._make)


def _without_old(stream: Any) -> Any:
    """Return a stream, without wrappers of ours that are no longer needed."""
    while isinstance(stream, Stream) and not stream.active:
        stream = stream._stream
    return stream


_places = _Places()
hold_while_forking(_places)
