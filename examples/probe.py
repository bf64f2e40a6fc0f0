"""A health probe: requests an HTTP address and stores the result."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from datetime import datetime, timezone
from urllib.error import HTTPError
from urllib.request import urlopen

from places import inside

_TABLE = (
    "CREATE TABLE IF NOT EXISTS probe (time TEXT, url TEXT, ok INTEGER, status INTEGER, ms REAL)"
)


def check_address(url: str, log: str = "health.log", database: str | None = None) -> str:
    """Request *url*, append one JSON line to *log* and, if given, one row to *database*.

    Raises:
        ValueError: if *url* is not an HTTP address.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url={url!r}: expected an address that begins with http:// or https://")
    began = time.perf_counter()
    status, error = _ask(url)
    result = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "url": url,
        "ok": status is not None and status < 400,
        "status": status,
        "ms": round((time.perf_counter() - began) * 1000, 1),
        "error": error,
    }
    with inside(log).open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    if database is not None:
        _record(database, result)
    return f"{status or error} in {result['ms']} ms"


def _ask(url: str) -> tuple[int | None, str | None]:
    """Return the status, or the reason why there is none."""
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status, None
    except HTTPError as error:
        with error:
            return error.code, str(error)
    except OSError as error:
        return None, str(error)


def _record(database: str, result: dict[str, object]) -> None:
    with closing(sqlite3.connect(inside(database))) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(_TABLE)
        connection.execute("INSERT INTO probe VALUES (:time, :url, :ok, :status, :ms)", result)
