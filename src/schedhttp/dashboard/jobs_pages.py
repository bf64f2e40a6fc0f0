"""The pages of all jobs, and of one job."""

from __future__ import annotations

from typing import Final

from schedcore.triggers import zone_of
from schedcore.triggers.lint import warnings_of
from schedhttp.codec import STATES
from schedhttp.dashboard import job_pictures, texts
from schedhttp.dashboard.edit_pages import stand_ins
from schedhttp.dashboard.now_page import took
from schedhttp.dashboard.visit import Page, Visit
from schedhttp.request import read_count

PER_PAGE: Final = 50
SORTS: Final = {"next_run_time": "next run", "id": "id", "name": "name"}
_MOST_PAGES: Final = 10_000
_FIELDS: Final = ("q", "tag", "state", "sort")


def show_all(visit: Visit) -> Page:
    """Return the list of the jobs that the filter in the query selects."""
    wanted = {name: visit.args.get(name, "") for name in _FIELDS}
    page = read_count(visit.request, "page", 1, _MOST_PAGES) or 1
    answer = visit.api(
        "get_jobs", query={**wanted, "limit": PER_PAGE, "offset": (page - 1) * PER_PAGE}
    )
    histories = {job["id"]: visit.latest_runs(job["id"]) for job in answer.json}
    times = {job_id: took(runs) for job_id, runs in histories.items()}
    values = {
        "jobs": answer.json,
        "count": answer.count,
        "page": page,
        "pages": -(-(answer.count or 0) // PER_PAGE),
        "wanted": wanted,
        "is_filtered": any(wanted[name] for name in ("q", "tag", "state")),
        "states": STATES,
        "sorts": SORTS,
        "own_zone": texts.zone_name(zone_of(visit.scheduler.timezone).tz),
        "histories": histories,
        "usual": {
            job_id: (texts.percentile(each, 0.5), texts.percentile(each, 0.95))
            for job_id, each in times.items()
        },
    }
    return Page("jobs.html", values)


def show(visit: Visit) -> Page:
    """Return the page of one job."""
    job_id = visit.args.get("id", "")
    outcome = visit.args.get("outcome", "")
    job = {"job_id": job_id}
    answer = visit.api("get_job", job)
    runs = visit.api("get_job_runs", job, {"outcome": outcome, "limit": PER_PAGE})
    latest = visit.latest_runs(job_id, 100)
    times = took(latest)
    values = {
        "job": answer.json,
        "unknown": stand_ins(answer.json),
        "options": texts.options_of(answer.json),
        "coming": _coming(visit, job_id),
        "warnings": warnings_of(visit.scheduler.entry(job_id).job.trigger, visit.now_ms * 1000),
        "open": visit.api("get_job_runs", job, {"state": "open", "limit": 20}).json,
        "runs": runs,
        "outcome": outcome,
        "counts": visit.api("get_counts", query={"job": job_id}).json,
        "pictures": job_pictures.of_job(visit, job_id, answer.json.get("timezone")),
        "latest": latest[:20],
        "usual": (texts.percentile(times, 0.5), texts.percentile(times, 0.95)),
    }
    return Page("job.html", values)


def _coming(visit: Visit, job_id: str) -> list[tuple[str, str]]:
    """Return the coming fire times of a job, each with a remark."""
    found = visit.api("get_next", {"job_id": job_id}, {"n": 10}).json
    remarks = found.get("remarks", {})
    return [(moment, remarks.get(moment, "")) for moment in found["next_fire_times"]]
