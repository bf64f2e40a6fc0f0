"""What the audit keeps of a change of a job: its verb, and what was there before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from schedcore.audit import PYTHON, Actor, AuditRecord
from schedcore.clock import from_us
from schedcore.job import Job
from schedcore.jobdata import shown
from schedcore.run import short_repr
from schedcore.stores.base import Change, Entry

MOST_TEXT: Final = 4_000
"""Characters of JSON beyond which long values of a job are cut."""
_MOST_VALUE: Final = 200
_encode = json.JSONEncoder(separators=(",", ":"), default=repr).encode


def record_of_change(change: Change | Entry, by: Actor, now_us: int) -> AuditRecord:
    """Return what the audit keeps of a change.

    Args:
        change: The change; an entry alone is a job that is added.
        by: Who makes it.
        now_us: When.
    """
    if isinstance(change, Entry):
        # To write a job down takes as long as to add it, and the code has it.
        after = None if by == PYTHON else _text(shown(change.job))
        return AuditRecord(0, now_us, *by, "added", change.job.id, None, None, after)
    verb, before, after = _difference(change)
    return AuditRecord(0, now_us, *by, verb, change.old.job.id, None, before, after)


def _difference(change: Change) -> tuple[str, str | None, str | None]:
    """Return the verb of a change, and what was there before and after."""
    old, new, another, _ = change
    if new is None:
        return "removed", _text(shown(old.job)), None
    if another:
        return "replaced", _text(shown(old.job)), _text(shown(new.job))
    verb = "changed"
    was, now = _next_run(old), _next_run(new)
    before, after = _differing(old.job, new.job)
    if was["next_run_time"] != now["next_run_time"]:
        before, after = before | was, after | now
    if (old.due_us is None) != (new.due_us is None):
        verb = "resumed" if old.due_us is None else "paused"
    if new.broken is not None and new.broken != old.broken:
        verb = "parked"
    return verb, _text(before), _text(after)


def _differing(old: Job, new: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is shown of one definition and not of another, both ways."""
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
    """Return plain data as JSON of a bounded length: a request's arguments may be long."""
    text = _encode(data)
    if len(text) <= MOST_TEXT:
        return text
    return _encode({name: _short(value) for name, value in data.items()})


def _short(value: object) -> object:
    if len(_encode(value)) <= _MOST_VALUE:
        return value
    return f"{(short_repr(value) or '')[:_MOST_VALUE]}..."
