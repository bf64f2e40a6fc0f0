"""Creates the audit's records of changes, and logs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from schedcore.basics.logs import GuardedLogger
from schedcore.changes.audit import PYTHON, AuditRecord, actor
from schedcore.clock import Clock
from schedcore.stores.base import Change, Entry
from schedcore.stores.changed import record_of_change

if TYPE_CHECKING:
    from schedcore.stores.contract import Store

log = GuardedLogger("schedcore.audit")
_LOGGED: Final = ("at_us", "who", "address", "verb", "job_id", "run_id")
"""Without values: arguments may contain secrets, and logs may be sent anywhere."""


class Auditor:
    """Records in a store who changes what.

    Args:
        store: Stores the audit.
        clock: Gives the moment.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def of(self, changes: Sequence[Change | Entry]) -> list[AuditRecord]:
        """Return the audit's records of changes, to be written with them."""
        by, now_us = actor(), self._clock.now_us()
        return [
            record_of_change(change, by, now_us)
            for change in changes
            if isinstance(change, Entry) or change.new is not change.old
        ]

    def of_order(
        self, verb: str, job_id: str | None = None, run_id: int | None = None
    ) -> AuditRecord:
        """Return the audit's record of an order other than a change of a job."""
        return AuditRecord(0, self._clock.now_us(), *actor(), verb, job_id, run_id)

    def note(self, verb: str, job_id: str | None = None, run_id: int | None = None) -> None:
        """Record an order that was carried out."""
        record = self.of_order(verb, job_id, run_id)
        self._store.note((record,))
        told((record,))


def told(records: Sequence[AuditRecord]) -> None:
    """Log changes by others than the program itself."""
    if actor() is PYTHON:
        return
    for record in records:
        fields = {f"audit_{name}": getattr(record, name) for name in _LOGGED}
        log.info("%s", record.told(), fields=fields)
