"""Which jobs the query of a request means: by text in them, by their tags, by their ids."""

from __future__ import annotations

from collections.abc import Callable

from schedcore.errors import InvalidOptionError
from schedcore.job import check_id, check_tag
from schedcore.stores.base import Entry
from schedhttp.errors import BadRequest
from schedhttp.request import Incoming

IsMeant = Callable[[Entry], bool]
"""Tells whether a job is one that a query means."""


def filter_of(request: Incoming) -> IsMeant | None:
    """Return what ``q``, ``tag`` and ``id`` say together; None: nothing, which is all jobs.

    Raises:
        BadRequest: if something can be no tag, or no id.
    """
    args = request.whole.args
    text = args.get("q", "").casefold()
    tags, ids = frozenset(args.getlist("tag")), frozenset(args.getlist("id"))
    try:
        for tag in tags:
            check_tag(tag)
        for job_id in ids:
            check_id(job_id)
    except InvalidOptionError as error:
        raise BadRequest(str(error)) from None
    if not (text or tags or ids):
        return None

    def is_meant(entry: Entry) -> bool:
        job = entry.job
        return (
            (not ids or job.id in ids)
            and tags.issubset(job.options.tags)
            and (not text or _mentions(entry, text))
        )

    return is_meant


def _mentions(entry: Entry, text: str) -> bool:
    job = entry.job
    return any(text in part.casefold() for part in (job.id, job.name, job.func_ref or ""))
