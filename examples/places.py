"""The folder of the example jobs' files."""

from __future__ import annotations

import os
from pathlib import Path


def var() -> Path:
    """Return the folder that the jobs write to: EXAMPLES_VAR, or ``var`` where the server began."""
    folder = Path(os.environ.get("EXAMPLES_VAR", "var")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def inside(name: str) -> Path:
    """Return the path of *name* in that folder.

    Names come from jobs, which may come over HTTP: a name that leads out of the folder is refused.

    Raises:
        ValueError: if *name* leads out of the folder.
    """
    folder = var()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise ValueError(f"{name!r} leads out of {folder}: expected a name inside of it")
    return path
