"""What the engine does to a store, in short: for tests of stores.

Times are small whole numbers; the store does not mind.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from itertools import count

from schedcore import DateTrigger
from schedcore.errors import JobLookupError
from schedcore.history.query import RunQuery
from schedcore.job import Job, Options
from schedcore.run import Outcome, RunRecord
from schedcore.stores.base import Change, Entry, Settlement
from schedcore.stores.ends import end_of
from schedcore.stores.run_requests import RunRequest
from schedcore.stores.sql_nodes import report_runs

_others = count(1)  # several threads may add some at once
TRIGGER = DateTrigger("2030-01-01", "UTC")


def work():
    """Stand for the function of a job."""


def job(job_id, **options):
    return Job(job_id, work, (), {}, TRIGGER, Options(**options))


def entry(job_id, due=10, **options):
    return Entry(job(job_id, **options), due, due)


def add(store, *entries, now=0):
    assert store.write(entries, now).conflicts == ()


def changed(store, job_id, now=0, **parts):
    """Change parts of a job: of its entry, or options."""
    old = store.get(job_id)
    options = {name: parts.pop(name) for name in list(parts) if name in Options._fields}
    if options:
        parts["job"] = old.job._replace(options=old.job.options._replace(**options))
    written = store.write([Change(old, old._replace(**parts))], now)
    assert not written.conflicts
    return written


def paused(store, job_id, now=0):
    return changed(store, job_id, now, due_us=None)


def removed(store, job_id, now=0):
    written = store.write([Change(store.get(job_id), None)], now)
    assert not written.conflicts
    return written


def replaced(store, new, now=0):
    written = store.write([Change(store.get(new.job.id), new, True)], now)
    assert not written.conflicts
    return written


def settle(store, now, *, times=None, next_us=None, backlog_us=None, limit=100, not_run=()):
    """Take what is due, and settle each job alike; plainly, if nothing but *next_us* is given."""
    with store.take(now, limit) as batch:
        decided = []
        for slot in batch.slots:
            if times is None and backlog_us is None and not not_run:
                decided.append(next_us)
                continue
            due = (slot.fire_us,) if times is None else tuple(times)
            decided.append(
                Settlement(slot, slot.job, next_us, next_us, due, backlog_us, None, not_run)
            )
        return batch.settle(decided, now) if batch.slots else None


def backlog(store, times, next_us=100, backlog_us=None, **options):
    """Add a job of which each fire time runs, and settle *times*."""
    add(store, entry("a", times[0], coalesce=False, **options))
    return settle(store, times[-1], times=times, next_us=next_us, backlog_us=backlog_us)


def begun(*runs, at=20):
    """Say that runs have begun, as the engine does."""
    for run in runs:
        run._started_us = at
    return runs


def end(store, *runs, outcome=Outcome.EXECUTED, at=30, promote=True, **how):
    """End runs, and return what came of it."""
    return store.end(deque(end_of(run, outcome, at, **how) for run in runs), promote)


def run_now(store, job, now, **request):
    """Open a run of a job besides its schedule, and return it; None: there is no room for it."""
    (opened,) = store.open([RunRequest(job, **request)], now)
    if opened is None:
        raise JobLookupError(job.id)
    return None if isinstance(opened, RunRecord) else opened


def ids(entries):
    return [one.job.id for one in entries]


def job_ids(runs):
    return [run.job_id for run in runs]


def due_times(runs):
    return [run.due_us for run in runs]


def outcomes(store, job_id=None):
    return [record.outcome for record in reversed(store.records(RunQuery(job_id)))]


def put_records(store, records, now=0):
    """Add outcomes to the history, beside all jobs: a change of another one passes over them."""
    other = f"passed over {next(_others)}"
    # Paused, or a scheduler that is running would take it first.
    add(store, entry(other)._replace(due_us=None), now=now)
    gone = Change(store.get(other), None, records=records)
    assert store.write((gone,), now).conflicts == ()


def after_commit(store, monkeypatch, call):
    """Make a call right after the next commit, as another thread may do."""
    write = store.database.write

    @contextmanager
    def calling():
        monkeypatch.undo()
        with write() as tx:
            yield tx
        call()

    monkeypatch.setattr(store.database, "write", calling)


def report_after_commit(store, monkeypatch):
    """Write the beginnings of runs right after the next commit."""
    after_commit(store, monkeypatch, lambda: report_runs(store, 10**7))
