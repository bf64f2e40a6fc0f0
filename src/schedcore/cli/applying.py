"""Applies a file of jobs to a running server: ``check`` and ``apply``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from schedcore.cli.base import DONE, PARTLY, Commands
from schedcore.cli.client import Api, Refused
from schedcore.cli.connecting import add_command
from schedcore.cli.job_files import read_jobs, with_trigger
from schedcore.cli.several import REFUSED, add_yes, confirm
from schedcore.cli.showing import (
    moment,
    now,
    print_error,
    print_json,
    progress,
    same_json,
    schedule,
    show,
)
from schedcore.errors import InvalidOptionError
from schedcore.job import JOB_FIELDS
from schedcore.jobdata import with_units
from schedcore.triggers.factory import KINDS, option_names

Job = Mapping[str, Any]
_MARK: Final = "applied:"
"""Prefix of the tag of jobs that ``apply`` created; the name of the file follows."""
_LONGEST_NAME: Final = 64 - len(_MARK)
_PLACE: Final = frozenset({"next_run_time", "state", "broken", "shown_as_repr"})
"""Fields outside of the definition: a file does not pause or resume jobs."""
_OF_MAKING: Final = {
    "interval": "start_date",
    "calendarinterval": "start_date",
    "date": "run_date",
}
"""By kind of trigger, the option that defaults to the time at which the job is added."""


class Step(NamedTuple):
    """The planned action for one job."""

    do: str
    """``add``, ``change``, ``remove``, ``keep``; or ``refused``, with the reason in *told*."""
    id: str
    text: str = ""
    body: Job | None = None
    etag: str = ""
    """The ETag of the job as it was read, if it exists."""


def add_commands(commands: Commands) -> None:
    """Add ``check`` and ``apply``."""
    file = "TOML with [[jobs]], or JSON as jobs --json prints it; - reads JSON from the input"
    command = add_command(
        commands, "check", _check, "show when the jobs of a file would run", "check jobs.toml"
    )
    command.add_argument("file", metavar="FILE", help=file)
    command = add_command(
        commands,
        "apply",
        _apply,
        "make a server's jobs match a file; jobs from elsewhere are not removed",
        "apply jobs.toml --dry-run",
    )
    command.add_argument("file", metavar="FILE", help=file)
    command.add_argument("--dry-run", action="store_true", help="only show the plan")
    command.add_argument(
        "--as",
        dest="name",
        metavar="NAME",
        help="jobs that were applied under this name, and are no longer in the file, are removed"
        " (default: the file's name without its ending)",
    )
    add_yes(command)


def _check(api: Api, parsed: argparse.Namespace) -> int:
    found = []
    with progress("looking", read_jobs(parsed.file)) as jobs:
        for job in jobs:
            try:
                previewed = _preview(api, with_trigger(job))
            except Refused as error:
                found.append({"id": job["id"], "ok": False, "error": str(error)})
            else:
                found.append({"id": job["id"], "ok": True, **previewed})
    if parsed.json:
        print_json(found)
    else:
        show(("id", "is", "next run", "remarks"), _checked(found))
    return DONE if all(each["ok"] for each in found) else PARTLY


def _preview(api: Api, job: Job) -> dict[str, Any]:
    return dict(api("POST", "preview", query={"n": 3}, body=job).json)


def _checked(found: Sequence[Job]) -> Iterator[Sequence[str]]:
    at = now()
    for each in found:
        if each["ok"]:
            times = each["next_fire_times"] or [None]
            yield each["id"], "ok", moment(times[0], at), "; ".join(each["warnings"])
        else:
            yield each["id"], "wrong", "-", each["error"]


def _apply(api: Api, parsed: argparse.Namespace) -> int:
    name = parsed.name or ("" if parsed.file == "-" else Path(parsed.file).stem)
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise InvalidOptionError("--as", name, f"1 to {_LONGEST_NAME} printable characters")
    steps = plan(api, read_jobs(parsed.file), f"{_MARK}{name}")
    todo = [step for step in steps if step.do != "keep"]
    refused = [step for step in steps if step.do == "refused"]
    if not parsed.json:
        if todo:
            show(("do", "id", "what"), [(step.do, step.id, step.text) for step in todo])
        print(_sums(steps))
    failed: dict[str, str] = {}
    if todo and not refused and not parsed.dry_run:
        confirm(f"apply {len(todo):,} changes to {api.place.url}?", parsed)
        failed = _carry_out(api, todo)
    if parsed.json:
        print_json(_as_json(steps, failed, applied=not (refused or parsed.dry_run)))
    if refused:
        print_error("nothing was done, since a part of the file is refused")
        return REFUSED
    return DONE if not failed else PARTLY if len(failed) < len(todo) else REFUSED


def plan(api: Api, jobs: Sequence[Job], mark: str) -> list[Step]:
    """Return the actions that give a server these jobs.

    Args:
        api: The server.
        jobs: The jobs, each with an id.
        mark: The tag of jobs that are removed unless they are among these.
    """
    there = {job["id"]: job for job in api("GET", "jobs").json}
    steps = []
    with progress("looking", jobs) as each:
        for job in each:
            tags = job.get("tags") or []
            wanted = {
                **with_trigger(job),
                "tags": [*tags, mark] if isinstance(tags, list) else tags,
            }
            steps.append(_step(api, wanted, there.get(job["id"]), mark))
    ids = {job["id"] for job in jobs}
    gone = [job for job in there.values() if mark in job["tags"] and job["id"] not in ids]
    return steps + [Step("remove", job["id"], schedule(job), etag=_etag(api, job)) for job in gone]


def _etag(api: Api, job: Job) -> str:
    return api("GET", "jobs", job["id"]).headers.get("ETag", "*")


def _step(api: Api, wanted: Job, there: Job | None, mark: str) -> Step:
    job_id = wanted["id"]
    try:
        previewed = _preview(api, wanted)
    except Refused as error:
        return Step("refused", job_id, str(error))
    planned = previewed["job"]
    if there is None:
        return _first_step(wanted, planned, previewed["next_fire_times"])
    others = [tag for tag in there["tags"] if tag.startswith(_MARK) and tag != mark]
    if others:
        return Step("refused", job_id, f"it belongs to another file: it has the tag {others[0]!r}")
    if not differences(planned, there, wanted):
        return Step("keep", job_id)
    answer = api("GET", "jobs", job_id)  # the current job, with its ETag
    found = differences(planned, answer.json, wanted)
    shown = "; ".join(f"{name}: {_short(was)} -> {_short(to)}" for name, (was, to) in found.items())
    body = _changes({name: to for name, (_, to) in found.items()}, planned, wanted)
    return Step("change", job_id, shown, body, answer.headers.get("ETag", "*"))


def _first_step(wanted: Job, planned: Job, times: Sequence[str]) -> Step:
    """Return the action for a job that does not exist; one with a past date is not added."""
    job_id = wanted["id"]
    if planned["trigger"] == "date":
        if "run_date" not in _flat(wanted):
            return Step("refused", job_id, "a date needs its run_date here")
        if times and datetime.fromisoformat(times[0]) <= now():
            return Step("keep", job_id)
    return Step("add", job_id, schedule(planned), wanted)


def _short(value: object) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def differences(planned: Job, there: Job, wanted: Job) -> dict[str, tuple[Any, Any]]:
    """Return the fields to change, each with its old and its new value; None: the default.

    Args:
        planned: The job that would be created now, as the server shows it.
        there: The existing job.
        wanted: The job in the file.
    """
    planned, there = _comparable(planned, wanted), _comparable(there, wanted)
    names = planned.keys() | (there.keys() & (JOB_FIELDS | _options_of(there)))
    names -= _PLACE
    if "name" not in wanted and planned["name"] == planned["func"]:
        names -= {"name"}  # for a read-only client, no function is imported to get its name
    return {
        name: (there.get(name), planned.get(name))
        for name in {**planned, **there}
        if name in names and not same_json(planned.get(name), there.get(name))
    }


def _options_of(job: Job) -> frozenset[str]:
    kind = job["trigger"]
    return option_names(kind) if kind in KINDS else frozenset()


def _comparable(shown: Job, given: Job) -> dict[str, Any]:
    """Return a job or trigger without the time of its making, unless that was given."""
    given = _flat(given)
    made = _OF_MAKING.get(shown.get("trigger", ""))
    kept = {k: v for k, v in shown.items() if k != made or given.get(k) is not None}
    members, asked = shown.get("triggers"), given.get("triggers")
    if isinstance(members, list) and isinstance(asked, list) and len(members) == len(asked):
        kept["triggers"] = list(map(_comparable, members, asked))
    return kept


def _flat(job: Job) -> Job:
    """Return a job or a trigger, with the options of its trigger on the same level."""
    nested = job.get("trigger")
    return {**job, **nested} if isinstance(nested, dict) else job


def _changes(different: Job, planned: Job, wanted: Job) -> Job:
    """Return the body of a request that changes a job to the planned one.

    The job's own fields are those of the file: the server may show them without secrets.
    """
    own = {name: wanted.get(name) for name in different if name in JOB_FIELDS}
    options = {name: value for name, value in different.items() if name not in JOB_FIELDS}
    kind = planned["trigger"]
    if "trigger" not in different:
        return {**own, **with_units(kind, options, planned)}
    # Another kind of trigger replaces all options.
    known = _options_of(planned) or planned.keys() - JOB_FIELDS - _PLACE
    trigger = {k: v for k, v in _comparable(planned, wanted).items() if k in known}
    return {**own, "trigger": {"type": kind, **trigger}}


def _carry_out(api: Api, steps: Sequence[Step]) -> dict[str, str]:
    """Carry out the plan; return the reasons of refusals, by id."""
    failed = {}
    with progress("applying", steps) as each:
        for step in each:
            try:
                if step.do == "add":
                    api("POST", "jobs", body=step.body, headers={"If-None-Match": "*"})
                else:
                    method = "PATCH" if step.do == "change" else "DELETE"
                    headers = {"If-Match": step.etag}
                    api(method, "jobs", step.id, body=step.body, headers=headers)
            except Refused as error:
                failed[step.id] = str(error)
                print_error(f"{step.id}: {error}")
    return failed


def _sums(steps: Sequence[Step]) -> str:
    done = [step.do for step in steps]
    parts = [f"{done.count(do):,} to {do}" for do in ("add", "change", "remove")]
    if refused := done.count("refused"):
        parts.append(f"{refused:,} refused")
    return ", ".join([*parts, f"{done.count('keep'):,} as they are"])


def _as_json(steps: Sequence[Step], failed: Mapping[str, str], applied: bool) -> Job:
    return {
        "steps": [
            {"do": step.do, "id": step.id, "what": step.text, "error": failed.get(step.id)}
            for step in steps
        ],
        "applied": applied,
    }
