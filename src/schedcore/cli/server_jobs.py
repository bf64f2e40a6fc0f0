"""The jobs of a running server: ``jobs``, ``job``, ``add``, ``edit``, ``rm`` and so on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from schedcore.cli.base import DONE, Commands, counted, harmless
from schedcore.cli.client import Api
from schedcore.cli.connecting import add_command
from schedcore.cli.job_files import read_jobs, with_trigger
from schedcore.cli.server_runs import run_rows
from schedcore.cli.several import add_filter, each, has_filter, together
from schedcore.cli.showing import moment, now, print_json, same_json, schedule, show
from schedcore.errors import InvalidOptionError

_STATES = ("scheduled", "paused", "running", "broken")
_PAIR = "NAME=VALUE"


def add_commands(commands: Commands) -> None:
    """Add the commands of this group."""
    command = add_command(commands, "jobs", _jobs, "list the jobs", "jobs --state paused")
    command.add_argument(
        "--q", metavar="TEXT", help="only jobs with this text in id, name or function"
    )
    command.add_argument(
        "--tag", action="append", help="only jobs with this tag; if repeated, with all of them"
    )
    command.add_argument("--state", choices=_STATES, help="only jobs in this state")
    command.add_argument(
        "--sort", metavar="FIELD", help="next_run_time, id or name; -id: descending"
    )
    command.add_argument(
        "--last", action="store_true", help="also show the outcome of each job's last run"
    )
    command = add_command(commands, "job", _job, "show a job and its last runs", "job report")
    command.add_argument("id", metavar="ID")
    for name, (description, _) in _TOGETHER.items():
        example = f"{name} report; {name} --tag nightly"
        add_filter(add_command(commands, name, partial(_together, name), description, example))
    _add_writers(commands)


_TOGETHER: Final = {
    "pause": ("stop scheduling jobs; active runs continue", "paused"),
    "resume": ("schedule paused jobs again", "resumed"),
    "rm": ("remove jobs; active runs continue", "removed"),
}
"""Commands, the description of each, and the resulting state of the job."""


def _add_writers(commands: Commands) -> None:
    command = add_command(
        commands,
        "add",
        _add,
        "add a job, or the jobs of a file (all or none)",
        "add report func=app:report hour=6 minute=30; add --file jobs.toml",
    )
    command.add_argument("id", nargs="?", metavar="ID")
    command.add_argument(
        "pairs", nargs="*", metavar=_PAIR, help="as in the API; the value is JSON, or text"
    )
    command.add_argument("--file", metavar="FILE", help="TOML or JSON; - reads JSON from the input")
    command.add_argument(
        "--replace",
        action="store_true",
        help="replace a job that has this id",
    )
    command = add_command(
        commands, "edit", _edit, "change a job", "edit report hour=7 timeout=null"
    )
    command.add_argument("id", metavar="ID")
    command.add_argument(
        "pairs", nargs="+", metavar=_PAIR, help="JSON, or text; null: reset to the default"
    )
    command.add_argument(
        "--if-match", metavar="ETAG", help="only if the job still has this etag (see job --json)"
    )


def read_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Parse ``name=value`` words: a value is JSON if it is valid JSON, and text otherwise.

    Raises:
        InvalidOptionError: if a word is not a pair.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidOptionError(_PAIR, pair, 'a pair such as hour=6, or args=["a", 1]')
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _jobs(api: Api, parsed: argparse.Namespace) -> int:
    asked = {name: getattr(parsed, name) for name in ("q", "tag", "state", "sort")}
    if parsed.last:  # in the order of due times, pages would repeat and miss jobs
        asked |= {"include": "runs", "sort": parsed.sort or "id"}
        jobs = list(api.items("jobs", query=asked, most=_MOST_JOBS, page=_WITH_RUNS))
    else:
        jobs = api("GET", "jobs", query=asked).json
    at = now()
    if parsed.json:
        print_json(jobs)
    elif parsed.last:
        rows = zip(jobs, job_rows(jobs, at), strict=True)
        show((*JOB_TITLES, "last"), [(*row, _last(job, at)) for job, row in rows])
    else:
        show(JOB_TITLES, job_rows(jobs, at))
    return DONE


_MOST_JOBS: Final = 100_000
_WITH_RUNS: Final = 200
"""Maximum number of jobs per request if their last runs are included."""


def _last(job: Mapping[str, Any], at: datetime) -> str:
    """Return the outcomes of the last runs of a job, in a few words."""
    last, failures = job["last_run"], job["failures_in_a_row"]
    if last is None:
        return "-"
    text = f"{last['outcome']} {moment(last['at'], at)}"
    return f"{text}, {failures} failures in a row" if failures > 1 else text


JOB_TITLES: Final = ("id", "state", "next run", "schedule", "function")
"""The titles of the columns of a table of jobs."""


def job_rows(jobs: Iterable[Mapping[str, Any]], at: datetime) -> Iterable[Sequence[str]]:
    """Return the rows of a table of jobs."""
    for job in jobs:
        yield (
            str(job["id"]),
            str(job["state"]),
            moment(job["next_run_time"], at),
            schedule(job),
            str(job["func"]),
        )


def _job(api: Api, parsed: argparse.Namespace) -> int:
    answer = api("GET", "jobs", parsed.id)
    if parsed.json:
        print_json(answer.json | {"etag": answer.headers.get("ETag")})
        return DONE
    job, at = answer.json, now()
    width = max(map(len, job))
    for name, value in job.items():
        if value is None or value in ([], {}):
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if name == "next_run_time":
            text = moment(value, at)
        elif name == "last_run":
            text = _last(job, at)
        print(harmless(f"{name.ljust(width)}  {text}"))
    runs = api("GET", "jobs", parsed.id, "runs", query={"limit": 5}).json
    if runs:
        print("\nlast runs:")
        titles, rows = run_rows(runs, at, of_one_job=True)
        show(titles, rows)
    return DONE


def _add(api: Api, parsed: argparse.Namespace) -> int:
    if (parsed.file is None) == (parsed.id is None):
        raise InvalidOptionError("ID", parsed.id, "an id, or --file, but not both")
    more = {"replace_existing": True} if parsed.replace else {}
    if parsed.file is not None:
        found = [{**with_trigger(job), **more} for job in read_jobs(parsed.file)]
        jobs = api("POST", "jobs", body=found).json  # all or none
    else:
        job = with_trigger({"id": parsed.id, **read_pairs(parsed.pairs)})
        jobs = [api("POST", "jobs", body={**job, **more}).json]
    if parsed.json:
        print_json(jobs)
    else:
        show(JOB_TITLES, job_rows(jobs, now()))
    return DONE


def _edit(api: Api, parsed: argparse.Namespace) -> int:
    changes = read_pairs(parsed.pairs)
    before = api("GET", "jobs", parsed.id)
    etag = parsed.if_match or before.headers.get("ETag", "*")
    job = api("PATCH", "jobs", parsed.id, body=changes, headers={"If-Match": etag}).json
    if parsed.json:
        print_json(job)
        return DONE
    at = now()
    changed = [
        (name, _value(name, before.json, at), _value(name, job, at))
        for name in {**before.json, **job}
        if name not in _MOVING and not same_json(before.json.get(name), job.get(name))
    ]
    show(("field", "was", "is"), changed)
    print(f"{counted(len(changed), 'field')} of {harmless(job['id'])} changed")
    return DONE


_MOVING: Final = frozenset(
    ("state", "last_run", "failures_in_a_row", "mean_duration", "p95_duration")
)
"""Fields of a job that change with its runs."""


def _value(name: str, job: Mapping[str, Any], at: datetime) -> str:
    value = job.get(name)
    if name == "next_run_time":
        return moment(value, at)
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def _together(name: str, api: Api, parsed: argparse.Namespace) -> int:
    method, ending = ("DELETE", ()) if name == "rm" else ("POST", (name,))

    def change(job_id: str) -> str:
        api(method, "jobs", job_id, *ending)
        return job_id

    if has_filter(parsed):
        ids, status = together(api, parsed, name, method, "jobs", *ending)["ids"], DONE
    else:
        ids, status = each(parsed.ids, change)
    if parsed.json:
        print_json(ids)
    else:
        print(f"{counted(len(ids), 'job')} {_TOGETHER[name][1]}")
    return status
