"""Reads and writes the rows of jobs in an SQL store: definitions and places."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from schedcore.clock import SECOND, passing_us
from schedcore.errors import StoreError, text_of
from schedcore.job import Job, Options
from schedcore.jobdata import job_from_dict, job_to_dict
from schedcore.notices.data import channels_to_text
from schedcore.notices.notice import JobChannels
from schedcore.output.text import storable
from schedcore.stores.audit_records import id_of
from schedcore.stores.base import Change, Entry
from schedcore.stores.database import Database, Row, Transaction
from schedcore.stores.declared import DeclaredBy
from schedcore.stores.sql_due import FROM, PLACE, DueRows, JobRow
from schedcore.triggers.base import Trigger

MOST_CACHED: Final = 100_000
"""Number of decoded definitions in memory, mostly of about 1 kB, after which unused ones go."""
CACHED_US: Final = 600 * SECOND
"""The same as a time: another process may have removed their jobs."""
MOST_CHANGES: Final = 64
"""Maximum number of changes returned one by one; beyond it, listing all jobs is faster."""


NOBODY: Final = DeclaredBy(None, None)
"""The value for a job that was not declared, or is unknown."""


class NewJob(NamedTuple):
    """A job to be added."""

    entry: Entry
    text: str
    """Its definition."""
    declared: DeclaredBy = NOBODY


_INSERT_JOB = (
    "insert into schedcore_jobs (k, id, ver, definition, app, fingerprint)"
    " values (?, ?, 1, ?, ?, ?)"
)


class UnreadableTrigger(Trigger):
    """Replaces a trigger that cannot be read; raises an error when it is used.

    Args:
        reason: Why it cannot be read.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def next_us(self, after_us: int) -> int | None:  # noqa: ARG002
        """Raise the error of the row."""
        raise StoreError("row", self.reason)

    def to_dict(self) -> dict[str, Any]:
        """Raise the error of the row."""
        raise StoreError("row", self.reason)

    def __repr__(self) -> str:
        return f"<{self.reason}>"


class Definitions:
    """Converts definitions to text and back: to the same object until the job changes.

    Thread-safe.

    Attributes:
        resolves: Whether to resolve functions, which imports their modules.
    """

    resolves = True

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may add a job
        self._jobs: dict[int, tuple[int, Job]] = {}
        self._unused: dict[int, tuple[int, Job]] = {}  # since the others were begun
        self._begun_us = passing_us()

    def encode(self, job: Job) -> str:
        """Return a definition as text.

        Raises:
            InvalidOptionError: if a value in it is not plain data, with its path.
        """
        return json.dumps(job_to_dict(job), separators=(",", ":"))

    def put(self, k: int, ver: int, job: Job) -> None:
        """Cache a definition that was just written, or whose function was resolved."""
        with self._lock:
            self._jobs[k] = ver, job
            now_us = passing_us()
            if len(self._jobs) >= MOST_CACHED or now_us - self._begun_us >= CACHED_US:
                self._unused, self._jobs, self._begun_us = self._jobs, {}, now_us

    def drop(self, keys: Iterable[int]) -> None:
        """Remove the definitions of removed jobs from the cache."""
        with self._lock:
            for k in keys:
                self._jobs.pop(k, None)
                self._unused.pop(k, None)

    def known(self, k: int, ver: int | None = None) -> Job | None:
        """Return a cached definition; any version of it unless one is given."""
        found = self._jobs.get(k) or self._use(k)
        return found[1] if found is not None and ver in (None, found[0]) else None

    def _use(self, k: int) -> tuple[int, Job] | None:
        """Keep a definition that was not used lately, if there is one."""
        if k not in self._unused:
            return None
        with self._lock:
            found = self._unused.pop(k, None)
            if found is not None:
                self._jobs[k] = found
            return found

    def decode(self, k: int, job_id: str, ver: int, text: str) -> Job:
        """Parse a job; if it cannot be read, return one that never runs."""
        job = self.known(k, ver)
        if job is None:
            try:
                job = job_from_dict(json.loads(text), resolve=self.resolves)
            except Exception as error:  # noqa: BLE001 — a user's trigger may raise anything
                job = unreadable(job_id, error)
            self.put(k, ver, job)
        return job


def unreadable(job_id: str, error: Exception) -> Job:
    """Return the replacement of a job whose text cannot be read."""
    reason = f"the stored definition cannot be read: {type(error).__name__}: {text_of(error)}"
    return Job(job_id, _cannot_run, (), {}, UnreadableTrigger(reason), Options(), job_id)


def removed_job(job_id: str) -> Job:
    """Return the replacement of a removed job that has an open run elsewhere."""
    return Job(job_id, _cannot_run, (), {}, UnreadableTrigger("it was removed"), Options(), job_id)


def _cannot_run() -> None:
    """Replace a function; never called, since the job has no fire time."""


