"""Commits whose answers were lost: what became of them is asked later, and only the server knows.

A connection may be lost while its commit is under way, and the server goes on with that for as long
as it takes: it waits for a lock, say, or for a replica.  The number of a transaction tells whether
it is under way still; what opened runs for this process, or ended some, follows once it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import errors as told

from schedcore.errors import StoreError
from schedcore.run import Run
from schedcore.stores.claims import ACTIVE, REMOTE
from schedcore.stores.postgres_sql import PostgresTransaction

if TYPE_CHECKING:
    from schedcore.stores.postgres import PostgresStore

_STATUS: Final = "select pg_xact_status(cast(? as text)::xid8)"


def settle_doubts(store: PostgresStore) -> list[Run]:
    """Have what is over by now be followed by what depends on it.

    Returns:
        The runs that belong to this process after all, and are to be submitted.
    """
    found: list[Run] = []
    doubts = store.database.doubts or []
    for tx in list(doubts):
        made = _is_made(store, tx)
        if made is None:
            continue
        if made:
            found += _made(store, tx)
        else:
            tx.undone()
        doubts.remove(tx)
    return found


def _is_made(store: PostgresStore, tx: PostgresTransaction) -> bool | None:
    """Return whether a transaction was made; None: it is under way still."""
    try:
        with store.database.read() as reading:
            ((status,),) = reading.all(_STATUS, str(tx.number))
    except StoreError as error:
        # A server that took over from another one, and never heard of it.
        if isinstance(error.__cause__, told.InvalidParameterValue):
            return False
        raise
    return None if status == "in progress" else bool(status == "committed")


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
