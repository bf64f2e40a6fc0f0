"""Whether each due time of each job is in one place: to come, open, or ended."""

from __future__ import annotations

from collections import Counter, defaultdict


def check_due_times(store, first, period):
    """Each due time from a job's first one to the next to come is open or ended, once.

    By what the store itself tells.

    Args:
        store: Which one.
        first: The first due time of each job; of one that is gone, its times have no gap.
        period: From one due time to the next; the same for all jobs.
    """
    found = due_times(store, period)
    to_come = {entry.job.id: entry.fire_us for entry in store.entries()}
    for job_id, first_us in first.items():
        times = found.get(job_id, Counter())
        until_us = to_come.get(job_id, max(times, default=first_us - period) + period)
        expected = Counter(range(first_us, until_us, period))
        assert times == expected, (
            f"{job_id}: missing {sorted((expected - times).elements())[:5]},"
            f" too many {sorted((times - expected).elements())[:5]}"
        )


def due_times(store, period):
    """Return the due times of each job that are open or have ended."""
    found = defaultdict(Counter)
    for run in store.runs():
        if run.cause != "manual":
            found[run.job_id][run.due_us] += 1
    for record in store.records():
        if record.cause != "manual":
            for number in range(record.occurrences):
                found[record.job_id][record.scheduled_us + number * period] += 1
    return found


def check_totals(store):
    """What is counted is what is recorded, as long as nothing was cut."""
    counted = defaultdict(Counter)
    for record in store.records():
        for job_id in (record.job_id, None):
            counted[job_id][record.outcome] += record.occurrences
    for job_id, counts in counted.items():
        assert store.counts(job_id) == counts


def check_starts(store, starts):
    """No attempt of a run was started twice, and each start is known to the store.

    Args:
        store: Which one.
        starts: What the functions wrote down themselves.
    """
    times = Counter((start.run_id, start.attempt) for start in starts)
    assert [key for key, n in times.items() if n > 1] == [], "started twice"
    records = {record.run_id: record for record in store.records()}
    known = records.keys() | {run.id for run in store.runs()}
    assert {start.run_id for start in starts} <= known, "started, and nobody knows of it"
    began = {start.run_id for start in starts}
    executed = {n for n, record in records.items() if record.outcome.value == "executed"}
    assert executed <= began, "said to be executed, and never started"
