"""Online backups of an SQLite database, the latest few of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from places import inside


def backup_database(database: str, folder: str = "backups", keep: int = 5) -> str:
    """Copy *database* while it is in use, by SQLite's own backup call, and prune old copies.

    A copy gets its name only when it is complete and checked.

    Raises:
        FileNotFoundError: if the database does not exist.
        ValueError: if *keep* is less than 1.
    """
    if keep < 1:
        raise ValueError(f"keep={keep}: expected 1 or more")
    source = inside(database)
    if not source.exists():
        raise FileNotFoundError(f"there is no database {source}")
    target_folder = inside(folder)
    target_folder.mkdir(exist_ok=True)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    target = target_folder / f"{source.stem}-{stamp}.db"
    _copy(source, target)
    copies = sorted(target_folder.glob(f"{source.stem}-*.db"))
    for old in copies[:-keep]:
        old.unlink()
    return f"{target.name}, {min(len(copies), keep)} kept"


def _copy(source: Path, target: Path) -> None:
    partial = target.with_suffix(".partial")
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(partial)) as copy:
            live.backup(copy)
            (state,) = copy.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(f"the copy of {source} is damaged: {state}")
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