class JobRows(DueRows):
    """Reads and writes the rows of jobs, inside the caller's transaction.

    Args:
        database: Returns keys and marks.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.definitions = Definitions()
        self._insert_due = (
            "insert into schedcore_due (k, executor, seq, fire_us, due_us, backlog_us, broken,"
            f" changed) values (?, ?, 1, ?, ?, ?, ?, {database.marked})"
        )
        self._move = (
            "update schedcore_due set fire_us = ?, due_us = ?, backlog_us = ?, broken = ?,"
            f" seq = seq + 1, changed = {database.marked} where k = ?"
        )

    # Reading

    def find(self, tx: Transaction, job_ids: Iterable[str]) -> dict[str, JobRow]:
        """Return those of the jobs with these ids that exist."""
        rows = tx.among(f"select {PLACE} {FROM} where j.id in ({{}})", job_ids)
        return {row[1]: JobRow._make(row) for row in rows}

    def get(self, tx: Transaction, job_id: str) -> JobRow | None:
        """Return one job, or None."""
        return self.find(tx, (job_id,)).get(job_id)

    def hold(self, tx: Transaction, job_ids: Collection[str]) -> dict[str, JobRow]:
        """Lock the jobs with these ids until the end of *tx*, and return them.

        To avoid deadlocks, all code locks jobs before claims, and both in the order of their
        numbers.
        """
        if not tx.for_update:
            return self.find(tx, job_ids)
        tx.will_take(len(job_ids))
        sql = f"select d.k {FROM} where j.id in ({{}}) order by d.k{tx.for_update} of d"
        held: set[int] = set()
        while True:
            locked = tx.among_later(sql, job_ids)
            rows = self.find(tx, job_ids)
            held.update(row[0] for row in locked())
            if all(row.k in held for row in rows.values()):
                return rows  # otherwise one was added meanwhile

    def hold_keys(self, tx: Transaction, keys: Iterable[int]) -> None:
        """Lock jobs until the end of *tx*, like :meth:`hold`."""
        if tx.for_update:
            sql = f"select k from schedcore_due where k in ({{}}) order by k{tx.for_update}"
            tx.among(sql, keys)

    def all(self, tx: Transaction) -> list[JobRow]:
        """Return all jobs, earliest due first, paused ones last."""
        order = "order by d.due_us is null, d.due_us, d.k"
        return [JobRow._make(row) for row in tx.all(f"select {PLACE} {FROM} {order}")]

    def page(self, tx: Transaction, after: str, limit: int) -> list[JobRow]:
        """Return up to *limit* jobs whose ids come after *after*, in their order."""
        sql = f"select {PLACE} {FROM} where j.id > ? order by j.id limit ?"
        return [JobRow._make(row) for row in tx.all(sql, after, limit)]

    def jobs(self, tx: Transaction, rows: Sequence[JobRow]) -> list[Job]:
        """Return the definitions of *rows*; those that are not cached are read."""
        known = self.definitions.known
        found = [known(row.k, row.ver) for row in rows]
        if None in found:
            missing = [row.k for row, job in zip(rows, found, strict=True) if job is None]
            sql = "select k, id, ver, definition from schedcore_jobs where k in ({})"
            read = {each[0]: each for each in tx.among(sql, missing)}
            found = [
                self._decoded(read[row.k], row.id) if job is None else job
                for row, job in zip(rows, found, strict=True)
            ]
        return found  # type: ignore[return-value]  # none is missing now

    def job_of(self, tx: Transaction, k: int) -> Job | None:
        """Return the definition under a key, also of a removed job; None: it does not exist."""
        row = tx.one("select k, id, ver, definition from schedcore_jobs where k = ?", k)
        return self.definitions.known(k) if row is None else self._decoded(row, "")

    def _decoded(self, row: Row, job_id: str) -> Job:
        k, stored_id, ver, text = row
        return self.definitions.decode(k, stored_id or job_id, ver, text)

    def entries(self, tx: Transaction, rows: Sequence[JobRow]) -> list[Entry]:
        """Return *rows* with their definitions."""
        return [entry_of(row, job) for row, job in zip(rows, self.jobs(tx, rows), strict=True)]

    def changed(
        self, tx: Transaction, above: int, most: int = MOST_CHANGES
    ) -> Sequence[str] | None:
        """Return the ids of the jobs that changed in transactions after *above*; None: too many."""
        known = tx.one("select value from schedcore_meta where name = 'changes_known_from'")
        if known is not None and above < int(known[0]):
            return None
        limit = most + 1
        moved = tx.all(
            f"select j.id {FROM} where d.changed > ? order by d.changed limit ?", above, limit
        )
        gone = tx.all(
            "select id from schedcore_gone where changed > ? order by changed limit ?", above, limit
        )
        ids = [row[0] for row in (*moved, *gone)]
        return ids if len(ids) <= most else None

    # Writing

    def insert(self, tx: Transaction, added: Sequence[NewJob]) -> None:
        """Add jobs."""
        if not added:
            return
        keys = self._database.job_keys(tx, len(added))
        jobs, places, ids = [], [], []
        for k, (entry, text, declared) in zip(keys, added, strict=True):
            job, fire_us, due_us, broken, backlog_us, _ = entry
            jobs.append((k, job.id, text, *declared))
            why = broken and storable(broken)
            places.append((k, job.options.executor, fire_us, due_us, backlog_us, why))
            ids.append((job.id,))
        tx.many(_INSERT_JOB, jobs)
        tx.many(self._insert_due, places)
        tx.many("delete from schedcore_gone where id = ?", ids)
        for k, (entry, _, _) in zip(keys, added, strict=True):
            tx.if_made(partial(self.definitions.put, k, 1, entry.job))

    def update(self, tx: Transaction, row: JobRow, new: Entry, text: str | None) -> JobRow:
        """Replace a job with *new*; *text* is its definition if that changed."""
        ver = row.ver
        if text is not None:
            ver += 1
            sql = "update schedcore_jobs set definition = ?, ver = ? where k = ?"
            tx.run(sql, text, ver, row.k)
            tx.run("update schedcore_due set executor = ? where k = ?", new.job.executor, row.k)
            # Not earlier: if this is undone, another process may write another job as this version.
            tx.if_made(partial(self.definitions.put, row.k, ver, new.job))
        place = (new.fire_us, new.due_us, new.backlog_us, new.broken and storable(new.broken))
        tx.run(self._move, *place, row.k)
        return JobRow(row.k, row.id, ver, row.seq + 1, *place)

    def move(self, tx: Transaction, places: Sequence[tuple[Any, ...]]) -> None:
        """Set the places of jobs: fire, due and backlog times, why broken, and the key."""
        tx.many(self._move, places)

    def delete(self, tx: Transaction, rows: Sequence[JobRow], last: bool) -> None:
        """Remove jobs; the definition of a job with open runs stays until they end.

        Args:
            tx: The transaction.
            rows: The rows of the jobs.
            last: Whether they had their last fire time: declared again, they stay removed.
        """
        app, fingerprint = ("app", "fingerprint") if last else ("null", "null")
        keys = [(row.k,) for row in rows]
        tx.if_made(partial(self.definitions.drop, [row.k for row in rows]))
        tx.many(
            "insert into schedcore_gone (id, changed, app, fingerprint)"
            f" select id, {self._database.marked}, {app}, {fingerprint} from schedcore_jobs"
            " where k = ? on conflict (id) do update set changed = excluded.changed,"
            " app = excluded.app, fingerprint = excluded.fingerprint, notices = null",
            keys,
        )
        # The last run may not have ended, and still uses the job's channels.
        channels = [
            (channels_to_text(JobChannels.of(job.options)), job.id) for job in self.jobs(tx, rows)
        ]
        tx.many(
            "update schedcore_gone set notices = ? where id = ?",
            [each for each in channels if each[0]],
        )
        tx.many("delete from schedcore_due where k = ?", keys)
        open_runs = "exists (select 1 from schedcore_claims c where c.k = schedcore_jobs.k)"
        tx.many(f"update schedcore_jobs set id = null where k = ? and {open_runs}", keys)
        tx.many(f"delete from schedcore_jobs where k = ? and not {open_runs}", keys)

    # Declared jobs

    def declared(self, tx: Transaction, job_ids: Sequence[str]) -> dict[str, DeclaredBy]:
        """Return the declarations of these jobs, including those that had their last fire time."""
        found: dict[str, DeclaredBy] = {}
        for table in ("gone", "jobs"):
            sql = f"select id, app, fingerprint from schedcore_{table} where id in ({{}})"
            rows = tx.among(sql + " and fingerprint is not null", job_ids)
            found |= {job_id: DeclaredBy(*rest) for job_id, *rest in rows}
        return found

    def declared_by(self, tx: Transaction, app: str) -> set[str]:
        """Return the ids of the jobs that *app* declares, without parked ones."""
        sql = "select id from schedcore_jobs where app = ? and fingerprint <> '' and id is not null"
        return {row[0] for row in tx.all(sql, app)}

    def set_declared(self, tx: Transaction, job_id: str, declared: DeclaredBy) -> None:
        """Set the declaration of a job."""
        tx.run("update schedcore_jobs set app = ?, fingerprint = ? where id = ?", *declared, job_id)


def entry_of(row: JobRow, job: Job) -> Entry:
    """Return a job as a value for readers."""
    _, _, _, _, fire_us, due_us, backlog_us, broken = row
    return tuple.__new__(Entry, (job, fire_us, due_us, broken, backlog_us, row.version))


def conflicts_of(changes: Sequence[Change | Entry], rows: dict[str, JobRow]) -> list[str]:
    """Return the ids of jobs that were changed since they were read, or that occur twice."""
    found, seen = [], set()
    for change in changes:
        job_id = id_of(change)
        row = rows.get(job_id)
        if isinstance(change, Entry):
            conflict = row is not None
        else:
            conflict = row is None or row.version != change.old.version
        if conflict or job_id in seen:
            found.append(job_id)
        seen.add(job_id)
    return found
