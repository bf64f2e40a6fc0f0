"""Reads the rows of APScheduler 3's job store, without changing its database."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from schedcore.basics.shown_urls import without_password
from schedcore.errors import InvalidOptionError, StoreError, did_you_mean
from schedcore.stores.urls import sqlite_path

TABLE: Final = "apscheduler_jobs"
"""The default name of APScheduler's table."""
_NAME = re.compile(r"[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)?", re.ASCII)
_KINDS: Final = (
    "sqlite:///relative/path.db, sqlite:////absolute/path.db,"
    " or postgresql://user:password@host/database"
)


class JobRow(NamedTuple):
    """A job as APScheduler stores it."""

    id: str
    next_run_time: float | None
    """Seconds since the Unix epoch; None: paused."""
    state: bytes
    """A pickle."""


def read_rows(url: str, table: str = TABLE) -> list[JobRow]:
    """Return the rows of a job store, earliest due first.

    Args:
        url: The URL of the database, in SQLAlchemy's format; a driver after a ``+`` is ignored.
        table: The table, optionally with its schema: ``"app.apscheduler_jobs"``.

    Raises:
        InvalidOptionError: if the URL or the table is invalid.
        StoreError: if the database cannot be read.
    """
    if not _NAME.fullmatch(table):
        raise InvalidOptionError("table", table, "the name of a table, such as apscheduler_jobs")
    quoted = ".".join(f'"{part}"' for part in table.split("."))
    query = (
        f"select id, next_run_time, job_state from {quoted}"
        " order by next_run_time is null, next_run_time, id"
    )
    scheme, _, rest = url.partition(":")
    kind = scheme.partition("+")[0].lower()
    if kind == "sqlite":
        return _read_sqlite(f"sqlite:{rest}", table, query)
    if kind in ("postgresql", "postgres"):
        return _read_postgresql(f"postgresql:{rest}", query)
    hint = "" if rest else f"; for a file, sqlite:///{url}"
    raise InvalidOptionError("url", without_password(url), f"{_KINDS}{hint}")


def _rows(found: Iterable[tuple[Any, ...]]) -> list[JobRow]:
    return [
        JobRow(str(job_id), None if at is None else float(at), bytes(state))
        for job_id, at, state in found
    ]


def _read_sqlite(url: str, table: str, query: str) -> list[JobRow]:
    path = Path(sqlite_path(url)).absolute()
    if not path.exists():
        raise StoreError(str(path), "there is no such file")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            names = [
                name
                for (name,) in connection.execute(
                    "select name from sqlite_master where type in ('table', 'view') order by name"
                )
            ]
            if table.rpartition(".")[2] not in names:
                raise StoreError(str(path), _no_table(table, names))
            return _rows(connection.execute(query))
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise StoreError(str(path), f"it cannot be read: {error}") from error


def _no_table(table: str, names: list[str]) -> str:
    if "schedules" in names and "apscheduler_jobs" not in names:
        return "it is a data store of APScheduler 4, and only those of APScheduler 3 are read"
    there = f"; there are {', '.join(names[:10])}" if names else ""
    return f"it has no table {table!r}{did_you_mean(table, names)}{there}: name it by --table"


def _read_postgresql(url: str, query: str) -> list[JobRow]:
    shown = without_password(url)
    try:
        psycopg = import_module("psycopg")
    except ImportError:
        raise StoreError(
            shown, "PostgreSQL is read by psycopg, which is not installed: pip install psycopg"
        ) from None
    try:
        with psycopg.connect(url, autocommit=False) as connection:
            connection.read_only = True
            return _rows(connection.execute(query))
    except psycopg.errors.UndefinedTable:
        raise StoreError(shown, "it has no such table: name it by --table") from None
    except psycopg.Error as error:
        if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
            # Its text may be a part of the URL, such as a password with a percent sign.
            raise InvalidOptionError("url", shown, "a URL that libpq can read") from None
        raise StoreError(shown, f"it cannot be read: {' '.join(str(error).split())}") from error
