"""Opens runs outside the schedule in an SQL store: requested runs and backfills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from schedcore.changes.audit import AuditRecord
from schedcore.clock import Flag
from schedcore.errors import JobLookupError
from schedcore.run import Run, RunRecord
from schedcore.stores.base import Settled
from schedcore.stores.claims import Claim, Opening, call_text
from schedcore.stores.database import Transaction
from schedcore.stores.not_run import skipped_record
from schedcore.stores.run_requests import KEYS_KEPT_US, Backfill, EarlierRun, Opened, RunRequest

if TYPE_CHECKING:
    from schedcore.stores.sql import SqlStore

MOST_KEYS: Final = 100_000
"""The oldest are forgotten first."""
_Key = tuple[int, str]
"""The key of a job's row, and the key of the request for a run."""


def open_runs(store: SqlStore, requests: Sequence[RunRequest], due_us: int) -> list[Opened]:
    """Open each run, or record that there is no room for it."""
    calls = [call_text(each.job) if each.own_call else None for each in requests]
    started: list[Run] = []
    with store.database.write() as tx:
        store.claims.starting(tx, started)
        rows = store.jobs.hold(tx, [each.job.id for each in requests])
        keyed = [
            (rows[each.job.id].k, each.key)
            for each in requests
            if each.key is not None and each.job.id in rows
        ]
        earlier = _find_keys(tx, keyed, due_us) if keyed else {}
        store.database.expect_runs(tx, len(requests))
        claims = store.claims.of_jobs(tx, sorted(row.k for row in rows.values()))
        opened: list[Opened] = [None] * len(requests)
        openings: dict[int, Opening] = {}
        for place, (each, call) in enumerate(zip(requests, calls, strict=True)):
            row = rows.get(each.job.id)
            if row is None:
                continue
            there = claims.get(row.k, ())
            if (run_id := earlier.get((row.k, each.key or ""))) is not None:
                opened[place] = EarlierRun(run_id)
            elif store.claims.has_room(each.job, there):
                openings[place] = Opening(row.k, each.job, call=call)
            else:
                opened[place] = _skipped(store, tx, each, there, due_us)
        started += _open_each(store, tx, list(openings.values()), due_us)
        for place, run in zip(openings, started, strict=True):
            run._awaited, run._hurry = Flag(), True
            opened[place] = run
        records = [each for each in opened if isinstance(each, RunRecord)]
        store.history.add(tx, records, due_us, store.node)
        _note(
            store, tx, [(requests[place], openings[place].k) for place in openings], started, due_us
        )
    return opened


def _skipped(
    store: SqlStore, tx: Transaction, request: RunRequest, claims: Sequence[Claim], due_us: int
) -> RunRecord:
    active = [store.claims.run_of(tx, claim) for claim in claims]
    return skipped_record(request.job, (due_us,), due_us, active, "manual")


def _open_each(
    store: SqlStore, tx: Transaction, openings: Sequence[Opening], due_us: int
) -> list[Run]:
    if not openings:
        return []
    ids = store.database.run_ids(tx, len(openings))
    runs = [Run(run_id, each.job, due_us) for run_id, each in zip(ids, openings, strict=True)]
    store.claims.insert(tx, list(zip(runs, openings, strict=True)), by_hand=True)
    return runs


def _note(
    store: SqlStore,
    tx: Transaction,
    requests: Sequence[tuple[RunRequest, int]],
    started: Sequence[Run],
    now_us: int,
) -> None:
    """Write the keys and audit records of opened runs."""
    pairs = list(zip(requests, started, strict=True))
    keys = [(k, one.key, run._id) for (one, k), run in pairs if one.key is not None]
    _note_keys(tx, keys, now_us)
    noted = [one.note._replace(run_id=run._id) for (one, _), run in pairs if one.note is not None]
    store.audit_rows.add(tx, noted)


def backfill_runs(
    store: SqlStore, request: Backfill, note: AuditRecord
) -> tuple[Sequence[Run], Sequence[Run]] | None:
    """Open a run of a job for each of its past due times, or none at all."""
    job, times, _ = request
    settled, behind = Settled([], [], [], [], []), list[Run]()
    with store.database.write() as tx:
        store.claims.starting(tx, settled.runs, behind)
        row = store.jobs.hold(tx, (job.id,)).get(job.id)
        if row is None:
            raise JobLookupError(job.id)
        store.database.expect_runs(tx, len(times))
        # The open runs first: a run that ends meanwhile waits for this, or is in the history then.
        claims = store.claims.of_job(tx, row.k)
        executed = () if request.again else store.history.records(tx, request.query)
        ran = [(each.scheduled_us, each.cause) for each in executed]
        ran += [(claim.due_us, claim.cause) for claim in claims]
        if request.left(row.due_us, row.fire_us, ran) != list(times):
            return None
        request.check_room(len(claims))
        opening = Opening(row.k, job, claims)
        store.claims.admit(tx, opening, times, True, settled, behind, times[-1])
        store.audit_rows.add(tx, (note,))
    return settled.runs, behind


def _find_keys(tx: Transaction, keys: Sequence[_Key], now_us: int) -> dict[_Key, int]:
    """Return the runs that were opened for keys of jobs within the last day.

    The caller has locked the jobs, so no other process adds the same keys meanwhile.
    """
    found: dict[_Key, int] = {}
    sql = "select k, run_id from schedcore_keys where k in ({}) and key = ? and at_us >= ?"
    for key in sorted({key for _, key in keys}):  # usually one
        of_jobs = [k for k, each in keys if each == key]
        rows = tx.among(sql, of_jobs, key, now_us - KEYS_KEPT_US)
        found |= {(k, key): run_id for k, run_id in rows}
    return found


def _note_keys(tx: Transaction, opened: Sequence[tuple[int, str, int]], now_us: int) -> None:
    """Store the runs that were opened for keys: the job's row, the key and the run of each."""
    tx.many(
        "insert into schedcore_keys (k, key, run_id, at_us) values (?, ?, ?, ?)"
        " on conflict (k, key) do update set run_id = excluded.run_id, at_us = excluded.at_us",
        [(*each, now_us) for each in opened],
    )


def trim_keys(tx: Transaction, now_us: int) -> None:
    """Delete keys that are too old, or too many."""
    tx.run("delete from schedcore_keys where at_us < ?", now_us - KEYS_KEPT_US)
    beyond = "select at_us from schedcore_keys order by at_us desc limit 1 offset ?"
    tx.run(f"delete from schedcore_keys where at_us <= ({beyond})", MOST_KEYS)
