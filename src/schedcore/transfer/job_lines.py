"""Converts jobs to JSON lines with definition and place, and back to equal entries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from schedcore.clock import UTC, from_us
from schedcore.errors import InvalidOptionError, SchedError
from schedcore.jobdata import job_from_dict, job_to_dict
from schedcore.stores.base import Entry, make_entry
from schedcore.triggers.options import moment_us
from schedcore.triggers.zones import zone_of

_UTC = zone_of(UTC)
PLACE: Final = ("next_fire_time", "paused", "next_run_time", "backlog_time", "broken")
"""Fields of a line besides the job's definition; the last three are optional."""


def line_of(entry: Entry) -> str:
    """Return a job and its place as one line of JSON, in ASCII for any output.

    Raises:
        InvalidOptionError: if a value in it is not plain data, with its path.
    """
    data = job_to_dict(entry.job)
    data |= {"next_fire_time": _text(entry.fire_us), "paused": entry.due_us is None}
    if entry.due_us is not None and entry.due_us != entry.fire_us:  # because of its jitter
        data["next_run_time"] = _text(entry.due_us)
    if entry.backlog_us is not None:  # inside a backlog
        data["backlog_time"] = _text(entry.backlog_us)
    if entry.broken is not None:
        data["broken"] = entry.broken
    return json.dumps(data)


def _text(instant_us: int | None) -> str | None:
    return None if instant_us is None else from_us(instant_us, UTC).isoformat()


class BadLineError(SchedError):
    """A line of a file cannot be read as a job.

    Args:
        number: Its number, from 1.
        reason: The reason, in words.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}; nothing was written")
        self.number = number


def entry_of(line: str) -> Entry:
    """Parse a job and its place from a JSON line, without importing modules.

    Raises:
        InvalidOptionError: naming the field or the path, its value, and what was expected.
    """
    try:
        data = json.loads(line)
    except ValueError as error:
        raise InvalidOptionError("job", line, f"JSON: {error}") from None
    if not isinstance(data, dict):
        raise InvalidOptionError("job", data, "an object with a job's fields")
    place = {name: data.pop(name) for name in PLACE if name in data}
    job = job_from_dict(data, resolve=False)
    job_to_dict(job)  # checks that it can be stored
    fire_us = _moment("next_fire_time", place)
    paused = place.get("paused", False)
    if not isinstance(paused, bool):
        raise InvalidOptionError("paused", paused, "true or false")
    if fire_us is None and not paused:
        raise InvalidOptionError(
            "next_fire_time", None, "when the job is next due, or 'paused': true"
        )
    due_us = _moment("next_run_time", place)
    if paused or due_us is None:
        due_us = None if paused else fire_us
    broken = place.get("broken")
    if broken is not None and not isinstance(broken, str):
        raise InvalidOptionError("broken", broken, "text that says why, or null")
    return make_entry(job, fire_us, due_us, _moment("backlog_time", place), broken)


def _moment(name: str, place: Mapping[str, Any]) -> int | None:
    value = place.get(name)
    return None if value is None else moment_us(name, value, _UTC)


def read_lines(lines: Iterable[str]) -> dict[int, Entry]:
    """Parse the jobs of lines, by the lines' numbers; empty lines are skipped.

    Raises:
        BadLineError: if a line is invalid, or repeats an id.
    """
    seen: dict[str, int] = {}
    entries = {}
    for number, entry in _numbered(lines):
        first = seen.setdefault(entry.job.id, number)
        if first != number:
            raise BadLineError(number, f"the id {entry.job.id!r} is that of line {first} as well")
        entries[number] = entry
    return entries


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, Entry]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, entry_of(line.strip())
            except InvalidOptionError as error:
                raise BadLineError(number, str(error)) from error
