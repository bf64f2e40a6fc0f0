"""Shared by commands: exit statuses, tables, and modules to load first."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final, TypeAlias

from schedcore.errors import InvalidOptionError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""The parsers to which a command is added."""
DONE: Final = 0
"""Exit status: everything was done."""
PARTLY: Final = 1
"""Exit status: something was left out, or a check failed."""
_WIDEST: Final = 60


def add_load(command: argparse.ArgumentParser) -> None:
    """Add the option that loads modules with custom triggers."""
    command.add_argument(
        "--load",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module first, such as one that registers your own triggers",
    )


def load(modules: Iterable[str]) -> None:
    """Import the modules that ``--load`` names.

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
    """Print rows with aligned columns; long cells are truncated, except in the last column."""
    cells = [[*map(_cut, row[:-1]), harmless(row[-1])] for row in rows]
    if not cells:
        return
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def harmless(text: str, kept: str = "") -> str:
    """Return *text* with Python's escapes for characters that a terminal executes or hides.

    Names and output of jobs are not trusted: ``\\x1b[2J`` clears a screen.

    Args:
        text: Any text.
        kept: Characters that stay unchanged, such as ``"\\n"``.
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
