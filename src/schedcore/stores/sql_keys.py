"""The keys of runs in an SQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schedcore.stores.database import Transaction
from schedcore.stores.run_requests import KEYS_KEPT_US

MOST_KEYS: Final = 100_000
"""The oldest are forgotten first."""


Key = tuple[int, str]
"""The key of a job's row, and the key of the request for a run."""


def find_keys(tx: Transaction, keys: Sequence[Key], now_us: int) -> dict[Key, int]:
    """Return the runs that were opened for keys of jobs within the last day.

    The caller has locked the jobs, so no other process adds the same keys meanwhile.
    """
    found: dict[Key, int] = {}
    sql = "select k, run_id from schedcore_keys where k in ({}) and key = ? and at_us >= ?"
    for key in sorted({key for _, key in keys}):  # usually one
        of_jobs = [k for k, each in keys if each == key]
        rows = tx.among(sql, of_jobs, key, now_us - KEYS_KEPT_US)
        found |= {(k, key): run_id for k, run_id in rows}
    return found


def note_keys(tx: Transaction, opened: Sequence[tuple[int, str, int]], now_us: int) -> None:
    """Store the runs that were opened for keys: the job's row, the key and the run of each."""
    tx.many(
        "insert into schedcore_keys (k, key, run_id, at_us) values (?, ?, ?, ?)"
        " on conflict (k, key) do update set run_id = excluded.run_id, at_us = excluded.at_us",
        [(*each, now_us) for each in opened],
    )


def trim_keys(tx: Transaction, now_us: int) -> None:
    """Delete keys that are too old, or too many."""
    tx.run("delete from schedcore_keys where at_us < ?", now_us - KEYS_KEPT_US)
    beyond = "select at_us from schedcore_keys order by at_us desc limit 1 offset ?"
    tx.run(f"delete from schedcore_keys where at_us <= ({beyond})", MOST_KEYS)
