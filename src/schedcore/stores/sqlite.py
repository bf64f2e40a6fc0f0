"""The store in a SQLite file."""

from __future__ import annotations

import os
from collections import deque

from schedcore.clock import Clock
from schedcore.stores.base import Ended
from schedcore.stores.ends import End
from schedcore.stores.sql import SqlStore
from schedcore.stores.sql_history import Retention
from schedcore.stores.sqlite_cluster import SqliteCluster
from schedcore.stores.sqlite_file import SqliteFile


class SqliteStore(SqlStore):
    """Stores jobs, open runs and the history in one file, for all processes of a machine.

    Args:
        path: The path of the file; created, with its tables, if it does not exist.
        durable: Whether data survives a power cut; if not, it survives only a crash of the process,
            and each transaction is about a hundred times faster.
        keep: How much history to keep.
        clock: Gives the times of events between processes; default: the scheduler's.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        durable: bool = True,
        keep: Retention | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.file = SqliteFile(path, durable)
        super().__init__(self.file, keep)
        self.cluster: SqliteCluster = SqliteCluster(self, clock)

    def end(self, ends: deque[End], promote: bool) -> Ended:
        """Move runs to the history, each once; see :meth:`~schedcore.stores.contract.Store.end`."""
        ended = super().end(ends, promote)
        self.cluster.left()
        return ended

    def close(self) -> None:
        """Close the file, and release its locks; the jobs stay."""
        self.cluster.close()
        super().close()

    def __repr__(self) -> str:
        return f"<SqliteStore {self.file.path}>"
