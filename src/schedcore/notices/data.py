"""Notices as text, for a store, and as JSON, for their receivers."""

from __future__ import annotations

import json
from typing import Any

from schedcore.clock import from_us
from schedcore.notices.notice import JobChannels, Notice
from schedcore.run import Outcome, RunRecord


def to_text(notice: Notice) -> str:
    """Return a notice as text; the inverse of :func:`from_text`."""
    data = notice._asdict()
    if notice.record is not None:
        data["record"] = notice.record._asdict()
    return json.dumps(data, separators=(",", ":"))


def from_text(text: str) -> Notice:
    """Return the notice in a text; fields of other versions are ignored."""
    data = json.loads(text)
    record = data["record"]
    if record is not None:
        record["outcome"] = Outcome(record["outcome"])
        known = {name: value for name, value in record.items() if name in RunRecord._fields}
        data["record"] = RunRecord(**known)
    return Notice(**{name: value for name, value in data.items() if name in Notice._fields})


def to_json(notice: Notice) -> dict[str, Any]:
    """Return a notice as its receivers get it."""
    record = notice.record
    return {
        "id": notice.id,
        "kind": notice.kind,
        "text": notice.text,
        "job_id": notice.job_id,
        "time": _iso(notice.time_us),
        "run_id": None if notice.run_id is None else str(notice.run_id),
        "outcome": None if record is None else record.outcome.value,
        "scheduled": None if record is None else _iso(record.scheduled_us),
        "started": None if record is None else _iso(record.started_us),
        "ended": None if record is None else _iso(record.ended_us),
        "error_type": None if record is None else record.error_type,
        "error_text": None if record is None else record.error_text,
        "count": notice.count,
        "since": _iso(notice.since_us),
        "output": notice.output,
    }


def _iso(instant_us: int | None) -> str | None:
    return None if instant_us is None else from_us(instant_us).isoformat()


def channels_from_text(text: str | None) -> JobChannels:
    """Return the channels that a removed job named, as :func:`channels_to_text` wrote them."""
    return JobChannels() if text is None else JobChannels(*map(tuple, json.loads(text)))


def channels_to_text(channels: JobChannels) -> str | None:
    """Return the channels that a job names, as text; None: it names none."""
    return json.dumps(channels, separators=(",", ":")) if any(channels) else None
