"""What the audit stores as JSON: the difference that a change makes to a job, and a run's call."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from schedcore.clock import from_us
from schedcore.job import Job
from schedcore.jobdata import shown
from schedcore.run import short_repr
from schedcore.stores.base import Change, Entry

MOST_TEXT: Final = 4_000
"""Length of JSON above which long values of a job are truncated."""
_MOST_VALUE: Final = 200
_encode = json.JSONEncoder(separators=(",", ":"), default=repr).encode


def difference(change: Change | Entry) -> tuple[str | None, str | None]:
    """Return the old and the new values of a change as JSON; None: there was or is no job."""
    if isinstance(change, Entry):
        return None, _text(shown(change.job))
    old, new, another, _ = change
    if new is None:
        return _text(shown(old.job)), None
    if another:
        return _text(shown(old.job)), _text(shown(new.job))
    was, now = _next_run(old), _next_run(new)
    before, after = _differing(old.job, new.job)
    if was != now:
        before, after = before | was, after | now
    return _text(before), _text(after)


def own_call(job: Job, names: Iterable[str]) -> str:
    """Return the arguments of one run as JSON.

    Args:
        job: With the arguments of the run.
        names: ``args`` or ``kwargs``, or both: those that the run was given.
    """
    arguments = shown(job)
    return _text({name: arguments[name] for name in names})


def _differing(old: Job, new: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values in which two definitions differ, of each."""
    if old is new:
        return {}, {}
    was, now = shown(old), shown(new)
    return (
        {k: v for k, v in was.items() if k not in now or now[k] != v},
        {k: v for k, v in now.items() if k not in was or was[k] != v},
    )


def _next_run(entry: Entry) -> dict[str, Any]:
    due_us = entry.due_us
    return {"next_run_time": None if due_us is None else from_us(due_us).isoformat()}


def _text(data: Mapping[str, Any]) -> str:
    """Return plain data as JSON of bounded length, since arguments may be long."""
    text = _encode(data)
    if len(text) <= MOST_TEXT:
        return text
    return _encode({name: _short(value) for name, value in data.items()})


def _short(value: object) -> object:
    if len(_encode(value)) <= _MOST_VALUE:
        return value
    return f"{(short_repr(value) or '')[:_MOST_VALUE]}..."
