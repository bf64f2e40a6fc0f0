"""Formats jobs and runs of a server: times, tables and errors for people, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from schedcore.cli.base import harmless, print_table
from schedcore.clock import SystemClock, from_us
from schedcore.triggers.factory import KINDS, option_names

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STYLES: Final = {
    **dict.fromkeys(("executed", "ok"), "green"),
    **dict.fromkeys(("failed", "timed_out", "lost", "broken", "refused", "wrong"), "bold red"),
    **dict.fromkeys(("missed", "skipped", "shed", "cancelled", "coalesced", "remove"), "yellow"),
    **dict.fromkeys(("running", "add", "change"), "cyan"),
    **dict.fromkeys(("paused", "waiting", "-"), "dim"),
}
"""Styles of cells that consist of one of these words, on a terminal with colours."""
_MOST_DRAWN: Final = 1_000
"""Maximum number of rows of a table that Rich draws: it takes 0.3 ms for each."""
_UNITS: Final = (("s", 1, 100), ("min", 60, 100), ("h", 3_600, 48), ("d", 86_400, 10**9))
"""Each unit, its seconds, and the number from which on the next unit is used."""


def now() -> datetime:
    """Return the present in the time zone of this computer."""
    return from_us(SystemClock().now_us()).astimezone()


def moment(text: str | None, at: datetime) -> str:
    """Return a time of the API for people: the local time, and its distance from now.

    Args:
        text: The time in the API's format; None: there is none.
        at: The present.
    """
    if text is None:
        return "-"
    try:
        when = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return text
    shown = f"{when:%H:%M:%S}" if when.date() == at.date() else f"{when:%Y-%m-%d %H:%M:%S}"
    return f"{shown} ({away(when - at)})"


def away(by: timedelta) -> str:
    """Return a relative time: ``in 4 min``, ``2 min ago``, ``now``."""
    seconds = by.total_seconds()
    if -1 < seconds < 1:
        return "now"
    return f"in {_rounded(seconds)}" if seconds > 0 else f"{_rounded(-seconds)} ago"


def ago(text: str, at: datetime) -> str:
    """Return a time for the API: as given, or a duration ago, such as ``90s`` or ``12h``."""
    match = re.fullmatch(r"([0-9]{1,5})([smhd])", text)
    if match is None:
        return text
    seconds = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[match[2]]
    return (at - timedelta(seconds=int(match[1]) * seconds)).isoformat()


def _rounded(seconds: float) -> str:
    unit, size, _ = next(each for each in _UNITS if seconds < each[1] * each[2])
    return f"{seconds / size:.0f} {unit}"


def lasted(begun: str | None, ended: str | None, at: datetime) -> str:
    """Return the duration of something, until now if it has not ended."""
    if begun is None:
        return "-"
    end = at if ended is None else datetime.fromisoformat(ended)
    seconds = max(0.0, (end - datetime.fromisoformat(begun)).total_seconds())
    if seconds < 0.1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else _rounded(seconds)


def schedule(job: Mapping[str, Any]) -> str:
    """Return the schedule of a job in a few words: the kind of its trigger, and its options."""
    kind = str(job.get("trigger"))
    left_out = {"timezone", *(["start_date"] if kind == "interval" else [])}
    options = option_names(kind) - left_out if kind in KINDS else ()
    words = [f"{k}={_value(v)}" for k, v in job.items() if k in options and v is not None]
    return " ".join([kind, *words])


def _value(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return f"[{', '.join(map(schedule, value))}]"
    return str(value)


def print_json(value: object) -> None:
    """Print one JSON document."""
    print(json.dumps(value, ensure_ascii=True, indent=2 if sys.stdout.isatty() else None))


def same_json(one: object, other: object) -> bool:
    """Return whether two values are the same in JSON: unlike Python's, its true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def print_error(text: object) -> None:
    """Print an error in one line."""
    print(harmless(f"schedcore: {text}"), file=sys.stderr)


def show(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: with Rich on a terminal if it is installed, and plainly otherwise.

    In pipes there are no colours, and no lines are wrapped.
    """
    if not titles:
        return
    found = list(rows)
    console = terminal() if sys.stdout.isatty() and len(found) <= _MOST_DRAWN else None
    if console is None:
        print_table([[title.upper() for title in titles], *found])
    else:
        console.print(table_of(titles, found))


def table_of(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table for :func:`terminal`."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(cell), _STYLES.get(cell, "")) for cell in row))
    return table


def terminal(errors: bool = False) -> Console | None:
    """Return Rich's console; None if Rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    plain = bool(os.environ.get("NO_COLOR"))  # also without bold text, which Rich keeps
    return Console(
        stderr=errors,
        color_system=None if plain else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def waiting(text: str) -> AbstractContextManager[object]:
    """Show on a terminal what the command waits for, meanwhile."""
    console = terminal(errors=True) if sys.stderr.isatty() else None
    return nullcontext() if console is None else console.status(harmless(text))


@contextmanager
def progress(text: str, items: Sequence[Any]) -> Iterator[Iterable[Any]]:
    """Iterate over items, with a progress bar on a terminal if that takes long."""
    console = terminal(errors=True) if sys.stderr.isatty() and len(items) > 10 else None
    if console is None:
        yield items
        return
    from rich.progress import track

    yield track(items, text, console=console, transient=True)
