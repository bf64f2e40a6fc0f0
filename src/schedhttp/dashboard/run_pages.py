"""The page of a run: its outcome and the reason, and its output."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from schedcore import RunLookupError
from schedcore.methods.changes import MOST_AT_ONCE
from schedcore.output.text import HALF
from schedhttp.dashboard import texts
from schedhttp.dashboard.api_calls import Refused
from schedhttp.dashboard.now_page import took
from schedhttp.dashboard.visit import Page, Raw, Visit
from schedhttp.errors import BadRequest
from schedhttp.run_paging import read_run_id

MOST_LINES: Final = 5_000
"""Maximum number of lines of output on a page: the last ones."""
_EARLIER: Final = timedelta(minutes=1)
"""By how much an order may be older than its run, by the clocks of two computers."""


def show(visit: Visit) -> Page:
    """Return the page."""
    run_id = visit.args.get("id", "")
    run = visit.api("get_run", {"run_id": run_id}).json
    output, hidden = _output(visit, run_id)
    lines = (output["text"] if output else "").splitlines()
    job = visit.scheduler.get_job(run["job_id"])
    values = {
        "run": run,
        "order": _order(visit, run),
        "has_job": job is not None,
        "usual": texts.percentile(took(visit.latest_runs(run["job_id"])), 0.5),
        "output": output,
        "hidden": hidden,
        "text": "\n".join(lines[-MOST_LINES:]),
        "left_out": max(0, len(lines) - MOST_LINES),
        "half": HALF,
    }
    return Page("run.html", values)


def _order(visit: Visit, run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the audit's record of the order to run this; None: the visitor may not see it.

    Orders before the last thousand changes of the job are not found.
    """
    if run["cause"] != "manual" or not visit.may_change:
        return None
    since = datetime.fromisoformat(run["scheduled"]) - _EARLIER
    query = {"job": run["job_id"], "since": since.isoformat(), "limit": MOST_AT_ONCE}
    changes: list[dict[str, Any]] = visit.api("get_audit", query=query).json
    of_run = (each for each in changes if each["run_id"] == run["run_id"])
    return next((each for each in of_run if each["verb"] == "run"), None)


def printed(visit: Visit) -> int | None:
    """Return the length of the output so far; None: the run has ended, or does not exist."""
    try:
        output = visit.scheduler.output(read_run_id("id", visit.args.get("id", "")))
    except (BadRequest, RunLookupError):
        return None
    return None if output.ended else output.next


def download(visit: Visit) -> Raw:
    """Return the output of a run as a file."""
    run_id = visit.args.get("id", "")
    output = visit.api("get_output", {"run_id": run_id}).json
    text = output["text"].encode("utf-8", "replace")
    return Raw(text, "text/plain; charset=utf-8", f"run-{output['run_id']}.txt")


def _output(visit: Visit, run_id: str) -> tuple[dict[str, Any] | None, str]:
    """Return the output of a run, or the reason why it is not shown."""
    try:
        return visit.api("get_output", {"run_id": run_id}).json, ""
    except Refused as error:
        if error.status not in (403, 404):
            raise
        return None, str(error) if error.status == 403 else ""
