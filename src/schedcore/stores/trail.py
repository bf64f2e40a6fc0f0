"""The contract of what a store tells of changes: who made them, and all that happened, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schedcore.changes.audit import AuditRecord
from schedcore.stores.outcomes import Outcomes
from schedcore.stores.places import Happened


class Trail(Outcomes, Protocol):
    """The part of a :class:`~schedcore.stores.contract.Store` that tells what has happened."""

    def note(self, records: Sequence[AuditRecord]) -> None:
        """Add to the audit what other calls do not take along; the store gives the numbers."""
        ...

    def audit(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return the changes kept, the latest first: *limit* at most.

        Args:
            job_id: Of one job; None: of all, and of the scheduler.
            since_us: Those since then; None: all.
            before: Those with a lower number; None: all.
            limit: How many at most.
        """
        ...

    def happened_after(self, place: str | None, limit: int) -> Happened:
        """Return outcomes and changes in commit order.

        Args:
            place: Only those after it; None: none at all.
            limit: How many at most.

        Raises:
            InvalidOptionError: if *place* is the text of no place.
        """
        ...
