"""The page of the history: all occurrences and their outcomes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from io import StringIO
from itertools import groupby
from typing import Any, Final
from urllib.parse import parse_qsl

from werkzeug.http import parse_options_header

from schedcore import Outcome
from schedhttp.dashboard.api_calls import Answer
from schedhttp.dashboard.visit import Page, Raw, Visit
from schedhttp.run_paging import MOST_RUNS

FILTER: Final = ("job", "tag", "outcome", "since", "until")
_PART: Final = ("before", "offset")
_PER_PAGE: Final = 100
_COLUMNS: Final = (
    *("run_id", "job_id", "outcome", "scheduled", "started", "ended", "lateness", "occurrences"),
    *("attempt", "cause", "node", "why"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def show(visit: Visit) -> Page:
    """Return the outcomes that the filter in the query selects, the latest first."""
    wanted = {name: visit.args.get(name, "") for name in FILTER}
    answer = _ask(visit, _PER_PAGE)
    runs = answer.json
    values = {
        "wanted": wanted,
        "is_filtered": any(wanted.values()),
        "outcomes": [outcome.value for outcome in Outcome],
        "groups": _folded(runs),
        "count": answer.count,
        "most": MOST_RUNS if answer.count is None or answer.count > MOST_RUNS else None,
        "zones": visit.zones_of(run["job_id"] for run in runs),
        "further": next_part(answer),
    }
    return Page("ledger.html", values)


def as_csv(visit: Visit) -> Raw:
    """Return the same as CSV."""
    text = StringIO()
    table = csv.writer(text)
    table.writerow(_COLUMNS)
    for run in _ask(visit, MOST_RUNS).json:
        table.writerow(_cell(run[name]) for name in _COLUMNS)
    return Raw(text.getvalue().encode("utf-8", "replace"), "text/csv; charset=utf-8", "ledger.csv")


def as_json(visit: Visit) -> Raw:
    """Return the same as JSON of the API."""
    runs = _ask(visit, MOST_RUNS).json
    return Raw(json.dumps(runs, indent=1).encode(), "application/json", "ledger.json")


def _ask(visit: Visit, limit: int) -> Answer:
    given = {name: visit.args.get(name) for name in (*FILTER, *_PART)}
    return visit.api("get_runs", query={**given, "limit": limit})


def _cell(value: object) -> object:
    """Return a value that a spreadsheet shows as text, and does not evaluate."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _folded(runs: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group runs: consecutive ones of the same job and outcome are one line."""
    return [list(group) for _, group in groupby(runs, lambda r: (r["job_id"], r["outcome"]))]


def next_part(answer: Answer) -> dict[str, str]:
    """Return the parameters of the next page of a list; empty if there is none."""
    for each in answer.headers.get("Link", "").split(", <"):
        target, options = parse_options_header(each)
        if options.get("rel") == "next":
            return {k: v for k, v in parse_qsl(target.strip("<>?")) if k in _PART}
    return {}
