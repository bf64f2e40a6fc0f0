"""Runs that change their process in an SQL store: adopted, handed back, or lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from schedcore.clock import SECOND
from schedcore.errors import StoreError
from schedcore.job import Job
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.claims import ACTIVE, Claim
from schedcore.stores.cluster import NodeInfo
from schedcore.stores.database import Transaction
from schedcore.stores.ends import End, mark_ended
from schedcore.stores.sql_history import TRIM_AT_ONCE, Condition
from schedcore.stores.sql_open import trim_keys

if TYPE_CHECKING:
    from schedcore.stores.sql import SqlStore

KEEP_GONE_US: Final = 3600 * SECOND
"""How long removed ids and dead nodes are remembered."""
TRIM_US: Final = 60 * SECOND
"""How often one of the processes trims the history."""


def reap(
    store: SqlStore,
    node: int,
    now_us: int,
    unbegun: Collection[int],
    is_dead: Callable[[Transaction, int], bool] = lambda _tx, _node: True,
) -> list[RunRecord]:
    """Declare a node dead, and handle its runs in the same transaction.

    Its running runs are recorded as lost, or due again at once if their job has ``on_lost="rerun"``
    and attempts left.  Any other node may take its retries, its runs that had not begun, and those
    on workers outside of the nodes.

    Args:
        store: The store.
        node: The node.
        now_us: The present.
        unbegun: Its runs that had not begun.
        is_dead: Returns whether it is still dead and not being reaped by another node; called
            once its runs are locked.

    Returns:
        The records of the runs that were lost.
    """
    with store.database.write() as tx:
        if tx.for_update:
            store.claims.of_node(tx, node)
        if not is_dead(tx, node):
            return []
        there = "id = ? and state in ('alive', 'leaving')"
        row = tx.one(f"select host, pid from schedcore_nodes where {there}", node)
        if row is None:  # it has left meanwhile
            return []
        host, pid = row
        tx.run("update schedcore_nodes set state = 'dead', takes = 0 where id = ?", node)
        lost: list[RunRecord] = []
        for claim in store.claims.of_node(tx, node):
            if claim.is_remote:
                store.claims.release(tx, claim, now_us)
            elif claim.state != ACTIVE:  # also if no worker has begun it: none begins it twice
                store.claims.free(tx, (claim.run_id,), node, claim.act_us or now_us)
            elif claim.begun_us is None and claim.run_id in unbegun:
                store.claims.free(tx, (claim.run_id,), node, now_us)
            elif _may_rerun(store, tx, claim):
                store.claims.free(tx, (claim.run_id,), node, now_us, attempts=1)
            else:
                text = f"its process ({pid} on {host}) ended while it waited there or was running"
                lost.append(_lost(store, tx, claim, now_us, text))
        store.history.add(tx, lost, now_us, node)
    return lost


def _may_rerun(store: SqlStore, tx: Transaction, claim: Claim) -> bool:
    job = store.jobs.job_of(tx, claim.k)
    return job is not None and not claim.final and job.options.reruns(claim.attempt)


def _lost(store: SqlStore, tx: Transaction, claim: Claim, now_us: int, text: str) -> RunRecord:
    run = store.claims.run_of(tx, claim)
    end = End(run, None, Outcome.LOST, now_us, None, "Lost", text)
    return store.claims.close(tx, claim, end)


def adopt(store: SqlStore, now_us: int) -> list[Run]:
    """Take due runs that belong to no node and can run here."""
    with store.database.read() as tx:
        if not store.claims.orphans(tx, now_us):
            return []
    adopted: list[Run] = []
    with store.database.write() as tx:
        store.claims.starting(tx, adopted)
        ((state,),) = tx.all("select state from schedcore_cluster")
        claims = store.claims.orphans(tx, now_us) if state == "running" else []
        known: list[Claim] = []
        lost: list[RunRecord] = []
        text = "its job was removed or changed while it waited for another process"
        for claim in claims:
            job = store.jobs.job_of(tx, claim.k)
            if job is None or (claim.final and not claim.is_remote):
                lost.append(_lost(store, tx, claim, now_us, text))
            elif store.claims.may_run(job):
                known.append(claim)
        adopted += store.claims.start(tx, known)
        store.history.add(tx, lost, now_us, store.node)
    return adopted


def hand_back(store: SqlStore, runs: Sequence[Run], now_us: int) -> list[Run]:
    """Let other processes take runs of this one that have not begun; return those runs."""
    handed: list[Run] = []
    with store.database.write() as tx:
        tx.if_made(partial(_forget_handed, store, handed))
        claims = store.claims.find(tx, [run._id for run in runs])
        for run in runs:
            claim = claims.get(run._id)
            if claim is None or claim.node != store.node:
                continue  # it has ended, waits behind another, or has another owner
            if claim.is_remote:
                tx.given.append(run)
                tx.if_undone(partial(_take_again, run, run._job, run._cancelled))
                run._job = None  # the process that takes it over reports its end
                store.claims.release(tx, claim, now_us)
                handed.append(run)
                continue
            if not run.withdraw():
                continue
            tx.given.append(run)
            tx.if_undone(run.may_begin)
            tx.if_undone(partial(_take_again, run, run._job, run._cancelled))
            run._cancelled = True
            handed.append(run)
            run._job = None  # an executor that has it queued does not begin it
            # Runs that wait for their next attempt continue to wait.
            store.claims.free(tx, (run._id,), store.node, claim.act_us or now_us)
    return handed


def _forget_handed(store: SqlStore, handed: Sequence[Run]) -> None:
    for run in handed:
        if run._awaited is not None:
            run._awaited.set()
        store.claims.live.pop(run._id, None)


def _take_again(run: Run, job: Job | None, cancelled: bool) -> None:
    run._job, run._cancelled = job, cancelled


def nodes_listed(tx: Transaction, lease_us: int = 0) -> list[NodeInfo]:
    """Return the current and recent nodes, newest first.

    Args:
        tx: The transaction.
        lease_us: How long after its last renewal the lease of a node expires.
    """
    columns = "id, host, pid, since_us, state, takes, executors, app, lease_us"
    rows = tx.all(f"select {columns} from schedcore_nodes order by id desc limit 100")
    sql = "select node, count(*) from schedcore_claims where node > 0 group by node"
    counts: dict[int, int] = dict(tx.all(sql))
    return [
        NodeInfo(
            node,
            host,
            pid,
            since_us,
            state,
            bool(takes) and state == "alive",
            None if until_us is None else until_us - lease_us,
            counts.get(node, 0),
            tuple(json.loads(executors)),
            app,
        )
        for node, host, pid, since_us, state, takes, executors, app, until_us in rows
    ]


def dropped_runs(store: SqlStore, tx: Transaction) -> list[End]:
    """Return the runs of this process that others have ended, and forget them."""
    live = dict(store.claims.live)
    claims = store.claims.find(tx, live)
    dropped: list[End] = []
    for run_id, run in live.items():
        claim = claims.get(run_id)
        if claim is not None and (claim.node == store.node or claim.node is None):
            continue
        store.claims.live.pop(run_id, None)
        if claim is not None:
            run._output = None  # further output belongs to the other process
        if claim is None and run._job is not None:
            end = End(run, run._job, _outcome(tx, run_id), run._due_us)
            run._cancelled = True
            mark_ended(end)
            if run._awaited is not None:
                run._awaited.set()
            dropped.append(end)
    return dropped


def record_dropped(store: SqlStore, dropped: Sequence[End]) -> None:
    """Write the beginning and output of runs that others have ended, who did not know them."""
    begun = [end.run for end in dropped if end.run._started_us is not None]
    with suppress(StoreError):  # the runs must be abandoned anyway
        store.outputs.save(end.run for end in dropped)
        if begun:
            with store.database.write() as tx:
                store.history.note_begun(tx, begun)
    for end in dropped:
        end.run._output = None


def _outcome(tx: Transaction, run_id: int) -> Outcome:
    row = tx.one("select outcome from schedcore_ledger where run_id = ?", run_id)
    return Outcome.CANCELLED if row is None else Outcome(row[0])


def report_runs(store: SqlStore, now_us: int) -> None:
    """Write the beginnings of longer runs, and what runs printed, for other processes to show."""
    beginnings = store.beginnings.unwritten(now_us - SECOND)
    if beginnings:
        with store.database.write() as tx:
            store.beginnings.write(tx, beginnings)
    store.outputs.save(store.claims.at_work())


def trim(store: SqlStore, now_us: int) -> int:
    """Trim the history to its limits, and forget old removed ids and dead nodes.

    It uses transactions of a few milliseconds.

    Returns:
        The number of deleted outcomes.
    """
    history, cut = store.history, 0
    for overall in (False, True):
        with store.database.read() as tx:
            if overall:
                excess = history.excess_overall(tx, store.keep)
            else:
                excess = history.excess(tx, store.keep, now_us)
        for beyond in excess:
            cut += _cut(store, partial(_cut_outcomes, store), beyond)
    with store.database.read() as tx:
        outputs = store.outputs.excess(tx, store.keep)
        changes = store.audit_rows.excess(tx, store.keep, now_us)
    for beyond in outputs:
        _cut(store, store.outputs.cut, beyond)
    for beyond in changes:
        _cut(store, store.audit_rows.cut, beyond)
    with store.database.write() as tx:
        _forget_gone(tx, now_us)
        trim_keys(tx, now_us)
    return cut


def _cut(store: SqlStore, cut: Callable[[Transaction, Condition], int], beyond: Condition) -> int:
    """Delete rows, in transactions of *cut*; return how many."""
    count, some = 0, TRIM_AT_ONCE
    while some == TRIM_AT_ONCE:
        with store.database.write() as tx:
            some = cut(tx, beyond)
        count += some
    return count


def _cut_outcomes(store: SqlStore, tx: Transaction, beyond: Condition) -> int:
    store.outputs.cut_with(tx, beyond)
    return store.history.cut(tx, beyond)


def _forget_gone(tx: Transaction, now_us: int) -> None:
    tx.run(
        "delete from schedcore_nodes where state in ('left', 'dead') and since_us < ?",
        now_us - KEEP_GONE_US,
    )
    tx.run(
        "delete from schedcore_remote where not exists"
        " (select 1 from schedcore_claims c where c.run_id = schedcore_remote.run_id)"
    )
    tx.run(
        "delete from schedcore_jobs where id is null"
        " and not exists (select 1 from schedcore_claims c where c.k = schedcore_jobs.k)"
    )
    ((count, newest),) = tx.all(
        "select count(*), max(changed) from schedcore_gone where app is null"
    )
    if count > TRIM_AT_ONCE:  # readers of earlier changes must read all jobs again
        tx.run(
            "insert into schedcore_meta values ('changes_known_from', ?)"
            " on conflict (name) do update set value = excluded.value",
            str(newest),
        )
        tx.run("delete from schedcore_gone where app is null and changed <= ?", newest)
