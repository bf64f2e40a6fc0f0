"""The report of a run in another process as text for a store: plain data, without pickles.

Reading a pickle executes code, so a pickle in a database would let its writer run any code.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from schedcore.basics.tagged_data import from_plain, to_plain
from schedcore.errors import InvalidOptionError
from schedcore.executors.remote import MOST_BYTES, Failure, Report, unpickled
from schedcore.output.text import Kept, storable

_MOST_TEXT: Final = 16 * 1024
"""Maximum length of each text of a failure."""


class StoredReport(NamedTuple):
    """A parsed report."""

    report: Report
    ended_us: int | None
    """In microseconds since the Unix epoch; None: just now."""


def text_of_report(report: Report, ended_us: int) -> str:
    """Return a report as text, of a few hundred kB at most.

    Args:
        report: The report of the run.
        ended_us: When it ended, in microseconds since the Unix epoch.
    """
    data: dict[str, Any] = {"ended_us": ended_us, "text": report.text}
    if report.failure is not None:
        data["failure"] = [storable(part[-_MOST_TEXT:]) for part in report.failure[:5]]
    if report.printed is not None:
        data["printed"] = report.printed
    if (value := _plain(report)) is not None:
        data["value"] = value
    return json.dumps(data, separators=(",", ":"))


def _plain(report: Report) -> Any:
    """Return the value of a report as plain data; None: there is none, or it is too long."""
    value = unpickled(report.pickled)
    try:
        plain = to_plain(value, "result")
    except InvalidOptionError:
        return None
    return plain if len(json.dumps(plain)) <= MOST_BYTES else None


def report_of_text(text: str) -> StoredReport:
    """Parse a report that :func:`text_of_report` wrote."""
    data = json.loads(text)
    failure = data.get("failure")
    printed = data.get("printed")
    return StoredReport(
        Report(
            None if failure is None else Failure(*failure),
            None,
            data["text"],
            None if printed is None else Kept(*printed),
            from_plain(data.get("value"), "result"),
        ),
        data["ended_us"],
    )
