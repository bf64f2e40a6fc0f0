"""The commands of ``schedcore``, a file for each group of them.

The exit status is 0 if all was done; 1 if something was left out or found wrong, which is listed;
2 if nothing was done, and why is told in one line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from schedcore.cli import bringing, database, moving, schedules
from schedcore.errors import SchedError


def run(arguments: Sequence[str] | None, version: str) -> int:
    """Run one command; return the exit status.

    Args:
        arguments: Its words; None: those of this process.
        version: What ``--version`` prints.
    """
    parser = argparse.ArgumentParser(prog="schedcore", description="A job scheduler.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for group in (schedules, bringing, moving, database):
        group.add_commands(commands)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except (SchedError, OSError, UnicodeDecodeError) as error:
        print(f"schedcore: {error}", file=sys.stderr)
        return 2
