"""Commits whose answers were lost: what became of them is asked later, and only the server knows.

A connection may be lost while its commit is under way, and the server goes on with that for as long
as it takes: it waits for a lock, say, or for a replica.  By the number of a transaction the server
tells whether it is under way still, and once it is over, what is there tells whether it was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import errors as told

from schedcore.errors import StoreError
from schedcore.run import Run
from schedcore.stores.claims import ACTIVE, REMOTE
from schedcore.stores.database import Row
from schedcore.stores.postgres_sql import PostgresTransaction

if TYPE_CHECKING:
    from schedcore.stores.postgres import PostgresStore
    from schedcore.stores.postgres_pool import PostgresPool

_STATUS: Final = "select pg_xact_status(cast(? as text)::xid8)"
_MINE: Final = "exists (select 1 from schedcore_claims where run_id = ? and node = ?"
_STARTED: Final = (
    f"select {_MINE} and state in ({ACTIVE}, {REMOTE}))"
    " or exists (select 1 from schedcore_ledger where run_id = ?)"
)
_GIVEN: Final = f"select not {_MINE})"


def is_made(database: PostgresPool, tx: PostgresTransaction) -> bool | None:
    """Return whether a transaction of runs was made; None: it is under way still.

    What it has written tells, once the server says that it is over.  It does not go by what the
    server says became of it: after a crash, or in one that has taken over from another, its number
    may be that of another transaction.

    Raises:
        StoreError: if the server cannot be asked.
    """
    runs = tx.started or tx.given
    if tx.number is None or not runs:
        return None
    try:
        if _ask(database, _STATUS, str(tx.number)) == [("in progress",)]:
            return None
    except StoreError as error:
        # A server that has taken over may have no such number yet.
        if not isinstance(error.__cause__, told.InvalidParameterValue):
            raise
    one = runs[0]  # all of them, or none
    if tx.started:
        return _ask(database, _STARTED, one._id, one._node, one._id) == [(True,)]
    return _ask(database, _GIVEN, one._id, one._node) == [(True,)]


def _ask(database: PostgresPool, sql: str, *params: object) -> list[Row]:
    """Make one query, also within another transaction of this thread."""
    tx = database.begin(writes=False)
    try:
        with database.telling():
            return tx.all(sql, *params)
    finally:
        database.rollback(tx)


def settle_doubts(store: PostgresStore) -> list[Run]:
    """Have what is over by now be followed by what depends on it.

    Returns:
        The runs that belong to this process after all, and are to be submitted.
    """
    found: list[Run] = []
    doubts = store.database.doubts or []
    for tx in list(doubts):
        made = is_made(store.database, tx)
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
