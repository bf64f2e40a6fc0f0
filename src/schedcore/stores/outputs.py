"""The output of runs in the memory store."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from schedcore.output.text import printed

if TYPE_CHECKING:
    from schedcore.output.text import Printed
    from schedcore.run import Run

PER_JOB: Final = 20
"""Default number of outputs per job: as many as outcomes."""
OVERALL: Final = 16 * 1024 * 1024
"""Maximum number of characters of all jobs together; the oldest outputs are deleted first."""


class Outputs:
    """Stores the last outputs of each job, and finds those of open runs.

    Not thread-safe: its owner holds a lock.

    Args:
        open_runs: The open runs, by id.
        per_job: Maximum number of outputs per job.
        overall: Maximum number of characters of all jobs together.
    """

    def __init__(
        self, open_runs: Mapping[int, Run], per_job: int = PER_JOB, overall: int = OVERALL
    ) -> None:
        self._open_runs = open_runs
        self._per_job = per_job
        self._overall = overall
        self._size = 0
        self._by_run: dict[int, tuple[str, int, Printed]] = {}
        self._of_job: dict[str, deque[int]] = {}

    def keep(self, run: Run) -> None:
        """Store the output of an ended run."""
        output, run._output = printed(run), None
        if output is None:
            return
        of_job = self._of_job.get(run._job_id)
        if of_job is not None and len(of_job) >= self._per_job:
            self._drop(of_job[0])
        self._of_job.setdefault(run._job_id, deque()).append(run._id)
        size = output.size
        self._by_run[run._id] = run._job_id, size, output
        self._size += size
        while self._size > self._overall and len(self._by_run) > 1:
            self._drop(next(iter(self._by_run)))

    def _drop(self, run_id: int) -> None:
        job_id, size, _ = self._by_run.pop(run_id)
        self._size -= size
        of_job = self._of_job[job_id]
        of_job.remove(run_id)
        if not of_job:
            del self._of_job[job_id]

    def get(self, run_id: int) -> Printed | None:
        """Return the output of a run; None: it has none, or it is not stored."""
        run = self._open_runs.get(run_id)
        return self._by_run.get(run_id, ("", 0, None))[2] if run is None else printed(run)
