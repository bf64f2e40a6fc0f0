"""The endpoint that runs a job for due times that have passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from schedcore.clock import from_us
from schedcore.errors import InvalidOptionError, did_you_mean, short
from schedhttp.errors import BadRequest, NotConfirmed
from schedhttp.request import Incoming, read_count, read_object
from schedhttp.shown import BACKFILLED, Backfilled
from schedhttp.views.base import Reply, Service

_FIELDS: Final = ("since", "until", "again")
_MOST: Final = 10**9


def backfill_job(service: Service, request: Incoming, job_id: str) -> Reply:
    """Run a job for its due times from `since` until `until`, which have passed.

    Those for which a run was executed are left out, unless `again` is true.  `confirm` is how many
    due times there are: without it, or with another number, nothing is done.
    """
    confirmed = read_count(request, "confirm", None, _MOST)
    service.scheduler.entry(job_id)  # before all else: is it there?
    body = read_object(request)
    for name in body:
        if name not in _FIELDS:
            hint = did_you_mean(name, _FIELDS)
            raise BadRequest(f"{name[:80]!r}: expected one of {', '.join(_FIELDS)}{hint}")
    again = body.get("again", False)
    if not isinstance(again, bool):
        raise BadRequest(f"again={short(again)}: expected true or false")

    def check(times: Sequence[int]) -> None:
        if confirmed != len(times):
            raise _not_confirmed(job_id, times, confirmed)

    since, until = _moment("since", body), _moment("until", body)
    try:
        runs = service.scheduler.backfill(job_id, since or "", until, again=again, check=check)
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    return Reply(BACKFILLED.to_dict(Backfilled(tuple(map(str, runs))), count=len(runs)))


def _moment(name: str, body: dict[str, Any]) -> str | None:
    given = body.get(name)
    if given is None or isinstance(given, str):
        return given
    raise BadRequest(f"{name}={short(given)}: expected a date and time, as text")


def _not_confirmed(job_id: str, times: Sequence[int], confirmed: int | None) -> NotConfirmed:
    count = len(times)
    told = f"{count} due {'time' if count == 1 else 'times'}"
    details: dict[str, Any] = {"count": count}
    if times:
        first, last = (from_us(us).isoformat() for us in (times[0], times[-1]))
        told += f", from {first} to {last}"
        details |= {"first": first, "last": last}
    given = "" if confirmed is None else f", and not {confirmed}"
    return NotConfirmed(
        f"this would run job {job_id!r} for {told}; expected confirm={count} in the query{given}",
        details=details,
    )
