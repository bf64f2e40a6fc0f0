"""Finds what runs print and log: stand-ins for sys.stdout and sys.stderr, and a factory of records.

Each asks whether the thread or task that prints is inside a run, by its context and not by its
thread; and passes everything on.  Who is inside a run is known by :func:`~schedcore.current_run`:
a thread that a job starts belongs to it if it runs in a copy of the job's context, as those of
``asyncio.to_thread`` do.

Log records are found where they are made, and not by a handler: a handler of the root logger would
keep ``logging.basicConfig()`` and Flask from adding theirs.
"""

from __future__ import annotations

import codecs
import logging
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import Any, Final

from schedcore.basics.atfork import Lock, hold_while_forking
from schedcore.errors import TracebackElsewhere
from schedcore.output.text import Capture, between_attempts, keep, keep_lines
from schedcore.run import Run, run_here

_STREAMS: Final = ("stdout", "stderr")
_REDIRECTED: Final = "celery.redirected"
"""The logger of what runs print in Celery workers, which is kept already."""
_PIECE: Final = 64 * 1024
_format: Final = logging.Formatter("%(levelname)s %(name)s: %(message)s").format


class Stream:
    """Stands in for a text stream, and keeps what runs write to it.

    Args:
        stream: The original, which all of it is passed on to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.active = True

    def write(self, text: str) -> int:
        """Write text."""
        run = run_here()
        # Not what handlers of logging write: the record is kept already.
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
        """The stream of bytes below."""
        return _Bytes(self._stream.buffer, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Bytes:
    """Stands in for the stream of bytes below a text stream."""

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
        """Write several pieces of bytes."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_bytes(run: Run, data: Any) -> None:
    """Keep bytes that a run printed; those that are no UTF-8, as escapes."""
    try:
        view = memoryview(data).cast("B")
    except TypeError:  # the stream itself says what is wrong with it
        return
    decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
    for start in range(0, len(view), _PIECE):
        keep(run, decode(view[start : start + _PIECE]))
    keep(run, decode(b"", final=True))


class _Records:
    """Makes log records as *make* does, and keeps those of runs."""

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
            keep(run, _told(record))
        return record


def _told(record: logging.LogRecord) -> str:
    try:
        text = _format(record)
    except Exception:  # noqa: BLE001 — arguments that do not fit: the handlers say so
        return f"{record.levelname} {record.name}: {record.msg!r}\n"
    # Kept on the record, it would be in the way of a handler that formats errors otherwise.
    record.exc_text = None
    return f"{text}\n"


def capture_here() -> None:
    """Have what runs print kept in this process, which is no scheduler's."""
    _places.install(_places)


class StreamCapture(Capture):
    """Has what runs print and log kept, while their scheduler is started."""

    def start(self) -> None:
        """Stand in for sys.stdout and sys.stderr."""
        _places.install(self)

    def stop(self) -> None:
        """Take the stand-ins away, unless another scheduler needs them."""
        _places.remove(self)

    def failed(self, run: Run, error: BaseException) -> None:
        """Keep the traceback of what a run raised."""
        if run._output is not None and run._outcome is None:
            keep_lines(run, _traceback(error))

    def tried_again(self, run: Run) -> None:
        """Keep the line that separates one attempt from the next."""
        keep_lines(run, between_attempts(run._attempt))


def _traceback(error: BaseException) -> str:
    """Return the traceback of an error, from the job's function on."""
    if isinstance(error.__cause__, TracebackElsewhere):
        return str(error.__cause__.args[0])
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
            trace = trace.tb_next
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as broken:  # noqa: BLE001 — parts of it are users' code
        return f"{type(error).__name__} (its traceback raised {type(broken).__name__})\n"


_OURS: Final = ("schedcore.executors.base", "schedcore.executors.coroutines", "schedcore.run")


class _Places:
    """The stand-ins in this process, and which schedulers need them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owners: set[int] = set()
        self._streams: dict[str, Stream] = {}
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
        if ours is not None:  # somebody may have put his own above it: all would be kept twice
            ours.active = False
        self._streams[name] = Stream(stream)
        setattr(sys, name, self._streams[name])

    def remove(self, owner: object) -> None:
        with self._lock:
            self._owners.discard(id(owner))
            if self._owners:
                return
            for name, ours in self._streams.items():
                ours.active = False
                # One of somebody else's stays, and may pass on to ours.
                setattr(sys, name, _without_old(getattr(sys, name)))
            self._streams.clear()
            records, self._records = self._records, None
            if records is not None:
                records.active = False
                if logging.getLogRecordFactory() is records:
                    logging.setLogRecordFactory(records._make)


def _without_old(stream: Any) -> Any:
    """Return a stream, or what is below stand-ins that are not needed any more."""
    while isinstance(stream, Stream) and not stream.active:
        stream = stream._stream
    return stream


_places = _Places()
hold_while_forking(_places)
