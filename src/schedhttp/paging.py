"""Pages of the list of jobs: what a query asks for, and the links to other pages.

A page that begins at a number (``offset``) changes as soon as the list does.  One that begins
behind an item (``after``) stays the same, so the links between pages use that wherever the order
allows it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlencode

from schedcore import jobdata
from schedcore.job import JOB_FIELDS
from schedcore.stores.base import Entry
from schedcore.triggers.factory import KINDS, option_names
from schedcore.triggers.values import ValueTrigger
from schedhttp import codec, job_filter
from schedhttp.errors import BadRequest
from schedhttp.request import Incoming, check_known, read_count

MOST: Final = 100_000
JOB_PARAMETERS: Final = (
    *("limit", "offset", "after", "state", "q", "tag", "id", "sort", "fields", "include"),
)
MOST_WITH_RUNS: Final = 200
"""How many jobs may be shown with their last runs: each of these takes a query."""
_PARTS: Final = frozenset({"limit", "offset", "after"})

T = TypeVar("T")
Name = Callable[[int], Mapping[str, object]]
"""Returns the parameters of the page that begins at a given index."""

_SORTS: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "next_run_time": lambda entry: (entry.due_us is None, entry.due_us or 0),
    "id": lambda entry: entry.job.id,
    "name": lambda entry: (entry.job.name, entry.job.id),
}


class Page(NamedTuple):
    """A part of a list, and the headers that describe the rest."""

    items: Sequence[Any]
    headers: dict[str, str]


# Jobs


def selected(entries: Sequence[Entry], running: frozenset[str], request: Incoming) -> list[Entry]:
    """Return the jobs that ``state``, ``q`` and ``tag`` select, in the order of ``sort``.

    Raises:
        BadRequest: if one of them is invalid.
    """
    found: Iterable[Entry] = entries
    if (matches := job_filter.filter_of(request, running)) is not None:
        found = filter(matches, found)
    if (sort := _sort(request)) is not None:
        key = sort.removeprefix("-")
        check_known("sort", key, _SORTS)
        found = sorted(found, key=_SORTS[key], reverse=sort.startswith("-"))
    return list(found)


def page_of_jobs(entries: Sequence[Entry], request: Incoming) -> Page:
    """Return the page of the selected jobs that ``limit``, ``offset`` and ``after`` ask for.

    Raises:
        BadRequest: if one of them is invalid.
    """
    sort, after = _sort(request), request.whole.args.get("after")
    if sort not in ("id", "-id"):
        if after is not None:
            raise BadRequest(
                f"after={after[:80]!r}: expected sort=id or sort=-id beside it, and not"
                f" sort={sort}: other orders move as jobs run"
            )
        return _page(entries, request, 0, _by_number)
    ids = [entry.job.id for entry in entries]
    begin = 0
    if after is not None:
        upwards = sort == "id"
        begin = bisect_right(ids, after) if upwards else sum(job_id >= after for job_id in ids)
    return _page(entries, request, begin, lambda at: {"sort": sort, "after": ids[at - 1]})


def asks_for_runs(request: Incoming) -> bool:
    """Return whether the query asks for the last runs of jobs, by ``include`` or by a field.

    Raises:
        BadRequest: if it asks to include something else.
    """
    args = request.whole.args
    if (include := args.get("include")) is not None:
        check_known("include", include, ("runs",))
    names = {part.strip() for part in args.get("fields", "").split(",")}
    return include is not None or not names.isdisjoint(codec.OF_RUNS)


def fields_of(request: Incoming, entries: Iterable[Entry]) -> frozenset[str] | None:
    """Return the fields that the query asks for; None: all.

    Fields that a job does not have are left out: they depend on its trigger.

    Raises:
        BadRequest: if no job can have such a field.
    """
    given = request.whole.args.get("fields")
    if given is None:
        return None
    names = frozenset(part.strip() for part in given.split(","))
    if not names <= _known_fields():
        known = _known_fields().union(
            # Only its jobs show which options a custom trigger has.
            *(jobdata.shown(e.job) for e in entries if _has_own_options(e))
        )
        for name in sorted(names):
            check_known("fields", name, sorted(known))
    return names


def _sort(request: Incoming) -> str | None:
    """Return the order that the query asks for; None: by due time."""
    args = request.whole.args
    return args.get("sort", "id" if "after" in args else None)


@cache
def _known_fields() -> frozenset[str]:
    return frozenset().union(JOB_FIELDS, codec.READ_ONLY, *map(option_names, KINDS))


def _has_own_options(entry: Entry) -> bool:
    return not isinstance(entry.job.trigger, ValueTrigger)


# Parts


def _page(items: Sequence[T], request: Incoming, begin: int, name: Name) -> Page:
    """Return the page that begins ``offset`` items behind *begin*.

    ``X-Total-Count`` is the number of all items, and ``Link`` (RFC 8288) names the first,
    previous, next and last page.

    Args:
        items: All of them.
        request: The request with the query.
        begin: Where the page begins.
        name: How links name the beginning of a page.

    Raises:
        BadRequest: if ``limit`` or ``offset`` is invalid.
    """
    begin += read_count(request, "offset", 0, MOST) or 0
    limit = read_count(request, "limit", None, MOST)
    headers = {"X-Total-Count": str(len(items))}
    if limit is None:
        return Page(items[begin:] if begin else items, headers)
    if limit:
        headers["Link"] = ", ".join(_links(request, len(items), begin, limit, name))
    return Page(items[begin : begin + limit], headers)


def _links(request: Incoming, total: int, begin: int, limit: int, name: Name) -> list[str]:
    last = max(0, (total - 1) // limit * limit)
    before = max(0, begin - limit) if begin < total else last
    neighbours = {
        "first": 0,
        "prev": before if begin and total else None,
        "next": begin + limit if begin + limit < total else None,
        "last": last,
    }
    others = {k: v for k, v in request.whole.args.to_dict(flat=False).items() if k not in _PARTS}
    return [
        link(word, {**others, "limit": limit, **(name(at) if at else {})})
        for word, at in neighbours.items()
        if at is not None
    ]


def link(relation: str, parameters: Mapping[str, object]) -> str:
    """Return one link to another page, for the header ``Link``."""
    return f'<?{urlencode(parameters, doseq=True)}>; rel="{relation}"'


def _by_number(at: int) -> Mapping[str, object]:
    return {"offset": at}
