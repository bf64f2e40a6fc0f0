"""Parses jobs in files (TOML as in a server's settings, or JSON) and in commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from schedcore.cli.connecting import read_toml
from schedcore.errors import InvalidOptionError
from schedcore.job import JOB_FIELDS
from schedcore.triggers.factory import option_names


def read_jobs(path: str) -> list[dict[str, Any]]:
    """Return the jobs of a file: an array, ``{"jobs": [...]}``, one job, or one per line.

    Args:
        path: TOML with ``[[jobs]]`` if it ends in ``.toml``, else JSON; ``-`` is standard input.

    Raises:
        InvalidOptionError: if it cannot be parsed, or two jobs have the same id.
    """
    if path.endswith(".toml"):
        # TOML has its own type for dates, which JSON writes as text.
        found: Any = json.loads(json.dumps(read_toml(Path(path)), default=str))
    else:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
        found = _read_json(text, path)
    if isinstance(found, dict) and "id" not in found:
        found = found.get("jobs")
    jobs = [found] if isinstance(found, dict) else found
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise InvalidOptionError("file", path, "jobs: [[jobs]] in TOML, or JSON objects")
    jobs = [{k: v for k, v in job.items() if k != "etag"} for job in jobs]  # from "job --json"
    ids = [job.get("id") for job in jobs]
    for job_id in ids:
        if not isinstance(job_id, str) or not job_id:
            raise InvalidOptionError("id", job_id, f"an id for each job of {path}")
    if len(set(ids)) < len(ids):
        twice = next(job_id for place, job_id in enumerate(ids) if job_id in ids[:place])
        raise InvalidOptionError("id", twice, f"one job with it in {path}")
    return jobs


def _read_json(text: str, path: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            raise InvalidOptionError("file", path, f"JSON: {error}") from None


def with_trigger(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job with the kind of its trigger, which is guessed from the options if missing."""
    options = job.keys() - JOB_FIELDS - _NO_OPTIONS
    return {"trigger": guess_kind(options), **job} if options else dict(job)


_NO_OPTIONS: Final = frozenset(
    {"replace_existing", "jobstore", "state", "broken", "shown_as_repr", "hidden"}
)
"""Names in a job besides its fields and the options of its trigger."""


def guess_kind(options: Iterable[str]) -> str:
    """Return the kind of trigger that has these options; cron if several have."""
    for kind in ("cron", "interval", "date", "calendarinterval"):
        if option_names(kind).issuperset(options):
            return kind
    return "cron"
