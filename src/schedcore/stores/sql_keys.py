"""The keys for which a store over SQL has opened runs."""

from __future__ import annotations

from typing import Final

from schedcore.stores.asked import KEYS_KEPT_US
from schedcore.stores.database import Transaction

MOST_KEYS: Final = 100_000
"""The oldest are forgotten first."""


def find_key(tx: Transaction, k: int, key: str | None, now_us: int) -> int | None:
    """Return the run that was opened for a key of this job, in the last day.

    Whoever asks holds the job, so nobody notes the same key meanwhile.
    """
    if key is None:
        return None
    sql = "select run_id from schedcore_keys where k = ? and key = ? and at_us >= ?"
    row = tx.one(sql, k, key, now_us - KEYS_KEPT_US)
    return None if row is None else int(row[0])


def note_key(tx: Transaction, k: int, key: str | None, run_id: int, now_us: int) -> None:
    """Note which run was opened for a key, if there is one."""
    if key is not None:
        tx.run(
            "insert into schedcore_keys (k, key, run_id, at_us) values (?, ?, ?, ?)"
            " on conflict (k, key) do update set run_id = excluded.run_id, at_us = excluded.at_us",
            *(k, key, run_id, now_us),
        )


def trim_keys(tx: Transaction, now_us: int) -> None:
    """Forget keys that are too old, or too many."""
    tx.run("delete from schedcore_keys where at_us < ?", now_us - KEYS_KEPT_US)
    beyond = "select at_us from schedcore_keys order by at_us desc limit 1 offset ?"
    tx.run(f"delete from schedcore_keys where at_us <= ({beyond})", MOST_KEYS)
