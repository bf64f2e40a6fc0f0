"""The command line: ``python -m schedcore next "0 9 * * mon-fri" --tz Europe/Berlin -n 10``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from schedcore import __version__, cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: see :mod:`schedcore.cli`."""
    return cli.run(arguments, __version__)


if __name__ == "__main__":
    sys.exit(main())
