"""The commands of ``schedcore``, one module for each group.

Exit status: 0 if everything was done; 1 if something was left out or a check failed, which is
listed, or if the awaited run failed; 2 if nothing was done, with the reason in one line; 3 if the
server cannot be reached or is unavailable.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from schedcore.cli.client import Unreachable
from schedcore.cli.showing import print_error
from schedcore.errors import SchedError

GROUPS: Final = {
    "server_runs": ("ps", "runs", "run", "backfill", "cancel", "logs"),
    "server_jobs": ("jobs", "job", "pause", "resume", "rm", "add", "edit"),
    "top": ("top",),
    "applying": ("check", "apply"),
    "schedules": ("next",),
    "importing": ("import-apscheduler", "import-crontab"),
    "moving": ("export", "import"),
    "database": ("db",),
}
"""The commands of each module: only the needed one is imported, since imports take long."""
_REFUSED: Final = 2
_UNREACHABLE: Final = 3
_INTERRUPTED: Final = 130  # as in shells: 128 plus the number of the signal
_NOBODY_READS: Final = 141


def run(arguments: Sequence[str] | None, version: str) -> int:
    """Run one command; return the exit status.

    Args:
        arguments: The command line; None: that of this process.
        version: What ``--version`` prints.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may not be encodable there
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(prog="schedcore", description="A job scheduler.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    words = sys.argv[1:] if arguments is None else arguments
    named = [group for group, names in GROUPS.items() if words and words[0] in names]
    for group in named or GROUPS:  # all groups, to list their commands
        import_module(f"{__name__}.{group}").add_commands(commands)
    parsed = parser.parse_args(words)
    try:
        status = int(parsed.run(parsed))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as in "schedcore runs | head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise Python reports it at exit
        return _NOBODY_READS
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Unreachable as error:
        print_error(error)
        return _UNREACHABLE
    except (SchedError, OSError, UnicodeDecodeError) as error:
        print_error(error)
        return _REFUSED
