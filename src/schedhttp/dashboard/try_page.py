"""The page on which a schedule can be tried: it shows the coming times, with remarks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from schedcore.triggers import zone_of
from schedcore.triggers.options import split_zone
from schedhttp.dashboard import texts
from schedhttp.dashboard.api_calls import Refused
from schedhttp.dashboard.edit_pages import read_lines
from schedhttp.dashboard.forecast_pictures import due_beside
from schedhttp.dashboard.visit import JOBS_ZONE, Page, Visit
from schedhttp.errors import BadRequest

KINDS: Final = ("cron", "interval", "date", "calendarinterval")
TIMES: Final = 20
_LONGEST: Final = 2_000
EXAMPLES: Final = {
    "each weekday at 9": ("cron", "0 9 * * mon-fri"),
    "every five minutes": ("interval", "minutes = 5"),
    "the last day of each month": ("cron", "0 18 L * *"),
    "at 02:30, when clocks change too": ("cron", "hour = 2\nminute = 30"),
    "every two months, from now on": ("calendarinterval", "months = 2\nhour = 9"),
}


class Coming(NamedTuple):
    """One time at which the schedule fires."""

    moment: str
    remark: str


def show(visit: Visit) -> Page:
    """Return the page, with the fire times of the schedule in its query."""
    kind = visit.args.get("kind", "cron")
    text, zone = visit.args.get("schedule", ""), visit.args.get("timezone", "").strip()
    values: dict[str, Any] = {
        "kinds": KINDS,
        "examples": EXAMPLES,
        "fields": {"kind": kind, "schedule": text, "timezone": zone},
        "times": None,
        "error": "",
        "warnings": [],
        "others": None,
        "job": {"kind": kind, "schedule": _lines(text, zone)},
        "truncated": False,
    }
    if not text.strip():
        return Page("try.html", values)
    try:
        trigger = {**_options(text[:_LONGEST]), "type": kind}
        if zone:
            trigger.setdefault("timezone", zone)
        answer = visit.api("preview", query={"n": TIMES}, body={"trigger": trigger}).json
    except (BadRequest, Refused) as error:
        return Page("try.html", {**values, "error": str(error)})
    remarks = answer.get("remarks", {})
    times = [Coming(at, remarks.get(at, "")) for at in answer["next_fire_times"]]
    shown = {
        "times": times,
        "warnings": answer["warnings"],
        "truncated": answer.get("truncated", False),
        "local": _local,
        "zone": _zone(visit, trigger),
        "viewer": None if visit.zone == JOBS_ZONE else visit.zone,
        "others": due_beside(visit, answer["next_fire_times"]),
    }
    return Page("try.html", {**values, **shown})


def _local(moment: str, zone: str | None, relative: bool = False) -> Markup:
    at = datetime.fromisoformat(moment).tzinfo if zone is None else zone_of(zone).tz
    assert at is not None
    return texts.time_tag(moment, at, relative)


def _options(text: str) -> dict[str, Any]:
    """Parse options: lines of ``name = value``, or else a crontab expression."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not all(_is_option(line) for line in lines):
        return {"crontab": " ".join(lines)}
    return read_lines("schedule", text)


def _lines(text: str, zone: str) -> str:
    """Return a text in the format of the form for a new job."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not all(map(_is_option, lines)):
        lines = [f"crontab = {' '.join(lines)}"]
    if zone and not any(line.partition("=")[0].strip() == "timezone" for line in lines):
        lines.append(f"timezone = {zone}")
    return "\n".join(lines)


def _is_option(line: str) -> bool:
    name, sign, _ = line.partition("=")
    return bool(sign) and name.strip().islower() and name.strip().replace("_", "").isalpha()


def _zone(visit: Visit, trigger: Mapping[str, Any]) -> str | None:
    """Return the zone of a valid schedule."""
    named = split_zone(str(trigger.get("crontab", "")))[0]
    return zone_of(named or trigger.get("timezone") or visit.scheduler.timezone).name
