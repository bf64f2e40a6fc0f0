"""Commits whose answers were lost: the server is asked later whether they were made.

A connection may be lost during a commit, which the server continues for as long as it takes, such
as while it waits for a lock or for a replica.  By the number of a transaction, the server says
whether it is still active.  Once it is over, its rows show whether it was committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import errors as pg_errors

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


def is_committed(database: PostgresPool, tx: PostgresTransaction) -> bool | None:
    """Return whether a transaction of runs was committed; None: it is still active.

    Its rows show that, once the server says that it is over.  The server's own status of the
    transaction is not used: after a crash or a failover, another transaction may have its number.

    Raises:
        StoreError: if the server cannot be reached.
    """
    runs = tx.started or tx.given
    if tx.number is None or not runs:
        return None
    try:
        if _ask(database, _STATUS, str(tx.number)) == [("in progress",)]:
            return None
    except StoreError as error:
        # After a failover, the server may not have reached this number yet.
        if not isinstance(error.__cause__, pg_errors.InvalidParameterValue):
            raise
    one = runs[0]  # all of them, or none
    if tx.started:
        return _ask(database, _STARTED, one._id, one._node, one._id) == [(True,)]
    return _ask(database, _GIVEN, one._id, one._node) == [(True,)]


def _ask(database: PostgresPool, sql: str, *params: object) -> list[Row]:
    """Execute one query, even inside another transaction of this thread."""
    tx = database.begin(writes=False)
    try:
        with database.telling():
            return tx.all(sql, *params)
    finally:
        database.rollback(tx)


def resolve_in_doubt(store: PostgresStore) -> list[Run]:
    """Apply the results of commits that are resolved by now.

    Returns:
        The runs that this process owns after all, to be submitted.
    """
    found: list[Run] = []
    in_doubt = store.database.in_doubt or []
    for tx in list(in_doubt):
        made = is_committed(store.database, tx)
        if made is None:
            continue
        if made:
            found += _committed_runs(store, tx)
        else:
            tx.undone()
        in_doubt.remove(tx)
    return found


def _committed_runs(store: PostgresStore, tx: PostgresTransaction) -> list[Run]:
    """Apply a commit; return its runs that this process still owns."""
    # Read after it was found to be over: an earlier snapshot may not show its rows.
    with store.database.read() as reading:
        claims = store.claims.find(reading, [run._id for run in tx.started])
    tx.made()
    mine = []
    for run in tx.started:
        claim = claims.get(run._id)
        if claim is not None and claim.state in (ACTIVE, REMOTE) and claim.node == store.node:
            mine.append(run)
    return mine
