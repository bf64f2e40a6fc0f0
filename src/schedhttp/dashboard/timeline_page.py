"""The page of the last and next hours: what ran, what comes, and the load of the workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from schedcore import LoadForecast
from schedcore.clock import SECOND
from schedcore.load_forecast import JobAhead
from schedhttp.dashboard import texts
from schedhttp.dashboard.forecast_pictures import CROWDS, crowds, loads
from schedhttp.dashboard.now_page import BAD
from schedhttp.dashboard.pictures.scale import Scale, axis, moment
from schedhttp.dashboard.pictures.timeline import Happening, lane
from schedhttp.dashboard.visit import Page, Visit
from schedhttp.request import read_count

VIEWS: Final = {
    "2h": ("2 hours", 1, 1),
    "12h": ("12 hours", 6, 6),
    "30h": ("30 hours", 6, 24),
    "2d": ("2 days", 24, 24),
    "8d": ("8 days", 24, 168),
}
"""The selectable periods, by their value in the query: name, hours back, hours ahead."""
_USUAL: Final = "12h"
LANES: Final = 30
_MOST_PAGES: Final = 10_000
_TROUBLED: Final = 10
"""Maximum number of lanes above the others, for jobs with failures."""
_MOST_RUNS: Final = 200
_RUNS: Final = 500
"""Maximum number of runs of a job that are shown: the latest."""
_HOUR_US: Final = 3_600 * SECOND


class Lane(NamedTuple):
    """The lane of one job."""

    job_id: str
    is_there: bool
    picture: Markup


def show(visit: Visit) -> Page:
    """Return the page."""
    view = visit.args.get("view", "")
    view = view if view in VIEWS else _USUAL
    _, back, ahead = VIEWS[view]
    text = visit.args.get("q", "")
    page = read_count(visit.request, "page", 1, _MOST_PAGES) or 1
    jobs = visit.api("get_jobs", query={"q": text, "limit": LANES, "offset": (page - 1) * LANES})
    now_us = visit.now_ms * 1_000
    scale = Scale(now_us - back * _HOUR_US, now_us + ahead * _HOUR_US)
    forecast = visit.forecasts.of(ahead)
    listed = [job["id"] for job in jobs.json]
    wrong = _troubled(visit, scale, listed) if page == 1 and not text else []
    zone = visit.tz()
    values = {
        "zone": texts.zone_name(zone),
        "view": view,
        "views": {key: name for key, (name, *_) in VIEWS.items()},
        "q": text,
        "page": page,
        "pages": -(-(jobs.count or 0) // LANES),
        "count": jobs.count,
        "axis": axis(scale, zone, now_us),
        "lanes": _lanes(visit, scale, wrong, listed, forecast),
        "loads": loads(visit, forecast),
        "crowds": crowds(visit, forecast),
        "more_crowds": max(0, len(forecast.crowds) - CROWDS),
        "runs": forecast.runs,
        "hours": ahead,
        "exact_until": _exact_until(visit, forecast),
        "unknown": forecast.unknown[:_TROUBLED],
    }
    return Page("timeline.html", values)


def _exact_until(visit: Visit, forecast: LoadForecast) -> str:
    if forecast.exact_until_us >= forecast.end_us:
        return ""
    return moment(forecast.exact_until_us, visit.tz())


def _troubled(visit: Visit, scale: Scale, listed: Iterable[str]) -> list[str]:
    """Return the jobs with failures in the shown period that are not listed anyway."""
    since = texts.iso(scale.begin_us)
    query = {"outcome": BAD, "since": since, "limit": _MOST_RUNS}
    found = dict.fromkeys(run["job_id"] for run in visit.api("get_runs", query=query).json)
    return [job_id for job_id in found if job_id not in set(listed)][:_TROUBLED]


def _lanes(
    visit: Visit, scale: Scale, wrong: list[str], listed: list[str], forecast: LoadForecast
) -> list[Lane]:
    ahead = {job.job_id: job for job in forecast.jobs}
    is_open: dict[str, list[dict[str, Any]]] = {}
    for run in visit.api("get_runs", query={"state": "open", "limit": 1_000}).json:
        is_open.setdefault(run["job_id"], []).append(run)
    lanes = []
    for job_id in (*wrong, *listed):
        runs = visit.latest_runs(job_id, _RUNS, scale.begin_us) + is_open.get(job_id, [])
        picture = _picture(visit, scale, runs, ahead.get(job_id))
        is_there = job_id in ahead or visit.scheduler.get_job(job_id) is not None
        lanes.append(Lane(job_id, is_there, picture))
    return lanes


def _picture(
    visit: Visit, scale: Scale, runs: Iterable[Mapping[str, Any]], ahead: JobAhead | None
) -> Markup:
    now_us = visit.now_ms * 1_000
    happenings = [_happening(run, now_us) for run in runs]
    if ahead is None:
        return lane(scale, visit.tz(), now_us, happenings, ())
    further = ahead.runs - len(ahead.times_us)
    return lane(
        scale, visit.tz(), now_us, happenings, ahead.times_us, ahead.took_us, further=further
    )


def _happening(run: Mapping[str, Any], now_us: int) -> Happening:
    due_us = texts.millis(run["scheduled"]) * 1_000
    kind = run["outcome"] or run["state"]
    decided_us = due_us + round(run["lateness"] * SECOND)
    begin_us = decided_us if run["started"] is None else texts.millis(run["started"]) * 1_000
    if run["ended"] is not None:
        end_us = texts.millis(run["ended"]) * 1_000
    else:
        end_us = begin_us if run["outcome"] else now_us
    return Happening(due_us, begin_us, max(begin_us, end_us), kind, run["why"])
