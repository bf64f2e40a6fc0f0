"""Open runs as SQL stores keep them, and their records when they end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from schedcore.job import Job
from schedcore.jobdata import job_to_dict, with_fields
from schedcore.run import RunRecord, reason_of
from schedcore.stores.ends import End
from schedcore.stores.sql_jobs import unreadable

WAITS: Final = 0
"""Behind other runs of its job; it belongs to no process yet."""
ACTIVE: Final = 1
"""It was submitted by the process that owns it, or is about to be."""
RETRIES: Final = 2
"""It failed, and waits for its next attempt."""
REMOTE: Final = 3
"""It was sent to workers outside of the nodes, one of which begins it in the store, or has begun
it: it continues when its node dies."""


ORPHANED: Final = f"node is null and state in ({RETRIES}, {REMOTE})"
"""SQL condition for runs that any process may take once they are due."""


class Claim(NamedTuple):
    """An open run, as it is stored."""

    run_id: int
    k: int
    job_id: str
    due_us: int
    attempt: int
    state: int
    """:data:`WAITS`, :data:`ACTIVE`, :data:`RETRIES` or :data:`REMOTE`."""
    node: int | None
    """The process that owns it; None: any process may take it."""
    act_us: int | None
    """When to retry it, or to take it over."""
    begun_us: int | None
    """When its function was called; only for runs that take a while, and remote ones."""
    backlog: int
    by_hand: int
    final: int
    """Whether it is not retried."""
    error_type: str | None = None
    error_text: str | None = None
    call: str | None = None
    """The arguments of this run as text, if they differ from the job's."""

    @property
    def is_remote(self) -> bool:
        """Whether a worker outside of the nodes has begun it."""
        return self.state == REMOTE and self.begun_us is not None

    @property
    def cause(self) -> str:
        """Why it was due; see :class:`~schedcore.run.RunRecord`."""
        return "manual" if self.by_hand else "backfill" if self.backlog else "schedule"


class Opening(NamedTuple):
    """The job whose runs are opened."""

    k: int
    job: Job
    claims: Sequence[Claim] = ()
    """Its open runs."""
    call: str | None = None
    """As :attr:`Claim.call`."""


def record_of(claim: Claim, end: End) -> RunRecord:
    """Return the record of a run that ended."""
    run, _, outcome, ended_us, result, error_type, error_text, _, _ = end
    started_us = run._started_us
    if started_us is None and claim.state != RETRIES:
        started_us = claim.begun_us
    late_us = (ended_us if started_us is None else started_us) - claim.due_us
    return RunRecord(
        *(claim.run_id, claim.job_id, outcome, claim.due_us, started_us, ended_us),
        *(max(0, late_us), 1, result, error_type, error_text, claim.attempt),
        claim.cause,
        reason_of(run, outcome),
        claim.node,
    )


def call_text(job: Job) -> str:
    """Return the arguments of a run as text.

    Raises:
        InvalidOptionError: if a value in them is not plain data, with its path.
    """
    return json.dumps(job_to_dict(job, ("args", "kwargs")), separators=(",", ":"))


def with_call(job: Job, text: str | None) -> Job:
    """Return *job* with the arguments of one run, from their text; None: with its own."""
    if text is None:
        return job
    try:
        return with_fields(job, json.loads(text))
    except Exception as error:  # noqa: BLE001 — another version may have written it
        return unreadable(job.id, error)
