"""What commands share: exit statuses, tables, and modules that are loaded first."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final, TypeAlias

from schedcore.errors import InvalidOptionError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""To which a command is added."""
DONE: Final = 0
"""Exit status: all was done."""
PARTLY: Final = 1
"""Exit status: something was left out, or found wrong."""
_WIDEST: Final = 60


def add_load(command: argparse.ArgumentParser) -> None:
    """Add the option that makes triggers of the program's own known."""
    command.add_argument(
        "--load",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module first, such as one that registers your own triggers",
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


def counted(number: int, thing: str) -> str:
    """Return ``"1 job"`` or ``"2 jobs"``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
