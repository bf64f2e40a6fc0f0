"""The totals in a store over SQL, which never forget: outcomes by job, and spans of time.

Rows under the id ``''`` count all jobs together.  There an outcome may be that of some processes
(``executed/3``), and others count spans of time up to a bound in seconds: ``took 0.5``, ``late 1``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from schedcore.run import Outcome, RunRecord
from schedcore.stores.database import Transaction
from schedcore.totals import Histogram, JobTotals, Total, Totals, bound_of, took_us, total_of

_COUNT = (
    "insert into schedcore_totals (job_id, outcome, n, took_us, last_us) values (?, ?, ?, ?, ?)"
    " on conflict (job_id, outcome) do update set n = schedcore_totals.n + excluded.n,"
    " took_us = schedcore_totals.took_us + excluded.took_us, last_us = excluded.last_us"
)
_COLUMNS = "select job_id, outcome, n, took_us, last_us from schedcore_totals"
ALL: Final = ""
"""The id that stands for all jobs together; no job has it."""
SHARES: Final = 64
"""Rows of all jobs together, for each outcome, where processes have one each."""
_TOOK, _LATE = "took", "late"


class TotalRows:
    """Counts outcomes, within a transaction of the caller's.

    Attributes:
        shares: Whether each process counts all jobs together in rows of its own, so that none
            waits for another to write its outcomes.
    """

    shares = False

    def add(self, tx: Transaction, records: Sequence[RunRecord], node: int | None) -> None:
        """Count the occurrences of records, and how long the runs took."""
        share = f"/{(node or 0) % SHARES}" if self.shares else ""
        sums: dict[tuple[str, str], Total] = {}

        def add(job_id: str, what: str, total: Total) -> None:
            key = job_id, what
            found = sums.get(key)
            sums[key] = total if found is None else found.plus(*total)

        for record in records:
            total, outcome = total_of(record), record.outcome._value_
            add(record.job_id, outcome, total)
            add(ALL, outcome + share, total)
            span_us = took_us(record)
            if span_us is not None:
                add(ALL, f"{_TOOK} {bound_of(span_us):g}{share}", total)
                if record.attempt == 1:
                    late = Total(1, record.late_us, total.last_us)
                    add(ALL, f"{_LATE} {bound_of(record.late_us):g}{share}", late)
        # In one order: processes that wait for each other's rows would wait for ever.
        tx.many(_COUNT, [(*key, *total) for key, total in sorted(sums.items())])

    def counts(self, tx: Transaction, job_id: str | None) -> dict[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        if job_id is None:
            return dict(self.of(tx, ()).overall)
        of_job = self._by_job(tx, (job_id,)).get(job_id, {})
        return {outcome: total.n for outcome, total in of_job.items()}

    def of(self, tx: Transaction, job_ids: Collection[str]) -> Totals:
        """Return what became of all occurrences, and of those of some jobs."""
        overall: dict[Outcome, int] = {}
        spans = {_TOOK: Histogram(), _LATE: Histogram()}
        for _, name, count, sum_us, _ in tx.all(f"{_COLUMNS} where job_id = ?", ALL):
            what, _, bound = name.partition("/")[0].partition(" ")
            if what in spans:
                spans[what].put(float(bound), int(count), int(sum_us))
            else:
                outcome = Outcome(what)
                overall[outcome] = overall.get(outcome, 0) + int(count)
        return Totals(overall, self._by_job(tx, job_ids), spans[_TOOK], spans[_LATE])

    def _by_job(self, tx: Transaction, job_ids: Collection[str]) -> dict[str, JobTotals]:
        jobs: dict[str, JobTotals] = {}
        for job_id, outcome, *total in tx.among(f"{_COLUMNS} where job_id in ({{}})", job_ids):
            jobs.setdefault(job_id, {})[Outcome(outcome)] = Total(*map(int, total))
        return jobs
