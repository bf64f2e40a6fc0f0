"""The contract of a store's audit and change feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schedcore.changes.audit import AuditRecord
from schedcore.stores.outcomes import Outcomes
from schedcore.stores.positions import Happened


class Trail(Outcomes, Protocol):
    """The part of a :class:`~schedcore.stores.contract.Store` for the audit and the change feed."""

    def note(self, records: Sequence[AuditRecord]) -> None:
        """Add records to the audit that belong to no other call; the store numbers them."""
        ...

    def audit(
        self, job_id: str | None, since_us: int | None, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return the stored changes, the latest first.

        Args:
            job_id: Only those of this job; None: those of all jobs and of the scheduler.
            since_us: Only those since this time; None: all.
            before: Only those with a lower number; None: all.
            limit: The maximum number.
        """
        ...

    def happened_after(self, position: str | None, limit: int) -> Happened:
        """Return outcomes and changes in commit order.

        Args:
            position: The position after which to return them; None: nothing is returned.
            limit: The maximum number.

        Raises:
            InvalidOptionError: if *position* is not a position.
        """
        ...
