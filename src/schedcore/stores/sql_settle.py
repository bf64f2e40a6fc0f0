"""A batch of due jobs in an SQL store, and its settlement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from schedcore.output.text import storable
from schedcore.run import Run, RunRecord
from schedcore.stores.base import Decision, Settled, Settlement, Slot
from schedcore.stores.claims import Claim, Opening
from schedcore.stores.contract import GivenBack
from schedcore.stores.database import Transaction
from schedcore.stores.sql_due import JobRow

if TYPE_CHECKING:
    from schedcore.stores.sql import SqlStore


class Settling:
    """The settlement of a batch, collected so that each kind of statement runs once.

    Args:
        now_us: The present.
        settled: Receives the results.

    Attributes:
        waiting: Runs that wait behind others of their jobs.
    """

    def __init__(self, now_us: int, settled: Settled) -> None:
        self.waiting: list[Run] = []
        self._now_us = now_us
        self._settled = settled
        self._places: list[tuple[object, ...]] = []
        self._removed: list[JobRow] = []
        self._records: list[RunRecord] = []
        self._plain: list[tuple[Opening, int]] = []

    def add(
        self,
        store: SqlStore,
        tx: Transaction,
        slot: Slot,
        row: JobRow,
        decision: Decision,
        claims: Sequence[Claim],
    ) -> None:
        """Add the decision about one job."""
        if not isinstance(decision, Settlement):
            decision = Settlement(slot, slot.job, decision, decision, (row.fire_us or 0,))
        _, job, fire_us, due_us, times, backlog_us, broken, not_run = decision
        if job is not slot.job:  # its function was resolved
            store.jobs.definitions.put(row.k, row.ver, job)
        for one in not_run:
            self._records.append(one.record(job.id))
            self._settled.not_run.append((job, one))
        if len(times) == 1 and not claims and row.backlog_us is None:
            self._plain.append((Opening(row.k, job), times[0]))
        elif times:
            opening = Opening(row.k, job, claims)
            continues = row.backlog_us is not None
            self._records += store.claims.admit(
                tx, opening, times, continues, self._settled, self.waiting, self._now_us
            )
        if due_us is None:
            self._settled.removed.append(job.id)
            self._removed.append(row)
        else:
            self._places.append((fire_us, due_us, backlog_us, broken and storable(broken), row.k))

    def write(self, store: SqlStore, tx: Transaction) -> None:
        """Write all of it."""
        if self._plain:
            ids = store.database.run_ids(tx, len(self._plain))
            plain = [
                (Run(run_id, opening.job, due_us), opening)
                for run_id, (opening, due_us) in zip(ids, self._plain, strict=True)
            ]
            store.claims.insert(tx, plain)
            self._settled.runs.extend(run for run, _ in plain)
        store.jobs.move(tx, self._places)
        if self._removed:
            store.jobs.delete(tx, self._removed, last=True)
        store.history.add(tx, self._records, self._now_us, store.node)


class SqlBatch(GivenBack):
    """Jobs that were taken; see :class:`~schedcore.stores.contract.Batch`.

    Args:
        store: The store.
        slots: The jobs.
        rows: Their rows as they were read.
    """

    def __init__(self, store: SqlStore, slots: Sequence[Slot], rows: Sequence[JobRow] = ()) -> None:
        self.slots = slots
        self.rows = rows
        self._store = store

    def settle(self, decided: Sequence[Decision], now_us: int) -> Settled:
        """Write all decisions, or none."""
        settled = self._store.settle(self, decided, now_us)
        self.give_back()
        return settled

    def give_back(self) -> None:
        """Give back jobs that were not settled."""
        rows, self.rows = self.rows, ()
        self._store.give_back(rows)
