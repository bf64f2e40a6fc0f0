"""What is done with several jobs or runs: one after the other, or all that a filter finds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from schedcore.cli.base import DONE, PARTLY, harmless
from schedcore.cli.client import Refused
from schedcore.cli.showing import print_error
from schedcore.errors import InvalidOptionError

REFUSED: Final = 2
"""Exit status: nothing was done."""


def each(ids: Iterable[str], act: Callable[[str], Any]) -> tuple[list[Any], int]:
    """Do something for each id, and tell which are refused; return what came of it.

    Args:
        ids: Of jobs or runs.
        act: What is done.

    Returns:
        What it returned for those that were not refused; and the exit status.
    """
    done, refused = [], 0
    for job_id in ids:
        try:
            done.append(act(job_id))
        except Refused as error:
            refused += 1
            print_error(error)
    return done, DONE if not refused else PARTLY if done else REFUSED


def confirm(question: str, parsed: argparse.Namespace) -> None:
    """Ask whether to go on, unless ``--yes`` has said so.

    Raises:
        InvalidOptionError: if the answer is no, or nobody can be asked.
    """
    if parsed.yes:
        return
    if not sys.stdin.isatty():
        raise InvalidOptionError("--yes", False, f"it, since nobody can be asked: {question}")
    print(harmless(f"{question} [y/N] "), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidOptionError("answer", "no", "yes: nothing was done")


def add_yes(command: argparse.ArgumentParser) -> None:
    """Add the option that answers all questions."""
    command.add_argument("--yes", action="store_true", help="ask nothing")
