"""The contents of an SQL store, and checks of their consistency."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from schedcore.stores.claims import ACTIVE, REMOTE, RETRIES, WAITS
from schedcore.stores.database import Transaction


class Holdings(NamedTuple):
    """Counts of a store's contents."""

    state: str
    """The state of all processes on the store: running, paused or stopped."""
    scheduled: int
    paused: int
    parked: int
    """Jobs that cannot run, with a reason; those that are scheduled are tried again."""
    next_due_us: int | None
    active: int
    """Open runs that belong to a process."""
    waiting: int
    """Open runs behind others of their jobs."""
    retrying: int
    """Open runs between two attempts."""
    outcomes: int
    """Stored outcomes."""


def holdings(tx: Transaction) -> Holdings:
    """Return counts of a store's contents."""
    ((state,),) = tx.all("select state from schedcore_cluster")
    ((scheduled, paused, parked, next_due_us),) = tx.all(
        "select count(due_us), count(*) - count(due_us), count(broken), min(due_us)"
        " from schedcore_due"
    )
    runs: dict[int, int] = dict(
        tx.all("select state, count(*) from schedcore_claims group by state")
    )
    ((outcomes,),) = tx.all("select count(*) from schedcore_ledger")
    return Holdings(
        state,
        scheduled,
        paused,
        parked,
        next_due_us,
        runs.get(ACTIVE, 0) + runs.get(REMOTE, 0),
        runs.get(WAITS, 0),
        runs.get(RETRIES, 0),
        outcomes,
    )


RULES: Final = {
    "jobs without a place in the schedule": (
        "select id from schedcore_jobs j where id is not null"
        " and not exists (select 1 from schedcore_due d where d.k = j.k)"
    ),
    "places of jobs that are not there": (
        "select k from schedcore_due d where not exists"
        " (select 1 from schedcore_jobs j where j.k = d.k and j.id is not null)"
    ),
    "open runs of which the definition is not there": (
        "select run_id from schedcore_claims c where not exists"
        " (select 1 from schedcore_jobs j where j.k = c.k)"
    ),
    "runs that are open and have ended": (
        "select run_id from schedcore_claims c where exists"
        " (select 1 from schedcore_ledger l where l.run_id = c.run_id)"
    ),
    "runs that ended twice": (
        "select run_id from schedcore_ledger where run_id is not null"
        " group by run_id having count(*) > 1"
    ),
    "outputs of runs that are not known": (
        "select run_id from schedcore_output o where not exists"
        " (select 1 from schedcore_ledger l where l.run_id = o.run_id)"
        " and not exists (select 1 from schedcore_claims c where c.run_id = o.run_id)"
    ),
    "open runs of processes that are gone": (
        "select run_id from schedcore_claims c where node > 0 and not exists"
        " (select 1 from schedcore_nodes n where n.id = c.node and n.state in ('alive', 'leaving'))"
    ),
}
"""Inconsistencies, and queries that find them."""
_MOST: Final = 5


def broken_rules(tx: Transaction) -> list[str]:
    """Return the inconsistencies found, one sentence each; [] if there are none."""
    found = []
    for rule, query in RULES.items():
        rows = tx.all(query)
        if rows:
            some = ", ".join(repr(row[0]) for row in rows[:_MOST])
            found.append(f"{rule}: {some}{', ...' if len(rows) > _MOST else ''} ({len(rows):,})")
    found += _miscounted(tx)
    return found


def _miscounted(tx: Transaction) -> list[str]:
    """Return the jobs with more stored outcomes than were ever counted."""
    kept: Counter[tuple[str, str]] = Counter()
    sums = "select job_id, outcome, sum(occurrences) from schedcore_ledger group by job_id, outcome"
    for job_id, outcome, count in tx.all(sums):
        kept[job_id, outcome] = int(count)
    for job_id, outcome, count in tx.all("select job_id, outcome, n from schedcore_totals"):
        kept[job_id, outcome] -= int(count)
    wrong = sorted({job_id for (job_id, _), count in kept.items() if count > 0})
    return [f"more outcomes kept than counted, of {job_id!r}" for job_id in wrong[:_MOST]]


def damage(tx: Transaction) -> list[str]:
    """Return the errors that SQLite finds in its file."""
    found = [row[0] for row in tx.all("pragma integrity_check") if row[0] != "ok"]
    lost = Counter(row[0] for row in tx.all("pragma foreign_key_check"))
    found += [f"{count:,} rows of {table} refer to nothing" for table, count in lost.items()]
    return found
