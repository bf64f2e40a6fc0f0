"""What commands share: the store that they work on, and tables."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, TypeAlias

from schedcore.clock import UTC, from_us
from schedcore.errors import InvalidOptionError, StoreError
from schedcore.stores.base import Entry, Store
from schedcore.stores.sql import SqlStore
from schedcore.stores.urls import open_store, sqlite_path

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""To which a command is added."""
DONE: Final = 0
"""Exit status: all was done."""
PARTLY: Final = 1
"""Exit status: something was left out, or found wrong."""
VARIABLE: Final = "SCHEDULER_STORE"
"""The variable of the environment that names the store."""
_WIDEST: Final = 60


def store_url(given: str | None, option: str) -> str:
    """Return the URL of a store that keeps jobs: as given, or of the environment.

    Raises:
        InvalidOptionError: if there is none, or it is that of the memory of a process.
    """
    url = given or os.environ.get(VARIABLE, "")
    if not url or url.partition(":")[0] == "memory":
        raise InvalidOptionError(
            option, url or None, f"a store on disk, such as sqlite:///jobs.db; or set {VARIABLE}"
        )
    return url


def opened(url: str, make: bool = False) -> Store:
    """Return a store to be read or written by a command, which runs no jobs.

    No function of a job is looked for, since that would import the program's modules.

    Args:
        url: The store.
        make: Whether to make it, if it is a file that is not there.

    Raises:
        StoreError: if there is no such file.
    """
    if not make and not is_there(url):
        raise StoreError(url, "there is no such file")
    store = open_store(url)
    if isinstance(store, SqlStore):
        store.jobs.definitions.resolves = False
    return store


def is_there(url: str) -> bool:
    """Return whether a store is there, as far as its URL tells."""
    return not url.lower().startswith("sqlite:") or Path(sqlite_path(url)).exists()


def entries_of(url: str) -> list[Entry]:
    """Return the jobs of a store; none if it is a file that is not there."""
    if not is_there(url):
        return []
    store = opened(url)
    try:
        return store.entries()
    finally:
        store.close()


def add_load(command: argparse.ArgumentParser) -> None:
    """Add the option that makes triggers of the program's own known."""
    command.add_argument(
        "--load",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module first: one that registers triggers of your own",
    )


def load(modules: Iterable[str]) -> None:
    """Import modules that were named by ``--load``.

    Raises:
        InvalidOptionError: if one cannot be imported.
    """
    for name in modules:
        try:
            import_module(name)
        except Exception as error:
            raise InvalidOptionError(
                "load", name, f"a module that can be imported: {type(error).__name__}: {error}"
            ) from error


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows with their columns below each other; long cells are cut, but for the last ones."""
    cells = [[*map(_cut, row[:-1]), harmless(row[-1])] for row in rows]
    if not cells:
        return
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def harmless(text: str, kept: str = "") -> str:
    """Return *text* with all that a terminal may obey, or hide, as it is written in Python.

    Names of jobs and what they print come from anybody: ``\\x1b[2J`` clears a screen.

    Args:
        text: Any text.
        kept: What stays as it is, such as ``"\\n"``.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )


def _cut(text: str) -> str:
    text = harmless(" ".join(text.split()))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def next_run(entry: Entry) -> str:
    """Return when a job is due, as text for people."""
    if entry.due_us is None:
        return "paused"
    return from_us(entry.due_us, UTC).isoformat(sep=" ", timespec="seconds")


def counted(number: int, thing: str) -> str:
    """Return ``"1 job"`` or ``"2 jobs"``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
