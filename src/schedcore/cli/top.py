"""A live view of a running server: ``top``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from schedcore.cli.base import DONE, Commands, counted, harmless
from schedcore.cli.client import Api, Unreachable
from schedcore.cli.connecting import add_command
from schedcore.cli.server_jobs import JOB_TITLES, job_rows
from schedcore.cli.server_runs import ps_rows, run_rows, under_way
from schedcore.cli.showing import now, print_json, show, table_of, terminal
from schedcore.clock import Waker
from schedcore.errors import InvalidOptionError

_SHORTEST, _LONGEST = 0.2, 3600.0
_ROWS: Final = 8
"""Maximum number of rows: of jobs that are due next, and of failed runs."""
_WRONG: Final = ("failed", "timed_out", "lost", "missed", "skipped")


class Table(NamedTuple):
    """One table of the view."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class View(NamedTuple):
    """The state of a server at one time."""

    health: dict[str, Any]
    runs: list[Any]
    next: list[Any]
    wrong: list[Any]


def add_commands(commands: Commands) -> None:
    """Add ``top``."""
    command = add_command(commands, "top", _top, "watch active, coming and failed runs", "top -n 5")
    command.add_argument(
        "-n",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="seconds between two updates (default: 2)",
    )


def _top(api: Api, parsed: argparse.Namespace) -> int:
    if not _SHORTEST <= parsed.n <= _LONGEST:
        raise InvalidOptionError("-n", parsed.n, f"{_SHORTEST:g} to {_LONGEST:g} seconds")
    if parsed.json:
        print_json(read_view(api)._asdict())
        return DONE
    if not sys.stdout.isatty():  # a pipe gets one view
        for title, columns, rows in tables(read_view(api), now()):
            print(harmless(title))
            show(columns, rows)
        return DONE
    if (console := terminal()) is None:
        raise InvalidOptionError("top", "a terminal", "Rich: pip install rich")
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    def drawn() -> RenderableType:
        try:
            found = list(tables(read_view(api), now()))
        except Unreachable as error:  # it may become available again
            return Text(harmless(str(error)), "bold red")
        parts: list[RenderableType] = []
        for title, columns, rows in found:
            parts += [Text(harmless(title)), *([table_of(columns, rows)] if columns else []), ""]
        return Group(*parts)

    read_view(api)  # an error here ends the command: there is no server to watch
    live = Live(drawn(), console=console, screen=True, auto_refresh=False)
    try:  # not "with": that would not restore the screen if interrupted at its start
        live.start(refresh=True)
        while not Waker().sleep(parsed.n):
            live.update(drawn(), refresh=True)
    finally:
        live.stop()
    return DONE


def read_view(api: Api) -> View:
    """Return the current state."""
    return View(
        api("GET", "health", also=503).json,
        under_way(api),
        api("GET", "jobs", query={"state": "scheduled", "limit": _ROWS}).json,
        api("GET", "runs", query={"outcome": ",".join(_WRONG), "limit": _ROWS}).json,
    )


def tables(view: View, at: datetime) -> Iterator[Table]:
    """Yield each table, with its title, the titles of its columns, and its rows."""
    health = view.health
    does = "works" if health["ok"] else f"has trouble: {health['reason'] or 'the loop'}"
    yield Table(f"{at:%H:%M:%S}  the scheduler is {health['state']}, and {does}", (), ())
    yield Table(f"{counted(len(view.runs), 'run')} under way or waiting", *ps_rows(view.runs, at))
    yield Table("next", JOB_TITLES, list(job_rows(view.next, at)))
    yield Table("went wrong", *run_rows(view.wrong, at))
