"""Commits whose answers were lost: what became of them is asked later, and only the server knows.

A connection may be lost while its commit is under way, and the server goes on with that for as long
as it takes: it waits for a lock, say, or for a replica.  The number of a transaction tells whether
it is under way still; what opened runs for this process, or ended some, follows once it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schedcore.run import Run
from schedcore.stores.claims import ACTIVE, REMOTE
from schedcore.stores.postgres_sql import PostgresTransaction

if TYPE_CHECKING:
    from schedcore.stores.postgres import PostgresStore


def settle_doubts(store: PostgresStore) -> list[Run]:
    """Have what is over by now be followed by what depends on it.

    Returns:
        The runs that belong to this process after all, and are to be submitted.
    """
    found: list[Run] = []
    doubts = store.database.doubts or []
    for tx in list(doubts):
        made = store.database.is_made(tx)
        if made is None:
            continue
        if made:
            found += _made(store, tx)
        else:
            tx.undone()
        doubts.remove(tx)
    return found


def _made(store: PostgresStore, tx: PostgresTransaction) -> list[Run]:
    """Do what follows from a transaction; return the runs of it that are this process's still."""
    # Read after it was found to be over: what was read before need not show what it has written.
    with store.database.read() as reading:
        claims = store.claims.find(reading, [run._id for run in tx.started])
    tx.made()
    mine = []
    for run in tx.started:
        claim = claims.get(run._id)
        if claim is not None and claim.state in (ACTIVE, REMOTE) and claim.node == store.node:
            mine.append(run)
    return mine
