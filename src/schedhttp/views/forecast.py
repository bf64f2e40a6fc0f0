"""The endpoint of the forecast: future runs, and how many of them overlap."""

from __future__ import annotations

from typing import Final

from schedcore.load_forecast import MOST_HOURS
from schedhttp.errors import BadRequest
from schedhttp.load_shapes import FORECAST, ForecastShown
from schedhttp.request import Incoming, read_count
from schedhttp.views.base import Reply, Service

HOURS: Final = 24


def get_forecast(service: Service, request: Incoming) -> Reply:
    """Return the runs of the next hours, and when there are more than workers.

    An estimate: each run, active ones included, takes as long as those of its job did on average.
    """
    hours = read_count(request, "hours", HOURS, MOST_HOURS)
    if not hours:
        raise BadRequest(f"hours=0: expected a whole number from 1 to {MOST_HOURS}")
    return Reply(FORECAST.to_dict(ForecastShown.of(service.scheduler.forecast(hours))))
