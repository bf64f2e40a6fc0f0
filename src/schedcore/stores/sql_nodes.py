"""What becomes of runs between processes, in a store over SQL: taken over, dropped, lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schedcore.clock import SECOND
from schedcore.run import Outcome, Run, RunRecord
from schedcore.stores.database import Transaction
from schedcore.stores.ends import End, mark_ended
from schedcore.stores.sql_history import TRIM_AT_ONCE
from schedcore.stores.sql_runs import ACTIVE, Claim

if TYPE_CHECKING:
    from schedcore.stores.sql import SqlStore

MOST_ATTEMPTS: Final = 3
"""How often a run is begun in all if its process dies each time, unless ``retry`` says: it may be
the run itself that kills the process."""
KEEP_GONE_US: Final = 3600 * SECOND
"""How long removed ids and nodes that are gone are remembered."""


def reap(store: SqlStore, node: int, now_us: int) -> list[RunRecord]:
    """Declare a node dead, in one transaction with what becomes of its runs.

    What it ran is recorded as lost, or due again at once if its job says ``on_lost="rerun"`` and
    has attempts left; what waits for a retry is left to any other.

    Returns:
        The records of the runs that were lost.
    """
    with store.database.write() as tx:
        there = "id = ? and state in ('alive', 'leaving')"
        row = tx.one(f"select host, pid from schedcore_nodes where {there}", node)
        if row is None:  # it has left meanwhile
            return []
        host, pid = row
        tx.run("update schedcore_nodes set state = 'dead', takes = 0 where id = ?", node)
        lost: list[RunRecord] = []
        for claim in store.claims.of_node(tx, node):
            if claim.state != ACTIVE:
                store.claims.free(tx, (claim.run_id,), node, claim.act_us or now_us)
            elif _may_rerun(store, tx, claim):
                store.claims.free(tx, (claim.run_id,), node, now_us, attempts=1)
            else:
                text = f"its process ({pid} on {host}) ended while it waited there or was running"
                lost.append(_lost(store, tx, claim, now_us, text))
        store.history.add(tx, lost, now_us, node)
    return lost


def _may_rerun(store: SqlStore, tx: Transaction, claim: Claim) -> bool:
    job = store.jobs.job_of(tx, claim.k)
    if job is None or claim.final or job.options.on_lost != "rerun":
        return False
    retry = job.options.retry
    return claim.attempt < (MOST_ATTEMPTS if retry is None else 1 + retry.count)


def _lost(store: SqlStore, tx: Transaction, claim: Claim, now_us: int, text: str) -> RunRecord:
    run = store.claims.run_of(tx, claim)
    end = End(run, None, Outcome.LOST, now_us, None, "Lost", text)
    return store.claims.close(tx, claim, end)


def adopt(store: SqlStore, now_us: int) -> list[Run]:
    """Take the runs that are due again and belong to nobody."""
    with store.database.read() as tx:
        if not store.claims.orphans(tx, now_us):
            return []
    with store.database.write() as tx:
        ((state,),) = tx.all("select state from schedcore_cluster")
        claims = store.claims.orphans(tx, now_us) if state == "running" else []
        known = [c for c in claims if not c.final and store.jobs.job_of(tx, c.k) is not None]
        text = "its job was removed or changed while it waited for another process"
        lost = [_lost(store, tx, claim, now_us, text) for claim in claims if claim not in known]
        store.history.add(tx, lost, now_us, store.node)
        adopted = store.claims.start(tx, known)
    store.claims.opened(adopted)
    return adopted


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
        if claim is None and run._job is not None:
            end = End(run, run._job, _outcome(tx, run_id), run._due_us)
            run._cancelled = True
            mark_ended(end)
            if run._awaited is not None:
                run._awaited.set()
            dropped.append(end)
    return dropped


def _outcome(tx: Transaction, run_id: int) -> Outcome:
    row = tx.one("select outcome from schedcore_ledger where run_id = ?", run_id)
    return Outcome.CANCELLED if row is None else Outcome(row[0])


def trim(store: SqlStore, now_us: int) -> int:
    """Cut the history down to what is kept, and forget what was gone for long.

    In transactions of a few milliseconds each.

    Returns:
        How many outcomes were cut.
    """
    history, cut = store.history, 0
    for overall in (False, True):
        with store.database.read() as tx:
            if overall:
                excess = history.excess_overall(tx, store.keep)
            else:
                excess = history.excess(tx, store.keep, now_us)
        for beyond in excess:
            some = TRIM_AT_ONCE
            while some == TRIM_AT_ONCE:
                with store.database.write() as tx:
                    some = history.cut(tx, beyond)
                cut += some
    with store.database.write() as tx:
        _forget_gone(tx, now_us)
    return cut


def _forget_gone(tx: Transaction, now_us: int) -> None:
    tx.run(
        "delete from schedcore_nodes where state in ('left', 'dead') and since_us < ?",
        now_us - KEEP_GONE_US,
    )
    tx.run(
        "delete from schedcore_jobs where id is null"
        " and not exists (select 1 from schedcore_claims c where c.k = schedcore_jobs.k)"
    )
    ((count, newest),) = tx.all(
        "select count(*), max(changed) from schedcore_gone where app is null"
    )
    if count > TRIM_AT_ONCE:  # whoever asks for changes before these has to read all jobs anew
        tx.run(
            "insert into schedcore_meta values ('changes_known_from', ?)"
            " on conflict (name) do update set value = excluded.value",
            str(newest),
        )
        tx.run("delete from schedcore_gone where app is null and changed <= ?", newest)
