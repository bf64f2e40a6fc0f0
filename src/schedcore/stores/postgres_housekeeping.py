"""Periodic tasks of a node of a PostgreSQL store: report its runs, and trim the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schedcore.clock import SECOND, Clock, passing_us
from schedcore.stores.sql_nodes import TRIM_US, report_runs, trim

if TYPE_CHECKING:
    from schedcore.stores.postgres import PostgresStore

MARK_US: Final = SECOND
"""How often the beginnings of runs are written."""
_TRIMMING: Final = "select pg_try_advisory_xact_lock(hashtext('schedcore trims'))"


class Housekeeping:
    """The periodic tasks of one node.

    Args:
        store: The store.
        clock: Gives the times to write.
    """

    def __init__(self, store: PostgresStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._marked_us = 0
        self._trimmed_us = passing_us()

    def keep(self) -> None:
        """Do what is due: write the beginnings and output of runs, and trim the history."""
        now_us = passing_us()
        if now_us - self._marked_us >= MARK_US:
            self._marked_us = now_us
            report_runs(self._store, self._clock.now_us())
        if now_us - self._trimmed_us >= TRIM_US:
            self._trimmed_us = now_us
            self._trim()

    def _trim(self) -> None:
        """Trim the history, unless another process is doing so."""
        database = self._store.database
        holds = database.begin(writes=False)  # or readers of the change feed wait for its end
        try:
            with database.telling():
                first = holds.all(_TRIMMING) == [(True,)]
            if first:
                trim(self._store, self._clock.now_us())
        finally:
            database.rollback(holds)
