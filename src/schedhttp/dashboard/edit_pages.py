"""The forms for a new job, a copy and changes, each with a preview before it is saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from schedcore.job import OPTION_NAMES
from schedcore.jobdata import with_units
from schedhttp.dashboard.action_pages import read_json
from schedhttp.dashboard.api_calls import Refused
from schedhttp.dashboard.forecast_pictures import due_beside
from schedhttp.dashboard.texts import address, as_json, options_of
from schedhttp.dashboard.visit import Page, Redirect, Visit
from schedhttp.errors import BadRequest
from schedhttp.hiding import is_same
from schedhttp.request import decode

KINDS: Final = ("cron", "interval", "date", "calendarinterval", "and", "or")
FIELDS: Final = ("id", "name", "func", "args", "kwargs", "kind", "schedule", "options")
_HELD: Final = ("new", "etag")
_EMPTY: Final = {
    **dict.fromkeys((*FIELDS, *_HELD), ""),
    **dict(args="[]", kwargs="{}", kind="cron", schedule="minute = */5", new="1"),  # noqa: C408
}


def show_new(visit: Visit) -> Page:
    """Return the form for a new job, or for a copy of the job that ``from`` names."""
    visit.visitor.role.check_may_change()
    original = visit.args.get("from")
    if not original:
        given = {name: visit.args[name] for name in FIELDS if name in visit.args}
        return _form(visit, {**_EMPTY, **given})
    job = visit.api("get_job", {"job_id": original}).json
    fields = {**_fields_of(job), "id": "", "name": "", "new": "1", "etag": ""}
    lost = [name for name, shown in stand_ins(job).items() if shown]
    message = (
        f"{' and '.join(lost)}: some values are not shown: give all of them anew" if lost else ""
    )
    return _form(visit, {**fields, **{name: _EMPTY[name] for name in lost}}, message)


def show_edit(visit: Visit) -> Page:
    """Return the form for changes of a job."""
    visit.visitor.role.check_may_change()
    answer = visit.api("get_job", {"job_id": visit.args.get("id", "")})
    return _form(visit, {**_fields_of(answer.json), "new": "", "etag": answer.headers["ETag"]})


def edit(visit: Visit) -> Page | Redirect:
    """Preview the form, or save it."""
    visit.visitor.role.check_may_change()
    fields = {name: visit.form.get(name, "") for name in (*FIELDS, *_HELD)}
    if visit.form.get("do") == "edit":
        return _form(visit, fields)
    try:
        wanted = _wanted(fields)
        if fields["new"]:
            return _add(visit, fields, wanted)
        return _change(visit, fields, wanted)
    except (BadRequest, Refused) as error:
        return _form(visit, fields, str(error), error.status)


def _add(visit: Visit, fields: Mapping[str, str], wanted: dict[str, Any]) -> Page | Redirect:
    wanted = {name: value for name, value in wanted.items() if value != ""}
    if visit.form.get("do") != "save":
        return _preview(visit, fields, wanted, [])
    job = visit.api("add_job", body=wanted, headers={"HTTP_IF_NONE_MATCH": "*"}).json
    return Redirect(address("/job", {"id": job["id"]}), f"{job['id']} was added.")


def _change(visit: Visit, fields: Mapping[str, str], wanted: dict[str, Any]) -> Page | Redirect:
    job_id = fields["id"]
    answer = visit.api("get_job", {"job_id": job_id})
    changes = _changes(answer.json, wanted)
    before = {name: answer.json.get(name) for name in changes}
    if visit.form.get("do") != "save":
        # An unchanged function need not be one that requests may name.
        new = {
            name: value for name, value in wanted.items() if name not in _CALL or name in changes
        }
        shown = [
            (name, as_json(before[name]), as_json(v))
            for name, v in changes.items()
            if not is_same(v, before[name])
        ]
        return _preview(visit, fields, new, shown)
    match = {"HTTP_IF_MATCH": fields["etag"]}
    done = visit.api("update_job", {"job_id": job_id}, body=changes, headers=match)
    etag = done.headers.get("ETag", "")  # none if the store cannot be read any more: no undo
    undo = ("Undo", "/job/change", {"id": job_id, "etag": etag, "changes": as_json(before)})
    named = ", ".join(n for n, v in changes.items() if not is_same(v, before[n])) or "nothing"
    unknown = stand_ins(answer.json)
    return Redirect(
        address("/job", {"id": job_id}),
        f"Changed: {named}.",
        undo
        if etag and changes and not any(unknown[n] for n in unknown.keys() & changes)
        else None,
    )


_CALL: Final = ("func", "args", "kwargs")


def _preview(
    visit: Visit,
    fields: Mapping[str, str],
    wanted: Mapping[str, Any],
    changes: list[tuple[str, str, str]],
) -> Page:
    previewed = visit.api("preview", query={"n": 10}, body=wanted).json
    values = {
        "fields": fields,
        "previewed": previewed,
        "changes": changes,
        "zone": wanted.get("timezone"),
        "others": due_beside(visit, previewed["next_fire_times"], fields["id"]),
    }
    return Page("preview.html", values)


def _form(visit: Visit, fields: Mapping[str, str], error: str = "", status: int = 200) -> Page:
    known = sorted(visit.scheduler.registered)
    values = {"fields": fields, "kinds": KINDS, "error": error, "known": known}
    return Page("edit.html", values, status)


# A job as text in fields, and back


def stand_ins(job: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the placeholders in the arguments for values that are hidden or not JSON, by field."""
    places = {*job.get("hidden", ()), *job.get("shown_as_repr", ())}
    return {
        "args": [value for n, value in enumerate(job["args"]) if f"args[{n}]" in places],
        "kwargs": [value for name, value in job["kwargs"].items() if f"kwargs.{name}" in places],
    }


