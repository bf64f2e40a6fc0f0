"""Parts of long lists: what a query asks for, and where its neighbours are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlencode

from schedcore.errors import did_you_mean
from schedcore.stores.base import Entry
from schedhttp import codec
from schedhttp.bodies import check_query, read_count
from schedhttp.incoming import Incoming
from schedhttp.refusals import BadRequest

MOST: Final = 100_000
STATES: Final = ("scheduled", "paused", "running", "broken")
PAGE_PARAMETERS: Final = ("limit", "offset")
JOB_PARAMETERS: Final = (*PAGE_PARAMETERS, "state", "q", "sort", "fields")

T = TypeVar("T")

_SORTS: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "next_run_time": lambda entry: (entry.due_us is None, entry.due_us or 0),
    "id": lambda entry: entry.job.id,
    "name": lambda entry: (entry.job.name, entry.job.id),
}


class Page(NamedTuple):
    """A part of a list, and the headers that tell about the rest."""

    items: Sequence[Any]
    headers: dict[str, str]


def page_of(items: Sequence[T], request: Incoming, limit: int | None) -> Page:
    """Return the part that ``limit`` and ``offset`` ask for.

    ``X-Total-Count`` tells how many items there are, and ``Link`` (RFC 8288) where the first,
    previous, next and last part is.

    Args:
        items: All of them.
        request: Whose query it is.
        limit: How many, if the query does not say; None: all.

    Raises:
        BadRequest: if one of the two is no such number.
    """
    offset = read_count(request, "offset", 0, MOST) or 0
    limit = read_count(request, "limit", limit, MOST)
    headers = {"X-Total-Count": str(len(items))}
    if limit is None:
        return Page(items[offset:] if offset else items, headers)
    links = _links(request, len(items), offset, limit) if limit else []
    if links:
        headers["Link"] = ", ".join(links)
    return Page(items[offset : offset + limit], headers)


def _links(request: Incoming, total: int, offset: int, limit: int) -> list[str]:
    neighbours = {
        "first": 0,
        "prev": max(0, offset - limit) if offset else None,
        "next": offset + limit if offset + limit < total else None,
        "last": max(0, (total - 1) // limit * limit),
    }
    others = [(k, v) for k, v in request.whole.args.items(multi=True) if k not in PAGE_PARAMETERS]
    return [
        f'<?{urlencode([*others, ("limit", limit), ("offset", at)])}>; rel="{name}"'
        for name, at in neighbours.items()
        if at is not None
    ]


def chosen(entries: Sequence[Entry], running: frozenset[str], request: Incoming) -> list[Entry]:
    """Return the jobs that ``state``, ``q`` and ``sort`` ask for.

    Raises:
        BadRequest: if one of them makes no sense, or there are others.
    """
    check_query(request, frozenset(JOB_PARAMETERS))
    found: Iterable[Entry] = entries
    if (state := request.whole.args.get("state")) is not None:
        check_known("state", state, STATES)
        found = [e for e in found if codec.state_of(e, e.job.id in running) == state]
    if text := request.whole.args.get("q", "").casefold():
        found = [entry for entry in found if _mentions(entry, text)]
    if (sort := request.whole.args.get("sort")) is not None:
        key = sort.removeprefix("-")
        check_known("sort", key, _SORTS)
        found = sorted(found, key=_SORTS[key], reverse=sort.startswith("-"))
    return list(found)


def fields_of(request: Incoming) -> frozenset[str] | None:
    """Return the fields that the query asks for; None: all.

    Fields that a job does not have are left out: what is there depends on its trigger.
    """
    given = request.whole.args.get("fields")
    return None if given is None else frozenset(part.strip() for part in given.split(","))


def _mentions(entry: Entry, text: str) -> bool:
    job = entry.job
    return any(text in part.casefold() for part in (job.id, job.name, job.func_ref or ""))


def check_known(name: str, value: str, known: Iterable[str]) -> None:
    """Refuse a parameter whose value is not one of *known*.

    Raises:
        BadRequest: naming them.
    """
    if value not in known:
        listed = ", ".join(known)
        hint = did_you_mean(value, known)
        raise BadRequest(f"{name}={value[:80]!r}: expected one of {listed}{hint}")
