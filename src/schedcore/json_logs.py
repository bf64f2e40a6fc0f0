"""Log records as JSON, one object per line, for log collectors."""

from __future__ import annotations

import json
import logging
import reprlib
from datetime import datetime, timezone
from typing import Any, Final

from schedcore.run import named, run_here

_OF_LOGGING: Final = frozenset(
    (*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName")
)
"""The attributes that every record has; all others were passed with ``extra=``."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    The object has ``time`` (UTC), ``level``, ``logger`` and ``message``; the fields of ``extra=``,
    such as ``job_id`` and ``outcome``; and ``error`` and ``traceback`` of an exception.  Records
    that a job logs while it runs have its ``job_id``, ``run_id`` and ``attempt``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (run := run_here()) is not None:
            line |= {**named(run), "attempt": run.attempt}
        given = {k: v for k, v in record.__dict__.items() if k not in _OF_LOGGING}
        line |= {k: v for k, v in given.items() if k not in _FIRST}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__qualname__
            line["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        try:
            return json.dumps(line, default=reprlib.repr, allow_nan=False)
        except (TypeError, ValueError, RecursionError):  # nan, a key that is no text, a cycle
            return json.dumps({k: v if _is_plain(v) else reprlib.repr(v) for k, v in line.items()})


_FIRST: Final = ("time", "level", "logger", "message")


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int)
