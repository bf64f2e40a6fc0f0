"""The contract of a store's history: outcomes, each kept once, and counts of all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from schedcore.history.query import EVERYTHING, RunQuery
from schedcore.history.totals import Totals
from schedcore.output.text import Kept
from schedcore.run import Outcome, Run, RunRecord


class Outcomes(Protocol):
    """The part of a :class:`~schedcore.stores.contract.Store` for the history."""

    def records(self, query: RunQuery = EVERYTHING) -> list[RunRecord]:
        """Return the stored outcomes that *query* selects, in its order."""
        ...

    def kept(self, query: RunQuery, most: int) -> int:
        """Return how many outcomes *query* selects in total, at most *most*.

        Counting a million takes longer than a user waits for a page of a list.
        """
        ...

    def tally(self, query: RunQuery, slice_us: int, most: int) -> dict[tuple[int, Outcome], int]:
        """Return how many outcomes *query* selects, by slices of due time and by outcome.

        Args:
            query: The selection.
            slice_us: The length of a slice; number 0 begins at the Unix epoch.
            most: The maximum number to count: those that were due last.
        """
        ...

    def ended_after(self, position: str | None, limit: int) -> tuple[str, list[RunRecord]]:
        """Return outcomes in commit order, each once.

        Uncommitted outcomes of others come later, never before the returned position.

        Args:
            position: The position after which to return outcomes; None, or a position of another or
                an earlier store: nothing is returned.
            limit: The maximum number.

        Returns:
            The position to continue from, and the outcomes.  Its text is opaque, and can be stored.

        Raises:
            InvalidOptionError: if *position* is not a position.
        """
        ...

    def keeps_after(self, position: str) -> bool:
        """Return whether everything after a position is stored, or was until now.

        False: some outcomes were deleted since then, or the position is of another store.

        Raises:
            InvalidOptionError: if *position* is not a position.
        """
        ...

    def find(self, run_id: int) -> Run | RunRecord | None:
        """Return an open run, or its record; None: it is unknown, or no longer stored."""
        ...

    def counts(self, job_id: str | None) -> dict[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        ...

    def totals(self, job_ids: Collection[str]) -> Totals:
        """Return the totals of all occurrences ever, and of those of some jobs."""
        ...

    def output(self, run_id: int) -> Kept:
        """Return the stored output of a run; empty if there is none.

        A store writes ``run._output`` with the end of a run, and removes it from the run; a shared
        store also writes it every second.
        """
        ...
