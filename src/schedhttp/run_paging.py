"""Pages of the lists of runs: what a query asks for, and the link to the next page.

Ended runs are read from the store page by page, so a page is named by a run before it
(``before``).  There is no link to the last page: finding it would mean to read all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schedcore import InvalidOptionError, Outcome, Run, RunRecord, Scheduler
from schedcore.history.query import RunQuery
from schedcore.job import MAX_ID_LENGTH, check_tag
from schedcore.triggers import moment_us, zone_of
from schedhttp.errors import BadRequest
from schedhttp.paging import MOST, Page, link
from schedhttp.request import Incoming, check_known, read_count

PARAMETERS: Final = ("state", "outcome", "tag", "since", "until", "before", "limit", "offset")
STATES: Final = ("waiting", "running", "open", "ended")
MOST_RUNS: Final = 1_000
"""Maximum number of runs on a page."""
_RUNS: Final = 100
"""Number of runs on a page by default."""
_MOST_COUNTED: Final = 10_000
"""Maximum number of counted outcomes: counting a million takes longer than reading a page."""
MOST_TAGGED: Final = 5_000
"""Maximum number of jobs with the requested tags: each is a value in the SQL query."""
_NEAR: Final = 1_000
"""How many outcomes are searched for a run that can name a page without runs."""
_LONGEST_RUN_ID: Final = 25
_PARTS: Final = frozenset({"before", "limit", "offset"})


def page_of_runs(scheduler: Scheduler, request: Incoming, job_id: str | None) -> Page:
    """Return the runs that the query asks for, of one job or of all.

    Raises:
        BadRequest: if a parameter is invalid.
    """
    state = request.whole.args.get("state", "ended")
    check_known("state", state, STATES)
    query = _read(scheduler, request, job_id)
    if state == "ended":
        return _ended(scheduler, request, query)
    if query.outcomes is not None:
        raise BadRequest(
            f"state={state!r} beside outcome: expected no outcome, or state=ended, since runs that"
            " have not ended have none"
        )
    return _open(scheduler.runs(), request, query, state)


def read_run_id(name: str, text: str) -> int:
    """Parse the id of a run.

    Raises:
        BadRequest: if it is not one.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_RUN_ID):
        raise BadRequest(f"{name}={text[:80]!r}: expected the run_id of a run, which is a number")
    return int(text)


def read_job(request: Incoming) -> str | None:
    """Return the id of the job that the query asks for; None: all jobs.

    Raises:
        BadRequest: if it cannot be an id.
    """
    given = request.whole.args.get("job")
    if given is not None and (not 0 < len(given) <= MAX_ID_LENGTH or "\x00" in given):
        raise BadRequest(f"job={given[:80]!r}: expected the id of a job")
    return given


def _read(scheduler: Scheduler, request: Incoming, job_id: str | None) -> RunQuery:
    args = request.whole.args
    outcomes = None
    if (names := args.get("outcome")) is not None:
        for name in names.split(","):
            check_known("outcome", name, [each.value for each in Outcome])
        outcomes = frozenset(map(Outcome, names.split(",")))
    before = args.get("before")
    return RunQuery(
        job_id,
        outcomes,
        read_moment(scheduler, request, "since"),
        read_moment(scheduler, request, "until"),
        None if before is None else read_run_id("before", before),
        read_count(request, "limit", _RUNS, MOST_RUNS),
        read_count(request, "offset", 0, MOST) or 0,
        _tagged(scheduler, args.getlist("tag")),
    )


def _tagged(scheduler: Scheduler, tags: Sequence[str]) -> frozenset[str] | None:
    """Return the ids of the jobs that have all of *tags*; None: there are no *tags*.

    Raises:
        BadRequest: if a tag is invalid, or too many jobs have them.
    """
    if not tags:
        return None
    try:
        for tag in tags:
            check_tag(tag)
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    wanted = frozenset(tags)
    ids = frozenset(e.job.id for e in scheduler.entries() if wanted.issubset(e.job.options.tags))
    if len(ids) > MOST_TAGGED:
        raise BadRequest(
            f"tag={tags[0]!r}: {len(ids)} jobs have it; expected {MOST_TAGGED} at most: ask for"
            " runs of one job= after the other"
        )
    return ids


# A plus sign in a query is a space, unless it is written as %2B.
_LOST_PLUS: Final = re.compile(r"(\d) (\d\d:?\d\d)$")


def read_moment(scheduler: Scheduler, request: Incoming, name: str) -> int | None:
    """Return a time from the query, in microseconds since the Unix epoch; None: it is missing.

    Raises:
        BadRequest: if it is invalid.
    """
    given = request.whole.args.get(name)
    if given is None:
        return None
    try:
        return moment_us(name, _with_plus(given), zone_of(scheduler.timezone))
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None


def _with_plus(moment: str) -> str:
    return _LOST_PLUS.sub(r"\1+\2", moment) if "T" in moment else moment


def _open(runs: Sequence[Run], request: Incoming, query: RunQuery, state: str) -> Page:
    """Return a page of the runs that have not ended, the newest first."""
    found = [
        run
        for run in sorted(runs, key=lambda run: run.id, reverse=True)
        if query.job_id in (None, run.job_id)
        and (state in ("open", run.state))
        and query.matches(run)
    ]
    behind = [run for run in found if query.before is None or run.id < query.before]
    page, more = _cut(behind[query.offset :], query)
    name = {"before": page[-1].id} if page else {}
    return Page(page, _headers(request, query, len(found), name if more else None))


def _ended(scheduler: Scheduler, request: Incoming, query: RunQuery) -> Page:
    """Return a page of recorded outcomes, with the link to the next one."""
    limit = query.limit or 0
    page, more = _cut(scheduler.records(query._replace(limit=limit + 1)), query)
    count = scheduler.kept(query, _MOST_COUNTED + 1)
    name = _name_of_next(scheduler, page, query) if more else None
    return Page(page, _headers(request, query, count, name))


def _cut(found: Sequence[Any], query: RunQuery) -> tuple[Sequence[Any], bool]:
    """Return the page, and whether there are more runs behind it."""
    limit = query.limit or 0
    return found[:limit], len(found) > limit > 0


def _headers(
    request: Incoming, query: RunQuery, count: int, following: Mapping[str, object] | None
) -> dict[str, str]:
    headers = {"X-Total-Count": str(count)} if count <= _MOST_COUNTED else {}
    others: dict[str, object] = {k: v for k, v in request.whole.args.lists() if k not in _PARTS}
    if query.limit:
        others["limit"] = query.limit
        links = [link("first", others)]
        if following is not None:
            links.append(link("next", {**others, **following}))
        headers["Link"] = ", ".join(links)
    return headers


def _name_of_next(
    scheduler: Scheduler, page: Sequence[RunRecord], query: RunQuery
) -> Mapping[str, object]:
    """Return the parameters of the page behind *page*: by the last run before it.

    Due times that did not run have no id: they are skipped by their number since that run.
    """
    for passed, record in enumerate(reversed(page)):
        if record.run_id is not None:
            return _behind(record.run_id, passed)
    end = query.offset + len(page)
    if query.before is not None:
        return _behind(query.before, end)
    # The first page has no run: it is named by older runs, which change less often.
    latest = scheduler.records(query._replace(outcomes=None, offset=0, limit=_NEAR))
    newer = 0
    for record in latest:
        if record.run_id is not None and newer <= end:
            return _behind(record.run_id, end - newer)
        newer += query.matches(record)
    return {"offset": end}


def _behind(run_id: int, passed: int) -> Mapping[str, object]:
    return {"before": run_id} | ({"offset": passed} if passed else {})
