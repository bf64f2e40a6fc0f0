"""The contract of a store's history: outcomes, each kept once, and counts of all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from schedcore.output import Kept
from schedcore.run import Outcome, RunRecord
from schedcore.totals import Totals


class Outcomes(Protocol):
    """The part of a :class:`~schedcore.stores.base.Store` that tells what has ended."""

    def record(self, records: Sequence[RunRecord]) -> None:
        """Add outcomes of occurrences that had no open run here."""
        ...

    def records(self, job_id: str | None, limit: int | None = None) -> list[RunRecord]:
        """Return the outcomes kept of one job, or of all, the latest first: *limit* at most."""
        ...

    def ended_after(self, place: str | None, limit: int) -> tuple[str, list[RunRecord]]:
        """Return outcomes in the order in which they were committed, each once.

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

    def find(self, run_id: int) -> RunRecord | None:
        """Return how a run ended; None: it has not, or that is not kept."""
        ...

    def counts(self, job_id: str | None) -> dict[Outcome, int]:
        """Return how many occurrences of one job, or of all, ended in each outcome so far."""
        ...

    def totals(self, job_ids: Collection[str]) -> Totals:
        """Return what became of all occurrences ever, and of those of some jobs."""
        ...

    def output(self, run_id: int) -> Kept:
        """Return what a run has printed, as far as that is written; nothing, if it is not kept.

        A store writes what ``run._output`` holds with the end of a run, and takes it from the run;
        one that processes share, each second as well.
        """
        ...
