"""The ends of runs in an SQL store; starts waiting runs and retries."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from schedcore.clock import from_us
from schedcore.job import Job
from schedcore.run import Outcome, Run
from schedcore.stores.base import Ended
from schedcore.stores.claims import RETRIES, Claim
from schedcore.stores.database import Rows, Transaction
from schedcore.stores.ends import End

if TYPE_CHECKING:
    from schedcore.stores.sql import SqlStore

_OPEN: Final = "select k from schedcore_claims where run_id in ({})"
_HELD: Final = "select k, due_us from schedcore_due where backlog_us is not null and"


def end_runs(store: SqlStore, ends: deque[End], may_promote: bool) -> Ended:
    """Move runs to the history, each once, and start runs that waited for them."""
    noted = list(ends)
    # One for each run, of which several ends may be noted while the store is away.
    outputs = store.outputs.unsaved({end.run._id: end.run for end in noted}.values())
    started: list[Run] = []
    with store.database.write() as tx:
        if may_promote:
            store.claims.starting(tx, started)
        _hold_jobs(tx, noted)
        noted_ids = [end.run._id for end in noted]
        held = tx.among_later(f"{_HELD} k in ({_OPEN})", noted_ids)
        waiting = store.claims.waiting_later(tx)
        claims = store.claims.find(tx, noted_ids)
        ended = [
            (claims.pop(end.run._id), end)
            for end in noted
            if end.run._id in claims and _may_end(store, claims[end.run._id], end)
        ]
        written = _look_for_late(store, tx, noted, ended)
        records = store.claims.close_many(tx, ended)
        keys = {claim.k for claim, _ in ended}
        if may_promote and keys:
            started += _promote(store, tx, keys, waiting)
        due_us = _released(store, tx, keys, held)
        if records:
            last_us = max(end.ended_us for _, end in ended)
            store.history.add(tx, records, last_us, store.node)
        if outputs:
            ids = {claim.run_id for claim, _ in ended}
            store.outputs.write(tx, [output for output in outputs if output.run._id in ids])
    # If the answer is lost, they are reported again, and found to be recorded.
    recorded = [end for _, end in ended] + written
    store.claims.ended(recorded)
    for _ in noted:
        ends.popleft()
    return Ended(recorded, started, due_us)


def _hold_jobs(tx: Transaction, noted: Sequence[End]) -> None:
    """Lock jobs with possibly waiting runs, which start in this transaction or continue to wait."""
    ids = [end.run._id for end in noted if _may_wait(end.job)]
    if tx.for_update and ids:
        sql = f"select k from schedcore_due where k in ({_OPEN}) order by k{tx.for_update}"
        tx.among_later(sql, ids)


def _may_wait(job: Job | None) -> bool:
    """Return whether runs of a job may wait behind others.

    It is the definition of the ended run, which may be outdated.  A node that later sees waiting
    runs starts those that are missed here.
    """
    return job is None or job.overlap == "queue" or not job.coalesce


def _may_end(store: SqlStore, claim: Claim, end: End) -> bool:
    """Return whether an end counts: only that of the process that owns the run does."""
    return claim.node in (None, store.node) or end.outcome is Outcome.CANCELLED


def _look_for_late(
    store: SqlStore, tx: Transaction, noted: Sequence[End], ended: Sequence[tuple[Claim, End]]
) -> list[End]:
    """Check the records of runs that are no longer open.

    If a run was recorded as lost, add a note about how it ended.

    Returns:
        The ends that are already in the history: the answer to an earlier call was lost.
    """
    if len(ended) == len(noted):
        return []
    in_time = {end.run._id for _, end in ended}
    written = []
    for end in noted:
        run_id = end.run._id
        if run_id in in_time:
            continue
        if run_id in store.claims.live and end.job is not None:
            record = store.history.find(tx, run_id)
            if record is not None and (record[2], record[5]) == (end.outcome, end.ended_us):
                written.append(end)
                continue
        ended_at = from_us(end.ended_us).isoformat()
        text = f"and ended after all as {end.outcome.value}, at {ended_at}"
        store.history.note(tx, run_id, text)
    return written


def _promote(store: SqlStore, tx: Transaction, keys: set[int], waiting: Rows) -> list[Run]:
    """Start waiting runs of these jobs, as far as there is room."""
    started: list[Run] = []
    for k in sorted({k for (k,) in waiting()} & keys):
        runs = store.claims.start(tx, store.claims.startable(tx, k))
        for run in runs:
            run._hurry = True
        started += runs
    return started


def _released(store: SqlStore, tx: Transaction, keys: set[int], held: Rows) -> int | None:
    """Return when the first of these jobs is due that has the rest of a backlog."""
    due = [(k, due_us) for k, due_us in held() if k in keys and due_us is not None]
    if not due:
        return None
    waiting = store.claims.waiting(tx)
    return min((due_us for k, due_us in due if k not in waiting), default=None)


def promote_runs(store: SqlStore) -> Ended:
    """Start the waiting runs for which there is room."""
    started: list[Run] = []
    with store.database.write() as tx:
        store.claims.starting(tx, started)
        keys = store.claims.waiting(tx)
        store.jobs.hold_keys(tx, keys)
        held = tx.among_later(f"{_HELD} k in ({{}})", keys)
        started += _promote(store, tx, keys, store.claims.waiting_later(tx))
        due_us = _released(store, tx, keys, held)
    return Ended([], started, due_us)


def try_runs_again(store: SqlStore, runs: Sequence[Run]) -> list[Run]:
    """Begin the next attempt of runs in this process; return those that are still open."""
    started: list[Run] = []
    with store.database.write() as tx:
        store.claims.starting(tx, started)
        claims = store.claims.find(tx, [run._id for run in runs])
        waiting = [
            claim
            for claim in (claims.get(run._id) for run in runs)
            if claim is not None and claim.state == RETRIES and claim.node in (None, store.node)
        ]
        started += store.claims.start(tx, waiting)
    return started
