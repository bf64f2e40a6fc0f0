"""Records orders in the audit, and logs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from schedcore.basics.logs import GuardedLogger
from schedcore.changes.audit import PYTHON, Actor, AuditRecord, actor
from schedcore.clock import Clock
from schedcore.stores.audit_records import effective_changes, id_of, verb_of
from schedcore.stores.base import Change, Entry

if TYPE_CHECKING:
    from schedcore.stores.contract import Store

log = GuardedLogger("schedcore.audit")
_LOGGED: Final = ("at_us", "who", "address", "verb", "job_id", "run_id")
"""Without values: arguments may contain secrets, and logs may be sent anywhere."""


class Auditor:
    """Records orders other than changes of jobs, which the store records itself.

    Args:
        store: Stores the audit.
        clock: Gives the moment.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def of_order(
        self, verb: str, job_id: str | None = None, run_id: int | None = None
    ) -> AuditRecord:
        """Return the audit's record of an order."""
        return AuditRecord(0, self._clock.now_us(), *actor(), verb, job_id, run_id)

    def note(self, verb: str, job_id: str | None = None, run_id: int | None = None) -> None:
        """Record an order that was carried out."""
        record = self.of_order(verb, job_id, run_id)
        self._store.note((record,))
        log_orders((record,))


def log_orders(records: Iterable[AuditRecord]) -> None:
    """Log orders of others than the program itself."""
    if actor() is PYTHON:
        return
    for record in records:
        fields = {f"audit_{name}": getattr(record, name) for name in _LOGGED}
        log.info("%s", record.told(), fields=fields)


def log_changes(changes: Sequence[Change | Entry], by: Actor, at_us: int) -> None:
    """Log changes of jobs by others than the program itself."""
    if by is not PYTHON:
        log_orders(
            AuditRecord(0, at_us, *by, verb_of(c), id_of(c)) for c in effective_changes(changes)
        )
