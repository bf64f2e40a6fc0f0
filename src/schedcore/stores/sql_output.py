"""The output of runs in an SQL store: one row per run that has printed something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from schedcore.history.query import bounded
from schedcore.output.text import Kept, Printed, between_attempts, printed
from schedcore.run import Run
from schedcore.stores.database import Database, Transaction
from schedcore.stores.sql_history import TRIM_AT_ONCE, Condition, Retention

_READ: Final = "select head, tail, total from schedcore_output where run_id = ?"
# A late write never replaces a longer output.
_WRITE: Final = (
    "insert into schedcore_output (run_id, job_id, head, tail, total) values (?, ?, ?, ?, ?)"
    " on conflict (run_id) do update set head = excluded.head, tail = excluded.tail,"
    " total = excluded.total where excluded.total > schedcore_output.total"
)


class Unsaved(NamedTuple):
    """The output of a run that is not written yet."""

    run: Run
    printed: Printed
    kept: Kept


class OutputRows:
    """Reads and writes the output of runs.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, tx: Transaction, run_id: int) -> Kept:
        """Return a run's output; empty if it is not stored."""
        row = tx.one(_READ, bounded(run_id))
        return Kept() if row is None else Kept(*row)

    def unsaved(self, runs: Iterable[Run]) -> list[Unsaved]:
        """Return the output of runs that is not written yet; called outside a transaction."""
        found = []
        for run in runs:
            output = printed(run)
            if output is None or output.saved == output.total:
                continue
            if run._attempt > 1 and not output.saved:
                self._follow(run, output)
            found.append(Unsaved(run, output, output.kept()))
        return found

    def _follow(self, run: Run, output: Printed) -> None:
        """Prepend the output of attempts in other processes."""
        with self._database.read() as tx:
            before = self.read(tx, run._id)
        if before.total:
            output.follow(before, between_attempts(run._attempt))
        output.saved = before.total

    def write(self, tx: Transaction, outputs: Sequence[Unsaved]) -> None:
        """Write the output of runs."""
        for _, output, kept in outputs:
            tx.unless_made(partial(setattr, output, "saved", output.saved))
            output.saved = kept.total
        # In one order, to avoid deadlocks between threads.
        tx.many(_WRITE, sorted((run._id, run._job_id, *kept) for run, _, kept in outputs))

    def save(self, runs: Iterable[Run]) -> None:
        """Write the output of runs, in a separate transaction."""
        outputs = self.unsaved(runs)
        if outputs:
            with self._database.write() as tx:
                self.write(tx, outputs)

    # Cutting

    def cut_with(self, tx: Transaction, outcomes: Condition) -> None:
        """Delete the outputs of outcomes that are about to be deleted."""
        runs = f"select run_id from schedcore_ledger where {outcomes.where} order by seq limit ?"
        sql = f"delete from schedcore_output where run_id in ({runs})"
        tx.run(sql, *outcomes.params, TRIM_AT_ONCE)

    def excess(self, tx: Transaction, keep: Retention) -> list[Condition]:
        """Return conditions for outputs that are too many of a job, or overall."""
        many = "select job_id from schedcore_output group by job_id having count(*) > ? limit 100"
        found: list[Condition] = []
        for job in tx.all(many, keep.outputs_per_job):
            found += self._beyond(tx, "job_id = ? and ", job, keep.outputs_per_job)
        return found + self._beyond(tx, "", (), keep.outputs)

    def _beyond(
        self, tx: Transaction, where: str, params: tuple[object, ...], most: int
    ) -> list[Condition]:
        sql = f"select run_id from schedcore_output where {where}run_id > 0 order by run_id desc"
        row = tx.one(f"{sql} limit 1 offset ?", *params, most)
        return [] if row is None else [Condition(f"{where}run_id <= ?", (*params, row[0]))]

    def cut(self, tx: Transaction, excess: Condition) -> int:
        """Delete outputs, at most :data:`TRIM_AT_ONCE`; return how many."""
        runs = f"select run_id from schedcore_output where {excess.where} order by run_id limit ?"
        sql = f"delete from schedcore_output where run_id in ({runs})"
        return tx.count(sql, *excess.params, TRIM_AT_ONCE)
