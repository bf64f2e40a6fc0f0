"""The pictures on a job's page: due times in the week, durations, and lateness."""

from __future__ import annotations

from typing import Final, NamedTuple

from markupsafe import Markup

from schedcore.clock import SECOND
from schedcore.history.query import RunQuery
from schedcore.history.record import took_us
from schedhttp.dashboard import texts
from schedhttp.dashboard.pictures.heat import by_hour, heat
from schedhttp.dashboard.pictures.spans import MOST, Span, spans
from schedhttp.dashboard.visit import Visit

_MOST_RUNS: Final = 1_000
_WRONG: Final = ("bad", "warn")


class JobPictures(NamedTuple):
    """The pictures of one job."""

    took: Markup
    late: Markup
    week: Markup
    runs: int
    """The number of runs that they show."""
    zone: str
    """The time zone of the hours."""


def of_job(visit: Visit, job_id: str, job_zone: object) -> JobPictures | None:
    """Return the pictures of a job; None if nothing was due yet."""
    records = visit.scheduler.records(RunQuery(job_id, limit=_MOST_RUNS))
    if not records:
        return None
    zone = visit.tz(job_zone)
    began = [each for each in records[:MOST] if each.started_us is not None]
    took = [
        Span(each.started_us or 0, span_us / SECOND, each.outcome.value)
        for each in began
        if (span_us := took_us(each)) is not None
    ]
    late = [
        Span(each.scheduled_us, each.lateness, each.outcome.value)
        for each in began
        if each.attempt == 1 and each.cause != "backfill"  # their due times are long past
    ]
    due = [(each.scheduled_us, texts.MARKS[each.outcome.value][1] in _WRONG) for each in records]
    return JobPictures(
        spans("Durations", took, zone),
        spans("Lateness", late, zone),
        heat(by_hour(due, zone)),
        len(records),
        texts.zone_name(zone),
    )
