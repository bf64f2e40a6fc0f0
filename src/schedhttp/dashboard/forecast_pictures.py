"""The forecast as pages show it: how busy each executor will be, and when too busy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from markupsafe import Markup

from schedcore import LoadForecast
from schedcore.clock import SECOND, to_us
from schedcore.load_forecast import ExecutorAhead
from schedhttp.dashboard import texts
from schedhttp.dashboard.pictures.load import Part, load, number, peak
from schedhttp.dashboard.pictures.scale import Scale, moment
from schedhttp.dashboard.visit import Visit

CROWDS: Final = 10
"""Maximum number of crowds that are shown."""
_MINUTE_US: Final = 60 * SECOND
_DAY_MS: Final = 86_400_000


class Load(NamedTuple):
    """The forecast for one executor."""

    name: str
    peak: str
    """When the most runs will be active, in words."""
    picture: Markup


def loads(visit: Visit, forecast: LoadForecast) -> list[Load]:
    """Return the forecast's pictures of those executors that will have runs."""
    scale, zone, found = Scale(forecast.begin_us, forecast.end_us), visit.tz(), []
    for each in forecast.executors:
        if any(part.runs for part in each.slices):
            parts = _parts(each, forecast)
            words = peak(parts, each.workers, zone)
            found.append(Load(each.name, words, load(scale, zone, parts, each.workers)))
    return found


def _parts(executor: ExecutorAhead, forecast: LoadForecast) -> list[Part]:
    return [
        Part(
            max(each.begin_us, forecast.begin_us),
            min(each.begin_us + forecast.slice_us, forecast.end_us),
            each.runs,
            each.most,
        )
        for each in executor.slices
    ]


def crowds(visit: Visit, forecast: LoadForecast) -> list[str]:
    """Return when there will be more runs than workers, in sentences."""
    zone = visit.tz()
    return [
        f"{moment(max(each.begin_us, forecast.begin_us), zone)} to {moment(each.end_us, zone)}:"
        f" {number(each.most)} runs at once at {moment(each.most_us, zone)},"
        f" and {each.workers} workers of {each.executor}"
        for each in forecast.crowds[:CROWDS]
    ]


def due_beside(visit: Visit, times: Sequence[str], but: str = "") -> int | None:
    """Return how many other runs are due in the same minute as the first of *times*.

    Args:
        visit: The visit of a page.
        times: Coming fire times, in the API's format.
        but: The id of the job whose runs do not count.

    Returns:
        None if there is no such time within a day.
    """
    if not times or texts.millis(times[0]) - visit.now_ms > _DAY_MS:
        return None
    begin_us = to_us(datetime.fromisoformat(times[0])) // _MINUTE_US * _MINUTE_US
    jobs = visit.forecasts.of(25).jobs
    return sum(
        begin_us <= us < begin_us + _MINUTE_US
        for job in jobs
        if job.job_id != but
        for us in job.times_us
    )
