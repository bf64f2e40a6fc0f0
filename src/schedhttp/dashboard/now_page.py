"""The overview page: what failed, what runs, and what comes next."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from schedhttp.dashboard import texts
from schedhttp.dashboard.forecast_pictures import crowds, loads
from schedhttp.dashboard.visit import Page, Visit

WELL: Final = "executed"
BAD: Final = "failed,timed_out,lost"
NOT_RUN: Final = "missed,shed,skipped,coalesced,paused,cancelled"
_TROUBLE: Final = f"{BAD},missed,shed"
_DAY: Final = timedelta(days=1)
_MOST_RUNS: Final = 200
"""Number of latest outcomes that are searched for problems."""
_MOST: Final = 12
"""Maximum number of lines of each part of the page."""
_LATE_MS: Final = 5_000
_HUNG: Final = 3
"""A run takes too long if it takes so many times longer than nearly all others."""
_HUNG_AT_LEAST: Final = 60.0


class Trouble(NamedTuple):
    """A job that needs attention."""

    job_id: str
    what: str
    why: str
    run: dict[str, Any] | None = None


def show(visit: Visit) -> Page:
    """Return the page."""
    api = visit.api
    under_way = api("get_runs", query={"state": "open", "limit": _MOST})
    coming = api("get_jobs", query={"limit": _MOST})
    usual = {run["job_id"]: _usual(visit, run["job_id"]) for run in under_way.json}
    forecast = visit.forecasts.of(1)
    hour_ms = visit.now_ms + 3_600_000
    since = (datetime.fromtimestamp(visit.now_ms // 1000, timezone.utc) - _DAY).isoformat()
    soon = [job for job in coming.json if _due_ms(job, hour_ms + 1) <= hour_ms]
    troubles = _troubles(visit, under_way.json, coming.json, usual)
    values = {
        "info": api("get_scheduler_info").json,
        "health": api("get_health").json,
        "since": since,
        "day": _day(visit, since),
        "troubles": troubles,
        "failed": [each.job_id for each in troubles if each.run and each.run["outcome"]],
        "under_way": under_way,
        "usual": usual,
        "soon": soon,
        "loads": loads(visit, forecast),
        "crowds": crowds(visit, forecast),
        "jobs": coming.count,
        "most": _MOST,
        "bad": _TROUBLE,
        "nothing_ran": not api("get_runs", query={"limit": 1}).json,
    }
    return Page("now.html", values)


def _day(visit: Visit, since: str) -> list[tuple[str, str, str, int | None]]:
    """Return the numbers of good, bad and other outcomes of the last day, with their filters."""
    return [
        (
            *(title, kind, outcomes),
            visit.api("get_runs", query={"since": since, "outcome": outcomes, "limit": "0"}).count,
        )
        for title, kind, outcomes in (
            ("failed", "bad", BAD),
            ("did not run", "dull", NOT_RUN),
            ("ran", "good", WELL),
        )
    ]


def _troubles(
    visit: Visit,
    under_way: list[dict[str, Any]],
    coming: list[dict[str, Any]],
    usual: dict[str, float | None],
) -> list[Trouble]:
    broken = visit.api("get_jobs", query={"state": "broken", "limit": _MOST}).json
    found = [Trouble(job["id"], "broken", job["broken"]) for job in broken]
    found += _failing(visit)
    for run in under_way:
        typical = usual[run["job_id"]]
        if run["started"] is not None and typical is not None:
            took = (visit.now_ms - texts.millis(run["started"])) / 1000
            if took > max(_HUNG * typical, _HUNG_AT_LEAST):
                why = f"under way for {texts.duration(took)}, usually {texts.duration(typical)}"
                found.append(Trouble(run["job_id"], "takes long", why, run))
    for job in coming:
        late_ms = visit.now_ms - _due_ms(job, visit.now_ms)
        if late_ms > _LATE_MS and job["state"] == "scheduled":
            found.append(Trouble(job["id"], "late", f"by {texts.duration(late_ms / 1000)}"))
    return found


def _failing(visit: Visit) -> list[Trouble]:
    """Return the jobs whose last run failed within a day, and how many runs failed in a row."""
    latest = visit.api("get_runs", query={"outcome": _TROUBLE, "limit": _MOST_RUNS}).json
    since_ms = visit.now_ms - _DAY // timedelta(milliseconds=1)
    bad = set(_TROUBLE.split(","))
    found = []
    for job_id in dict.fromkeys(
        run["job_id"] for run in latest if texts.millis(run["scheduled"]) > since_ms
    ):
        if visit.scheduler.get_job(job_id) is None:
            continue
        decided = [run for run in visit.latest_runs(job_id) if run["outcome"] in {*bad, "executed"}]
        row = next((n for n, run in enumerate(decided) if run["outcome"] not in bad), len(decided))
        if row:
            what = decided[0]["outcome"].replace("_", " ")
            times = f"{what}, {row} in a row" if row > 1 else what
            found.append(Trouble(job_id, times, texts.why(decided[0]), decided[0]))
        if len(found) == _MOST:
            break
    return found


def _usual(visit: Visit, job_id: str) -> float | None:
    """Return the maximum duration of nearly all of a job's last runs."""
    return texts.percentile(took(visit.latest_runs(job_id)), 0.95)


def took(runs: list[dict[str, Any]]) -> list[float]:
    """Return the durations of the executed ones among *runs*, in seconds."""
    return [
        (texts.millis(run["ended"]) - texts.millis(run["started"])) / 1000
        for run in runs
        if run["outcome"] == WELL and run["started"] and run["ended"]
    ]


def _due_ms(job: dict[str, Any], otherwise: int) -> int:
    due = job["next_run_time"]
    return otherwise if due is None else texts.millis(due)
