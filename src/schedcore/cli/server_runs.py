"""The runs of a server: ``ps``, ``runs``, ``run``, ``backfill``, ``cancel`` and ``logs``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from schedcore.cli.base import DONE, PARTLY, Commands, counted, harmless
from schedcore.cli.client import Api, Refused
from schedcore.cli.connecting import add_command
from schedcore.cli.several import (
    REFUSED,
    add_filter,
    add_yes,
    confirmed,
    each,
    has_filter,
    together,
)
from schedcore.cli.showing import ago, lasted, moment, now, print_error, print_json, show, waiting
from schedcore.clock import Waker
from schedcore.errors import InvalidOptionError

Run = Mapping[str, Any]
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two polls of a run, at first and at most."""
_MOST_RUNS: Final = 20
_MOST_OPEN: Final = 10_000


def add_commands(commands: Commands) -> None:
    """Add the commands of this group."""
    add_command(commands, "ps", _ps, "list open runs: waiting or active", "ps")
    command = add_command(
        commands, "runs", _runs, "list runs, newest first", "runs --job report --outcome failed"
    )
    command.add_argument("--job", metavar="ID", help="only runs of this job")
    command.add_argument(
        "--outcome", metavar="OUTCOME", help="only runs with these outcomes: failed,lost"
    )
    command.add_argument("--state", choices=("waiting", "running", "ended"))
    command.add_argument(
        "--since",
        metavar="TIME",
        help="only runs that were due at this time or later: 2026-11-25, 12h",
    )
    command.add_argument("--until", metavar="TIME", help="only runs that were due before this time")
    command.add_argument("--limit", type=int, default=_MOST_RUNS, metavar="N", help="default: 20")
    command = add_command(
        commands, "run", _run, "run jobs now", "run report --wait --args '[\"2026-11\"]'"
    )
    add_filter(command)
    command.add_argument(
        "--wait", action="store_true", help="wait until they have ended; exit status 1 if one fails"
    )
    command.add_argument("--args", metavar="JSON", help="an array, for this run only")
    command.add_argument("--kwargs", metavar="JSON", help="an object, for this run only")
    command = add_command(
        commands,
        "backfill",
        _backfill,
        "run a job for past due times",
        "backfill report --since 2026-11-01 --until 2026-11-02",
    )
    command.add_argument("id", metavar="JOB")
    command.add_argument("--since", required=True, metavar="TIME", help="2026-11-25, 12h")
    command.add_argument("--until", metavar="TIME", help="due before this time (default: now)")
    command.add_argument("--again", action="store_true", help="also due times that were executed")
    add_yes(command)
    command = add_command(commands, "cancel", _cancel, "cancel runs", "cancel 1795471846471049")
    command.add_argument("ids", nargs="+", metavar="RUN")
    command = add_command(commands, "logs", _logs, "print the output of a run", "logs -f report")
    command.add_argument("id", metavar="RUN|JOB", help="a run, or a job: its latest run")
    command.add_argument(
        "-f", "--follow", action="store_true", help="follow the output until the run has ended"
    )
    command.add_argument("--raw", action="store_true", help="do not escape control sequences")


