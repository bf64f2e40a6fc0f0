"""The SQL store: each method is one transaction, on any database that implements the interface."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from schedcore.basics.atfork import Lock, call_in_child, held_here
from schedcore.basics.logs import GuardedLogger
from schedcore.changes.audit import Actor, AuditRecord
from schedcore.errors import (
    InvalidOptionError,
    JobLookupError,
    StoreError,
    StoreUnavailableError,
)
from schedcore.history.query import bounded
from schedcore.job import check_id
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.audit_records import effective_changes, id_of, record_of_change
from schedcore.stores.base import (
    Change,
    Decision,
    Declared,
    Ended,
    Entry,
    Executors,
    Otherwise,
    Settled,
    Slot,
    Written,
)
from schedcore.stores.cluster import Cluster
from schedcore.stores.database import INTERRUPTS, Database, Transaction
from schedcore.stores.declared import DeclaredBy, change_of, parked
from schedcore.stores.ends import End, mark_retried
from schedcore.stores.run_requests import Backfill, Opened, RunRequest
from schedcore.stores.sql_begun import Beginnings
from schedcore.stores.sql_due import JobRow
from schedcore.stores.sql_ends import end_runs, promote_runs, try_runs_again
from schedcore.stores.sql_history import Retention
from schedcore.stores.sql_jobs import JobRows, NewJob, conflicts_of, entry_of
from schedcore.stores.sql_notices import SqlNotices
from schedcore.stores.sql_open import backfill_runs, open_runs
from schedcore.stores.sql_records import SqlRecords
from schedcore.stores.sql_remote import RemoteRuns
from schedcore.stores.sql_runs import ClaimRows
from schedcore.stores.sql_settle import Settling, SqlBatch

log = GuardedLogger(__name__)


class SqlStore(SqlRecords):
    """Stores jobs, open runs and the history in a database that processes share.

    Implements :class:`~schedcore.stores.contract.Store`.

    Args:
        database: The database.
        keep: How much history to keep.
    """

    most_at_once = 500
    """Maximum number of jobs per step: the transaction that settles them blocks other writers."""
    cluster: Cluster | None = None
    """The processes on the store."""

    def __init__(self, database: Database, keep: Retention | None = None) -> None:
        super().__init__(database)
        self.keep = (keep or Retention()).checked()
        self.jobs = JobRows(database)
        self.claims = ClaimRows(
            database, self.history, self.jobs.job_of, self.jobs.definitions.known
        )
        self.beginnings = Beginnings(self.claims)
        self.notices = SqlNotices(self)
        self.remote = RemoteRuns(self)
        self._begin_anew()
        call_in_child(self)

    def _begin_anew(self) -> None:
        self._taken: dict[int, int] = {}  # the seq of each job that is taken, by its key
        # Ends are removed from the caller's list only when they are written.
        self._ending = threading.RLock()

    def after_fork_in_child(self) -> None:
        """Forget the runs and taken jobs, which belong to the parent."""
        self.claims.live.clear()
        self.claims.unbegun = None
        self.claims.node, self.claims.left = None, False
        self._begin_anew()

    @property
    def node(self) -> int | None:
        """The number of this process in the store; None: it has not joined."""
        return self.claims.node

    @node.setter
    def node(self, node: int | None) -> None:
        self.claims.node, self.claims.left = node, node is None

    def data_lock(self) -> Lock:
        """Return the lock that is held while ends of runs are written."""
        return self._ending

    def is_used_here(self) -> bool:
        """Return whether the caller interrupts a call of its own thread that uses this store.

        It is a signal handler, or a finalizer: what it waits for may wait for that call.
        """
        return held_here(self) or self.database.is_used_here()

    def check_free(self) -> None:
        """Raise StoreUnavailableError in a signal handler that interrupts the use of this store."""
        if self.is_used_here():
            raise StoreUnavailableError(self.database.shown, INTERRUPTS)

    # Jobs

    def write(
        self, changes: Sequence[Change | Entry], now_us: int, by: Actor | None = None
    ) -> Written:
        """Make all of *changes*, or none; see :meth:`~schedcore.stores.contract.Store.write`."""
        texts = [self._text(change) for change in changes]
        notes = _notes_of(changes, by, now_us)
        ended: list[End] = []
        with self.database.write() as tx:
            rows = self.jobs.hold(tx, {id_of(change) for change in changes})
            conflicts = conflicts_of(changes, rows)
            if conflicts:
                return Written(conflicts)
            self.database.mark(tx)
            added: list[NewJob] = []
            records: list[RunRecord] = []
            for change, text in zip(changes, texts, strict=True):
                if isinstance(change, Entry):
                    added.append(NewJob(change, text or ""))
                elif change.new is not change.old:
                    row = rows[change.old.job.id]
                    records += self._change(tx, change, row, text, now_us, ended)
            self.jobs.insert(tx, added)
            self._record_change(tx, records, now_us)
            self.audit_rows.add(tx, notes)
            tx.if_made(partial(self.claims.ended, ended))
        return Written((), ended)

    def _text(self, change: Change | Entry) -> str | None:
        """Return the new definition of a change as text; None if it has none."""
        if isinstance(change, Entry):
            return self.jobs.definitions.encode(change.job)
        if change.new is None or (change.new.job is change.old.job and not change.another):
            return None
        return self.jobs.definitions.encode(change.new.job)

    def _change(
        self,
        tx: Transaction,
        change: Change,
        row: JobRow,
        text: str | None,
        now_us: int,
        ended: list[End],
    ) -> list[RunRecord]:
        """Make one change; return the outcomes to record at the end, together with others."""
        old, new, another, records = change
        written = list(records)
        if new is None or another:
            written += self.claims.end_waiting(tx, row.k, Outcome.CANCELLED, now_us, ended)
            self.jobs.delete(tx, (row,), last=False)
            if new is not None:
                self.jobs.insert(tx, [NewJob(new, text or "")])
        else:
            if new.due_us is None and old.due_us is not None:
                written += self.claims.end_waiting(tx, row.k, Outcome.PAUSED, now_us, ended)
            self.jobs.update(tx, row, new, text)
        return written

    def _record_change(self, tx: Transaction, records: list[RunRecord], now_us: int) -> None:
        """Record fire times that changes skip, once per transaction, and notify other processes."""
        self.history.add(tx, records, now_us, self.node)
        tx.notify()

    def declare(
        self,
        app: str | None,
        declared: Sequence[Declared],
        now_us: int,
        otherwise: Otherwise = "change",
        by: Actor | None = None,
    ) -> list[Entry]:
        """Match jobs that *app* declares with the stored ones, by id."""
        texts = [self.jobs.definitions.encode(entry.job) for entry, _ in declared]
        ids = [entry.job.id for entry, _ in declared]
        ended: list[End] = []
        with self.database.write() as tx:
            rows, known = self.jobs.hold(tx, ids), self.jobs.declared(tx, ids)
            there = {old.job.id: old for old in self.jobs.entries(tx, list(rows.values()))}
            added: list[NewJob] = []
            records: list[RunRecord] = []
            made: list[Change | Entry] = []
            self.database.mark(tx)
            for each, text in zip(declared, texts, strict=True):
                job_id, wanted = each.entry.job.id, DeclaredBy(app, each.fingerprint)
                old, was = there.get(job_id), known.get(job_id)
                change = change_of(old, was, each, app, now_us, otherwise)
                if change is not None:
                    made.append(change)
                if isinstance(change, Entry):
                    added.append(NewJob(change, text, wanted))
                elif change is not None:
                    records += self._change(tx, change, rows[job_id], text, now_us, ended)
                if old is not None and was != wanted and (change is not None or app is not None):
                    self.jobs.set_declared(tx, job_id, wanted)
            self.jobs.insert(tx, added)
            self.audit_rows.add(tx, _notes_of(made, by, now_us))
            self._record_change(tx, records, now_us)
            found = self.jobs.find(tx, ids)
            # Not read from the rows: nothing that may still be undone is cached.
            new = {id_of(each): each if isinstance(each, Entry) else each.new for each in made}
            jobs = {job_id: each.job for job_id, each in (there | new).items() if each is not None}
            entries = [entry_of(found[each], jobs[each]) for each in ids if each in found]
            tx.if_made(partial(self.claims.ended, ended))
        return entries

    def retire(
        self, app: str, declared: Collection[str], now_us: int, by: Actor | None = None
    ) -> list[str]:
        """Park jobs that *app* declared before and that are no longer in *declared*."""
        ended: list[End] = []
        with self.database.write() as tx:
            gone = sorted(self.jobs.declared_by(tx, app) - set(declared))
            if gone:
                self.database.mark(tx)
            rows = self.jobs.hold(tx, gone)
            records: list[RunRecord] = []
            made: list[Change | Entry] = []
            for old in self.jobs.entries(tx, list(rows.values())):
                change = parked(old, app)
                row = rows[old.job.id]
                records += self._change(tx, change, row, None, now_us, ended)
                self.jobs.set_declared(tx, old.job.id, DeclaredBy(app, ""))
                made.append(change)
            if gone:
                self.audit_rows.add(tx, _notes_of(made, by, now_us))
                self._record_change(tx, records, now_us)
            tx.if_made(partial(self.claims.ended, ended))
        return gone

    def get(self, job_id: str) -> Entry:
        """Return one job; raises JobLookupError."""
        try:
            check_id(job_id)
        except InvalidOptionError:  # a database may refuse to search for it
            raise JobLookupError(job_id) from None
        with self.database.read() as tx:
            row = self.jobs.get(tx, job_id)
            if row is None:
                raise JobLookupError(job_id)
            return self.jobs.entries(tx, (row,))[0]

    def entries(self) -> list[Entry]:
        """Return all jobs, earliest due first, paused ones last."""
        with self.database.read() as tx:
            return self.jobs.entries(tx, self.jobs.all(tx))

    def page(self, after: str, limit: int) -> list[Entry]:
        """Return up to *limit* jobs whose ids come after *after*, in their order."""
        with self.database.read() as tx:
            return self.jobs.entries(tx, self.jobs.page(tx, after, limit))

    def changes(self, since: object) -> tuple[object, Sequence[str] | None]:
        """Return the current version, and the ids of jobs that changed after another version."""
        with self.database.read() as tx:
            version, above = self.database.changed_since(tx, since)
            if above is None or version == since:
                return version, None if above is None else ()
            return version, self.jobs.changed(tx, above)

    # The schedule

    def take(
        self,
        now_us: int,
        limit: int,
        executors: Executors = None,
    ) -> SqlBatch:
        """Take up to *limit* due jobs of all executors, earliest first.

        Nothing is locked: :meth:`settle` detects changes in between.
        """
        if not self.takes:
            return SqlBatch(self, ())
        with self.database.read() as tx:
            most = min(limit, self.most_at_once) + len(self._taken)
            rows = self.jobs.due(tx, now_us, most, executors)
            rows = [row for row in rows if self._taken.get(row.k) != row.seq]
            rows = rows[: min(limit, self.most_at_once)]
            waiting = self.claims.waiting(tx) if rows else set()
            return SqlBatch(self, self.taken(tx, rows, waiting), rows)

    def taken(self, tx: Transaction, rows: Sequence[JobRow], waiting: set[int]) -> list[Slot]:
        """Note that jobs are taken, and return them as slots.

        Args:
            tx: The transaction.
            rows: The rows of the jobs.
            waiting: The keys of jobs with waiting runs.
        """
        entries = self.jobs.entries(tx, rows)
        slots = [Slot(entry, row.seq) for entry, row in zip(entries, rows, strict=True)]
        for slot, row in zip(slots, rows, strict=True):
            slot.behind = deque() if row.k in waiting else None
        self._taken.update((row.k, row.seq) for row in rows)
        return slots

    @property
    def takes(self) -> bool:
        """Whether this process takes due jobs, which it does if it has not joined."""
        return self.node is None or self.cluster is None or self.cluster.takes

    def next_due(self, executors: Collection[str] | None = None) -> int | None:  # noqa: ARG002
        """Return when the first job is due that is not taken, or None."""
        if not self.takes:
            return None
        with self.database.read() as tx:
            orphan = self.claims.first_orphan(tx)
            due_us = self.jobs.first_due(tx, self._taken)
            ((again_us,),) = ((None,),) if self.node is None else orphan()
        return min((each for each in (due_us, again_us) if each is not None), default=None)

    def settle(self, batch: SqlBatch, decided: Sequence[Decision], now_us: int) -> Settled:
        """Write the decisions about a batch."""
        settled = Settled([], [], [], [], [])
        rows = batch.rows
        if not rows:  # given back meanwhile
            return settled
        work = Settling(now_us, settled)
        with self._settling(batch) as (tx, now_there):
            if not now_there:
                return settled
            self.claims.starting(tx, settled.runs, work.waiting)
            self.database.expect_runs(tx, len(now_there))
            claims = self.claims.of_jobs(tx, now_there)
            for slot, row, decision in zip(batch.slots, rows, decided, strict=True):
                if not now_there.get(row.k) == row.seq == self._taken.get(row.k):
                    continue  # changed, paused or removed meanwhile, which takes precedence
                work.add(self, tx, slot, row, decision, claims.get(row.k, ()))
            self.database.mark(tx)
            work.write(self, tx)
        order = {slot.job.id: place for place, slot in enumerate(batch.slots)}
        settled.runs.sort(key=lambda run: order[run._job_id])
        self._save_last_output([end.run for end in settled.evicted])
        self.claims.ended(settled.evicted)
        return settled

    def _save_last_output(self, runs: Sequence[Run]) -> None:
        """Write what runs printed that have ended; an error costs that, and no run that starts."""
        try:
            self.outputs.save(runs)
        except StoreError as error:
            log.error("the last output of cancelled runs could not be written: %s", error)

    @contextmanager
    def _settling(self, batch: SqlBatch) -> Iterator[tuple[Transaction, dict[int, int]]]:
        """Return a transaction, and the ``seq`` of the jobs that may be settled in it, by key."""
        with self.database.write() as tx:
            yield tx, self._now_there(tx, batch)

    def _now_there(self, tx: Transaction, batch: SqlBatch) -> dict[int, int]:
        ((state,),) = tx.all("select state from schedcore_cluster")
        if self.node is not None and state != "running":
            return {}  # a pause for all has been written
        keys = [row.k for row in batch.rows]
        found = tx.among(
            f"select k, seq from schedcore_due where k in ({{}}){tx.skip_locked}", keys
        )
        return dict(found)

    def give_back(self, rows: Sequence[JobRow]) -> None:
        """Let jobs be taken again."""
        for row in rows:
            if self._taken.get(row.k) == row.seq:
                del self._taken[row.k]

    # Runs

    def open(self, requests: Sequence[RunRequest], due_us: int) -> list[Opened]:
        """Open runs outside the schedule, or record them as skipped."""
        return open_runs(self, requests, due_us)

    def backfill(
        self, request: Backfill, note: AuditRecord
    ) -> tuple[Sequence[Run], Sequence[Run]] | None:
        """Open a run of a job for each of its past due times, or none at all."""
        return backfill_runs(self, request, note)

    def end(self, ends: deque[End], promote: bool) -> Ended:
        """Move runs to the history, each once, and start runs that waited for them."""
        self.check_free()
        with self._ending:
            return end_runs(self, ends, promote)

    def promote(self) -> Ended:
        """Start the waiting runs for which there is room."""
        return promote_runs(self)

    def retry(self, failed: End, act_us: int) -> bool:
        """Let a failed run wait for its next attempt; False: there is none."""
        outputs = self.outputs.unsaved((failed.run,))
        # Not counted up after the commit: whoever lists the runs then sets what is stored.
        attempt = failed.run._attempt + 1
        with self.database.write() as tx:
            if not self.claims.wait_for_retry(tx, failed, act_us):
                return False
            self.outputs.write(tx, outputs)
        mark_retried(failed, attempt)
        return True

    def try_again(self, runs: Sequence[Run]) -> list[Run]:
        """Begin the next attempt of runs in this process; return those that are still open."""
        return try_runs_again(self, runs)

    def runs(self) -> list[Run]:
        """Return the open runs, including those of other processes."""
        with self.database.read() as tx:
            return [self.claims.run_of(tx, claim) for claim in self.claims.all(tx)]

    def find(self, run_id: int) -> Run | RunRecord | None:
        """Return an open run, or its record; None: it is unknown, or no longer stored."""
        run_id = bounded(run_id)
        with self.database.read() as tx:
            claim = self.claims.find(tx, (run_id,)).get(run_id)
            return self.history.find(tx, run_id) if claim is None else self.claims.run_of(tx, claim)

    def close(self) -> None:
        """Close the database; the jobs stay."""
        self.database.close()


def _notes_of(
    changes: Sequence[Change | Entry], by: Actor | None, now_us: int
) -> Sequence[AuditRecord]:
    """Return the audit's records of changes that somebody orders."""
    return (
        () if by is None else [record_of_change(c, by, now_us) for c in effective_changes(changes)]
    )
