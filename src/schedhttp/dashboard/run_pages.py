"""The page of a run: its outcome and the reason, and its output."""

from __future__ import annotations

from typing import Any, Final

from schedcore import RunLookupError
from schedcore.output.text import HALF
from schedhttp.dashboard import texts
from schedhttp.dashboard.api_calls import Refused
from schedhttp.dashboard.now_page import took
from schedhttp.dashboard.visit import Page, Raw, Visit
from schedhttp.errors import BadRequest
from schedhttp.run_paging import read_run_id

MOST_LINES: Final = 5_000
"""Maximum number of lines of output on a page: the last ones."""


def show(visit: Visit) -> Page:
    """Return the page."""
    run_id = visit.args.get("id", "")
    run = visit.api("get_run", {"run_id": run_id}).json
    output, hidden = _output(visit, run_id)
    lines = (output["text"] if output else "").splitlines()
    job = visit.scheduler.get_job(run["job_id"])
    values = {
        "run": run,
        "has_job": job is not None,
        "usual": texts.percentile(took(visit.latest_runs(run["job_id"])), 0.5),
        "output": output,
        "hidden": hidden,
        "text": "\n".join(lines[-MOST_LINES:]),
        "left_out": max(0, len(lines) - MOST_LINES),
        "half": HALF,
    }
    return Page("run.html", values)


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
