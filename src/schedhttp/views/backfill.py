"""The endpoint that runs a job for past due times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schedcore.clock import from_us
from schedcore.errors import InvalidOptionError
from schedhttp import conditions
from schedhttp.errors import BadRequest, NotConfirmed
from schedhttp.request import Incoming, check_fields, read_count, read_object
from schedhttp.shown import BACKFILLED, Backfilled
from schedhttp.views.base import Reply, Service

_FIELDS: Final = ("since", "until", "again")
_MOST: Final = 10**9


def backfill_job(service: Service, request: Incoming, job_id: str) -> Reply:
    """Run a job for its past due times from `since` until `until`.

    Those that were executed are left out, unless `again` is true.  `confirm` is the number of due
    times: without it, or with a wrong number, nothing is done.
    """
    conditions.refuse(request, "a run for past due times")
    confirmed = read_count(request, "confirm", None, _MOST)
    service.scheduler.entry(job_id)  # before all else: is it there?
    body = read_object(request)

    def check(times: Sequence[int]) -> None:
        if confirmed != len(times):
            raise _not_confirmed(job_id, times, confirmed)

    try:
        since, until, again = _read(body)
        runs = service.scheduler.backfill(job_id, since or "", until, again=again, check=check)
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    return Reply(BACKFILLED.to_dict(Backfilled(tuple(map(str, runs))), count=len(runs)))


def _read(body: Mapping[str, Any]) -> tuple[str | None, str | None, bool]:
    """Return the range, and whether what was executed is run again.

    Raises:
        InvalidOptionError: if something is not known, or not what it has to be.
    """
    check_fields(body, _FIELDS)
    since, until = body.get("since"), body.get("until")
    for name, given in (("since", since), ("until", until)):
        if not (given is None or isinstance(given, str)):
            raise InvalidOptionError(name, given, "a date and time, as text")
    again = body.get("again", False)
    if not isinstance(again, bool):
        raise InvalidOptionError("again", again, "true or false")
    return since, until, again


def _not_confirmed(job_id: str, times: Sequence[int], confirmed: int | None) -> NotConfirmed:
    count = len(times)
    text = f"{count} due {'time' if count == 1 else 'times'}"
    details: dict[str, Any] = {"count": count}
    if times:
        first, last = (from_us(us).isoformat() for us in (times[0], times[-1]))
        text += f", from {first} to {last}"
        details |= {"first": first, "last": last}
    given = "" if confirmed is None else f", and not {confirmed}"
    return NotConfirmed(
        f"this would run job {job_id!r} for {text}; expected confirm={count} in the query{given}",
        details=details,
    )
