"""The contract of a store's history: outcomes, each kept once, and counts of all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from schedcore.history.query import EVERYTHING, RunQuery
from schedcore.history.totals import Totals
from schedcore.output.text import Kept
from schedcore.run import Outcome, Run, RunRecord


class Outcomes(Protocol):
    """The part of a :class:`~schedcore.stores.contract.Store` that tells what has ended."""

    def records(self, query: RunQuery = EVERYTHING) -> list[RunRecord]:
        """Return the stored outcomes that *query* selects, in its order."""
        ...

    def kept(self, query: RunQuery, most: int) -> int:
        """Return how many outcomes *query* selects in total, at most *most*.

        To count a million takes longer than anybody wants to wait for a part of a list.
        """
        ...

    def tally(self, query: RunQuery, slice_us: int, most: int) -> dict[tuple[int, Outcome], int]:
        """Return how many outcomes *query* selects, by slices of due time and by outcome.

        Args:
            query: Which ones, in all its parts.
            slice_us: How long a slice is; number 0 begins at the Unix epoch.
            most: How many are counted at most: those that were due last.
        """
        ...

    def ended_after(self, place: str | None, limit: int) -> tuple[str, list[RunRecord]]:
        """Return outcomes in commit order, each once.

        What others are writing at this moment comes later, never ahead of the place returned.

        Args:
            place: Only those after it; None, or a place of a store that this one is not (any more):
                none at all.
            limit: How many at most.

        Returns:
            The place to go on from, and the outcomes.  Its text is opaque, and can be kept.

        Raises:
            InvalidOptionError: if *place* is the text of no place.
        """
        ...

    def keeps_after(self, place: str) -> bool:
        """Return whether :meth:`ended_after` gives, or gave until now, all that came after a place.

        False: some was cut since, and is not given; or it is a place of another store.

        Raises:
            InvalidOptionError: if *place* is the text of no place.
        """
        ...

    def find(self, run_id: int) -> Run | RunRecord | None:
        """Return an open run, or its record; None: it is not known, or no longer stored."""
        ...

    def counts(self, job_id: str | None) -> dict[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        ...

    def totals(self, job_ids: Collection[str]) -> Totals:
        """Return the totals of all occurrences ever, and of those of some jobs."""
        ...

    def output(self, run_id: int) -> Kept:
        """Return what a run has printed, as far as that is written; nothing, if it is not kept.

        A store writes what ``run._output`` holds with the end of a run, and takes it from the run;
        one that processes share, each second as well.
        """
        ...
