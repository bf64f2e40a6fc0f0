"""Imports jobs of other schedulers: ``import-apscheduler`` and ``import-crontab``."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from pathlib import Path

from schedcore.cli.base import DONE, PARTLY, Commands, counted, print_table
from schedcore.cli.stores import entries_of, next_run, opened, store_url
from schedcore.clock import SystemClock
from schedcore.errors import InvalidOptionError
from schedcore.transfer.adding import Comparison, add, compared
from schedcore.transfer.apscheduler import read_jobs
from schedcore.transfer.apscheduler_rows import TABLE, read_rows
from schedcore.transfer.base import ReadResult
from schedcore.transfer.crontab import read_crontab
from schedcore.transfer.job_lines import line_of


def add_commands(commands: Commands) -> None:
    """Add the commands of this group."""
    _add_apscheduler(commands)
    _add_crontab(commands)


def _add_shared(command: argparse.ArgumentParser) -> None:
    command.add_argument("--into", metavar="STORE", help="URL of the store that gets the jobs")
    command.add_argument("--dry-run", action="store_true", help="only show what would be done")
    command.add_argument("--json", action="store_true", help="print it as JSON")


def _add_apscheduler(commands: Commands) -> None:
    command = commands.add_parser(
        "import-apscheduler",
        allow_abbrev=False,
        help="import the jobs of an APScheduler 3 job store",
        description="Import jobs, with their next run times, from a job store of APScheduler 3. "
        " The store is only read, and its pickles are not executed.",
        epilog="example: import-apscheduler sqlite:///jobs.sqlite --into sqlite:///jobs.db",
    )
    command.add_argument("url", metavar="URL", help="of the database, as for SQLAlchemyJobStore")
    command.add_argument("--table", default=TABLE, metavar="NAME", help=f"default: {TABLE}")
    _add_shared(command)
    command.set_defaults(run=_import_apscheduler)


def _import_apscheduler(parsed: argparse.Namespace) -> int:
    now_us = SystemClock().now_us()
    return _import(read_jobs(read_rows(parsed.url, parsed.table), now_us), parsed, now_us)


def _add_crontab(commands: Commands) -> None:
    command = commands.add_parser(
        "import-crontab",
        allow_abbrev=False,
        help="import the lines of a crontab",
        description="Create a job for each line of a crontab that has a command.  A second import"
        " adds nothing twice.",
        epilog="example: crontab -l | schedcore import-crontab - --into sqlite:///jobs.db",
    )
    command.add_argument("file", metavar="FILE", help="the crontab; - reads standard input")
    command.add_argument(
        "--system", action="store_true", help="its lines name users, like those of /etc/crontab"
    )
    command.add_argument(
        "--user", metavar="NAME", help="with --system: whose lines to take (default: yours)"
    )
    command.add_argument("--tz", metavar="ZONE", help="time zone (default: the system's)")
    _add_shared(command)
    command.set_defaults(run=_import_crontab)


def _import_crontab(parsed: argparse.Namespace) -> int:
    if parsed.user and not parsed.system:
        raise InvalidOptionError("--user", parsed.user, "--system beside it")
    lines = sys.stdin if parsed.file == "-" else Path(parsed.file).read_text("utf-8").split("\n")
    now_us = SystemClock().now_us()
    reading = read_crontab(
        lines,
        now_us,
        home=Path(f"~{parsed.user or ''}").expanduser(),
        user=(parsed.user or getpass.getuser()) if parsed.system else None,
        timezone=parsed.tz,
    )
    return _import(reading, parsed, now_us)


def _import(reading: ReadResult, parsed: argparse.Namespace, now_us: int) -> int:
    """Store the jobs that were read, or print what would be stored; return the exit status."""
    url = None
    if parsed.into or not parsed.dry_run:
        url = store_url(parsed.into, "into")
    entries = [taken.entry for taken in reading.importable]
    found = compared(entries, [] if url is None else entries_of(url))
    if url is not None and not parsed.dry_run and found.new:
        store = opened(url, make=True)
        try:
            add(store, found.new, now_us)
        finally:
            store.close()
    if parsed.json:
        print(_as_json(reading, found))
    else:
        _print(reading, found, "would be added" if parsed.dry_run else "added")
    return PARTLY if reading.rejected or found.other else DONE


_OTHER = "a job with this id and another definition exists: it stays as it is"


def _print(reading: ReadResult, found: Comparison, done: str) -> None:
    if found.new:
        print_table(
            (
                entry.job.id,
                entry.job.given_name or entry.job.func_ref or "",
                next_run(entry),
                str(entry.job.trigger),
            )
            for entry in found.new
        )
    for taken in reading.importable:
        for remark in taken.remarks:
            print(f"note: {taken.entry.job.id}: {remark}")
    for remark in reading.remarks:
        print(f"note: {remark}")
    for left in reading.rejected:
        print(f"left: {left.where} ({left.what}): {left.reason}")
    for entry in found.other:
        print(f"left: {entry.job.id}: {_OTHER}")
    parts = [f"{counted(len(found.new), 'job')} {done}"]
    if found.same:
        parts.append(f"{len(found.same):,} there already")
    if reading.rejected or found.other:
        parts.append(f"{len(reading.rejected) + len(found.other):,} left, for the reasons above")
    print("; ".join(parts))


def _as_json(reading: ReadResult, found: Comparison) -> str:
    remarks = {taken.entry.job.id: taken.remarks for taken in reading.importable}
    return json.dumps(
        {
            "added": [
                json.loads(line_of(entry)) | {"remarks": remarks[entry.job.id]}
                for entry in found.new
            ],
            "there_already": [entry.job.id for entry in found.same],
            "left": [left._asdict() for left in reading.rejected]
            + [
                {"where": entry.job.id, "what": entry.job.func_ref, "reason": _OTHER}
                for entry in found.other
            ],
            "remarks": reading.remarks,
        }
    )
