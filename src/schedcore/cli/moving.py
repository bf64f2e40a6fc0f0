"""Exports and imports jobs as JSON lines: ``export`` and ``import``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final, NamedTuple, TextIO

from schedcore.cli.base import (
    DONE,
    PARTLY,
    Commands,
    add_load,
    counted,
    harmless,
    load,
    print_table,
)
from schedcore.cli.connecting import connected
from schedcore.cli.stores import entries_of, next_run, opened, store_url
from schedcore.clock import SystemClock
from schedcore.errors import InvalidOptionError
from schedcore.transfer.adding import add, compared, replace
from schedcore.transfer.job_lines import BadLineError, line_of, read_lines


def add_commands(commands: Commands) -> None:
    """Add ``export`` and ``import``."""
    command = commands.add_parser(
        "export",
        allow_abbrev=False,
        help="write the jobs of a store, or of a running server, as JSON lines",
        description="Write the jobs of a store with their next run times as JSON, one per line,"
        " for import; or those of a running server, for add --file, check and apply.",
        epilog="examples: export --from sqlite:///jobs.db jobs.jsonl;"
        " export --from http://127.0.0.1:5000/scheduler jobs.jsonl",
    )
    command.add_argument("file", nargs="?", metavar="FILE", help="default: standard output")
    command.add_argument(
        "--from", dest="store", metavar="STORE", help="URL of the store, or the server"
    )
    add_load(command)
    command.set_defaults(run=_export)
    command = commands.add_parser(
        "import",
        allow_abbrev=False,
        help="read jobs from JSON lines into a store",
        description="Add jobs that export wrote to a store, with their next run times: all, or"
        " none.",
        epilog="example: import --into postgresql://app@db/jobs jobs.jsonl",
    )
    command.add_argument("file", nargs="?", metavar="FILE", help="default: standard input")
    command.add_argument("--into", metavar="STORE", help="URL of the store")
    command.add_argument(
        "--replace", action="store_true", help="replace jobs that have the same ids"
    )
    command.add_argument("--dry-run", action="store_true", help="only show what would be done")
    add_load(command)
    command.set_defaults(run=_import)


def _export(parsed: argparse.Namespace) -> int:
    load(parsed.load)
    of_server = parsed.store and parsed.store.startswith(("http:", "https:", "unix:"))
    found = list(_server_lines(parsed.store) if of_server else _store_lines(parsed.store))
    lines = [each.line for each in found if each.line]
    with _output(parsed.file) as file:
        file.writelines(f"{line}\n" for line in lines)
    for each in found:
        if not each.line:
            print(harmless(f"left: {each.id}: {each.reason}"), file=sys.stderr)
    if parsed.file:
        print(f"{counted(len(lines), 'job')} written")
    return DONE if len(lines) == len(found) else PARTLY


class _Exported(NamedTuple):
    """A job as a line; the line is empty if there is a reason why it cannot be exported."""

    id: str
    line: str
    reason: str = ""


def _store_lines(given: str | None) -> Iterator[_Exported]:
    store = opened(store_url(given, "from"))
    try:
        entries = sorted(store.entries(), key=lambda entry: entry.job.id)
    finally:
        store.close()
    for entry in entries:
        try:
            yield _Exported(entry.job.id, line_of(entry))
        except InvalidOptionError as error:
            yield _Exported(entry.job.id, "", str(error))


def _server_lines(url: str) -> Iterator[_Exported]:
    with closing(connected(argparse.Namespace(url=url, token=None, user=None))) as api:
        jobs = api("GET", "jobs", query={"sort": "id"}).json
    for job in jobs:
        if as_repr := job.get("shown_as_repr"):
            yield _Exported(job["id"], "", f"JSON cannot represent its {', '.join(as_repr)}")
        elif hidden := job.get("hidden"):
            yield _Exported(job["id"], "", f"read-only users do not see its {hidden[0]}")
        else:
            paused = {"next_run_time": None} if job["next_run_time"] is None else {}
            line = json.dumps({k: v for k, v in job.items() if k not in _PLACE} | paused)
            yield _Exported(job["id"], line)


_PLACE: Final = frozenset({"next_run_time", "state", "broken"})
"""Fields that are left out, except for a next run time of null, which adds a job as paused."""


@contextmanager
def _output(path: str | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
    else:
        with open(path, "w", encoding="utf-8") as file:
            yield file


def _import(parsed: argparse.Namespace) -> int:
    load(parsed.load)
    url = store_url(parsed.into, "into")
    if parsed.file is None:
        lines = read_lines(sys.stdin)
    else:
        with open(parsed.file, encoding="utf-8") as file:
            lines = read_lines(file)
    entries = list(lines.values())
    found = compared(entries, entries_of(url))
    if found.other and not parsed.replace:
        number = next(number for number, entry in lines.items() if entry is found.other[0])
        raise BadLineError(
            number,
            f"a job with the id {found.other[0].job.id!r} and another definition exists;"
            " --replace replaces it",
        )
    if parsed.dry_run:
        new, same = {id(entry) for entry in found.new}, {id(entry) for entry in found.same}
        kept = "replace" if parsed.replace else "leave"
        print_table(
            (
                "add" if id(entry) in new else kept if id(entry) in same else "replace",
                entry.job.id,
                entry.job.func_ref or "",
                next_run(entry),
            )
            for entry in entries
        )
    elif entries:
        store = opened(url, make=True)
        try:
            (replace if parsed.replace else add)(store, entries, SystemClock().now_us())
        finally:
            store.close()
    _print_sums(parsed, len(found.new), len(found.same), len(found.other))
    return DONE


def _print_sums(parsed: argparse.Namespace, new: int, same: int, other: int) -> None:
    would = "would be " if parsed.dry_run else ""
    parts = [f"{counted(new, 'job')} {would}added"]
    if parsed.replace and same + other:
        parts.append(f"{same + other:,} {would}replaced")
    elif same:
        parts.append(f"{same:,} there already")
    print("; ".join(parts))
