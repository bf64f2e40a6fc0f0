"""The page of the system: processes, executors, the audit, and settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from schedhttp.dashboard.visit import Page, Visit
from schedhttp.settings import FIELDS, Settings

_SECRET: Final = frozenset({"api_users", "api_tokens", "auth", "notices", "dashboard_secret"})
_ELSEWHERE: Final = frozenset({"jobs", "store", "executors"})
"""Values that the page shows in other ways."""
_AUDIT: Final = 30


def show(visit: Visit) -> Page:
    """Return the page."""
    info = visit.api("get_scheduler_info").json
    audit, further = [], None
    if visit.may_change:
        answer = visit.api(
            "get_audit",
            query={
                "job": visit.args.get("job"),
                "before": visit.args.get("before"),
                "limit": _AUDIT,
            },
        )
        audit = answer.json
        further = audit[-1]["id"] if "Link" in answer.headers else None
    values = {
        "info": info,
        "health": visit.api("get_health").json,
        "executors": _executors(visit),
        "counts": visit.api("get_counts").json,
        "allowed": [*visit.settings.api_allowed_funcs, *sorted(visit.scheduler.registered)],
        "settings": _settings(visit.settings) if visit.may_change else [],
        "audit": audit,
        "further": further,
        "job": visit.args.get("job", ""),
    }
    return Page("system.html", values)


def _executors(visit: Visit) -> list[tuple[str, int | None, int, int]]:
    """Return each executor's name, its workers, and its numbers of active and waiting runs."""
    counts: Counter[tuple[str, str]] = Counter()
    for run in visit.scheduler.runs():
        with suppress(LookupError):  # it has ended meanwhile
            counts[run.job.executor, run.state] += 1
    return [
        (each.name, each.workers, counts[each.name, "running"], counts[each.name, "waiting"])
        for each in visit.forecasts.of(1).executors
    ]


def _settings(settings: Settings) -> list[tuple[str, str, str, str]]:
    """Return each setting's name, value, where it comes from (empty: the default), and meaning."""
    return [
        (
            *(name, _shown(name, getattr(settings, name)), settings.origins.get(name, "")),
            field.metadata["doc"],
        )
        for name, field in FIELDS.items()
        if name not in _ELSEWHERE
    ]


def _shown(name: str, value: Any) -> str:
    """Return a value as text, without what may be secret."""
    if name not in _SECRET:
        return str(value) if not isinstance(value, tuple) else ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: …" for key in value)
    return "…" if value else ""
