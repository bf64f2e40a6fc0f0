"""The store of a command, by its URL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from schedcore.clock import UTC, from_us
from schedcore.errors import InvalidOptionError, StoreError
from schedcore.stores.base import Entry
from schedcore.stores.contract import Store
from schedcore.stores.sql import SqlStore
from schedcore.stores.urls import open_store, sqlite_path

VARIABLE: Final = "SCHEDULER_STORE"
"""The environment variable with the URL of the store."""


def store_url(given: str | None, option: str) -> str:
    """Return the URL of a store on disk: the given one, or that of the environment.

    Raises:
        InvalidOptionError: if there is none, or it names a store in memory.
    """
    url = given or os.environ.get(VARIABLE, "")
    if not url or url.partition(":")[0] == "memory":
        raise InvalidOptionError(
            option, url or None, f"a store on disk, such as sqlite:///jobs.db; or set {VARIABLE}"
        )
    return url


def opened(url: str, make: bool = False) -> Store:
    """Open a store for a command, which runs no jobs.

    It does not resolve functions of jobs, since that would import the program's modules.

    Args:
        url: The store.
        make: Whether to create a file that does not exist.

    Raises:
        StoreError: if there is no such file.
    """
    if not make and not is_there(url):
        raise StoreError(url, "there is no such file")
    store = open_store(url)
    if isinstance(store, SqlStore):
        store.jobs.definitions.resolves = False
    return store


def is_there(url: str) -> bool:
    """Return whether a store exists, as far as its URL shows."""
    return not url.lower().startswith("sqlite:") or Path(sqlite_path(url)).exists()


def entries_of(url: str) -> list[Entry]:
    """Return the jobs of a store; none if it is a file that does not exist."""
    if not is_there(url):
        return []
    store = opened(url)
    try:
        return store.entries()
    finally:
        store.close()


def next_run(entry: Entry) -> str:
    """Return when a job is due, as text for people."""
    if entry.due_us is None:
        return "paused"
    return from_us(entry.due_us, UTC).isoformat(sep=" ", timespec="seconds")
