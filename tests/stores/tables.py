"""Tables of the plain store that need no other: definitions of jobs, the history, the audit.

Each method is called inside a transaction.
"""

from __future__ import annotations

import pickle

from schedcore.basics import funcref
from schedcore.changes.audit import AuditRecord
from schedcore.errors import FuncRefError
from schedcore.history.totals import Histogram, Totals, add_totals, measure
from schedcore.job import Job
from schedcore.run import Outcome, RunRecord


class Definitions:
    """Jobs in bytes, by the job's own number and the version of its definition.

    What was read is kept, so that a job is the same object for as long as it does not change.
    """

    def __init__(self, session):
        self._session = session
        self._known: dict[tuple[int, int], Job] = {}

    def add(self, k, job):
        version = self._session.next("versions")
        self._session.put("definitions", (k, version), _encoded(job))
        self._known[k, version] = job
        return version

    def of(self, row):
        key = row["k"], row["version"]
        if key not in self._known:
            self._known[key] = _decoded(self._session.row("definitions", key))
        return self._known[key]

    def resolved(self, row, job):
        """Keep a job whose function is known by now."""
        self._known[row["k"], row["version"]] = job

    def forget(self, row):
        self._known.pop((row["k"], row["version"]), None)


def _encoded(job):
    """Return a definition in bytes, its function by reference."""
    reference = job.func_ref
    if reference is None:
        raise ValueError(f"no reference leads to {job.func!r}")
    plain = job._replace(func=reference, kwargs=dict(job.kwargs))
    return pickle.dumps(tuple(plain))


def _decoded(data):
    job = Job(*pickle.loads(data))
    try:
        return job._replace(func=funcref.resolve(job.func))
    except FuncRefError:
        return job._replace(func=None, given_ref=job.func)


class HistoryTable:
    """Records by number, and counts by job and outcome, of all jobs under None."""

    def __init__(self, session):
        self._session = session

    def add(self, record):
        plain = record._replace(outcome=record.outcome.value)._asdict()
        self._session.put("history", self._session.next("records"), plain)
        for job_id in (record.job_id, None):
            key = job_id, record.outcome.value
            count = self._session.row("counts", key) or 0
            self._session.put("counts", key, count + record.occurrences)

    def records(self, job_id):
        if job_id is None:
            rows = [row for _, row in self._session.all("history")]
        else:
            rows = self._session.rows("history", "job_id", job_id)
        return [RunRecord(**row | {"outcome": Outcome(row["outcome"])}) for row in reversed(rows)]

    def asked(self, query):
        """Return what a query asks for, by looking at all there is."""
        job_id, outcomes, since_us, until_us, before, limit, offset, job_ids = query
        found = self.records(None)
        if (since_us, until_us) != (None, None):
            found.sort(key=lambda record: record.scheduled_us, reverse=True)
        if before is not None:
            exactly = [n + 1 for n, record in enumerate(found) if record.run_id == before]
            older = [n for n, record in enumerate(found) if (record.run_id or before) < before]
            found = found[(*exactly, *older, len(found))[0] :]
        found = [
            record
            for record in found
            if job_id in (None, record.job_id)
            and (job_ids is None or record.job_id in job_ids)
            and (outcomes is None or record.outcome in outcomes)
            and (since_us is None or since_us <= record.scheduled_us)
            and (until_us is None or record.scheduled_us < until_us)
        ]
        return found[offset:][:limit]

    def counts(self, job_id):
        counts = self._session.all("counts")
        return {Outcome(outcome): count for (of, outcome), count in counts if of == job_id}

    def totals(self, job_ids):
        jobs, took, late = {}, Histogram(), Histogram()
        for record in reversed(self.records(None)):
            if record.job_id in job_ids:
                add_totals([record], jobs.setdefault(record.job_id, {}))
            measure([record], took, late)
        return Totals(self.counts(None), jobs, took, late)


class AuditTable:
    """Changes by number, each with the number of outcomes that came before it."""

    def __init__(self, session):
        self._session = session

    def add(self, records):
        for record in records:
            number = self._session.next("audits")
            outcomes = len(self._session.all("history"))
            row = outcomes, tuple(record._replace(id=number))
            self._session.put("audit", number, row)

    def all(self):
        rows = [row for _, row in self._session.all("audit")]
        return [(outcomes, AuditRecord(*fields)) for outcomes, fields in rows]
