"""Reports from event loops, with a store on disk: made by a thread that may wait for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from schedcore.run import Run, loop_here
from schedcore.running.reports import check_run

if TYPE_CHECKING:
    from schedcore.running.reports import Reports
    from schedcore.running.runs import Runs


class LateReports:
    """Wraps the reporter: reports of an event loop are noted, and made later.

    Recording an end waits for the disk or the database, and would block the event loop meanwhile.
    The scheduler's loop is woken to make the report, unless a reader of the history settles first.
    Reports of other threads are made at once.

    Args:
        reports: Gets all reports.
        runs: Are settled by another thread.
    """

    def __init__(self, reports: Reports, runs: Runs) -> None:
        self._reports = reports
        self._runs = runs
        self._noted: deque[Callable[[], object]] = deque()
        self._making = False
        self._lock = threading.RLock()  # re-entrant: a report settles what there is
        # What has to be answered at once
        self.begin, self.begun, self.shed = reports.begin, reports.begun, reports.shed
        self.remote = runs.remote

    @property
    def captures(self) -> bool:
        """Whether what runs print is kept."""
        return self._reports.captures

    def end(
        self, run: Run, value: Any, error: BaseException | None, at_us: int | None = None
    ) -> int:
        """Report that *run* ended now, unless told when; return when that is."""
        if loop_here() is None:
            return self._reports.end(run, value, error, at_us)
        check_run(run)
        ended_us = self._runs.now_us() if at_us is None else at_us
        self._note(partial(self._reports.end, run, value, error, ended_us))
        return ended_us

    def cancelled(self, run: Run) -> None:
        """Report that *run* ended because it was cancelled."""
        check_run(run)
        self._make_or_note(partial(self._reports.cancelled, run))

    def lost(self, run: Run, error: BaseException) -> None:
        """Report that the end of *run* will never be known."""
        check_run(run)
        self._make_or_note(partial(self._reports.lost, run, error))

    def settle(self) -> None:
        """Report that a worker has nothing more to do."""
        if loop_here() is None:
            self._runs.settle()

    def _make_or_note(self, report: Callable[[], object]) -> None:
        if loop_here() is not None:
            self._note(report)
        else:
            report()

    def _note(self, report: Callable[[], object]) -> None:
        self._noted.append(report)
        self._runs.wake()

    def make(self) -> None:
        """Make the reports noted so far; one that fails is made the next time, and raises."""
        if not self._noted and not self._making:
            return
        with self._lock:
            if self._making:  # a report, which settles
                return
            self._making = True
            try:
                while self._noted:
                    self._noted[0]()
                    self._noted.popleft()
            finally:
                self._making = False