def run_rows(
    runs: Iterable[Run], at: datetime, of_one_job: bool = False
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return the titles and the rows of a table of runs."""
    titles = ("run", "job", "outcome", "due", "took", "result")
    rows = [
        (
            str(run["run_id"] or "-"),
            str(run["job_id"]),
            str(run["outcome"] or run["state"]),
            moment(run["scheduled"], at),
            lasted(run["started"], run["ended"], at),
            _result(run),
        )
        for run in runs
    ]
    if of_one_job:
        return titles[:1] + titles[2:], [row[:1] + row[2:] for row in rows]
    return titles, rows


def _result(run: Run) -> str:
    """Return the result of a run, or why there is none, in one line."""
    if run["outcome"] == "executed":
        return str(run["result"] or "")
    return str(run["why"] or "").removeprefix(f"{run['outcome'] or run['state']}: ")


def _ps(api: Api, parsed: argparse.Namespace) -> int:
    runs = under_way(api)
    if parsed.json:
        print_json(runs)
        return DONE
    show(*ps_rows(runs, now()))
    return DONE


def under_way(api: Api) -> list[Run]:
    """Return the active runs, followed by the waiting ones."""
    runs = api.items("runs", query={"state": "open"}, most=_MOST_OPEN)
    return sorted(runs, key=lambda run: str(run["state"]))  # "running" comes before "waiting"


def ps_rows(runs: Iterable[Run], at: datetime) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return the titles and the rows of a table of runs that have not ended."""
    rows = [
        (
            str(run["run_id"]),
            str(run["job_id"]),
            str(run["state"]),
            moment(run["started"] or run["scheduled"], at),
            str(run["cause"] or "-")
            + (f", attempt {run['attempt']}" if run["attempt"] > 1 else ""),
            "-" if run["node"] is None else str(run["node"]),
        )
        for run in runs
    ]
    return ("run", "job", "state", "since", "cause", "node"), rows


def _runs(api: Api, parsed: argparse.Namespace) -> int:
    asked = {name: getattr(parsed, name) for name in ("job", "outcome", "state", "since", "until")}
    for name in ("since", "until"):
        asked[name] = asked[name] and ago(asked[name], now())
    runs = list(api.items("runs", query=asked, most=parsed.limit))
    if parsed.json:
        print_json(runs)
    else:
        show(*run_rows(runs, now()))
    return DONE


def _run(api: Api, parsed: argparse.Namespace) -> int:
    started, status = _start(api, parsed)
    if not (parsed.wait or parsed.json):
        for run_id, job_id in started:
            print(harmless(f"run {run_id} of {job_id} has been started"))
        return status
    try:
        with waiting(f"waiting for {counted(len(started), 'run')}"):
            fetch = _ended if parsed.wait else _get_run
            runs = [fetch(api, run_id) for run_id, _ in started]
    except KeyboardInterrupt:
        ids = " ".join(run_id for run_id, _ in started)
        print_error(f"the runs continue; to end them: schedcore cancel {ids}")
        raise
    if parsed.json:
        print_json(runs)
    else:
        show(*run_rows(runs, now()))
    if parsed.wait and any(run["outcome"] != "executed" for run in runs):
        return max(status, PARTLY)
    return status


def _start(api: Api, parsed: argparse.Namespace) -> tuple[list[tuple[str, str]], int]:
    """Start runs; return the id and the job of each, and the exit status."""
    body: dict[str, Any] = {"wait": False}
    for name, kind, expected in (("args", list, "a JSON array"), ("kwargs", dict, "a JSON object")):
        if (text := getattr(parsed, name)) is not None:
            body[name] = _read_json(f"--{name}", text, kind, expected)

    def start(job_id: str) -> tuple[str, str]:
        # With a key, repeating a request whose answer was lost starts no second run.
        key = {"Idempotency-Key": os.urandom(16).hex()}
        run_id = api("POST", "jobs", job_id, "run", body=body, headers=key).headers["X-Run-Id"]
        if run_id is None:
            raise LookupError("X-Run-Id")
        return run_id, job_id

    if not has_filter(parsed):
        return each(parsed.ids, start)
    if len(body) > 1:
        raise InvalidOptionError("--args", parsed.args, "ids: each job has its own arguments")
    answer = together(api, parsed, "run", "POST", "jobs", "run")
    for job_id, reason in answer["refused"].items():
        print_error(f"{job_id}: {reason}")
    started = [(run_id, job_id) for job_id, run_id in answer["runs"].items()]
    return started, DONE if not answer["refused"] else PARTLY if started else REFUSED


def _backfill(api: Api, parsed: argparse.Namespace) -> int:
    body: dict[str, Any] = {"since": ago(parsed.since, now()), "again": parsed.again}
    if parsed.until is not None:
        body["until"] = ago(parsed.until, now())

    def question(count: int, details: Mapping[str, Any]) -> str:
        first, last = details["first"], details["last"]
        return f"run {parsed.id} for {counted(count, 'due time')}, from {first} to {last}?"

    done = confirmed(api, parsed, question, "POST", "jobs", parsed.id, "backfill", body=body)
    if parsed.json:
        print_json(done)
    else:
        begun = f"{counted(done['count'], 'run')} of {parsed.id}"
        print(harmless(f"{begun} {'has' if done['count'] == 1 else 'have'} been started"))
    return DONE


def _read_json(option: str, text: str, kind: type, expected: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise InvalidOptionError(option, text, expected)
    return value


def _get_run(api: Api, run_id: str) -> Run:
    return dict(api("GET", "runs", run_id).json)


def _ended(api: Api, run_id: str) -> Run:
    """Wait until a run has ended, and return it."""
    pause = _FIRST_PAUSE
    while True:
        run = _get_run(api, run_id)
        if run["state"] == "ended":
            return run
        Waker().sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _cancel(api: Api, parsed: argparse.Namespace) -> int:
    runs, status = each(
        parsed.ids, lambda run_id: api("POST", "runs", run_id, "cancel", body={}).json
    )
    if parsed.json:
        print_json(runs)
    elif runs:
        show(*run_rows(runs, now()))
    return status


def _logs(api: Api, parsed: argparse.Namespace) -> int:
    run_id = str(_run_of(api, parsed.id)["run_id"])
    parts: list[str] = []
    for output in _outputs(api, run_id, parsed.follow):
        if parsed.json:
            parts.append(output["text"])
            continue
        sys.stdout.write(output["text"] if parsed.raw else harmless(output["text"], "\n\t"))
        sys.stdout.flush()
    if parsed.json:
        print_json({**output, "text": "".join(parts)})
    return DONE


def _outputs(api: Api, run_id: str, follow: bool) -> Iterator[dict[str, Any]]:
    """Yield the output of a run; with *follow*, until the run has ended."""
    after, pause = 0, _FIRST_PAUSE
    while True:
        output = api("GET", "runs", run_id, "output", query={"after": after}).json
        yield output
        if output["ended"] or not follow:
            return
        pause = _FIRST_PAUSE if output["text"] else min(pause * 2, _LONGEST_PAUSE)
        after = output["next"]
        Waker().sleep(pause)


def _run_of(api: Api, given: str) -> Run:
    """Return the run with this id, or the latest one of the job with this id."""
    if given.isascii() and given.isdigit():
        try:
            return _get_run(api, given)
        except Refused as error:
            if error.status != 404:
                raise
    api("GET", "jobs", given)
    for state in ("running", "ended", "waiting"):
        for run in api("GET", "runs", query={"job": given, "state": state}).json:
            if run["run_id"]:  # occurrences without a run have no output
                return dict(run)
    raise InvalidOptionError("RUN|JOB", given, "a run, or a job that has run")
