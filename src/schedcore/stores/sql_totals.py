"""The totals in a store over SQL, which never forget: by job and outcome, and spans of time.

The rows under the id ``''`` count all jobs together, and there are more of them for each outcome:
``executed 0.5 0.001`` are runs that took up to 0.5 s and began up to 1 ms late, and ``executed 0.5
-`` those of a later attempt.  So a run adds to two rows, as it would without spans.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

from schedcore.history.record import recorded_us, took_us
from schedcore.history.totals import (
    Histogram,
    JobTotals,
    Total,
    Totals,
    bound_of,
)
from schedcore.output.text import is_storable
from schedcore.run import Outcome, RunRecord
from schedcore.stores.database import Transaction

_COUNT = (
    "insert into schedcore_totals (job_id, outcome, n, took_us, late_us, last_us)"
    " values (?, ?, ?, ?, ?, ?) on conflict (job_id, outcome) do update set"
    " n = schedcore_totals.n + excluded.n, took_us = schedcore_totals.took_us + excluded.took_us,"
    " late_us = schedcore_totals.late_us + excluded.late_us, last_us = excluded.last_us"
)
_OVERALL = "select outcome, n, took_us, late_us from schedcore_totals where job_id = ?"
_BY_JOB = "select job_id, outcome, n, took_us, last_us from schedcore_totals where job_id in ({})"
ALL: Final = ""
"""The id of the rows for all jobs together; no job has it."""
SHARES: Final = 64
"""Rows in place of one of all jobs together, where processes have one each."""
_NONE: Final = "-"


class TotalRows:
    """Counts outcomes, inside the caller's transaction.

    Attributes:
        shares: Whether each process counts all jobs together in its own rows, so that no process
            waits for another to write its outcomes.
    """

    shares = False

    def add(self, tx: Transaction, records: Sequence[RunRecord], node: int | None) -> None:
        """Count the occurrences of records, and how long the runs took."""
        share = f"/{(node or 0) % SHARES}" if self.shares else ""
        sums: dict[tuple[str, str], tuple[int, int, int, int]] = {}
        for record in records:
            outcome, took = record.outcome._value_, took_us(record)
            late = 0 if took is None or record.attempt > 1 else record.late_us
            counted = record.occurrences, took or 0, late, recorded_us(record)
            everywhere = outcome
            if took is not None:
                bound = bound_of(late) if record.attempt == 1 else None
                everywhere = _name(outcome, bound_of(took), bound)
            for key in ((record.job_id, outcome), (ALL, everywhere + share)):
                before = sums.get(key)
                sums[key] = counted if before is None else _both(before, counted)
        # In one order, to avoid deadlocks between processes.
        tx.many(_COUNT, [(*key, *sums[key]) for key in sorted(sums)])

    def counts(self, tx: Transaction, job_id: str | None) -> dict[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        if job_id is None:
            return dict(self.of(tx, ()).overall)
        of_job = self._by_job(tx, (job_id,)).get(job_id, {})
        return {outcome: total.n for outcome, total in of_job.items()}

    def of(self, tx: Transaction, job_ids: Collection[str]) -> Totals:
        """Return the totals of all occurrences, and of those of some jobs."""
        overall: dict[Outcome, int] = {}
        took, late = Histogram(), Histogram()
        for name, *sums in tx.all(_OVERALL, ALL):
            n, took_sum, late_sum = map(int, sums)
            what, *bounds = name.partition("/")[0].split(" ")
            outcome = Outcome(what)
            overall[outcome] = overall.get(outcome, 0) + n
            if bounds:
                took.put(float(bounds[0]), n, took_sum)
                if bounds[1] != _NONE:
                    late.put(float(bounds[1]), n, late_sum)
        return Totals(overall, self._by_job(tx, job_ids), took, late)

    def _by_job(self, tx: Transaction, job_ids: Collection[str]) -> dict[str, JobTotals]:
        jobs: dict[str, JobTotals] = {}
        found = [job_id for job_id in job_ids if job_id != ALL and is_storable(job_id)]
        for job_id, outcome, *total in tx.among(_BY_JOB, found):
            jobs.setdefault(job_id, {})[Outcome(outcome)] = Total(*map(int, total))
        return jobs


def _both(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], other[3]


@lru_cache(maxsize=1_000)
def _name(outcome: str, took: float, late: float | None) -> str:
    return f"{outcome} {took:g} {_NONE if late is None else f'{late:g}'}"
