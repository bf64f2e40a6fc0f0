"""The page of a month: outcomes on past days, and coming runs on the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from schedcore import Outcome
from schedcore.clock import SECOND, from_us, to_us
from schedcore.history.query import RunQuery
from schedcore.triggers.combining import coming
from schedhttp.dashboard import texts
from schedhttp.dashboard.visit import Page, Visit
from schedhttp.errors import BadRequest

MOST_JOBS: Final = 200
"""Maximum number of jobs whose coming runs are counted."""
MOST_RUNS: Final = 1_000
"""Maximum number of counted runs of one job: jobs that run more often are listed separately."""
_MOST_OF_ALL: Final = 20_000
"""Maximum number of counted runs of all jobs; counting them takes some tenths of a second."""
MOST_COUNTED: Final = 100_000
"""Maximum number of outcomes of a month that are counted: the latest ones."""
_SLICE_US: Final = 15 * 60 * SECOND
"""Outcomes are counted by this period: days begin at multiples of it in every zone."""
_NAMED: Final = 3
"""Maximum number of jobs that are named on a day."""
_YEARS: Final = (1970, 9_998)


class Day(NamedTuple):
    """One day of the month."""

    date: date
    is_today: bool
    since: str
    until: str
    ended: tuple[tuple[str, str, int], ...]
    """Of each colour of outcomes: their filter, the colour's class, and their number."""
    jobs: tuple[str, ...]
    """Of the coming runs: the jobs that run rarely."""
    comes: int
    """The number of coming runs."""
    clocks: str
    """The clock change of this day; usually empty."""


def show(visit: Visit) -> Page:
    """Return the page."""
    zone = visit.tz()
    today = from_us(visit.now_ms * 1_000, zone).date()
    first = _month(visit.args.get("month", "")) or today.replace(day=1)
    after = _next_month(first)
    text = visit.args.get("q", "")
    jobs = visit.api("get_jobs", query={"q": text, "limit": MOST_JOBS})
    comes, often = _coming(visit, [job["id"] for job in jobs.json], first, after)
    job_id = jobs.json[0]["id"] if text and jobs.count == 1 else ""
    ended = _ended(visit, job_id, first, after)
    days = [
        _day(visit, each, today, comes.get(each, []), ended.get(each, Counter()))
        for each in _days(first, after)
    ]
    weeks: list[list[Day | None]] = [[None] * first.weekday()]
    for day in days:
        if len(weeks[-1]) == 7:
            weeks.append([])
        weeks[-1].append(day)
    weeks[-1] += [None] * (7 - len(weeks[-1]))
    values = {
        "weeks": weeks,
        "title": f"{first:%B %Y}",
        "month": f"{first:%Y-%m}",
        "before": f"{first - timedelta(days=1):%Y-%m}",
        "after": f"{after:%Y-%m}",
        "q": text,
        "job": job_id,
        "often": often,
        "count": jobs.count or 0,
        "looked_at": MOST_JOBS,
        "is_cut": sum(map(Counter.total, ended.values())) >= MOST_COUNTED,
        "most": MOST_COUNTED,
        "zone": texts.zone_name(zone),
    }
    return Page("calendar.html", values)


def _month(text: str) -> date | None:
    """Return the first day of the month in a page's query; None: there is none.

    Raises:
        BadRequest: if it is not a month.
    """
    if not text:
        return None
    try:
        found = date.fromisoformat(f"{text[:7]}-01") if len(text) == 7 else date.min
    except ValueError:
        found = date.min
    if not _YEARS[0] <= found.year <= _YEARS[1]:
        raise BadRequest(f"month={text[:80]!r}: expected a month such as 2026-01")
    return found


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _days(first: date, after: date) -> Iterator[date]:
    while first < after:
        yield first
        first += timedelta(days=1)


def _begin_us(visit: Visit, day: date) -> int:
    """Return when a day begins in the page's time zone."""
    return to_us(datetime(day.year, day.month, day.day, tzinfo=visit.tz()))


def _coming(
    visit: Visit, job_ids: list[str], first: date, after: date
) -> tuple[dict[date, list[str]], list[str]]:
    """Return the jobs of coming runs by days, and the jobs that run too often for that."""
    zone, until_us = visit.tz(), _begin_us(visit, after) - 1
    begin_us = max(_begin_us(visit, first), visit.now_ms * 1_000)
    found: dict[date, list[str]] = {}
    often: list[str] = []
    left = _MOST_OF_ALL
    for job_id in job_ids:
        handle = visit.scheduler.get_job(job_id)
        if handle is None or handle.last_seen.fire_us is None or handle.last_seen.due_us is None:
            continue  # gone or paused
        fire_us = handle.last_seen.fire_us
        behind_us = max(begin_us, fire_us) - 1
        most = min(left, MOST_RUNS)
        try:
            times, truncated = coming(handle.trigger, behind_us, most + 1, until_us)
        except Exception:  # noqa: BLE001 — whatever a trigger raises: the page Now reports it
            times, truncated = [], True
        left -= len(times)
        if truncated or len(times) > most:
            often.append(job_id)
            continue
        for us in times:
            found.setdefault(from_us(us, zone).date(), []).append(job_id)
    return found, often


def _day(visit: Visit, day: date, today: date, comes: list[str], ended: Counter[Outcome]) -> Day:
    begin_us = _begin_us(visit, day)
    end_us = _begin_us(visit, day + timedelta(days=1))
    counts = Counter(comes)
    names = tuple(sorted(counts, key=lambda job: (counts[job], job))[:_NAMED])
    since, until = (from_us(us, visit.tz()).isoformat() for us in (begin_us, end_us))
    clocks = _clocks(end_us - begin_us)
    return Day(day, day == today, since, until, _by_kind(ended), names, len(comes), clocks)


def _ended(visit: Visit, job_id: str, first: date, after: date) -> dict[date, Counter[Outcome]]:
    """Return how often each day had each outcome, with one query for the whole month."""
    zone = visit.tz()
    query = RunQuery(
        job_id or None, since_us=_begin_us(visit, first), until_us=_begin_us(visit, after)
    )
    found: dict[date, Counter[Outcome]] = {}
    tally = visit.scheduler.tally(query, _SLICE_US, MOST_COUNTED)
    for (number, outcome), count in tally.items():
        day = from_us(number * _SLICE_US, zone).date()
        found.setdefault(day, Counter())[outcome] += count
    return found


def _by_kind(ended: Counter[Outcome]) -> tuple[tuple[str, str, int], ...]:
    """Return the number of outcomes of each colour, the worst first."""
    found = []
    for kind in ("bad", "warn", "dull", "good"):
        outcomes = [each for each in Outcome if texts.MARKS[each.value][1] == kind]
        if count := sum(ended[each] for each in outcomes):
            found.append((",".join(each.value for each in outcomes), kind, count))
    return tuple(found)


def _clocks(length_us: int) -> str:
    """Return the clock change on a day of this length, in words."""
    minutes = (length_us - 86_400 * 10**6) // (60 * 10**6)
    if not minutes:
        return ""
    return f"clocks go {'back' if minutes > 0 else 'forward'} by {abs(minutes)} min"