def _fields_of(job: Mapping[str, Any]) -> dict[str, str]:
    options = {name: job[name] for name in sorted(OPTION_NAMES) if name in job}
    return {
        **{name: str(job[name]) for name in ("id", "name", "func")},
        "args": as_json(job["args"]),
        "kwargs": as_json(job["kwargs"]),
        "kind": _kind_of(job),
        "schedule": _lines(options_of(job)),
        "options": _lines(options),
    }


def _kind_of(job: Mapping[str, Any]) -> str:
    kind = job["trigger"]
    return str(kind.get("type", "")) if isinstance(kind, Mapping) else str(kind)


def _lines(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_text(value)}" for name, value in values.items())


def _text(value: object) -> str:
    """Return a value as text that parses back to it: without quotes if possible."""
    if not isinstance(value, str) or value != value.strip() or "\n" in value:
        return as_json(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return as_json(value)


def read_lines(option: str, text: str) -> dict[str, Any]:
    """Parse lines of ``name = value``.

    Raises:
        BadRequest: if a line has another form.
    """
    values: dict[str, Any] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, sign, value = (part.strip() for part in line.partition("="))
        if not (sign and name):
            raise BadRequest(f"{option}: {line[:80]!r}: expected name = value in each line")
        if name in values:
            raise BadRequest(f"{option}: {name[:80]!r} appears twice")
        try:
            values[name] = decode(value)
        except (ValueError, RecursionError):
            values[name] = value
    return values


def _wanted(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the job that a form describes, in the API's format.

    Raises:
        BadRequest: if a field cannot be read.
    """
    schedule = read_lines("schedule", fields["schedule"])
    options = read_lines("options", fields["options"])
    _check_apart("schedule", schedule, (*FIELDS, "trigger", *OPTION_NAMES))
    _check_apart("options", options, (*FIELDS, "trigger", *schedule))
    return {
        **{name: fields[name].strip() for name in ("id", "name", "func")},
        "args": read_json("args", fields["args"].strip() or "[]"),
        "kwargs": read_json("kwargs", fields["kwargs"].strip() or "{}"),
        "trigger": fields["kind"],
        **schedule,
        **options,
    }


def _check_apart(option: str, values: Iterable[str], taken: Iterable[str]) -> None:
    for name in values:
        if name in taken:
            raise BadRequest(f"{option}: {name[:80]!r} does not belong there")


def _changes(job: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes from a job to *wanted*; null removes a field."""
    now = {**job, **options_of(job), "trigger": _kind_of(job)}
    schedule = options_of(job)
    changes = {
        k: v for k, v in wanted.items() if k != "id" and (k not in now or not is_same(v, now[k]))
    }
    if "trigger" not in changes:
        gone = [name for name in (*schedule, *OPTION_NAMES) if name in now and name not in wanted]
        changes |= {name: None for name in gone if now[name] is not None}
        return with_units(now["trigger"], changes, wanted)
    # Another kind of trigger starts without options; its own are sent with it.
    kept = {k: v for k, v in wanted.items() if k not in OPTION_NAMES and k not in FIELDS}
    gone = [name for name in OPTION_NAMES if now.get(name) is not None and name not in wanted]
    return {**kept, **changes, **dict.fromkeys(gone)}
