"""Selects jobs by the query of a request: by text, tags, states and ids."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

from schedcore.errors import InvalidOptionError
from schedcore.job import check_id, check_tag
from schedcore.stores.base import Entry
from schedhttp.codec import STATES, state_of
from schedhttp.errors import BadRequest
from schedhttp.request import Incoming, check_known

PARAMETERS: Final = ("q", "tag", "state", "id")
Matches = Callable[[Entry], bool]
"""Returns whether a query selects a job."""


def filter_of(request: Incoming, running: Container[str]) -> Matches | None:
    """Return the filter of all :data:`PARAMETERS` together; None: there is none, so all jobs.

    Args:
        request: The request with the query.
        running: The ids of jobs with active runs.

    Raises:
        BadRequest: if a tag, state or id is invalid.
    """
    args = request.whole.args
    text, state = args.get("q", "").casefold(), args.get("state")
    if state is not None:
        check_known("state", state, STATES)
    tags, ids = frozenset(args.getlist("tag")), frozenset(args.getlist("id"))
    try:
        for tag in tags:
            check_tag(tag)
        for job_id in ids:
            check_id(job_id)
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    if not (text or tags or ids or state):
        return None

    def matches(entry: Entry) -> bool:
        job = entry.job
        return (
            (not ids or job.id in ids)
            and tags.issubset(job.options.tags)
            and (state is None or state_of(entry, job.id in running) == state)
            and (not text or _mentions(entry, text))
        )

    return matches


def _mentions(entry: Entry, text: str) -> bool:
    job = entry.job
    return any(text in part.casefold() for part in (job.id, job.name, job.func_ref or ""))
